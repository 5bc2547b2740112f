"""The map of a run: written once, on top of the one before, from real stores."""

from __future__ import annotations

import grouping_store as made
import numpy as np
import pytest

from soulcaster.db import maps, read, write
from soulcaster.draw import draw
from soulcaster.recluster import recluster


def positions(settings) -> dict[str, tuple[float, float, float]]:
    """Place and radius of every cluster on the map that is shown."""
    frame = read(settings.duckdb_path, lambda con: maps.list_positions(con, made.PROJECT))
    return {row[0]: row[1:] for row in frame.iter_rows()}


def test_every_cluster_of_the_run_on_show_gets_a_place(settings):
    """One row a cluster; its area goes by its items."""
    made.add_stars(settings, 6, 3)
    made.add_stars(settings, 1, 9, first=3)
    recluster(settings, made.PROJECT)

    report = draw(settings, made.PROJECT)

    sizes = dict(
        made.query(settings, "SELECT cluster_id::VARCHAR, n_items FROM run_clusters JOIN published_runs USING (run_id)")
    )
    found = positions(settings)
    assert (6, 0) == (report.n_clusters, report.n_kept)
    assert set(sizes) == set(found)
    areas = {cluster: radius**2 / sizes[cluster] for cluster, (_, _, radius) in found.items()}
    assert np.allclose(list(areas.values()), next(iter(areas.values())))


def test_drawing_again_changes_nothing(settings):
    """A map that somebody has seen stays as it is."""
    made.add_stars(settings, 5, 3)
    recluster(settings, made.PROJECT)
    draw(settings, made.PROJECT)
    before = positions(settings)

    report = draw(settings, made.PROJECT)

    assert 0 == report.n_clusters
    assert before == positions(settings)


def test_a_store_without_runs_has_no_map(settings):
    """Nothing to draw is no error, and there is nothing to show."""
    made.add_stars(settings, 2, 2)

    assert 0 == draw(settings, made.PROJECT).n_clusters
    assert {} == positions(settings)


def test_the_next_run_is_drawn_on_top_of_the_last_and_that_stays_in_the_store(settings):
    """Clusters that live on hardly move, a new one finds a place, old rows are not touched."""
    made.add_stars(settings, 15, 4)
    recluster(settings, made.PROJECT)
    draw(settings, made.PROJECT)
    before = positions(settings)
    made.add_stars(settings, 16, 1, first=4)
    made.add_stars(settings, 16, 1, first=5)
    recluster(settings, made.PROJECT)

    report = draw(settings, made.PROJECT)

    after = positions(settings)
    kept = sorted(set(before) & set(after))
    width = np.ptp([before[each][0] for each in kept])
    moved = [np.hypot(after[each][0] - before[each][0], after[each][1] - before[each][1]) for each in kept]
    assert (16, 15) == (report.n_clusters, report.n_kept)
    assert np.median(moved) < 0.05 * width
    assert [(2,)] == made.query(settings, "SELECT count(DISTINCT run_id) FROM map_positions")


def test_items_that_stand_alone_lie_beside_their_nearest_cluster(settings):
    """Each with the similarity that says how near it is."""
    made.add_stars(settings, 4, 4)
    lonely = made.row("alone", "nobody else says this")
    vector = np.zeros((1, 384))
    vector[0, 2], vector[0, 300] = 0.3, 1.0
    made.add_items(settings, [lonely])
    made.add_vectors(settings, [str(lonely["content_hash"])], vector)
    recluster(settings, made.PROJECT)

    report = draw(settings, made.PROJECT)

    frame, n_noise = read(settings.duckdb_path, lambda con: maps.list_map_noise(con, made.PROJECT))
    [row] = frame.iter_rows(named=True)
    x, y, radius = positions(settings)[row["cluster_id"]]
    assert (1, 1) == (report.n_noise, n_noise)
    assert made.clusters_of_items(settings)["2-0"] == row["cluster_id"]
    assert 0.2 < row["similarity"] < 0.35
    assert radius < np.hypot(row["x"] - x, row["y"] - y) < 2 * radius


def test_a_run_without_a_map_is_shown_on_the_newest_one(settings):
    """As after a person's edit: the clusters that the map knows stay where they are."""
    made.add_stars(settings, 4, 3)
    recluster(settings, made.PROJECT)
    draw(settings, made.PROJECT)
    before = positions(settings)
    made.add_stars(settings, 4, 1, first=3)
    recluster(settings, made.PROJECT)

    assert before == positions(settings)


def test_a_run_of_another_embedder_is_left_alone(settings):
    """Its vectors are not at hand; nothing is drawn from those of another model."""
    made.add_stars(settings, 4, 3)
    recluster(settings, made.PROJECT)
    write(settings.duckdb_path, lambda con: con.execute("UPDATE runs SET model_id = 'gone'"))

    assert 0 == draw(settings, made.PROJECT).n_clusters
    assert {} == positions(settings)


@pytest.mark.parametrize("without", ["items", "vectors"])
def test_nothing_to_draw_from_is_no_map(settings, without):
    """An empty run, and one whose index is gone."""
    if without == "vectors":
        made.add_stars(settings, 3, 3)
        recluster(settings, made.PROJECT)
        import shutil

        shutil.rmtree(settings.lancedb_path)
    else:
        recluster(settings, made.PROJECT)

    assert 0 == draw(settings, made.PROJECT).n_clusters
