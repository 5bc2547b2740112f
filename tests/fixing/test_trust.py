"""How far evidence carries a fix alone, and whose words reach the agent."""

from __future__ import annotations

import pytest

from soulcaster.fixing import trust


@pytest.mark.parametrize(
    ("approval", "waiting"),
    [
        ("anonymous", ["anonymous"]),
        ("member", ["anonymous", "member"]),
        ("verified", ["anonymous", "member", "verified"]),
        ("always", ["anonymous", "member", "verified", "maintainer"]),
    ],
)
def test_the_tier_that_waits_is_the_tier_that_is_not_heard(approval, waiting):
    """One line for both: who cannot start an edit alone cannot speak in one that nobody allowed."""
    for tier in trust.TIERS:
        assert (tier in waiting) == bool(trust.find_hold(approval, tier))
        assert (tier not in waiting) == trust.may_speak(approval, tier)
        assert trust.may_speak(approval, tier, approved_by="ann")


def test_a_tier_that_nobody_knows_is_the_least():
    """A new word in the store opens nothing."""
    assert "anonymous" == trust.find_highest(["owner"]) == trust.find_highest([])
    assert "verified" == trust.find_highest(["member", "verified", "anonymous"])
    assert not trust.may_speak("anonymous", "owner")
