"""The automations of a Prefect server that Soulcaster wants: one that mends, and those that tell people.

Those that tell send to the block that SOULCASTER_NOTIFY_BLOCK names (`slug/name`, as `slack-webhook/team`);
it is made in Prefect's own screens or by its client. What a person switched off stays off.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from soulcaster.errors import PermanentError
from soulcaster.prefect_api import ask

ZOMBIE_WINDOW_SECONDS = 90
"""Three heartbeats of 30 s. With the default heartbeat of 180 s this window would crash healthy runs."""

_PREFIX = "soulcaster: "
_ENDED = ["Completed", "Failed", "Cancelled", "Crashed"]
_BAD = ["Failed", "Crashed", "TimedOut"]

ZOMBIE: dict[str, Any] = {
    "name": _PREFIX + "crash runs whose heartbeat stopped",
    "description": "A run whose machine or worker died would stay Running and hold its deployment's slot.",
    "enabled": True,
    "trigger": {
        "type": "event",
        "posture": "Proactive",
        "match": {"prefect.resource.id": ["prefect.flow-run.*"]},
        "for_each": ["prefect.resource.id"],
        "after": ["prefect.flow-run.heartbeat"],
        "expect": ["prefect.flow-run.heartbeat", *(f"prefect.flow-run.{state}" for state in _ENDED)],
        "threshold": 1,
        "within": ZOMBIE_WINDOW_SECONDS,
    },
    "actions": [
        {
            "type": "change-flow-run-state",
            "state": "CRASHED",
            "message": f"No heartbeat for {ZOMBIE_WINDOW_SECONDS} s: the process or its machine died.",
        }
    ],
}

TOLD = {
    "new-burst": "Many new reports",
    "regression": "A fixed problem came back",
    "proposal-waiting": "A grouping waits",
    "approval-waiting": "A fix waits for approval",
    "pull-request-open": "A pull request is open",
    "budget": "A budget is nearly spent",
    "source-blocked": "A source is blocked",
}
"""Subject by kind of event, as `soulcaster.notices` has them."""

_ABOUT_US = "{{ event.payload.message }}\n{{ event.payload.link }}"
_ABOUT_RUN = "{{ flow.name }}: {{ flow_run|ui_url }}"
"""Not the state's message: it may quote what came from outside."""


def told_automations(block_id: str) -> list[dict[str, Any]]:
    """One automation for each kind, and one each for failed and late runs of ours."""
    made = [_telling(subject, _ABOUT_US, block_id, expect=[f"soulcaster.{kind}"]) for kind, subject in TOLD.items()]
    ours = {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.soulcaster"}
    failed = [f"prefect.flow-run.{state}" for state in _BAD]
    for subject, events in (("A run failed", failed), ("A run is late", ["prefect.flow-run.Late"])):
        made.append(_telling(subject, _ABOUT_RUN, block_id, expect=events, match_related=ours))
    return made


def ensure_automation(client: httpx.Client, wanted: dict[str, Any]) -> None:
    """One automation of that name, as it is wanted; switched off if it was."""
    known = ask(client, "POST", "/automations/filter", {"automations": {"name": {"any_": [wanted["name"]]}}})
    if known:
        ask(client, "PUT", f"/automations/{known[0]['id']}", {**wanted, "enabled": known[0]["enabled"]})
    else:
        ask(client, "POST", "/automations/", wanted)


def ensure_notifications(client: httpx.Client, block: str) -> int:
    """Number of automations that tell people; without a block none, and those that were there are deleted.

    Raises:
        PermanentError: the server has no such block.
    """
    if not block:
        for subject in [*TOLD.values(), "A run failed", "A run is late"]:
            name = _PREFIX + "tell: " + subject
            for known in ask(client, "POST", "/automations/filter", {"automations": {"name": {"any_": [name]}}}):
                ask(client, "DELETE", f"/automations/{known['id']}")
        return 0
    slug, _, name = block.partition("/")
    found = ask(client, "GET", f"/block_types/slug/{slug}/block_documents/name/{name}")
    if found is None:
        raise PermanentError(
            f"Setting up notifications expected the Prefect block SOULCASTER_NOTIFY_BLOCK={block!r}, got none; make it "
            "in Prefect's screens under Blocks, or with `prefect block`."
        )
    wanted = told_automations(found["id"])
    for each in wanted:
        ensure_automation(client, each)
    return len(wanted)


def _telling(subject: str, body: str, block_id: str, *, expect: list[str], **match: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
    return {
        "name": _PREFIX + "tell: " + subject,
        "description": "Sends to the block of SOULCASTER_NOTIFY_BLOCK; switch it off here to hear no more of it.",
        "enabled": True,
        "trigger": {
            "type": "event", "posture": "Reactive", "expect": expect, "for_each": [], "threshold": 1, "within": 0,
            **match,
        },
        "actions": [
            {
                "type": "send-notification", "block_document_id": block_id, "subject": "Soulcaster: " + subject,
                "body": body,
            }
        ],
    }  # fmt: skip
