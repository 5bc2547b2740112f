"""How far evidence carries a fix without a person: the tier caps it, and text below the cap is not heard. Pure.

The rule. A job has the highest tier among its reports that may be quoted. At or below the tier that the owner set, an
edit waits for a person. Where nobody was asked, the brief quotes only reports above that tier: an anonymous text that
was slipped into a trusted cluster is counted and never reaches the agent. Once a person said yes they are all quoted,
each with its tier beside it. Source: agent.md §3.1 (Rule of Two), §3.3 point 13.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from soulcaster.models import Trust

TIERS: tuple[Trust, ...] = ("anonymous", "member", "verified", "maintainer")
"""From least to most."""

Approval = Literal["anonymous", "member", "verified", "always"]
"""Highest tier of evidence on which an edit waits for a person; always: on any."""


def find_highest(tiers: Iterable[str]) -> Trust:
    """The highest of these tiers; anonymous for none."""
    return TIERS[max((TIERS.index(_tier(each)) for each in tiers), default=0)]


def find_hold(approval: Approval, trust: Trust) -> str:
    """Why a person has to say yes before an edit is tried; '' when nobody has to."""
    if approval == "always":
        return "Every fix waits for a person here; `soulcaster approve` lets it go on."
    if may_speak(approval, trust):
        return ""
    if trust == "anonymous":
        return "All evidence is anonymous; a person has to say yes before an edit is tried."
    return f"No evidence is above the tier {trust}; a person has to say yes before an edit is tried."


def may_speak(approval: Approval, tier: str, *, approved_by: str | None = None) -> bool:
    """Whether a report of this tier is quoted to the agent: above the cap, or by a person's word."""
    if approved_by is not None:
        return True
    return approval != "always" and TIERS.index(_tier(tier)) > TIERS.index(approval)


def _tier(name: str) -> Trust:
    """A tier that nobody knows is the least."""
    return next((each for each in TIERS if each == name), TIERS[0])
