"""Table 1 of arXiv 2405.13817: runtime and memory of one iteration as sums of powers of N, b and d_z.

The table states orders of growth, so every coefficient is one. What a sum grows like depends on the range it is
looked at: `table_exponent` gives the log-log slope of the table's own formula over the sizes measured, which is what
an exponent fitted over the same sizes can be held against; the largest power alone would be the limit of endless
growth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tngd_bench.studies.store import columns as c


@dataclass(frozen=True)
class Power:
    """One term of a formula: N^`parameters` · b^`batch_size` · d_z^`outputs`."""

    parameters: float = 0.0
    batch_size: float = 0.0
    outputs: float = 0.0

    def at(self, sizes: Mapping[str, float]) -> float:
        """Return the term's value at `sizes` (keys as in `SIZE`)."""
        return float(np.prod([float(sizes[axis]) ** getattr(self, axis) for axis in c.SIZE]))


_LINEAR = (Power(1, 1, 0),)
_GRAM = Power(0, 2, 2)
_FACTOR = Power(1, 1, 1)
RUNTIME: Mapping[str, tuple[Power, ...]] = {
    "sgd": _LINEAR,
    "adam": _LINEAR,
    "ngd": (Power(3), Power(2, 1, 1)),
    "ngd-cg": _LINEAR,  # c b N at a fixed number of iterations c
    "ngd-woodbury": (Power(1, 2, 2), Power(0, 3, 3)),
    "tngd": (_FACTOR,),  # + t, which grows with none of the three
    "tngd-adam": (_FACTOR,),
}
MEMORY: Mapping[str, tuple[Power, ...]] = {
    "sgd": (Power(1),),
    "adam": (Power(1),),
    "ngd": (Power(2),),
    "ngd-cg": (Power(1),),
    "ngd-woodbury": (_FACTOR, _GRAM),
    "tngd": (_FACTOR, _GRAM),
    "tngd-adam": (_FACTOR, _GRAM),
}


def largest_power(method: str, axis: str, formulas: Mapping[str, tuple[Power, ...]] = RUNTIME) -> float:
    """Return the largest power of `axis` in the table's row for `method`; NaN where the table has no such row."""
    return max((float(getattr(term, axis)) for term in formulas.get(method, ())), default=float("nan"))


def table_exponent(
    method: str,
    axis: str,
    sizes: Sequence[Mapping[str, float]],
    formulas: Mapping[str, tuple[Power, ...]] = RUNTIME,
) -> float:
    """Return the log-log slope in `axis` of the table's formula over `sizes`; NaN without a row or two sizes."""
    terms = formulas.get(method)
    x = np.log([float(size[axis]) for size in sizes])
    if terms is None or len(set(x.tolist())) < 2:
        return float("nan")
    y = np.log([sum(term.at(size) for term in terms) for size in sizes])
    centred = x - x.mean()
    return float((centred * y).sum() / (centred**2).sum())
