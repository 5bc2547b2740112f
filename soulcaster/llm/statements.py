"""The problem behind one report, by a model: the question, and the check of the answer. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources

from pydantic import BaseModel

from soulcaster.llm.names import is_harmless

PROMPT = 1
"""Version of the rules in use; `prompts/state-<version>.md` never changes once it was shipped."""

_LONGEST_REPORT, _LONGEST_STATEMENT = 4_000, 400


class ProblemStatement(BaseModel):
    """What a model says of one report; empty when that states no problem."""

    statement: str


def rules() -> str:
    """The system instruction."""
    return (resources.files(__package__) / "prompts" / f"state-{PROMPT}.md").read_text("utf-8")


def make_question(text: str) -> str:
    """The user turn: one JSON object, so that no text can leave its string. Equal text, equal question."""
    return json.dumps({"report": text[:_LONGEST_REPORT]}, ensure_ascii=False)


def check(answer: ProblemStatement, question: str, plain: Callable[[str], str]) -> ProblemStatement | None:
    """The statement without markup, on one line; None when it cannot stand for the report.

    That is: far too long, an address or mention that the report has not, or an instruction to a machine.
    """
    statement = " ".join(plain(answer.statement).split())
    if len(statement) > _LONGEST_STATEMENT or not is_harmless([answer.statement], question):
        return None
    has_words = any(character.isalpha() for character in statement)
    return ProblemStatement(statement=statement if has_words else "")
