"""A study's records with the views that statements, tables and figures are made from, each made once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from tngd_bench.analysis.cost import caveats, fits, iteration_cost, one_clock
from tngd_bench.analysis.cost.calibration import Calibrations
from tngd_bench.analysis.cost.half_formats import SlowFormat, sentences, slow_formats
from tngd_bench.analysis.cost.rates import calibrate
from tngd_bench.analysis.families import Infos, optimizer_infos
from tngd_bench.analysis.statistics.run_spread import RunSpread, run_spread_of
from tngd_bench.analysis.training.device_pairs import DevicePair, device_pairs
from tngd_bench.analysis.training.final_scores import final_values, leading
from tngd_bench.analysis.training.loss_curves import LossCurves
from tngd_bench.analysis.training.sweep_kinds import without_scale
from tngd_bench.analysis.training.time_to_target import Target, hit_times, study_targets, time_to_target
from tngd_bench.analysis.training.tolerance import ScoredTolerance, Tolerance, tolerances
from tngd_bench.problems import registered_metrics
from tngd_bench.problems.metrics import TRAINING_LOSS, CurveMetric
from tngd_bench.studies.store import columns as c
from tngd_bench.studies.store.records import Records, read_records

_SEPARATOR = "\n"  # in no file name and no study's name


class Results:
    """The records of a study, and what follows from them.

    Parameters
    ----------
    source : Records, Path or str
        Records, or the folder that has a store or is one.
    clocked : bool
        Whether the seconds of the curves are those of cost sections already.
    losses : LossCurves, optional
        The loss curves of these runs, and perhaps of others, where they exist already.

    Notes
    -----
    `study`, `environment`, `trials` and `costs` are those of `Records`; `curves` too, with `modelled_s` on the clock of
    the cost sections; `losses` are the smoothed losses of all runs. The frames are shared: change none of them.
    """

    def __init__(
        self, source: Records | Path | str, *, clocked: bool = False, losses: LossCurves | None = None
    ) -> None:
        records = source if isinstance(source, Records) else read_records(Path(source))
        if not clocked:
            curves = one_clock.on_one_clock(records.curves, records.trials, records.costs)
            records = replace(records, curves=curves)
        self.records, self.study, self.environment = records, records.study, records.environment
        self.trials, self.costs, self.curves = records.trials, records.costs, records.curves
        self.losses = losses or LossCurves(self.curves)

    @classmethod
    def over(cls, source: Records | Results) -> Results:
        """Return the results of records, or those given, with the views that are made already."""
        return source if isinstance(source, Results) else cls(source)

    @classmethod
    def of(cls, trials: pd.DataFrame, costs: pd.DataFrame, curves: pd.DataFrame) -> Results:
        """Return the results of frames that belong to no one study, their curves on one clock already."""
        return cls(Records({}, {}, trials, costs, curves), clocked=True)

    def within(self, groups: Collection[str], problem: str | None = None) -> Results:
        """Return the results of the sections `groups`, and of `problem` where it is given."""

        def part(frame: pd.DataFrame) -> pd.DataFrame:
            here = frame[c.GROUP].isin(groups)
            return frame[here if problem is None else here & (frame[c.PROBLEM] == problem)]

        trials, costs, curves = map(part, (self.trials, self.costs, self.curves))
        records = replace(self.records, trials=trials, costs=costs, curves=curves)
        return Results(records, clocked=True, losses=self.losses)

    def of_kind(self, kind: str) -> pd.DataFrame:
        """Return the trials of a kind: "cost" or "training"."""
        return c.only(self.trials, kind=kind)

    def keys_of(self, *optimizers: str) -> tuple[str, ...]:
        """Return the keys of the trials of `optimizers`, of all where none is named."""
        own = self.trials[self.trials[c.OPTIMIZER].isin(optimizers)] if optimizers else self.trials
        return tuple(sorted(set(own[c.KEY])))

    @cached_property
    def infos(self) -> Infos:
        """Every optimizer by its label, in the order of the registry."""
        return optimizer_infos(self.trials)

    def unstated(self, kind: str) -> Mapping[str, str]:
        """Return the items without a stated time of each optimizer that has any in trials of a kind, in words."""
        return caveats.unstated(self.of_kind(kind))

    @cached_property
    def slow_formats(self) -> tuple[SlowFormat, ...]:
        """The number formats in which optimizers compute slowly here; see `half_formats.slow_formats`."""
        return slow_formats(self.trials)

    def about_formats(self, labels: Collection[str]) -> str:
        """Return what to say beside times of the optimizers `labels` of their number formats; "" for nothing."""
        return sentences(self.slow_formats, {self.infos[label].method for label in labels})

    @cached_property
    def untimed(self) -> Mapping[str, list[str]]:
        """The optimizers by section whose cost per iteration was not measured; see `one_clock.untimed`."""
        return one_clock.untimed(self.trials, self.costs)

    @cached_property
    def finished_costs(self) -> pd.DataFrame:
        """The timed iterations of finished cost trials with a known total; see `iteration_cost.finished_costs`."""
        return iteration_cost.finished_costs(self.costs, self.trials)

    @cached_property
    def timed_costs(self) -> pd.DataFrame:
        """The same with the iterations whose total is known from below only; see `iteration_cost.timed_costs`."""
        return iteration_cost.timed_costs(self.costs, self.trials)

    @cached_property
    def cost_summary(self) -> pd.DataFrame:
        """One row per setting and optimizer that was timed; see `iteration_cost.summarise`."""
        return iteration_cost.summarise(self.costs, self.trials)

    @cached_property
    def ratios_to_sgd(self) -> pd.DataFrame:
        """The paired ratio of every timed optimizer to SGD; see `iteration_cost.ratios_to_sgd`."""
        return iteration_cost.ratios_to_sgd(self.costs, self.trials)

    @cached_property
    def scaling(self) -> pd.DataFrame:
        """The fits of every cost along N, b and d_z; see `fits.scaling_table`."""
        tables = [fits.scaling_table(self.costs, self.trials, axis) for axis in c.SIZE]
        return pd.concat(tables, ignore_index=True)

    @cached_property
    def run_spread(self) -> RunSpread:
        """The shift of an optimizer's time that another run of the study may bring."""
        return run_spread_of(self.environment)

    @cached_property
    def calibrations(self) -> Calibrations | None:
        """The rates of this machine for second-order optimizers; None where none was timed."""
        dtype = str(self.environment.get("dtype", "float32"))
        return calibrate(self.cost_summary, self.trials, self.infos, dtype, run_spread=self.run_spread)

    @cached_property
    def final(self) -> pd.DataFrame:
        """One row per training trial with its last values; see `final_scores.final_values`."""
        return final_values(self.trials, self.curves)

    @cached_property
    def on_scales(self) -> pd.DataFrame:
        """The rows of `final` but for sweeps of two settings at once and of words; see `sweep_kinds.without_scale`."""
        return self.final[~without_scale(self.final)]

    @cached_property
    def tolerances(self) -> Mapping[CurveMetric, tuple[Tolerance, ...]]:
        """The tolerance in every sweep of `on_scales`, by the metric judged; see `tolerance.tolerances`."""
        loss, *others = registered_metrics.judged()
        known = [score for score in others if self.on_scales[score.final].notna().any()]
        return {score: tolerances(self.on_scales, score) for score in (loss, *known)}

    @cached_property
    def scored_tolerances(self) -> tuple[ScoredTolerance, ...]:
        """The same of the loss and the leading test score of the section together."""
        scores = {group: leading(part) for group, part in self.on_scales.groupby(c.GROUP)}
        losses = self.tolerances[TRAINING_LOSS]
        return tuple(
            ScoredTolerance.of(loss, own[place] if (own := self.tolerances.get(scores[loss.group])) else None)
            for place, loss in enumerate(losses)
        )

    @cached_property
    def device_pairs(self) -> tuple[DevicePair, ...]:
        """The imperfect devices that trained beside the ideal one; see `device_pairs.device_pairs`."""
        return device_pairs(self.trials, self.final)

    @cached_property
    def targets(self) -> Mapping[str, tuple[Target, ...]]:
        """The targets of every training section."""
        return study_targets(self.study)

    @cached_property
    def hits(self) -> pd.DataFrame:
        """The first time that every training trial met each of its targets; see `time_to_target.hit_times`."""
        return hit_times(self.trials, self.curves, self.targets)

    @cached_property
    def times_to_target(self) -> pd.DataFrame:
        """One row per section, optimizer and target; see `time_to_target.time_to_target`."""
        return time_to_target(self.trials, self.hits, self.targets)


def pooled(results_by_study: Mapping[str, Results]) -> Results:
    """Return several studies as one: keys and seeds carry the study's name, so that no two are paired."""

    def joined(name: str) -> pd.DataFrame:
        named = [_named(getattr(results, name), study) for study, results in results_by_study.items()]
        filled = [frame for frame in named if len(frame)] or named[:1]
        return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()

    return Results.of(*map(joined, ("trials", "costs", "curves")))


def _named(frame: pd.DataFrame, study: str) -> pd.DataFrame:
    """Return a frame with the study's name in its keys, seeds and processes."""
    frame = frame.assign(key=[f"{study}{_SEPARATOR}{key}" for key in frame[c.KEY]])
    for column in {c.SEED, c.PROCESS} & set(frame):
        missing = frame[column].isna()
        named = f"{study}/" + frame[column].astype(str)
        frame[column] = frame[column].astype(object).where(missing, named)
    return frame


def study_and_key(pooled_key: str) -> tuple[str, str]:
    """Return the study and the key that a key of `pooled` results is made of."""
    study, key = pooled_key.split(_SEPARATOR, 1)
    return study, key
