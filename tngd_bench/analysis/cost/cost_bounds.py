"""Where a device whose bill has items without a stated time ranks by what its iteration takes at least."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost import iteration_cost, lower_bounds
from tngd_bench.analysis.families import OptimizerInfo


def bound_clauses(
    costs: pd.DataFrame,
    trials: pd.DataFrame,
    main: pd.DataFrame,
    cheapest: str,
    known: Mapping[str, OptimizerInfo],
) -> list[str]:
    """Return a clause on each optimizer that is known from below only, against the `cheapest` at the largest N.

    `main` holds the finished timings that are compared, of one section, batch size and number of outputs. Slower than
    the cheapest by its lower bound, an optimizer is not the cheapest; else nothing is known of its rank.
    """
    items = lower_bounds.unstated(trials[trials["kind"] == "cost"])
    last = main[main["parameters"] == main["parameters"].max()].iloc[0]
    timed = iteration_cost.timed_costs(costs, trials)
    there = timed[(timed[iteration_cost.SETTING] == last[iteration_cost.SETTING]).all(axis=1)]
    clauses, unranked = [], {}
    for label, words in items.items():
        bound = float(there.loc[there["optimizer"] == label, "at_least_s"].median())
        ratio = iteration_cost.paired_ratio(there, label, cheapest, "at_least_s")
        if ratio is None or not ratio.decided or ratio.value < 1:
            unranked[label] = words
            continue
        clauses.append(
            f"{known[label].title} takes at least {quantities.seconds(bound)} there, {ratio.text} the time of "
            f"{known[cheapest].title}, with none counted for {words}"
        )
    if unranked:
        named = lower_bounds.named(unranked, known)
        clauses.append(f"not ranked, as no time is stated for items of the bill: {named}")
    return clauses
