"""Whether the host seconds of a thermodynamic iteration were timed in full or extrapolated from its first columns.

`measure.host_time` times the first 8 and 16 columns of the Jacobian where rows are not formed at once, and takes the
rest as equal. Records do not say so; it follows from the sizes, by the rule of `curvature.route.product_route`.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache

from tngd_bench.curvature.route import product_route
from tngd_bench.layers import Layer
from tngd_bench.problems import registry as problems


@cache
def host_extrapolated(problem: str, parameters: int, outputs: int) -> bool:
    """Return whether host seconds at d_z `outputs` of `problem` with N `parameters` are extrapolated.

    Where the model's layers are not known (the problem is not installed here, or lists none) and the answer depends on
    them, they are.
    """
    layers: list[Layer] = []
    if problem in problems.names():
        with suppress(ValueError):  # no model of this size
            found = getattr(problems.get(problem).widths(parameters, outputs), "layers", ())
            layers = [Layer(*layer) for layer in found]
    return product_route(layers or None, outputs, 1, parameters).name == "model"
