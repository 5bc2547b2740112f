"""What nobody sets up on purpose: all items equal, none alike, two models in one store, edits between five refits."""

from __future__ import annotations

import tempfile
from pathlib import Path

import grouping_store as made
import hypothesis
import numpy as np
import polars as pl
import pytest
from hypothesis import strategies as st

from soulcaster import edit
from soulcaster.clustering.constraints import from_frame, resolve
from soulcaster.db import edits as store
from soulcaster.db import migrate, read
from soulcaster.recluster import recluster
from soulcaster.settings import Settings

_TOPICS, _ROUNDS = 6, 5


@pytest.mark.parametrize("texts", ["one", "many"])
def test_items_that_are_all_equal_are_one_cluster(settings, texts):
    """Forty people say the same, in the same words or in forty ways that mean exactly the same."""
    rows = [made.row(f"{number}", "it crashes" if texts == "one" else f"crash {number}") for number in range(40)]
    made.add_items(settings, rows)
    hashes = sorted({str(row["content_hash"]) for row in rows})
    made.add_vectors(settings, hashes, np.tile(np.eye(1, 384), (len(hashes), 1)))

    report = recluster(settings, made.PROJECT)

    assert (40, 1, 0) == (report.n_items, report.n_clusters, report.n_noise)
    assert 1 == len(set(made.clusters_of_items(settings).values()))


def test_items_that_are_all_different_are_all_noise(settings):
    """Nothing is pressed into a cluster only because everything else is further away."""
    rows = [made.row(f"{number}", f"word{number}") for number in range(40)]
    made.add_items(settings, rows)
    made.add_vectors(settings, [str(row["content_hash"]) for row in rows], np.eye(40, 384))

    report = recluster(settings, made.PROJECT)

    assert (0, 0, 40) == (report.n_clusters, report.n_themes, report.n_noise)


def test_two_models_in_one_store_never_meet_and_ids_live_on(settings, monkeypatch):
    """Each run reads vectors of one model; what that model has not seen is noise; the same groups keep their ids."""
    made.add_topics(settings, 4, 5)
    first = recluster(settings, made.PROJECT)
    before = made.clusters_of_items(settings)
    monkeypatch.setenv("SOULCASTER_EMBEDDER", "static")
    other = Settings(home=settings.home, auto_publish_max_churn=1.0, _env_file=None)
    rows = made.query(settings, "SELECT external_id, content_hash FROM items ORDER BY 1")
    seen = [(int(name[0]), content_hash) for name, content_hash in rows if not name.startswith("3-")]
    made.add_vectors(other, [each for _, each in seen], np.eye(4)[[topic for topic, _ in seen]])

    second = recluster(other, made.PROJECT)

    models = dict(made.query(settings, "SELECT run_id::VARCHAR, model_id FROM runs"))
    assert 2 == len({models[first.run_id], models[second.run_id]})
    now = made.clusters_of_items(settings)
    assert all(now[name] == (None if name.startswith("3-") else before[name]) for name in before)


def shown(home: Settings) -> dict[str, str | None]:
    """Cluster by item id in the run on show."""
    return dict(made.query(home, "SELECT item_id::VARCHAR, cluster_id::VARCHAR FROM published_memberships"))


def members(partition: dict[str, str | None]) -> dict[str, frozenset[str]]:
    """Items by cluster."""
    found: dict[str, set[str]] = {}
    for item, cluster in partition.items():
        if cluster is not None:
            found.setdefault(cluster, set()).add(item)
    return {cluster: frozenset(items) for cluster, items in found.items()}


def broken(home: Settings) -> list[str]:
    """Constraints that hold by what people said and do not hold in what is shown."""
    now = shown(home)
    row_of = pl.DataFrame({"item_id": sorted(now)}).with_row_index("row")
    demands = read(home.duckdb_path, lambda con: store.list_constraints(con, made.PROJECT))
    held, _ = resolve(from_frame(demands.join(row_of, on="item_id", maintain_order="left")))
    cluster = [now[item] for item in sorted(now)]
    found = []
    for each in held:
        left, right = ({cluster[row] for row in side} for side in (each.left, each.right))
        if each.relation == "together" and (len(left) > 1 or None in left):
            found.append(f"together {left}")
        if each.relation == "apart" and (left & right) - {None}:
            found.append(f"apart {left} {right}")
    return found


def make_edit(home: Settings, data: st.DataObject) -> str | None:
    """One drawn edit that makes sense on what is shown; its id, None where nothing fits."""
    groups = {cluster: sorted(items) for cluster, items in members(shown(home)).items()}
    names = sorted(groups)
    large = [name for name in names if len(groups[name]) > 3]
    kind = data.draw(st.sampled_from(["merge", "split", "move", "exclude"]))
    if kind == "merge" and len(names) > 3:
        chosen = data.draw(st.lists(st.sampled_from(names), min_size=2, max_size=3, unique=True))
        return edit.merge(home, made.PROJECT, chosen, actor="ann").edit_id
    if kind == "split" and large:
        name = data.draw(st.sampled_from(large))
        return edit.split(home, made.PROJECT, name, groups[name][:2], actor="ann").edit_id
    if kind == "move" and large and len(names) > 1:
        name = data.draw(st.sampled_from(large))
        target = data.draw(st.sampled_from([other for other in names if other != name]))
        return edit.move(home, made.PROJECT, groups[name][0], target, actor="ben").edit_id
    if kind == "exclude" and large:
        name = data.draw(st.sampled_from(large))
        return edit.exclude(home, made.PROJECT, groups[name][0], name, actor="ben").edit_id
    return None


@hypothesis.settings(max_examples=2)
@hypothesis.given(st.data())
def test_over_five_refits_people_are_obeyed_ids_live_on_and_nothing_is_lost(data):
    """Whatever is edited in between: every constraint holds, equal groups keep their id, undo restores what was."""
    with tempfile.TemporaryDirectory() as folder:
        home = Settings(home=Path(folder), auto_publish_max_churn=1.0, _env_file=None)
        migrate(home.duckdb_path)
        made.add_topics(home, _TOPICS, 4)
        recluster(home, made.PROJECT)
        for round_ in range(_ROUNDS):
            before = shown(home)
            if made_id := make_edit(home, data):
                after = shown(home)
                back = edit.undo(home, made.PROJECT, made_id, actor="cleo").edit_id
                assert before == shown(home)
                edit.undo(home, made.PROJECT, back, actor="cleo")
                assert after == shown(home)
            assert [] == broken(home)
            edited = members(shown(home))
            made.add_topics(home, _TOPICS, 1, first=10 + round_)

            recluster(home, made.PROJECT)

            now = shown(home)
            assert _TOPICS * (5 + round_) == len(now)
            assert [] == broken(home)
            old = {item for items in edited.values() for item in items}
            by_items = {frozenset(items & old): cluster for cluster, items in members(now).items()}
            assert all(by_items.get(items, cluster) == cluster for cluster, items in edited.items())
