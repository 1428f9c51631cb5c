"""Gaps in a device's time: items of its bill without a stated time, host seconds that were not timed in full."""

from collections.abc import Mapping
from contextlib import suppress
from functools import cache

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.families import Infos
from tngd_bench.curvature.route import product_route
from tngd_bench.problems import registry as problems
from tngd_bench.studies.store import columns as c

NOT_STATED = "not stated"


def unstated(trials: pd.DataFrame) -> dict[str, str]:
    """Return the items without a stated time of each optimizer that has any, in words: its totals are lower bounds."""
    own = c.completed(trials, [c.NOT_STATED]).dropna(subset=c.NOT_STATED)
    return {
        str(label): quantities.items(item for names in part for item in str(names).split())
        for label, part in own.groupby(c.OPTIMIZER)[c.NOT_STATED]
    }


def named(items: Mapping[str, str], infos: Infos) -> str:
    """Return e.g. "TNGD (D/A conversion), TNGD-Adam (D/A conversion)" for what `unstated` found; "" for nothing."""
    return ", ".join(f"{infos[label].title} ({words})" for label, words in items.items())


@cache
def host_extrapolated(problem: str, parameters: int, outputs: int) -> bool:
    """Return whether host seconds at d_z `outputs` of `problem` with N `parameters` are extrapolated.

    `measure.host_time` times the first 8 and 16 columns of the Jacobian where rows are not formed at once, and takes
    the rest as equal. Records do not say so; it follows from the sizes. A model whose layers are not known (its problem
    is not installed here, or lists none) counts as one with large layers.
    """
    layers = None
    if problem in problems.names():
        with suppress(ValueError):  # no model of this size
            layers = getattr(problems.get(problem).widths(parameters, outputs), "layers", None)
    return product_route(layers or None, outputs, 1, parameters).name == "model"
