"""Where pairs stand among those of their texts is what counting them one by one says."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from soulcaster.clustering.standing import LOCAL, find_standings


@settings(max_examples=40)
@given(st.integers(0, 2**16), st.integers(2, 60), st.integers(0, 400))
def test_ranks_levels_and_best_values_are_those_counted_one_by_one(seed, n, m):
    """Texts with many pairs, few or none; equal, negative and zero similarities."""
    rng = np.random.default_rng(seed)
    keys = np.unique(rng.integers(0, n - 1, m) * n + np.minimum(n - 1, rng.zipf(1.3, m)))
    left, right = keys // n, keys % n
    left, right = left[left < right], right[left < right]
    drawn = [np.round(rng.normal(size=len(left)), 1).astype(np.float32) for _ in range(2)]

    for similarity, found in zip(drawn, find_standings(n, left, right, drawn), strict=True):
        for text in range(n):
            of_text = np.sort(similarity[(left == text) | (right == text)])[::-1]
            best = np.float32(of_text[:LOCAL].astype(np.float64).sum() / max(1, min(LOCAL, len(of_text))))
            assert best == found.level[text]
            assert [*of_text[:2], 0, 0][:2] == found.top[:, text].tolist()
            for side, rank in ((left, found.rank_left), (right, found.rank_right)):
                expected = [(of_text > value).sum() for value in similarity[side == text]]
                assert expected == rank[side == text].tolist()
