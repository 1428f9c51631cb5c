"""Williams designs: orders in which optimizers are timed, balanced for what one leaves behind for the next.

An optimizer that runs after a long one finds other caches than one that runs after its like; in a fixed
order each always has the same one before it, and two equal optimizers then differ by some percent. In a Williams design
(E. J. Williams, Aust. J. Sci. Res. A 2, 149, 1949) each stands in each place, and right after each other one, equally
often.
"""

from __future__ import annotations


def balanced_orders(count: int) -> list[tuple[int, ...]]:
    """Return orders of 0 … count − 1: `count` of them, twice as many for an odd count above 1."""
    steps = [(place + 1) // 2 if place % 2 else -(place // 2) for place in range(count)]
    orders = [tuple((start + step) % count for step in steps) for start in range(max(count, 1))]
    return orders if count % 2 == 0 or count == 1 else orders + [order[::-1] for order in orders]
