"""Ends of trials: final values of the finished ones, and the list of those that gave no number."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tngd_bench.problems import registered_metrics
from tngd_bench.problems.metrics import TEST_ACCURACY, TRAINING_LOSS, CurveMetric
from tngd_bench.studies.store import columns as col

_SETTING = [*col.TRAINING_SETTING, col.METHOD, col.SWEEP_PARAMETER]
_LAST_SHARE = 0.1


def unfinished(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials with a status other than "ok", sorted by group, size and optimizer."""
    rows = trials[trials[col.STATUS] != "ok"]
    return rows.sort_values(
        [col.KIND, col.GROUP, col.PARAMETERS_REQUESTED, col.OPTIMIZER, col.KEY], kind="stable"
    )


def final_values(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Return one row per training trial: how it ended and, if it finished, its last values.

    Columns: those of the trial's setting, sweep_value, seed, status, key; the `final` and the `untrained` column of
    every metric, evaluated last and before the first iteration (a `final_loss` that was not evaluated is the mean
    mini-batch loss of the last tenth of the iterations); `iterations`, `measured_s`, `modelled_s`: NaN for a trial that
    did not finish and for metrics that its problem does not have; and, where `trials` has them, the sweep's labels and
    second setting.
    """
    training = col.only(trials, kind="training")
    labels = [name for name in col.SWEEP[2:] if name in trials]
    finished = curves[col.KEY].isin(training.loc[training[col.STATUS] == "ok", col.KEY])
    last = _last_values(curves[finished].sort_values(col.ITERATION, kind="stable"))
    no_values = dict.fromkeys([*_ends(), *_starts(), *_CLOCKS], float("nan"))
    rows = []
    for trial in col.each(training):
        row = {
            name: getattr(trial, name)
            for name in [*_SETTING, col.SWEEP_VALUE, col.SEED, col.STATUS, col.KEY, *labels]
        }
        rows.append(row | last.get(trial.key, no_values))
    columns = [*_SETTING, col.SWEEP_VALUE, col.SEED, col.STATUS, col.KEY, *no_values, *labels]
    return pd.DataFrame(rows, columns=columns)


def leading(final: pd.DataFrame) -> CurveMetric:
    """Return the first judged metric, the loss apart, that `final` has values of; test accuracy where it has none."""
    scores = registered_metrics.judged()[1:]
    present = (one for one in scores if one.final in final and final[one.final].notna().any())
    return next(present, TEST_ACCURACY)


def _ends() -> dict[str, str]:
    """Return the columns of curves by those of their last values."""
    return {one.final: one.column for one in registered_metrics.curve_metrics()}


def _starts() -> dict[str, str]:
    """Return the columns of curves by those of their first values."""
    return {one.untrained: one.column for one in registered_metrics.judged()}


_CLOCKS = {"iterations": col.ITERATION, col.MEASURED_S: col.MEASURED_S, col.MODELLED_S: col.MODELLED_S}


def _last_values(ordered: pd.DataFrame) -> dict[object, dict[str, float]]:
    """Return the last known value of every column by key, the clocks at the end; `ordered` runs by iteration."""
    names, starting = _ends() | _CLOCKS, _starts()
    by_key = (
        ordered.reindex(columns=[col.KEY, *names.values()])
        .astype(dict.fromkeys(names.values(), float))
        .groupby(col.KEY, sort=False)
    )
    known = by_key.last()
    # a clock that is not known at the end (no time stated for an item of the bill) is not where it was last known
    ends = ordered.drop_duplicates(col.KEY, keep="last").set_index(col.KEY)
    for column in _CLOCKS.values():
        known[column] = ends[column].astype(float)
    table = known.rename(columns={column: name for name, column in names.items()})
    starts = col.only(ordered, iteration=0).drop_duplicates(col.KEY)
    starts = starts.reindex(columns=[col.KEY, *starting.values()]).set_index(col.KEY)
    for name, column in starting.items():
        table[name] = starts[column].astype(float)
    missing = table.index[table["final_loss"].isna()]
    for key, own in ordered[ordered[col.KEY].isin(missing)].groupby(col.KEY, sort=False):
        losses = own[col.LOSS].astype(float).dropna()
        table.loc[key, "final_loss"] = losses.tail(max(1, round(_LAST_SHARE * len(losses)))).mean()
    return {key: dict(zip(table.columns, map(float, row), strict=True)) for key, *row in table.itertuples()}


def _summarised() -> list[str]:
    tested = registered_metrics.tested()
    starts = [one.untrained for one in tested if one.metric.start_in_tables]
    return [TRAINING_LOSS.final, *(one.final for one in tested), *starts]


def summarise_final(final: pd.DataFrame) -> pd.DataFrame:
    """Return one row per training setting and sweep value with medians and quartiles over the finished seeds.

    Columns: the setting, sweep_value, `finished`, `trials`, `diverged`; for the training loss, every metric of test
    data and those before training that tables show `_q1`, `_median`, `_q3` (NaN where there is none); medians of
    iterations, measured_s, modelled_s; `keys`.
    """
    rows, summarised = [], _summarised()
    for values, part in final.groupby([*_SETTING, col.SWEEP_VALUE], dropna=False, sort=True):
        row: dict[str, object] = dict(zip([*_SETTING, col.SWEEP_VALUE], values, strict=True))
        ok = col.only(part, status="ok")
        row |= {
            col.FINISHED: len(ok),
            "trials": len(part),
            "diverged": int((part[col.STATUS] == "diverged").sum()),
        }
        for name in summarised:
            known = ok[name].astype(float).dropna()
            quartiles = np.percentile(known, [25, 50, 75]) if len(known) else np.full(3, np.nan)
            row |= {f"{name}_{part_}": q for part_, q in zip(("q1", "median", "q3"), quartiles, strict=True)}
        row |= {name: float(ok[name].astype(float).median()) for name in _CLOCKS}
        row["keys"] = tuple(sorted(part[col.KEY]))
        rows.append(row)
    quantiles = [f"{n}_{q}" for n in summarised for q in ("q1", "median", "q3")]
    columns = [*_SETTING, col.SWEEP_VALUE, "finished", "trials", "diverged", *quantiles, *_CLOCKS, "keys"]
    return pd.DataFrame(rows, columns=columns)
