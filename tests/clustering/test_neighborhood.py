"""The search among many finds nearly all neighbours, the same every time, whatever the vectors look like."""

from __future__ import annotations

import numpy as np
import pytest

from soulcaster.clustering.cells import find_cell, lay_cells, search_cells
from soulcaster.clustering.neighborhood import N_NEIGHBORS, N_WHITENED, find_neighborhood


def topics(n: int, *, d: int = 96, seed: int = 0) -> np.ndarray:
    """Unit vectors around problems that lie around themes, as texts do."""
    rng = np.random.default_rng(seed)
    themes = rng.normal(size=(n // 200 + 1, d))
    problems = themes[rng.integers(0, len(themes), n // 5 + 1)] + 0.7 * rng.normal(size=(n // 5 + 1, d))
    made = problems[rng.integers(0, len(problems), n)] + 0.5 * rng.normal(size=(n, d))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def recall(found: np.ndarray, true: np.ndarray) -> float:
    """Share of the true neighbours that were found."""
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, true, strict=True)]))


def test_searching_everything_is_the_exact_search():
    """With all rows searched, only what the leading axes cannot tell apart may differ."""
    matrix = topics(1500)

    exact = find_neighborhood(matrix)
    found = find_neighborhood(matrix, exact_up_to=0)

    assert recall(found.near, exact.near) > 0.98
    assert recall(found.near_whitened, exact.near_whitened) > 0.98
    same = found.near[:, 0] == exact.near[:, 0]
    assert found.similarities[same, 0] == pytest.approx(exact.similarities[same, 0], abs=2e-6)


def test_a_third_of_the_rows_searched_finds_nearly_all():
    """Cells lead to where the neighbours are: far more is found than is searched."""
    matrix = topics(4000)

    cells = lay_cells(matrix, searched_rows=1300)
    found, _ = search_cells(matrix, 30, cells, find_cell(matrix, cells))

    assert recall(found, find_neighborhood(matrix).near) > 0.9


def test_the_search_is_the_same_twice_and_names_nobody_twice():
    """No chance, no race, and a row is never its own neighbour."""
    matrix = topics(3000, seed=1)

    once, again = (find_neighborhood(matrix, exact_up_to=0) for _ in range(2))

    for first, second in zip(once, again, strict=True):
        assert np.array_equal(first, second)
    assert (3000, N_NEIGHBORS) == once.near.shape
    assert (3000, N_WHITENED) == once.near_whitened.shape
    assert all(len(set(row)) == N_NEIGHBORS and number not in row for number, row in enumerate(once.near.tolist()))
    assert (np.diff(once.similarities, axis=1) <= 0).all()


@pytest.mark.parametrize("kind", ["all equal", "two points", "mostly equal", "zeros"])
def test_vectors_that_no_centers_can_part_are_cut_all_the_same(kind):
    """A thousand copies of one text must not make one cell, nor an endless loop."""
    matrix = topics(2000)
    if kind == "all equal":
        matrix[:] = matrix[0]
    elif kind == "two points":
        matrix[::2], matrix[1::2] = matrix[0].copy(), matrix[1].copy()
    elif kind == "mostly equal":
        matrix[100:] = matrix[0]
    else:
        matrix[:] = 0.0

    cells = lay_cells(matrix, searched_rows=500)
    near, _ = search_cells(matrix, 20, cells, find_cell(matrix, cells))

    assert all(line[0] == number for number, line in enumerate(cells.reach))
    assert (2000, 20) == near.shape
    assert near.min() >= 0
