"""Whether the host seconds of a thermodynamic iteration were timed in full or extrapolated from its first columns.

`measure.host_time` times the first 8 and 16 columns of the Jacobian where rows are not formed at once, and takes the
rest as equal. Records do not say so; it follows from the sizes, by the rule of `curvature.GGN.matrix_free`.
"""

from __future__ import annotations

from functools import cache

from tngd_bench.curvature.route_rules import LARGEST_STRUCTURED, LARGEST_UNROLLED
from tngd_bench.problems import registry as problems


@cache
def host_extrapolated(problem: str, parameters: int, outputs: int) -> bool:
    """Return whether host seconds at d_z `outputs` of `problem` with N `parameters` are extrapolated.

    Between the two bounds it depends on the model: its layers' outputs per sample against N. Where its layers
    are not known (the problem is not installed here, or lists none) the answer is that they are.
    """
    if outputs <= LARGEST_UNROLLED:
        return False
    if outputs > LARGEST_STRUCTURED or problem not in problems.names():
        return True
    try:
        layers = getattr(problems.get(problem).widths(parameters, outputs), "layers", None)
    except ValueError:
        return True
    return not layers or sum(d_out * positions for _, d_out, positions in layers) > parameters
