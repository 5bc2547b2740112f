"""Whether one change would fix two clusters, by a model: the question, and the check of the answer. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib import resources
from typing import NamedTuple

from pydantic import BaseModel

from soulcaster.llm.names import Report, is_harmless

PROMPT = 1
"""Version of the rules in use; `prompts/same-<version>.md` never changes once it was shipped."""

_LONGEST_REASON, _LONGEST_REPORT, _MOST_REPORTS = 300, 800, 3


class SameProblem(BaseModel):
    """What a model says of two clusters."""

    same: bool
    reason: str


class Side(NamedTuple):
    """One of the two clusters, as the model is shown it."""

    title: str
    reports: Sequence[Report]


def rules() -> str:
    """The system instruction."""
    return (resources.files(__package__) / "prompts" / f"same-{PROMPT}.md").read_text("utf-8")


def make_question(first: Side, second: Side) -> str:
    """The user turn: one JSON object. Equal input, equal question."""
    return json.dumps({"first": _told(first), "second": _told(second)}, ensure_ascii=False)


def check(answer: SameProblem, question: str, plain: Callable[[str], str]) -> SameProblem | None:
    """The answer with a reason people may read; None when there is none."""
    reason = " ".join(plain(answer.reason).split())
    if not reason or len(reason) > _LONGEST_REASON or not is_harmless([answer.reason], question):
        return None
    return SameProblem(same=answer.same, reason=reason)


def _told(side: Side) -> dict[str, object]:
    reports = [{"title": one.title[:200], "text": one.body[:_LONGEST_REPORT]} for one in side.reports[:_MOST_REPORTS]]
    return {"title": side.title, "reports": reports}
