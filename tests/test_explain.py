"""Why an item is where it is, on a real store and a real index."""

from __future__ import annotations

import grouping_store as made
import numpy as np
import pytest

from soulcaster import edit
from soulcaster.assign import assign
from soulcaster.errors import PermanentError
from soulcaster.explain import why
from soulcaster.recluster import recluster


@pytest.fixture
def grouped(settings):
    """Three clusters of four items each and one item alone, on show."""
    made.add_stars(settings, 3, 4)
    made.add_items(settings, [made.row("alone", "nothing like it")])
    made.add_vectors(settings, [made.content_hash("nothing like it")], np.eye(1, 384, 39))
    recluster(settings, made.PROJECT)
    return settings


def _id(external_id):
    return made.row(external_id, "")["item_id"]


def test_a_member_is_explained_by_its_nearest_members_and_shared_words(grouped):
    """Nearest first with similarity, words in common, the rule in a sentence."""
    found = why(grouped, made.PROJECT, _id("1-2")[:13])

    assert made.clusters_of_items(grouped)["1-2"] == found.cluster_id
    assert ("near-text", "1-0") == (found.reason, found.nearest[0].external_id)
    assert {"1-0", "1-1", "1-3"} == {near.external_id for near in found.nearest}
    similarities = [near.similarity for near in found.nearest]
    assert sorted(similarities, reverse=True) == similarities
    assert ["problem", "told"] == found.shared_terms
    assert [] == found.edits


def test_noise_names_the_nearest_items_there_are(grouped):
    """It stands alone, and here is what came closest."""
    found = why(grouped, made.PROJECT, _id("alone"))

    assert (None, "") == (found.cluster_id, found.reason)
    assert "stands alone" in found.because
    assert 5 == len(found.nearest)


def test_a_stack_shows_the_frames_in_common(settings):
    """Same exception and frames: the frames are the evidence, also without a vector."""
    stack = {"exception_type": "KeyError", "frames": ["app.sync:push", "app.sync:run"]}
    made.add_items(settings, [made.row("1", "One", **stack), made.row("2", "Two", **stack)])
    made.add_vectors(settings, [made.content_hash("One"), made.content_hash("Two")], np.eye(2))
    recluster(settings, made.PROJECT)

    found = why(settings, made.PROJECT, _id("1"))

    assert ("same-stack", ["app.sync:push", "app.sync:run"]) == (found.reason, found.shared_frames)


def test_what_people_said_is_part_of_the_reason(grouped):
    """Who, when, why; and that it was taken back."""
    target = made.clusters_of_items(grouped)["2-0"]
    report = edit.move(grouped, made.PROJECT, _id("1-2"), target, actor="ann", reason="same crash")

    found = why(grouped, made.PROJECT, _id("1-2"))
    assert (target, "edited", "A person put it there.") == (found.cluster_id, found.reason, found.because)
    [saying] = found.edits
    assert saying.startswith("move by ann at 20")
    assert saying.endswith(": same crash")
    edit.undo(grouped, made.PROJECT, report.edit_id, actor="ann")
    assert why(grouped, made.PROJECT, _id("1-2")).edits[0].endswith("(taken back)")


def test_items_between_refits_show_what_was_asked_of_them(grouped):
    """Before assignment it waits, afterwards similarity and threshold are told."""
    made.add_items(grouped, [made.row("new", "a new one"), made.row("empty", "")])
    made.add_vectors(grouped, [made.content_hash("a new one")], np.eye(1, 384, 1) + 0.1 * np.eye(1, 384, 300))

    assert "not assigned yet" in why(grouped, made.PROJECT, _id("new")).because
    assert "no text" in why(grouped, made.PROJECT, _id("empty")).because
    assign(grouped, made.PROJECT)

    found = why(grouped, made.PROJECT, _id("new"))
    assert "nearest-cluster" == found.reason
    assert found.similarity >= found.threshold
    assert made.clusters_of_items(grouped)["1-0"] == found.cluster_id == found.nearest_cluster_id
    with pytest.raises(PermanentError, match="'zz'"):
        why(grouped, made.PROJECT, "zz")
