"""People's edits hold: labels and constraints in, labels that obey and the constraints that cannot all hold out.

Density stays as it is found; constraints are laid over it afterwards, so an edit changes nothing it does not name. The
newest edit wins over an older one it contradicts. Knows rows and numbers only; equal input, equal labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from soulcaster.clustering.exact import number_by_first_row

Relation = Literal["together", "apart", "joins"]
Rows = npt.NDArray[np.int64]
_FEWEST_ITEMS = 2
_Marks = set[tuple[int, int]]  # (accepted apart, side) of everything that hangs together


class Constraint(NamedTuple):
    """What one edit demands. together: all of `left`. apart: none of `left` with one of `right`. joins: `left` goes to
    the label that holds most of `right`.
    """

    edit: int
    """Position of the edit among all, oldest first."""
    relation: Relation
    left: Rows
    right: Rows


class Contradiction(NamedTuple):
    """The edit `older` cannot hold, at least in part, because of the edit `newer`."""

    older: int
    newer: int


def from_frame(demands: pl.DataFrame) -> list[Constraint]:
    """Constraints out of rows with edit, relation, side and row; in the order in which edit and relation come."""
    return [
        Constraint(edit, relation, *(part.filter(pl.col("side") == side)["row"].sort().to_numpy() for side in (0, 1)))
        for (edit, relation), part in demands.with_columns(pl.col("row").cast(pl.Int64)).group_by(
            "edit", "relation", maintain_order=True
        )
    ]


def resolve(constraints: Sequence[Constraint]) -> tuple[list[Constraint], list[Contradiction]]:
    """The constraints that can hold at once, oldest first, and who contradicts whom.

    Newest first, each is taken as far as what was taken before it allows: a group that may not stay together falls into
    the parts that may, and rows that must be together leave an older demand to be apart.
    """
    taken = _Taken()
    order = {"apart": 0, "together": 1, "joins": 2}
    for each in sorted(constraints, key=lambda c: (-c.edit, order[c.relation])):
        {"apart": taken.add_apart, "together": taken.add_together, "joins": taken.add_joins}[each.relation](each)
    kept = sorted(taken.kept, key=lambda c: (c.edit, order[c.relation]))
    return kept, sorted(taken.contradictions)


def enforce(
    labels: Rows,
    previous: Rows,
    constraints: Sequence[Constraint],
    matrix: npt.NDArray[np.float32],
    text_of_row: Rows,
) -> Rows:
    """Labels int64 (n,), numbered by first row, -1 noise, that obey `constraints`, which must come from `resolve`.

    What an edit does not name stays where density put it, with two exceptions: a label that is the continuation of a
    merged cluster follows it as a whole, and where a label has to be cut its other rows go to the part they were with
    before, else to the nearest one. A part of a single row is noise.

    Args:
        labels: (n,) as density found them.
        previous: (n,) numbers of the clusters on show, -1 for noise and for new rows.
        constraints: over rows 0 to n - 1.
        matrix: float32 (n_texts, d), L2-normalised.
        text_of_row: (n,) row of `matrix`, -1 where there is no vector.
    """
    result = labels.astype(np.int64, copy=True)
    groups = _components([each.left for each in constraints if each.relation == "together"])
    for group in groups:
        _unite(result, previous, group)
    joins = [each for each in constraints if each.relation == "joins"]
    for each in joins:
        if (target := _most_common(result[each.right])) >= 0:
            result[each.left] = target
    aparts = [each for each in constraints if each.relation == "apart"]
    touched = {int(label) for each in aparts for label in np.intersect1d(result[each.left], result[each.right])}
    for label in sorted(touched - {-1}):
        _separate(result, label, previous, groups, joins, aparts, matrix, text_of_row)
    return number_by_first_row(result)


def _unite(labels: Rows, previous: Rows, group: Rows) -> None:
    """Bring `group` under one label; labels that continue its cluster come along."""
    home = _most_common(previous[group])
    target = _most_common(labels[group])
    if target < 0:
        target = int(labels.max(initial=-1)) + 1
    for label in np.unique(labels[group]):
        if label in (-1, target):
            continue
        rows = np.flatnonzero(labels == label)
        known = previous[rows][previous[rows] >= 0]
        if home >= 0 and 2 * int((known == home).sum()) >= len(known):
            labels[rows] = target
    labels[group] = target


def _separate(
    labels: Rows,
    label: int,
    previous: Rows,
    groups: Sequence[Rows],
    joins: Sequence[Constraint],
    aparts: Sequence[Constraint],
    matrix: npt.NDArray[np.float32],
    text_of_row: Rows,
) -> None:
    """Cut `label` into as few parts as `aparts` allow; the largest keeps the label."""
    rows = np.flatnonzero(labels == label)
    inside = set(rows.tolist())
    marks: dict[int, _Marks] = {}
    for number, each in enumerate(aparts):
        for side, named in enumerate((each.left, each.right)):
            for row in named.tolist():
                if row in inside:
                    marks.setdefault(row, set()).add((number, side))
    bound = [np.concatenate([each.left, each.right]) for each in joins]
    nodes = _nodes(inside, marks, [*groups, *bound])
    parts: list[tuple[_Marks, list[int]]] = []
    for node in nodes:
        demands: _Marks = set().union(*(marks.get(row, set()) for row in node))
        for others, members in parts:
            if _clash(demands, others) is None:
                others.update(demands)
                members.extend(node)
                break
        else:
            parts.append((demands, list(node)))
    placed = {row for _, members in parts for row in members}
    free = np.array(sorted(inside - placed), dtype=np.int64)
    for row, part in zip(free.tolist(), _nearest_part(free, parts, previous, matrix, text_of_row), strict=True):
        parts[part][1].append(row)
    following = int(labels.max()) + 1
    for number, (_, members) in enumerate(parts):
        name = label if number == 0 else following + number
        labels[members] = name if len(members) >= _FEWEST_ITEMS else -1


def _nodes(inside: set[int], marks: dict[int, _Marks], bonds: Sequence[Rows]) -> list[list[int]]:
    """What must not be torn: rows bound to one another, and rows with equal demands; the largest first.

    A bond that two of its rows' demands forbid is left out as far as they do.
    """
    bonds_inside = [[row for row in bond.tolist() if row in inside] for bond in bonds]
    alike: dict[frozenset[tuple[int, int]], list[int]] = {}
    for row in sorted(marks):
        alike.setdefault(frozenset(marks[row]), []).append(row)
    forest = _Forest(marks)
    for bond in [*bonds_inside, *alike.values()]:
        for row in bond:
            forest.bind(bond[0], row)
    return sorted(forest.trees(), key=lambda rows: (-len(rows), rows[0]))


def _nearest_part(
    free: Rows,
    parts: Sequence[tuple[_Marks, list[int]]],
    previous: Rows,
    matrix: npt.NDArray[np.float32],
    text_of_row: Rows,
) -> list[int]:
    """Part of every row that no edit names: the one it was with before, else the one with the nearest mean."""
    homes = [_most_common(previous[members]) for _, members in parts]
    centers = np.zeros((len(parts), matrix.shape[1]))
    for number, (_, members) in enumerate(parts):
        texts = np.unique(text_of_row[members])
        total = matrix[texts[texts >= 0]].sum(axis=0, dtype=np.float64)
        length = float(np.linalg.norm(total))
        centers[number] = total / length if length else total
    chosen = []
    for row in free.tolist():
        before = int(previous[row])
        if before >= 0 and homes.count(before) == 1:
            chosen.append(homes.index(before))
        elif text_of_row[row] >= 0:
            chosen.append(int(np.argmax(np.round(centers @ matrix[text_of_row[row]], 6))))
        else:
            chosen.append(0)
    return chosen


class _Forest:
    """Rows that hang together, and what all of them together demand."""

    def __init__(self, marks: dict[int, _Marks]) -> None:
        self._given = marks
        self._parent: dict[int, int] = {}
        self._marks: dict[int, _Marks] = {}

    def root(self, row: int) -> int:
        """The row that stands for all that hangs together with `row`."""
        if row not in self._parent:
            self._parent[row] = row
            self._marks[row] = set(self._given.get(row, ()))
        while self._parent[row] != row:
            row = self._parent[row]
        return row

    def marks(self, row: int) -> _Marks:
        """What the whole tree of `row` demands; a live set."""
        return self._marks[self.root(row)]

    def bind(self, first: int, second: int) -> bool:
        """Bind two rows unless their demands forbid it; whether they hang together now."""
        one, other = self.root(first), self.root(second)
        if one == other:
            return True
        if _clash(self._marks[one], self._marks[other]) is not None:
            return False
        self._parent[other] = one
        self._marks[one] |= self._marks.pop(other)
        return True

    def trees(self) -> list[list[int]]:
        """Rows of every tree, ascending, by first row."""
        members: dict[int, list[int]] = {}
        for row in sorted(self._parent):
            members.setdefault(self.root(row), []).append(row)
        return list(members.values())


class _Taken:
    """The constraints taken so far, newest first, and what hangs together because of them."""

    def __init__(self) -> None:
        self.kept: list[Constraint] = []
        self.contradictions: set[Contradiction] = set()
        self._forest = _Forest({})
        self._edit: dict[int, int] = {}  # newest edit that bound a row
        self._edit_of_apart: list[int] = []

    def add_apart(self, each: Constraint) -> None:
        """Take what is left of an `apart` when rows that newer edits hold together are out of it."""
        left_roots, right_roots = (
            {self._forest.root(row) for row in side.tolist()} for side in (each.left, each.right)
        )
        both = left_roots & right_roots
        sides = []
        for side in (each.left, each.right):
            bound = np.array([self._forest.root(row) in both for row in side.tolist()], dtype=bool)
            self._refuse(each.edit, {self._edit[row] for row in side[bound].tolist() if row in self._edit})
            sides.append(side[~bound])
        for join in self.kept:
            if join.relation == "joins":
                sides = self._free_joined(each, join, sides)
        if any(len(side) == 0 for side in sides):
            return
        number = len(self._edit_of_apart)
        self._edit_of_apart.append(each.edit)
        for position, side in enumerate(sides):
            for row in side.tolist():
                self._forest.marks(row).add((number, position))
        self.kept.append(each._replace(left=sides[0], right=sides[1]))

    def add_together(self, each: Constraint) -> None:
        """Take a `together`, in pieces where newer edits cut through it."""
        pieces: list[list[int]] = []
        for row in np.unique(each.left).tolist():
            for members in pieces:
                clash = _clash(self._forest.marks(members[0]), self._forest.marks(row))
                if clash is None:
                    self._forest.bind(members[0], row)
                    members.append(row)
                    break
                self._refuse(each.edit, {self._edit_of_apart[clash]})
            else:
                pieces.append([row])
        for members in pieces:
            if len(members) >= _FEWEST_ITEMS:
                for row in members:
                    self._edit.setdefault(row, each.edit)
                self.kept.append(each._replace(left=np.array(members, dtype=np.int64)))

    def add_joins(self, each: Constraint) -> None:
        """Take a `joins` for the rows that newer edits do not hold elsewhere."""
        for row in each.left.tolist():
            others = each.right.tolist()
            clashes = [_clash(self._forest.marks(row), self._forest.marks(other)) for other in others]
            against = [clash for clash in clashes if clash is not None]
            if 2 * len(against) > len(others):
                self._refuse(each.edit, {self._edit_of_apart[against[0]]})
                continue
            n_with = sum(self._forest.root(other) == self._forest.root(row) for other in others)
            if row in self._edit and 2 * n_with < len(others):
                self._refuse(each.edit, {self._edit[row]})
                continue
            anchors = each.right[[clash is None for clash in clashes]]
            self.kept.append(each._replace(left=np.array([row], dtype=np.int64), right=anchors))

    def _free_joined(self, each: Constraint, join: Constraint, sides: list[Rows]) -> list[Rows]:
        """Sides without the row that a newer edit moved to most of the other side."""
        freed = list(sides)
        for mine, other in ((0, 1), (1, 0)):
            is_joined = np.isin(sides[mine], join.left)
            if is_joined.any() and 2 * int(np.isin(join.right, sides[other]).sum()) > len(join.right):
                self._refuse(each.edit, {join.edit})
                freed[mine] = sides[mine][~is_joined]
        return freed

    def _refuse(self, edit: int, newer: Iterable[int]) -> None:
        self.contradictions |= {Contradiction(edit, other) for other in newer if other != edit}


def _components(groups: Sequence[Rows]) -> list[Rows]:
    """Rows that hang together over groups that share one, each ascending, by first row."""
    forest = _Forest({})
    for group in groups:
        for row in group.tolist():
            forest.bind(int(group[0]), row)
    return [np.array(rows, dtype=np.int64) for rows in forest.trees()]


def _clash(first: _Marks, second: _Marks) -> int | None:
    """The accepted apart that keeps the two apart, None when there is none."""
    if len(second) < len(first):
        first, second = second, first
    return min((number for number, side in first if (number, 1 - side) in second), default=None)


def _most_common(numbers: Rows) -> int:
    """The number that occurs most often, the lowest of several; -1 when all are negative."""
    values, counts = np.unique(numbers[numbers >= 0], return_counts=True)
    return int(values[np.argmax(counts)]) if len(values) else -1
