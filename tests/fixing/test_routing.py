"""Which repository a cluster belongs to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulcaster.errors import PermanentError
from soulcaster.fix_models import Repository, Route
from soulcaster.fixing.routing import Origin, route

REDDIT, ISSUE = Origin("reddit", "NotesApp"), Origin("github", "acme/notes")
NOTES = Repository(name="acme/notes", routes=[Route(source="github", channel="acme/notes"), Route(source="reddit")])
WEB = Repository(name="acme/web", mode="draft", routes=[Route(source="sentry", channel="acme/*")])
PLAIN = Repository(name="acme/plain")


def test_the_source_of_most_items_decides():
    """Routes are matched with wildcards and without regard to case."""
    assert "acme/notes" == route([REDDIT, ISSUE, Origin("manual", None)], [WEB, NOTES]).repository.name
    assert "acme/web" == route([Origin("sentry", "Acme/Web")], [WEB, NOTES]).repository.name


def test_the_only_repository_without_routes_takes_what_no_route_wants():
    """Small set-ups need no rules at all."""
    assert PLAIN == route([ISSUE], [PLAIN]).repository
    assert PLAIN == route([Origin("manual", None)], [WEB, PLAIN, NOTES]).repository


def test_a_rule_that_speaks_for_a_minority_does_not_decide():
    """One Reddit post among many manual items is no reason to write there."""
    with pytest.raises(PermanentError, match="--repo"):
        route([REDDIT] + 3 * [Origin("manual", None)], [NOTES, WEB])


def test_two_that_fit_equally_well_wait_for_a_person_or_the_diagnosis():
    """The diagnosis chooses among the candidates, and among nothing else."""
    twin = NOTES.model_copy(update={"name": "acme/twin"})

    with pytest.raises(PermanentError, match="acme/twin"):
        route([REDDIT], [NOTES, twin, PLAIN])
    with pytest.raises(PermanentError, match="--repo"):
        route([REDDIT], [NOTES, twin, PLAIN], suggested="evil/repo")
    with pytest.raises(PermanentError, match="--repo"):
        route([REDDIT], [NOTES, twin, PLAIN], suggested="acme/plain")
    assert twin == route([REDDIT], [NOTES, twin, PLAIN], suggested="ACME/twin").repository


def test_a_named_repository_is_taken_only_when_configured_and_not_off():
    """A person's word counts within the allow-list."""
    off = PLAIN.model_copy(update={"mode": "off"})

    assert WEB == route([REDDIT], [NOTES, WEB], named="ACME/web").repository
    with pytest.raises(PermanentError, match="configured"):
        route([REDDIT], [NOTES], named="evil/repo")
    with pytest.raises(PermanentError, match="off"):
        route([REDDIT], [off], named="acme/plain")
    with pytest.raises(PermanentError, match="only such that are off"):
        route([REDDIT], [off])
    with pytest.raises(PermanentError, match="none at all"):
        route([REDDIT], [])


@given(st.lists(st.tuples(st.sampled_from(["manual", "reddit", "sentry", "github"]), st.none() | st.text())))
def test_whatever_the_channels_say_the_answer_is_allowed_or_a_person_is_asked(origins):
    """No text from outside leads to a repository that is off or not configured."""
    off = PLAIN.model_copy(update={"mode": "off"})
    try:
        found = route([Origin(*each) for each in origins], [NOTES, WEB, off]).repository
    except PermanentError:
        return
    assert found in (NOTES, WEB)
