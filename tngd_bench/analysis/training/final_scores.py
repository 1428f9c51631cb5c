"""Ends of trials: final values of the finished ones, and the list of those that gave no number."""

import pandas as pd

from tngd_bench.problems import registered_metrics
from tngd_bench.problems.metrics import TEST_ACCURACY, TRAINING_LOSS, CurveMetric
from tngd_bench.studies.store import columns as c

_SETTING = [*c.TRAINING_SETTING, c.METHOD, c.SWEEP_PARAMETER]
_LAST_SHARE = 0.1


def unfinished(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials with a status other than "ok", sorted by group, size and optimizer."""
    rows = trials[trials[c.STATUS] != "ok"]
    return rows.sort_values([c.KIND, c.GROUP, c.PARAMETERS_REQUESTED, c.OPTIMIZER, c.KEY], kind="stable")


def final_values(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Return one row per training trial: how it ended and, if it finished, its last values.

    Columns: those of the trial's setting, sweep_value, seed, status, key; the `final` and the `untrained` column of
    every metric, evaluated last and before the first iteration (a `final_loss` that was not evaluated is the mean
    mini-batch loss of the last tenth of the iterations); `iterations`, `measured_s`, `modelled_s`: NaN for a trial that
    did not finish and for metrics that its problem does not have; and the sweep's labels and second setting.
    """
    training = c.completed(c.only(trials, kind="training"), c.SWEEP).reset_index(drop=True)
    finished = curves[c.KEY].isin(training.loc[training[c.STATUS] == "ok", c.KEY])
    last = _last_values(curves[finished].sort_values(c.ITERATION, kind="stable"))
    values = last.reindex(index=training[c.KEY], columns=[*_ends(), *_starts(), *_CLOCKS])
    setting = [*_SETTING, c.SWEEP_VALUE, c.SEED, c.STATUS, c.KEY]
    names = [*setting, *c.SWEEP[2:]]
    about = pd.DataFrame(
        training[names].to_dict("records"), columns=names
    )  # seeds are integers where none is missing
    return pd.concat([about[setting], values.reset_index(drop=True), about[c.SWEEP[2:]]], axis=1)


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


_CLOCKS = {"iterations": c.ITERATION, c.MEASURED_S: c.MEASURED_S, c.MODELLED_S: c.MODELLED_S}


def _last_values(ordered: pd.DataFrame) -> pd.DataFrame:
    """Return the last known value of every column by key, the clocks at the end; `ordered` runs by iteration."""
    names, starting = _ends() | _CLOCKS, _starts()
    by_key = (
        ordered.reindex(columns=[c.KEY, *names.values()])
        .astype(dict.fromkeys(names.values(), float))
        .groupby(c.KEY, sort=False)
    )
    known = by_key.last()
    # a clock that is not known at the end (no time stated for an item of the bill) is not where it was last known
    ends = ordered.drop_duplicates(c.KEY, keep="last").set_index(c.KEY)
    for column in _CLOCKS.values():
        known[column] = ends[column].astype(float)
    table = known.rename(columns={column: name for name, column in names.items()})
    starts = c.only(ordered, iteration=0).drop_duplicates(c.KEY)
    starts = starts.reindex(columns=[c.KEY, *starting.values()]).set_index(c.KEY)
    for name, column in starting.items():
        table[name] = starts[column].astype(float)
    missing = table.index[table["final_loss"].isna()]
    for key, own in ordered[ordered[c.KEY].isin(missing)].groupby(c.KEY, sort=False):
        losses = own[c.LOSS].astype(float).dropna()
        table.loc[key, "final_loss"] = losses.tail(max(1, round(_LAST_SHARE * len(losses)))).mean()
    return table


def summarise_final(final: pd.DataFrame) -> pd.DataFrame:
    """Return one row per training setting and sweep value with medians and quartiles over the finished seeds.

    Columns: the setting, sweep_value, `finished`, `trials`, `diverged`; for the training loss, every metric of test
    data and those before training that tables show `_q1`, `_median`, `_q3` (NaN where there is none); medians of
    iterations, measured_s, modelled_s; `keys`.
    """
    tested = registered_metrics.tested()
    starts = [one.untrained for one in tested if one.metric.start_in_tables]
    summarised = [TRAINING_LOSS.final, *(one.final for one in tested), *starts]
    rows, marks = [], {"q1": 0.25, "median": 0.5, "q3": 0.75}
    for row, part in c.groups(final, [*_SETTING, c.SWEEP_VALUE], dropna=False):
        ok = c.only(part, status="ok")
        diverged = int((part[c.STATUS] == "diverged").sum())
        row |= {c.FINISHED: len(ok), "trials": len(part), "diverged": diverged}
        quartiles = ok[summarised].astype(float).quantile(list(marks.values())).to_numpy()
        row |= {
            f"{name}_{mark}": value
            for mark, values in zip(marks, quartiles, strict=True)
            for name, value in zip(summarised, values, strict=True)
        }
        row |= {name: float(ok[name].astype(float).median()) for name in _CLOCKS}
        rows.append(row | {"keys": tuple(sorted(part[c.KEY]))})
    quantiles = [f"{name}_{mark}" for name in summarised for mark in marks]
    columns = [*_SETTING, c.SWEEP_VALUE, "finished", "trials", "diverged", *quantiles, *_CLOCKS, "keys"]
    return pd.DataFrame(rows, columns=columns)
