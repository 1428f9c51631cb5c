"""The sections on training, with their tables: convergence side by side, and what imperfections of the device do."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost import caveats
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.setting_names import parameter_name
from tngd_bench.analysis.training import final_scores, stability
from tngd_bench.analysis.training.device_pairs import DevicePair, change, further_scores
from tngd_bench.analysis.training.tolerance import margin_text
from tngd_bench.problems import registered_metrics
from tngd_bench.problems.metrics import TEST_ACCURACY, TRAINING_LOSS, Metric
from tngd_bench.report.document import panels, tables
from tngd_bench.report.document.figures import charts_of
from tngd_bench.report.document.section import Section
from tngd_bench.report.document.tables import Cell, Column, Table, amount, words
from tngd_bench.report.study_tables import untuned
from tngd_bench.report.training import heatmaps
from tngd_bench.studies.store import columns as c

NO_CLOCK = (
    "Without a time on the device: it states none for an item of its bill, so these trainings are compared over "
    "iterations alone. Not stated:"
)
NO_COST = (
    "Some are compared over iterations alone, and in no figure or map over time: their cost per iteration was not "
    "measured in turn with others at this size and batch. They are"
)
OTHER_SETTINGS = (
    "Figures show each optimizer at its settings of the study and, where it was, tuned. Other settings of one have "
    "figures of their own, and every one is in the tables."
)


def training_sections(results: Results) -> tuple[Section, ...]:
    """Return the sections on training of a study; call it inside `charting.style()`."""
    trials, infos = results.trials, results.infos
    ends = final_scores.summarise_final(results.on_scales)
    bounds, without = results.unstated("training"), results.untimed
    compared = final_table(ends, infos, sweeps=False)
    swept = final_table(ends, infos, sweeps=True)
    levels = heatmaps.pair_table(results)
    beside = results.device_pairs
    stable, margins = heatmaps.stability_section(stability.stability_table(trials), infos)
    return (
        Section(
            "convergence",
            "Convergence",
            points=(
                *([f"{NO_CLOCK} {caveats.named(bounds, infos)}."] if bounds else []),
                *([f"{NO_COST} {_named(without, infos)}."] if without else []),
                *filter(None, (untuned(results, group) for group in dict.fromkeys(compared.data[c.GROUP]))),
                *filter(None, [results.about_formats(set(results.times_to_target[c.OPTIMIZER]))]),
                *([OTHER_SETTINGS] if len(panels.main_trials(results)) < len(trials) else []),
            ),
            charts=charts_of("convergence", results),
            tables=(compared, targets_table(results.times_to_target, infos)),
        ),
        Section(
            "noise",
            "Sensitivity to the device",
            points=(stable,) if stable else (),
            charts=charts_of("noise", results),
            tables=(pairs_table(beside, infos), swept, heatmaps.levels_table(levels, infos), margins),
        ),
    )


def _named(without: Mapping[str, Sequence[str]], infos: Infos) -> str:
    """Return e.g. "Adam and SGD (digits)" for the optimizers of each section."""
    named = (
        (quantities.few([infos[label].title for label in labels]), group) for group, labels in without.items()
    )
    return ". ".join(f"{names} ({group})" for names, group in named)


def final_table(ends: pd.DataFrame, infos: Infos, *, sweeps: bool) -> Table:
    """Return the ends of training, side by side or along sweeps; `ends` as in `final_scores.summarise_final`."""
    swept = ends[c.SWEEP_PARAMETER].notna()
    part = tables.sorted_rows(ends[swept if sweeps else ~swept], [c.GROUP, c.OPTIMIZER], infos)
    scores = _scores(part)
    level = words(
        "level", lambda row: f"{parameter_name(row.sweep_parameter)} = {tables.level_text(row.sweep_value)}"
    )
    columns = (
        tables.optimizer_column(infos),
        tables.SECTION,
        words("problem", tables.size_text),
        *([level] if sweeps else []),
        tables.share("seeds finished", "finished", "trials", _diverged),
        _spread("final training loss", "final_loss"),
        *(_spread(title, name, share=metric.share) for name, (title, metric) in scores.items()),
        amount("iterations", "iterations"),
        amount(_ELAPSED, c.MEASURED_S, quantities.seconds, tables.MEASURED),
        amount("iterations × cost per iteration", c.MODELLED_S, quantities.seconds, tables.TOTAL),
        tables.RECORDS,
    )
    caption = (
        "How training ended: medians and quartiles over the finished seeds; a diverged seed enters no median."
    )
    return tables.table_of("sensitivity" if sweeps else "training", caption, columns, part)


_ELAPSED = "elapsed time of the trial in step(), simulation included"


def _scores(ends: pd.DataFrame) -> dict[str, tuple[str, Metric]]:
    """Return title and metric of the test scores to show, by column of `ends` without its quantile."""
    found = {}
    for score in registered_metrics.tested():
        if score.metric.start_in_tables:
            found[score.untrained] = (f"{score.title} before training", score.metric)
        found[score.final] = (f"final {score.title}", score.metric)
    present = {name: shown for name, shown in found.items() if ends[f"{name}_median"].notna().any()}
    return present or {TEST_ACCURACY.final: found[TEST_ACCURACY.final]}


def _diverged(row: Any) -> str:
    return f", {row.diverged} diverged" if row.diverged else ""


def _spread(title: str, name: str, *, share: bool = False) -> Column:
    """Return the column with the median and quartiles of `name`; a `share` in percent."""

    def text(median: float, low: float, high: float) -> str:
        if pd.isna(median):
            return quantities.NOT_MEASURED
        if share:
            return f"{100 * median:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
        return f"{quantities.significant(median)} {quantities.interval(low, high)}"

    def cell(row: Any) -> Cell:
        median, low, high = (getattr(row, f"{name}_{part}") for part in ("median", "q1", "q3"))
        return Cell(median, text(median, low, high))

    return Column(f"{title}, median [quartiles]", cell)


def targets_table(times: pd.DataFrame, infos: Infos) -> Table:
    """Return times to targets with hit rates; `times` as in `analysis.time_to_target`."""
    part = tables.sorted_rows(times, [c.GROUP, "target", c.OPTIMIZER], infos)
    columns = (
        tables.optimizer_column(infos),
        tables.SECTION,
        words("target", lambda row: row.target),
        Column("seeds that hit", _hits),
        Column("iterations, median (after, by] [its interval]", _censored),
        Column("iterations × cost per iteration, median (after, by] [its interval]", _seconds, tables.TOTAL),
    )
    caption = (
        "Time to targets fixed beforehand. A target is first seen met at an evaluation: (78, 156] was met after "
        "iteration 78 and by 156. A miss is censored: it counts as ∞, and no mean is taken."
    )
    levels = part[part["tries"] > 1].dropna(subset="confidence").groupby("tries")["confidence"].first()
    if len(levels):
        told = (f"{quantities.percent(level)} with {tries} seeds" for tries, level in levels.items())
        caption += f" Intervals of medians, exact: {', '.join(told)}."
    if part["provenance"].str.startswith("median of").any():
        caption += " A target at the median of reruns is missed by half of these reruns."
    for provenance, targets in part.groupby("provenance", sort=True)["target"]:
        named = ", ".join(sorted(set(targets)))
        caption += f" {named[:1].upper()}{named[1:]}: {provenance}."
    return tables.table_of("time-to-target", caption, columns, part)


def _hits(row: Any) -> Cell:
    return Cell(row.hits, f"{row.hits} of {row.tries}") if row.tries else Cell(None, "not tried")


def _censored(row: Any) -> Cell:
    """Return e.g. "(78, 156] [78, 234]": between which evaluations the median seed met a target, and its interval."""
    if pd.isna(row.iterations_median):
        return Cell(None, quantities.NOT_MEASURED)
    low, median, high = map(
        quantities.count, (row.iterations_low, row.iterations_median, row.iterations_high)
    )
    between = row.after_median >= 0 and not np.isinf(row.iterations_median)
    shown = f"({quantities.count(row.after_median)}, {median}]" if between else median
    return Cell(row.iterations_median, f"{shown} [{low}, {high}]" if row.tries > 1 else shown)


def _seconds(row: Any) -> Cell:
    """Return the same in seconds, as far as the cost per iteration is known."""
    median, low, high = row.modelled_median, row.modelled_low, row.modelled_high
    if not np.isfinite(median):
        return Cell(median, quantities.seconds(median))
    interval = (
        "" if low == high or np.isnan(low) else f" [{quantities.seconds(low)}, {quantities.seconds(high)}]"
    )
    return Cell(median, f"{quantities.between_seconds(row.after_modelled_median, median)}{interval}")


def pairs_table(pairs: Sequence[DevicePair], infos: Infos) -> Table:
    """Return one row per imperfect device that trained beside the ideal one."""
    columns = (
        words("device", lambda pair: infos[pair.optimizer].title),
        words("beside", lambda pair: infos[pair.ideal].title),
        tables.SECTION,
        words("problem", lambda pair: f"{pair.problem}, N = {quantities.count(pair.size)}"),
        Column("seeds", lambda pair: Cell(pair.seeds, f"{pair.seeds}{_diverged(pair)}")),
        words("medians, ideal → this device", _medians),
        words("training ends", lambda pair: f"{pair.verdict}: {pair.note}" if pair.note else pair.verdict),
        Column("p of no worse", lambda pair: _p(pair, pair.p_inside)),
        Column("p of worse", lambda pair: _p(pair, pair.p_outside)),
        tables.RECORDS,
    )
    further = " or ".join(margin_text(score) for score in further_scores(pairs) or (TEST_ACCURACY,))
    caption = (
        "Imperfect devices beside the ideal one, the same optimizer on the same seeds. “No worse”: by less than "
        f"{margin_text(TRAINING_LOSS)} and, where there is one, {further}, margins fixed beforehand; "
        "“worse”: by more in either. Exact one-sided signed-rank tests, p corrected for the number of devices (Holm)."
    )
    return tables.table_of("device-pairs", caption, columns, pairs, pd.DataFrame(map(_data, pairs)))


def _medians(pair: DevicePair) -> str:
    changes = "; ".join(f"{each.score.title} {change(each)}" for each in pair.scores)
    return changes or quantities.NOT_MEASURED


def _p(pair: DevicePair, value: float) -> Cell:
    return Cell(None, quantities.NOT_MEASURED) if pair.note else tables.number(value, quantities.significant)


def _data(pair: DevicePair) -> dict[str, object]:
    return {
        c.OPTIMIZER: pair.optimizer,
        "ideal": pair.ideal,
        c.GROUP: pair.group,
        c.PROBLEM: pair.problem,
        c.PARAMETERS: pair.size,
        "seeds": pair.seeds,
        "diverged": pair.diverged,
        **{f"{each.score.final}_ideal": each.ideal for each in pair.scores},
        **{each.score.final: each.own for each in pair.scores},
        "verdict": pair.verdict,
        "note": pair.note,
        "p_no_worse": pair.p_inside,
        "p_worse": pair.p_outside,
        "keys": pair.keys,
    }
