"""Neighbours that are mended are those that searching anew finds; whatever cannot be believed is searched anew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soulcaster.clustering.candidates import N_CANDIDATES, find_candidates, fit_frame, mend_candidates
from soulcaster.clustering.neighborhood import describe, find_neighborhood
from soulcaster.clustering.remembered import recall_neighborhood


def topics(n: int, *, d: int = 48, seed: int = 0) -> np.ndarray:
    """Unit vectors around problems that lie around themes."""
    rng = np.random.default_rng(seed)
    themes = rng.normal(size=(n // 200 + 1, d))
    problems = themes[rng.integers(0, len(themes), n // 5 + 1)] + 0.7 * rng.normal(size=(n // 5 + 1, d))
    made = problems[rng.integers(0, len(problems), n)] + 0.5 * rng.normal(size=(n, d))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def names(n: int) -> list[str]:
    """Ascending hashes."""
    return [f"{number:064x}" for number in range(n)]


def recalled(path, rows, matrix, **rest):
    """The neighbourhood of some rows, every one of them searched in cells."""
    chosen = [names(len(matrix))[row] for row in rows]
    return recall_neighborhood(path, "model", chosen, matrix[rows], exact_up_to=0, **rest)


def same(one, other) -> bool:
    """Whether two neighbourhoods are equal to the last bit."""
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@settings(max_examples=8)
@given(st.integers(0, 2**16), st.integers(0, 60), st.integers(0, 12))
def test_mending_gives_what_searching_gives(seed, n_new, n_gone):
    """Whichever texts come and go, in the same frame both ways find the same neighbours."""
    matrix = topics(1200)
    order = np.random.default_rng(seed).permutation(len(matrix))
    old, now = np.sort(order[: 1200 - n_new]), np.sort(order[n_gone:])
    place = np.searchsorted(now, old)
    place[place == len(now)] = 0
    place[now[place] != old] = -1
    frame = fit_frame(matrix[old], searched_rows=400)

    mended = mend_candidates(matrix[now], frame, find_candidates(matrix[old], frame), place)

    assert (len(now), N_CANDIDATES) == mended.rows.shape
    assert same(describe(mended), describe(find_candidates(matrix[now], frame)))


def test_what_is_remembered_is_mended_over_several_groupings(tmp_path):
    """Three rounds of coming and going end where one search in the first frame ends."""
    matrix = topics(2000, seed=3)
    order = np.random.default_rng(1).permutation(2000)
    path = tmp_path / "memory" / "neighbors.npy"
    recalled(path, np.sort(order[:1900]), matrix)
    frame = fit_frame(matrix[np.sort(order[:1900])])

    for round_ in range(1, 4):
        rows = np.sort(order[2 * round_ : 1900 + 25 * round_])
        found = recalled(path, rows, matrix)

        assert same(found, describe(find_candidates(matrix[rows], frame)))


def test_a_dry_run_remembers_nothing(tmp_path):
    """`keep=False` leaves no file behind."""
    recalled(tmp_path / "neighbors.npy", np.arange(600), topics(600), keep=False)

    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("flaw", ["missing", "cut", "other text", "other model", "grown"])
def test_what_cannot_be_believed_is_searched_anew(tmp_path, flaw):
    """No file, half a file, somebody else's file, vectors of another model, or a corpus that grew a lot."""
    matrix, path = topics(1500), tmp_path / "neighbors.npy"
    rows = np.arange(1100 if flaw == "grown" else 1450)
    recalled(path, rows, matrix)
    if flaw == "missing":
        path.unlink()
    elif flaw == "cut":
        path.write_bytes(path.read_bytes()[:-1000])
    elif flaw == "other text":
        path.write_text("neighbours")
    elif flaw == "other model":
        recall_neighborhood(path, "another", names(1450), matrix[:1450], exact_up_to=0)

    assert same(recalled(path, np.arange(1500), matrix), find_neighborhood(matrix, exact_up_to=0))


def test_a_vector_that_changed_under_its_name_is_searched_anew(tmp_path):
    """The memory is of vectors, not of names: a re-embedded text finds its new neighbours."""
    matrix, path = topics(1000), tmp_path / "neighbors.npy"
    recalled(path, np.arange(1000), matrix)
    frame = fit_frame(matrix)
    matrix[7] = matrix[900]

    found = recalled(path, np.arange(1000), matrix)

    assert 900 == found.near[7, 0]
    assert same(found, describe(find_candidates(matrix, frame)))
