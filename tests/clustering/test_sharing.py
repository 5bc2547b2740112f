"""Work in parts: results in order, failures heard of, and products of matrices on one thread meanwhile, not after."""

from __future__ import annotations

import pytest
from threadpoolctl import threadpool_info

from soulcaster.clustering.sharing import both, each, share


def product_threads() -> list[int]:
    """Threads that one of NumPy's products of matrices takes at the moment."""
    libraries = [library for library in threadpool_info() if library["user_api"] == "blas"]
    return [library["num_threads"] for library in libraries if "numpy" in library["filepath"]]


def test_results_come_in_the_order_of_the_parts():
    """Whichever thread is done first."""
    assert [number**2 for number in range(50)] == list(each(lambda number: number**2, range(50)))


def test_products_take_one_thread_while_work_is_shared_and_as_many_as_before_afterwards():
    """Also when a second one shares work while the first one is not done."""
    before = product_threads()
    outer = each(lambda _: product_threads(), range(2))

    assert {1} == set(next(outer))
    assert {1} == set().union(*each(lambda _: product_threads(), range(2)))
    assert {1} == set(product_threads())
    assert [[1] * len(before)] == list(outer)
    assert before == product_threads()


def test_what_fails_in_a_part_is_raised_and_leaves_nothing_behind():
    """The caller hears of it, and products have their threads again."""
    before = product_threads()

    with pytest.raises(ZeroDivisionError):
        share(lambda number: 1 / number, [1, 0, 2])

    assert before == product_threads()


def test_two_things_at_once_give_both():
    """Each its own, in order; the second one's failure is heard of too."""
    assert (1, "b") == both(lambda: 1, lambda: "b")
    with pytest.raises(ZeroDivisionError):
        both(lambda: 1, lambda: 1 / 0)
