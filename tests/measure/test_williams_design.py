"""Orders of turns: each config as often in each place, and as often right after each other one."""

from collections import Counter
from itertools import pairwise

import pytest

from tngd_bench.measure.williams_design import balanced_orders


@pytest.mark.parametrize("count", range(1, 12))
def test_places_and_predecessors_are_balanced(count):
    orders = balanced_orders(count)
    assert all(sorted(order) == list(range(count)) for order in orders)
    places = Counter((place, who) for order in orders for place, who in enumerate(order))
    assert len(places) == count**2
    assert len(set(places.values())) == 1
    followed = Counter(pair for order in orders for pair in pairwise(order))
    assert len(followed) == count * (count - 1)
    assert len(set(followed.values())) <= 1


def test_no_optimizers_have_one_order():
    assert balanced_orders(0) == [()]
