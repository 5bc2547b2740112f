"""The vector index on real LanceDB folders: keys, order, damage, and several processes at once."""

import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest

from soulcaster import vector_index
from soulcaster.errors import PermanentError

DIM = 64


def make_vectors(n: int, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """`n` hashes in no order and as many random unit vectors."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(n, DIM)).astype(np.float32)
    return [f"{index:064x}" for index in rng.permutation(n)], matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def test_vectors_come_back_in_the_order_asked_with_what_is_missing(tmp_path: Path) -> None:
    """Asked order, repeated hashes and unknown hashes."""
    hashes, matrix = make_vectors(300)
    table = vector_index.open_index(tmp_path / "index", "model@1", DIM)
    vector_index.upsert(table, hashes, matrix)
    found, missing = vector_index.load_matrix(table, hashes)
    np.testing.assert_array_equal(found, matrix)
    assert missing == []
    found, missing = vector_index.load_matrix(table, [hashes[7], "nobody", hashes[2], hashes[7], "none", "nobody"])
    np.testing.assert_array_equal(found, matrix[[7, 2, 7]])
    assert missing == ["nobody", "none"]
    assert found.dtype == np.float32


def test_an_empty_index_answers_with_empty_things(tmp_path: Path) -> None:
    """Nothing embedded yet is no error."""
    table = vector_index.open_index(tmp_path / "index", "model@1", DIM)
    vector_index.upsert(table, [], np.empty((0, DIM), dtype=np.float32))
    found, missing = vector_index.load_matrix(table, ["a"])
    assert (found.shape, missing) == ((0, DIM), ["a"])
    assert vector_index.known_hashes(table) == set()
    assert vector_index.nearest(table, np.ones(DIM, dtype=np.float32), 3) == []


def test_writing_a_hash_again_replaces_its_vector(tmp_path: Path) -> None:
    """One row a hash, within a call and from call to call."""
    hashes, matrix = make_vectors(10)
    table = vector_index.open_index(tmp_path / "index", "model@1", DIM)
    vector_index.upsert(table, hashes + hashes, np.vstack([matrix, -matrix]))
    np.testing.assert_array_equal(vector_index.load_matrix(table, hashes)[0], matrix)
    vector_index.upsert(table, hashes[:4], -matrix[:4])
    assert table.count_rows() == 10
    np.testing.assert_array_equal(vector_index.load_matrix(table, hashes)[0], np.vstack([-matrix[:4], matrix[4:]]))


def test_models_live_side_by_side(tmp_path: Path) -> None:
    """A model sees its own vectors only, and looking for one that never ran makes nothing."""
    hashes, matrix = make_vectors(5)
    vector_index.upsert(vector_index.open_index(tmp_path / "index", "a@1", DIM), hashes, matrix)
    assert vector_index.find_index(tmp_path / "index", "b@1", DIM) is None
    assert vector_index.find_index(tmp_path / "absent", "a@1", DIM) is None
    assert not (tmp_path / "absent").exists()
    assert vector_index.known_hashes(vector_index.open_index(tmp_path / "index", "b@1", DIM)) == set()
    assert vector_index.known_hashes(vector_index.open_index(tmp_path / "index", "a@1", DIM)) == set(hashes)


def test_a_handle_reads_what_others_wrote_after_it_was_opened(tmp_path: Path) -> None:
    """A long-lived handle is never behind."""
    hashes, matrix = make_vectors(5)
    early = vector_index.open_index(tmp_path / "index", "a@1", DIM)
    vector_index.upsert(vector_index.open_index(tmp_path / "index", "a@1", DIM), hashes, matrix)
    assert vector_index.known_hashes(early) == set(hashes)
    assert vector_index.load_matrix(early, hashes)[1] == []


def test_nearest_gives_cosine_similarity_closest_first(tmp_path: Path) -> None:
    """The vector itself comes first with similarity one; the rest agrees with numpy."""
    hashes, matrix = make_vectors(500)
    table = vector_index.open_index(tmp_path / "index", "a@1", DIM)
    vector_index.upsert(table, hashes, matrix)
    found = vector_index.nearest(table, matrix[3], 5)
    similarity = matrix @ matrix[3]
    best = np.argsort(-similarity)[:5]
    assert [name for name, _ in found] == [hashes[index] for index in best]
    np.testing.assert_allclose([value for _, value in found], similarity[best], atol=1e-5)


def test_the_approximate_index_is_built_for_large_tables_only_and_finds_the_same(tmp_path: Path) -> None:
    """Small tables stay exact; a built index still finds a vector by itself, and new rows after it."""
    hashes, matrix = make_vectors(2000)
    table = vector_index.open_index(tmp_path / "index", "a@1", DIM)
    vector_index.upsert(table, hashes[:1900], matrix[:1900])
    assert vector_index.build_index(table) is False
    assert vector_index.build_index(table, min_rows=1000) is True
    vector_index.upsert(table, hashes[1900:], matrix[1900:])
    vector_index.optimize(table)
    for index in (0, 500, 1950):
        assert vector_index.nearest(table, matrix[index], 3)[0][0] == hashes[index]
    assert table.count_rows() == 2000


def test_a_rebuild_replaces_all_rows_at_once(tmp_path: Path) -> None:
    """Readers see the old rows until the new ones are complete; afterwards only those; keys are still unique."""
    hashes, matrix = make_vectors(200)
    table = vector_index.open_index(tmp_path / "index", "a@1", DIM)
    vector_index.upsert(table, hashes[:150], matrix[:150])
    rebuilt = vector_index.start_rebuild(tmp_path / "index", "a@1", DIM)
    vector_index.upsert(rebuilt, hashes[100:], matrix[100:])
    assert vector_index.known_hashes(table) == set(hashes[:150])
    vector_index.finish_rebuild(tmp_path / "index", "a@1", DIM, rebuilt)
    assert vector_index.known_hashes(table) == set(hashes[100:])
    assert [entry.name for entry in (tmp_path / "index").iterdir()] == ["a_1_64.lance"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: write_overlapping(tmp_path / "index", "a@1"), range(4)))
    assert vector_index.known_hashes(table) == set(make_vectors(600)[0]) | set(hashes)
    assert len(vector_index.known_hashes(table)) == table.count_rows()


def test_a_rebuild_that_was_killed_does_not_hinder_the_next(tmp_path: Path) -> None:
    """What a dead process left behind is swept away."""
    hashes, matrix = make_vectors(20)
    vector_index.upsert(vector_index.start_rebuild(tmp_path / "index", "a@1", DIM), hashes, matrix)
    rebuilt = vector_index.start_rebuild(tmp_path / "index", "a@1", DIM)
    vector_index.upsert(rebuilt, hashes[:3], matrix[:3])
    table = vector_index.finish_rebuild(tmp_path / "index", "a@1", DIM, rebuilt)
    assert vector_index.known_hashes(table) == set(hashes[:3])


@pytest.mark.parametrize("folder", ["data", "_versions"])
def test_a_damaged_index_says_how_to_rebuild_it_and_can_be(tmp_path: Path, folder: str) -> None:
    """Truncated files give one sentence that names `soulcaster reindex`; a rebuild mends them."""
    hashes, matrix = make_vectors(50)
    vector_index.upsert(vector_index.open_index(tmp_path, "a@1", DIM), hashes, matrix)
    for file in (tmp_path / "a_1_64.lance" / folder).iterdir():
        os.truncate(file, 3)
    with pytest.raises(PermanentError, match="soulcaster reindex"):
        vector_index.load_matrix(vector_index.open_index(tmp_path, "a@1", DIM), hashes)
    rebuilt = vector_index.start_rebuild(tmp_path, "a@1", DIM)
    vector_index.upsert(rebuilt, hashes, matrix)
    vector_index.finish_rebuild(tmp_path, "a@1", DIM, rebuilt)
    found, missing = vector_index.load_matrix(vector_index.open_index(tmp_path, "a@1", DIM), hashes)
    assert missing == []
    np.testing.assert_array_equal(found, matrix)


def test_a_table_of_another_shape_is_refused(tmp_path: Path) -> None:
    """A folder with foreign columns is not written to."""
    import lancedb

    lancedb.connect(tmp_path).create_table("a_1_64", data=[{"name": "x"}])
    with pytest.raises(PermanentError, match="soulcaster reindex"):
        vector_index.open_index(tmp_path, "a@1", DIM)


@pytest.mark.slow
def test_four_processes_writing_the_same_new_keys_leave_one_row_each(tmp_path: Path) -> None:
    """All four make the table and write overlapping batches at the same moment; nothing is doubled or lost."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(4)
    processes = [context.Process(target=_write_at_once, args=(tmp_path / "index", "a@1", barrier)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    table = vector_index.open_index(tmp_path / "index", "a@1", DIM)
    hashes, matrix = make_vectors(600)
    assert table.count_rows() == 600
    found, missing = vector_index.load_matrix(table, hashes)
    assert missing == []
    np.testing.assert_array_equal(found, matrix)


def _write_at_once(path: Path, model_id: str, barrier: Barrier) -> None:
    barrier.wait()
    write_overlapping(path, model_id)


def write_overlapping(path: Path, model_id: str) -> None:
    """Write 600 vectors in batches of 150 that overlap by 100."""
    hashes, matrix = make_vectors(600)
    table = vector_index.open_index(path, model_id, DIM)
    for start in range(0, 500, 50):
        vector_index.upsert(table, hashes[start : start + 150], matrix[start : start + 150])
