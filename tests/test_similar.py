"""Clusters near a cluster by the vectors of its typical texts, over a real store and a real index."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from soulcaster import vector_index
from soulcaster.db import migrate, write
from soulcaster.errors import PermanentError
from soulcaster.settings import Settings
from soulcaster.similar import find_alike, find_similar

PROJECT = "default"
ITEMS = "abcdef"
CLUSTERS = {"a": 1, "b": 1, "c": 2, "d": 2, "e": 3, "f": None}
ANGLES = {"a": 0.0, "b": 0.1, "c": 0.3, "d": 0.4, "e": 2.5, "f": 0.0}


class Spelled:
    """An embedder whose vectors are given; finding clusters alike must not ask it for any."""

    model_id = "spelled"
    dim = 2

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Refuse."""
        raise AssertionError(texts)


def _id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


@pytest.fixture
def settings(tmp_path) -> Settings:
    """Six items in three clusters, one of them alone; two clusters point nearly the same way."""
    made = Settings(_env_file=None, home=tmp_path)
    migrate(made.duckdb_path)
    vectors = np.array([[np.cos(ANGLES[name]), np.sin(ANGLES[name])] for name in ITEMS], dtype=np.float32)
    table = vector_index.open_index(made.lancedb_path, Spelled.model_id, Spelled.dim)
    vector_index.upsert(table, list(ITEMS), vectors)

    def insert(con) -> None:
        for number, name in enumerate(ITEMS, start=10):
            con.execute(
                "INSERT INTO items BY NAME SELECT $item::UUID AS item_id, $project AS project_id, 'manual' AS source, "
                "$name AS external_id, '' AS title, $name AS body, now() AS created_at, 'anonymous' AS trust, "
                "'open' AS state, $name AS content_hash, $name AS row_hash, 'en' AS language, 1 AS event_count, "
                "now() AS first_seen_at, now() AS changed_at, [] AS frames, [] AS labels, [] AS notes",
                {"item": _id(number), "project": PROJECT, "name": name},
            )
            cluster = CLUSTERS[name]
            con.execute(
                "INSERT INTO memberships BY NAME SELECT $run::UUID AS run_id, $project AS project_id, "
                "$item::UUID AS item_id, $label AS label, $cluster::UUID AS cluster_id, 1.0 AS membership_strength, "
                "$cluster IS NOT NULL AS is_exemplar",
                {
                    "run": _id(1), "project": PROJECT, "item": _id(number), "label": cluster or -1,
                    "cluster": cluster and _id(cluster + 100),
                },
            )  # fmt: skip
        con.execute("INSERT INTO runs VALUES (?, ?, now(), 'spelled', '{}', 6, 3, 0, 1, 0.1)", [_id(1), PROJECT])
        con.execute("INSERT INTO publications VALUES (?, ?, now(), 'test')", [PROJECT, _id(1)])
        for number in (1, 2, 3):
            con.execute(
                "INSERT INTO clusters (cluster_id, project_id, status, title, terms, created_at, changed_at) "
                "VALUES (?, ?, 'new', ?, [], now(), now())",
                [_id(number + 100), PROJECT, f"cluster {number}"],
            )

    write(made.duckdb_path, insert)
    return made


def test_the_cluster_that_says_the_same_is_found_and_not_itself(settings):
    """The nearest other cluster with its likeness and size; one that is far is left out, noise is no cluster."""
    found = find_alike(settings, PROJECT, _id(101), embedder=Spelled())

    assert [("cluster 2", 2)] == [(each.title, each.n_items) for each in found]
    assert np.cos(0.3 - 0.05) == pytest.approx(found[0].similarity, abs=1e-5)


def test_nothing_is_alike_of_a_cluster_that_is_not_on_show(settings):
    """An unknown cluster and text that is no id: an empty answer, no error."""
    assert [] == find_alike(settings, PROJECT, _id(999), embedder=Spelled())
    assert [] == find_alike(settings, PROJECT, "'; DROP TABLE items", embedder=Spelled())


def test_without_the_vectors_of_what_is_on_show_the_answer_says_how_to_get_them(settings):
    """Another model than the grouping's, texts without vectors, no index: never an empty answer that reads as none."""
    other = Spelled()
    other.model_id = "another"
    with pytest.raises(PermanentError, match=r"'another'.*'spelled': run `soulcaster recluster`"):
        find_alike(settings, PROJECT, _id(101), embedder=other)

    vector_index.forget(settings.lancedb_path, list(ITEMS))
    with pytest.raises(PermanentError, match="soulcaster embed"):
        find_alike(settings, PROJECT, _id(101), embedder=Spelled())

    shutil.rmtree(settings.lancedb_path)
    for find in (find_alike, find_similar):
        with pytest.raises(PermanentError, match="soulcaster reindex"):
            find(settings, PROJECT, _id(101), embedder=Spelled())


def test_nothing_is_near_while_nothing_was_grouped(tmp_path):
    """A new project has no index, and that is no fault."""
    empty = Settings(_env_file=None, home=tmp_path / "empty")
    migrate(empty.duckdb_path)

    assert [] == find_similar(empty, PROJECT, "anything", embedder=Spelled())


def test_the_vectors_of_a_few_texts_are_those_that_were_written(settings):
    """By hash, without those that have none; hashes that are no hashes are refused."""
    table = vector_index.open_index(settings.lancedb_path, Spelled.model_id, Spelled.dim)

    found = vector_index.find_vectors(table, ["d", "a", "zz"])

    assert np.allclose([[1.0, 0.0], [np.cos(0.4), np.sin(0.4)]], found)
    assert (0, 2) == vector_index.find_vectors(table, []).shape
    with pytest.raises(Exception, match="expected a hash"):
        vector_index.find_vectors(table, ["a' OR '1'='1"])
