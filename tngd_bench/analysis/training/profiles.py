"""Performance profiles: on what share of the tasks an optimizer is within a factor τ of the best.

With t_{p,o} the time of optimizer o to the target of task p (∞ for a miss) and r_{p,o} = t_{p,o} / min_o' t_{p,o'},

    ρ_o(τ) = |{p : r_{p,o} ≤ τ}| / |{p}|,   1 ≤ τ ≤ 4

(Dolan & Moré, Benchmarking optimization software with performance profiles, Math. Program. 91, 2002). A miss is never
within any factor; a task that nobody solved counts in the denominator and lowers every curve. τ ends at 4 (AlgoPerf's
range): beyond it a profile ranks by hit rate alone.

Targets are seen met at evaluations only: the time lies in (after, by]. One optimizer that is a little slower than
another therefore ties with it in every second task or so, and ρ_o(1) counts a tie for all who tie. A task is `won` only
by whom the evaluations show to be first, by ≤ after of everybody else; of the others they do not tell who was.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from tngd_bench.analysis.training.time_to_target import AFTER, DEFAULT_TARGETS, Target, hit_times
from tngd_bench.studies.store import columns as c

LARGEST_RATIO = 4.0
TASK = [c.GROUP, c.PROBLEM, c.PARAMETERS, c.BATCH_SIZE, "target", c.SEED]


def ratios_to_best(times: pd.DataFrame, clock: str = "iterations") -> pd.DataFrame:
    """Return r of each row of `times` (columns `task`, `optimizer` and `clock`) beside it, as `ratio`.

    Where nobody reached a task's target every ratio is ∞. A best time of zero (met before the first update) gives
    ratio 1 to those who share it and ∞ to the rest.
    """
    best = times.groupby("task")[clock].transform("min").astype(float)
    own = times[clock].astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(own == best, 1.0, own / best)
    return times.assign(ratio=np.where(np.isfinite(own), ratio, np.inf))


def profiles(times: pd.DataFrame, clock: str = "iterations", largest: float = LARGEST_RATIO) -> pd.DataFrame:
    """Return the profile of each optimizer as a right-continuous step function.

    `times` has one row per task and optimizer: `task`, `optimizer` and a column `clock`, ∞ for a miss, with that
    of `AFTER`, the same clock at the evaluation before. An optimizer that did not try a task (no row) has that task as
    a miss, so all curves share one denominator. Columns: optimizer, `tau` (1, every ratio up to `largest` at which the
    curve steps, and `largest`), `share`, `won` (for certain), `solved`, `tasks`, and `untold`, the share of tasks that
    somebody solved where the evaluations do not tell who was first.
    """
    if not largest >= 1.0:
        raise ValueError(f"largest must be >= 1, not {largest!r}")
    found = ratios_to_best(times, clock)
    tasks = found["task"].nunique()
    found = found.assign(first=_surely_first(found, clock))
    solved_by_some = np.isfinite(found["ratio"]).groupby(found["task"]).any().sum()
    untold = float(solved_by_some - found["first"].sum()) / tasks
    rows = []
    for optimizer, part in found.groupby(c.OPTIMIZER, sort=True):
        ratio = np.sort(part["ratio"].to_numpy(float))
        steps = ratio[np.isfinite(ratio) & (ratio <= largest)]
        taus = np.unique(np.concatenate([[1.0, largest], steps]))
        share = np.searchsorted(steps, taus, side="right") / tasks
        solved, won = int(np.isfinite(ratio).sum()), float(part["first"].sum()) / tasks
        rows += [(optimizer, *step, won, solved, tasks, untold) for step in zip(taus, share, strict=True)]
    return pd.DataFrame(rows, columns=[c.OPTIMIZER, "tau", "share", "won", "solved", "tasks", "untold"])


def _surely_first(times: pd.DataFrame, clock: str) -> pd.Series:
    """Return the mask of rows that met their task's target before any other optimizer can have."""
    by, after, task = times[clock].astype(float), times[AFTER[clock]].astype(float), times["task"]
    rank = after.groupby(task).rank(method="first")
    least = after.where(rank == 1).groupby(task).transform("min")
    second = after.where(rank == 2).groupby(task).transform("min").fillna(np.inf)
    return by.lt(np.inf) & by.le(second.where(rank == 1, least))


def task_times(
    trials: pd.DataFrame, curves: pd.DataFrame, targets: Mapping[str, Sequence[Target]]
) -> pd.DataFrame:
    """Return the times for `profiles`: one row per task and optimizer, tasks being training setting × target × seed.

    Columns: `task` (a tuple as in `TASK`), optimizer, iterations, modelled (seconds), and those of `AFTER`. Trials
    that were not tried (skipped, failed) have no row; those in sweeps are left out.
    """
    hits = hit_times(trials, curves, {**dict.fromkeys(trials[c.GROUP].unique(), DEFAULT_TARGETS), **targets})
    tasks = [tuple(row) for row in hits[TASK].itertuples(index=False)]
    return pd.DataFrame(
        {"task": pd.Series(tasks, dtype=object), c.OPTIMIZER: hits[c.OPTIMIZER].to_numpy()}
        | {clock: hits[clock].to_numpy(float) for clock in (*AFTER, *AFTER.values())}
    )
