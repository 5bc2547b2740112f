"""Parts of a graph: the cut is found, moves mend what linkage joined too early, order decides nothing."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from soulcaster.clustering.communities import UNCUT, Links, choose_resolution, find_communities, move_nodes


def _planted(n_parts: int, size: int, inside: int, across: int) -> tuple[Links, np.ndarray]:
    """A drawn graph: each node has `inside` links into its part and `across` anywhere."""
    rng = np.random.default_rng(1)
    n = n_parts * size
    part = rng.permutation(n) % n_parts
    members = [np.flatnonzero(part == each) for each in range(n_parts)]
    own = np.stack([rng.choice(members[each], inside) for each in part])
    there = np.hstack([own, rng.integers(0, n, (n, across))]).ravel()
    return Links(n, np.repeat(np.arange(n), inside + across), there, np.ones(len(there))), part


def _coin(links: Links) -> np.ndarray:
    """About half of all pairs, both directions of each."""
    low, high = np.minimum(links.here, links.there), np.maximum(links.here, links.there)
    return np.random.default_rng(5).random(links.n * links.n)[low * links.n + high] < 0.5


@pytest.mark.parametrize(("n_parts", "size"), [(3, 300), (45, 20)])
def test_planted_parts_are_found_whatever_their_size(n_parts, size):
    """No number of parts and no density is given."""
    links, part = _planted(n_parts, size, inside=8, across=4)

    found = find_communities(links, _coin(links))

    assert adjusted_rand_score(part, found) > 0.9


def test_edges_that_tell_of_nothing_are_not_cut():
    """In a graph without parts the held out edges know nothing of what the tree found: it stays whole."""
    links, _ = _planted(1, 600, inside=6, across=0)
    is_held_out = _coin(links)

    assert UNCUT == choose_resolution(links.only(~is_held_out), links.only(is_held_out))


def test_a_node_in_the_wrong_part_moves_to_where_it_is_linked():
    """Two cliques of five, two nodes of each on the other's side: all find home."""
    cliques = [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]
    pairs = [(a, b) for clique in cliques for a in clique for b in clique if a < b]
    here, there = np.array(pairs).T
    links = Links(10, here, there, np.ones(len(here)))

    moved = move_nodes(links, np.array([1, 0, 0, 1, 0, 1, 0, 1, 0, 1]), 1.0)

    assert 1.0 == adjusted_rand_score(np.arange(10) % 2, moved)


def test_the_order_of_nodes_and_edges_decides_nothing():
    """The same graph, its nodes renumbered, its edges shuffled and turned around: the same communities."""
    links, _ = _planted(12, 40, inside=5, across=4)
    rng = np.random.default_rng(3)
    order, number = rng.permutation(len(links.here)), rng.permutation(links.n)
    shuffled = Links(links.n, number[links.there[order]], number[links.here[order]], links.weight[order])

    first, second = find_communities(links, _coin(links)), find_communities(shuffled, _coin(links)[order])

    assert 1.0 == adjusted_rand_score(first, second[number])


def test_a_graph_without_nodes_or_edges_has_no_parts():
    """Nothing, and nodes that nothing links."""
    nothing, held = np.empty(0, dtype=np.int64), np.empty(0, dtype=bool)

    assert 0 == len(find_communities(Links(0, nothing, nothing, np.empty(0)), held))
    assert 3 == len(set(find_communities(Links(3, nothing, nothing, np.empty(0)), held).tolist()))
