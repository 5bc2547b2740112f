"""People's constraints over found labels: they hold, the newest wins, nothing else moves."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from soulcaster.clustering.constraints import Constraint, Contradiction, enforce, resolve


def _rows(*numbers):
    return np.array(numbers, dtype=np.int64)


def together(edit, *rows):
    """These rows are one problem."""
    return Constraint(edit, "together", _rows(*rows), _rows())


def apart(edit, left, right):
    """None of these with one of those."""
    return Constraint(edit, "apart", _rows(*left), _rows(*right))


def joins(edit, row, others):
    """A row goes where most of those are."""
    return Constraint(edit, "joins", _rows(row), _rows(*others))


def obey(labels, constraints, previous=None, matrix=None):
    """Labels after constraints, and the contradictions."""
    labels = np.array(labels, dtype=np.int64)
    n = len(labels)
    held, contradictions = resolve(constraints)
    matrix = np.eye(n, dtype=np.float32) if matrix is None else matrix
    before = labels if previous is None else np.array(previous, dtype=np.int64)
    return enforce(labels, before, held, matrix, np.arange(n)).tolist(), contradictions


def test_without_constraints_labels_stay():
    """No edit, no change."""
    assert ([0, 0, -1, 1, 1], []) == obey([0, 0, -1, 1, 1], [])


def test_a_merge_of_three_brings_new_rows_of_each_along():
    """Density still finds three labels with a new row each; all that continues the merged cluster follows."""
    labels = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3]
    previous = [0, 0, -1, 0, 0, -1, 0, 0, -1, 1, 1]

    found, contradictions = obey(labels, [together(0, 0, 1, 3, 4, 6, 7)], previous)

    assert [0] * 9 + [1, 1] == found
    assert [] == contradictions


def test_a_merge_does_not_swallow_the_cluster_one_of_its_rows_drifted_to():
    """Only the drifted row comes back."""
    found, _ = obey([0, 0, 1, 1, 1, 1], [together(0, 0, 1, 2)], [0, 0, 0, 1, 1, 1])

    assert [0, 0, 0, 1, 1, 1] == found


def test_a_split_holds_and_other_rows_go_to_the_nearer_part():
    """Density has glued both parts and two new rows together again."""
    matrix = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1], [1, 0.2], [0.2, 1]], dtype=np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)

    found, _ = obey([0] * 6, [together(0, 0, 1), apart(0, [0, 1], [2, 3])], [0, 0, 1, 1, -1, -1], matrix)

    assert found[0] == found[1] == found[4]
    assert found[2] == found[3] == found[5]
    assert found[0] != found[2]


def test_an_excluded_row_becomes_noise_and_the_rest_stays():
    """A part of one row is no cluster."""
    assert [0, 0, 0, -1] == obey([0, 0, 0, 0], [apart(0, [3], [0, 1, 2])])[0]


def test_a_moved_row_goes_where_its_new_company_is_even_when_density_glues_both():
    """The row keeps away from the old cluster and takes its new company along."""
    edits = [joins(0, 2, [3, 4, 5]), apart(0, [2], [0, 1])]

    assert [0, 0, 1, 1, 1, 1] == obey([0, 0, 0, 1, 1, 1], edits, [0, 0, 1, 1, 1, 1])[0]
    glued = obey([0, 0, 0, 0, 0, 0], edits, [0, 0, 1, 1, 1, 1])[0]
    assert glued[2] == glued[3] == glued[4] == glued[5]
    assert glued[0] == glued[1] != glued[2]


def test_a_cycle_of_constraints_is_reported_and_the_newest_wins():
    """A with b, b with c, a not with c: the oldest gives way, with the numbers of both edits."""
    edits = [together(0, 0, 1), together(1, 1, 2), apart(2, [0], [2])]

    found, contradictions = obey([0, 0, 0], edits)

    assert [Contradiction(0, 2)] == contradictions
    assert found[1] == found[2] != found[0]
    found, contradictions = obey([0, 1, 2], [apart(0, [0], [2]), together(1, 0, 1), together(2, 1, 2)])
    assert [0, 0, 0] == found
    assert [Contradiction(0, 1), Contradiction(0, 2)] == contradictions


def test_a_second_move_of_the_same_row_overrules_the_first():
    """Moved to b, then to c: it is in c, and the first move is said to give way."""
    edits = [joins(0, 0, [3, 4]), apart(0, [0], [1, 2]), joins(1, 0, [5, 6]), apart(1, [0], [3, 4])]

    found, contradictions = obey([0, 0, 0, 1, 1, 2, 2], edits)

    assert [0, 1, 1, 2, 2, 0, 0] == found
    assert [Contradiction(0, 1)] == contradictions


def _violations(labels, held):
    broken = []
    for each in held:
        left, right = labels[each.left], labels[each.right]
        if each.relation == "together":
            broken += [each] if len(set(left.tolist())) > 1 or left[0] < 0 else []
        if each.relation == "apart" and set(left[left >= 0].tolist()) & set(right[right >= 0].tolist()):
            broken.append(each)
    return broken


@st.composite
def _cases(draw):
    n = draw(st.integers(2, 14))
    labels = draw(st.lists(st.integers(-1, 4), min_size=n, max_size=n))
    previous = draw(st.lists(st.integers(-1, 4), min_size=n, max_size=n))
    subset = st.sets(st.integers(0, n - 1), min_size=1, max_size=n)
    edits = []
    for edit in range(draw(st.integers(0, 6))):
        left = draw(subset)
        if draw(st.booleans()):
            edits.append(together(edit, *sorted(left)))
        else:
            edits.append(apart(edit, sorted(left), sorted(draw(subset) - left)))
    return labels, previous, edits


@settings(max_examples=300, deadline=None)
@given(_cases())
def test_what_is_resolved_always_holds_and_the_newest_edit_in_full(case):
    """Whatever the edits: every constraint that was kept holds, and nothing newer than itself cuts the last one."""
    labels, previous, edits = case

    held, contradictions = resolve(edits)
    found = np.array(obey(labels, edits, previous)[0])

    assert [] == _violations(found, held)
    assert all(older < newer for older, newer in contradictions)
    if edits:
        whole = [each for each in edits[-1:] if each.relation == "apart" or len(each.left) > 1]
        assert [] == _violations(found, [each for each in whole if len(each.right) or each.relation == "together"])
    assert obey(labels, edits, previous) == (found.tolist(), contradictions)
