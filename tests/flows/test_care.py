"""The flows that keep the house on a real Prefect server: backup, retention, erasures, and what people are told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import notice_store
import pytest
from fix_store import CLUSTER
from grouping_store import PROJECT
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect_server import ROOT, PrefectServer
from standins.wire_server import Answer, Request, Wire, running
from waiting import wait_until

from flows.backup import backup
from flows.erase import erase
from flows.notify import notify
from flows.retain import RetainParams, retain
from soulcaster import db
from soulcaster.backup import read_manifest
from soulcaster.db import erasure
from soulcaster.ingest import store_outcomes
from soulcaster.models import FeedbackItem
from soulcaster.notices import KINDS
from soulcaster.prefect_api import ask, connect
from soulcaster.settings import Settings

TOLD = (
    "Many new reports", "A fixed problem came back", "A grouping waits", "A fix waits for approval",
    "A pull request is open", "A budget is nearly spent", "A source is blocked",
)  # fmt: skip
pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture
def full(settings: Settings) -> Settings:
    """One item with a payload that came before its author's erasure was begun, as after a restored backup."""
    said = FeedbackItem(source="reddit", external_id="t3_1", title="Broken login", author="canary", payload="{}")
    store_outcomes(settings, "default", [("here", said)])
    db.write(
        settings.duckdb_path,
        lambda con: erasure.open_mark(
            con, "default", erasure.make_mark(con, "default", "reddit", "canary"), actor="me", now=datetime.now(UTC)
        ),
    )
    return settings


def test_backups_follow_the_settings_and_without_a_folder_there_is_none(
    full: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Nothing is made without a folder; with one the newest stay."""
    assert backup() is None
    monkeypatch.setenv("SOULCASTER_BACKUP_FOLDER", str(tmp_path / "backups"))
    monkeypatch.setenv("SOULCASTER_BACKUP_KEEP", "1")

    first, second = backup(), backup()

    assert first is not None
    assert second is not None
    assert 1 == second.n_removed == read_manifest(Path(second.path)).rows["items"]
    assert [Path(second.path)] == list((tmp_path / "backups").iterdir())
    assert full.home.is_dir()


def test_retention_only_counts_unless_told_otherwise_and_erasures_end(full: Settings, monkeypatch: pytest.MonkeyPatch):
    """The form's default deletes nothing, the schedule's does; the flow `erase` needs no name to end what was begun."""
    monkeypatch.setenv("SOULCASTER_KEEP_PAYLOADS_DAYS", "0.0000001")

    assert (1, 1, 0) == (retain().payloads, retain(RetainParams(dry_run=False)).payloads, retain().payloads)
    assert (1, 0) == (erase(), erase())
    rows = db.read(full.duckdb_path, lambda con: con.execute("SELECT title, author FROM items").fetchall())
    assert "canary" not in str(rows)
    assert b"canary" not in full.duckdb_path.read_bytes()


@pytest.fixture
def ears(prefect_server: PrefectServer) -> Iterator[list[dict[str, str]]]:
    """What a webhook on loopback was sent, through a block of Prefect and the automations that set-up makes for it."""
    heard: list[dict[str, str]] = []

    def answer(request: Request) -> Answer:
        heard.append(json.loads(request.body))
        return Answer(payload={})

    wire = Wire()
    with running(answer, wire):
        block = CustomWebhookNotificationBlock(
            name="ears", url=wire.url, json_data={"subject": "{{subject}}", "body": "{{body}}"}
        )
        block.save("ears", overwrite=True)
        assert "9 automations" in set_up(prefect_server, "custom-webhook/ears")
        yield heard
    assert "nobody is told" in set_up(prefect_server, "")


def set_up(server: PrefectServer, block: str) -> str:
    """What the set-up of the server says; it must succeed."""
    env = {**os.environ, "PREFECT_API_URL": server.api_url, "SOULCASTER_NOTIFY_BLOCK": block}
    done = subprocess.run(
        [sys.executable, "infra/prefect/setup.py"], env=env, cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_people_hear_of_all_seven_kinds_and_of_failed_and_late_runs(
    ears: list[dict[str, str]], prefect_server: PrefectServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    """Event, automation, block, webhook: each message arrives once, and a hostile title is plain words in it."""
    monkeypatch.setenv("SOULCASTER_PROJECT", PROJECT)
    notice_store.make_all_so(settings)

    assert len(KINDS) == notify()
    end_run(prefect_server, "FAILED", "Failed")
    end_run(prefect_server, "SCHEDULED", "Late")

    subjects = {"Soulcaster: " + subject for subject in [*TOLD, "A run failed", "A run is late"]}
    wait_until(lambda: subjects <= {message["subject"] for message in ears}, "a message of each kind")
    [burst] = [each["body"] for each in ears if each["subject"] == "Soulcaster: Many new reports"]
    assert "channel" in burst
    assert f"/cluster?id={CLUSTER}" in burst
    assert not set("<>@[]") & set(burst)
    assert "evil.example" not in burst
    assert 0 == notify()
    assert len(ears) == len({(each["subject"], each["body"]) for each in ears})


def end_run(server: PrefectServer, kind: str, name: str) -> None:
    """A run of ours that is in this state; the server says so as an event."""
    with connect(server.api_url) as client:
        flow = ask(client, "POST", "/flows/", {"name": "ingest"})
        body = {"flow_id": flow["id"], "tags": ["soulcaster"], "state": {"type": "SCHEDULED", "name": "Scheduled"}}
        run = ask(client, "POST", "/flow_runs/", body)
        ask(client, "POST", f"/flow_runs/{run['id']}/set_state", {"state": {"type": kind, "name": name}, "force": True})
