"""Candidate pairs, and the neighbours that both sides share: against the same said in sets."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from soulcaster.clustering.features import measure_pairs, shared_neighbors
from soulcaster.clustering.neighborhood import Neighborhood


def some_neighbors(seed: int, n: int, k: int, missing: float = 0.0) -> np.ndarray:
    """int64 (n, k): k different other texts of each of n, some -1 at the end of a line."""
    rng = np.random.default_rng(seed)
    found = np.array([rng.choice(np.delete(np.arange(n), row), k, replace=False) for row in range(n)])
    n_missing = rng.binomial(k, missing, n)
    found[np.arange(k) >= k - n_missing[:, None]] = -1
    return found


@settings(max_examples=20)
@given(st.integers(0, 2**16), st.integers(2, 70), st.integers(1, 20), st.integers(1, 20))
def test_shared_neighbors_are_those_of_both_sets(seed, n, k, most):
    """Any pairs, any number of neighbours compared, lists that are not full: what both sets hold, of all they could."""
    near = some_neighbors(seed, n, min(k, n - 1), missing=0.2)
    rng = np.random.default_rng(seed)
    left, right = np.sort(rng.integers(0, n, 90)), rng.integers(0, n, 90)
    around = [{row, *(at for at in line[:most] if at >= 0)} for row, line in enumerate(near.tolist())]
    size = min(near.shape[1], most) + 1

    found = shared_neighbors(near, left, right, most)

    assert np.allclose(found, [len(around[a] & around[b]) / size for a, b in zip(left, right, strict=True)])


@settings(max_examples=20)
@given(st.integers(0, 2**16), st.integers(2, 50), st.integers(1, 9), st.integers(1, 5))
def test_candidate_pairs_are_all_that_one_side_names_and_keep_their_cosine(seed, n, k, n_whitened):
    """Each pair once, ordered, with the cosine that was measured for it."""
    near = some_neighbors(seed, n, min(k, n - 1), missing=0.2)
    near_whitened = some_neighbors(seed + 1, n, min(n_whitened, n - 1))
    both = np.hstack([near, near_whitened])
    rows = np.arange(n)[:, None]
    cosine = (np.minimum(rows, both) * n + np.maximum(rows, both)).astype(np.float32)  # tells which pair it is of

    pairs = measure_pairs(Neighborhood(near, cosine[:, : near.shape[1]], near_whitened, cosine, -cosine))

    named = {(min(a, b), max(a, b)) for a, line in enumerate(both.tolist()) for b in line if b >= 0}
    assert sorted(named) == list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))
    assert np.array_equal(pairs.cosine, (pairs.left * n + pairs.right).astype(np.float32))
    assert np.array_equal(pairs.values[:, 0], -pairs.cosine)
