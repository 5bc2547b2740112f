"""Title, summary, hints, severity and kind of a cluster by a model: the question, and the check of the answer. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Literal, NamedTuple

import polars as pl
from pydantic import BaseModel

from soulcaster.suspicion import find_suspicions

PROMPT = 1
"""Version of the rules in use; `prompts/name-<version>.md` never changes once it was shipped."""

LONGEST_TITLE = 80
_LONGEST_SUMMARY, _LONGEST_HINT, _MOST_HINTS = 700, 200, 5
_LONGEST_REPORT, _MOST_TAKEN = 1_200, 30
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+|[\w.+-]+@[\w-]+\.\w+|(?<!\w)@\w+", re.IGNORECASE)

Severity = Literal["critical", "high", "medium", "low"]
Kind = Literal["bug", "request", "question", "praise"]


class ClusterWords(BaseModel):
    """What a model says of one cluster."""

    title: str
    summary: str
    hints: list[str]
    severity: Severity
    kind: Kind


class Report(NamedTuple):
    """What of a report the model is shown: no author, no address."""

    title: str
    body: str


def rules() -> str:
    """The system instruction."""
    return (resources.files(__package__) / "prompts" / f"name-{PROMPT}.md").read_text("utf-8")


def make_question(reports: Sequence[Report], terms: Sequence[str], taken: Sequence[str] = ()) -> str:
    """The user turn: one JSON object, so that no text can leave its string. Equal input, equal question.

    Args:
        reports: the cluster's best texts, best first.
        terms: what sets it apart.
        taken: titles the answer has to differ from; not more than 30 are shown.
    """
    told = [{"title": one.title[:200], "text": one.body[:_LONGEST_REPORT]} for one in reports]
    return json.dumps({"reports": told, "terms": list(terms), "taken": list(taken)[:_MOST_TAKEN]}, ensure_ascii=False)


def check(words: ClusterWords, question: str, plain: Callable[[str], str]) -> ClusterWords | None:
    """The words without markup and within their lengths; None when they cannot be shown to people as ours.

    That is: no title, an address or mention that no report has, or a text that reads like an instruction to a machine.

    Args:
        words: as the model gave them.
        question: what it was asked; an address that stands in it may stay.
        plain: takes markup out of a text.
    """
    title = _one_line(plain(words.title)).rstrip(" .")
    summary = _one_line(plain(words.summary))
    hints = [hint for each in words.hints[:_MOST_HINTS] if (hint := _one_line(plain(each))[:_LONGEST_HINT])]
    if not any(character.isalpha() for character in title) or len(title) > LONGEST_TITLE or len(summary) < 1:
        return None
    if not is_harmless([words.title, words.summary, *words.hints], question):
        return None
    return words.model_copy(update={"title": title, "summary": summary[:_LONGEST_SUMMARY], "hints": hints})


def is_harmless(texts: Sequence[str], question: str) -> bool:
    """Whether people may read these texts of a model as ours: no address or mention but those of the question, and
    nothing that reads like an instruction to a machine.
    """
    strange = [found for text in texts for found in _ADDRESS.findall(text) if found not in question]
    return not strange and not find_suspicions(pl.Series(list(texts), dtype=pl.String))


def _one_line(text: str) -> str:
    return " ".join(text.split())
