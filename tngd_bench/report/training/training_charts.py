"""Charts of training: metrics over iterations and time, time to each level, performance profiles; bands over seeds."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.findings.convergence import main_training
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.training import convergence, profiles
from tngd_bench.analysis.training.convergence import bands_at_iteration, bands_at_time, finished_curves
from tngd_bench.problems import registered_metrics
from tngd_bench.problems.metrics import TRAINING_LOSS, CurveMetric
from tngd_bench.report.document import charting, panels, scales, slugs
from tngd_bench.report.document.charting import Chart, draw_band, draw_line, line_style
from tngd_bench.report.document.figures import figure_of
from tngd_bench.report.document.palette import marks, strength
from tngd_bench.report.document.panels import LineGroup, line_groups
from tngd_bench.studies.store import columns as c

_TIME = "time (measured digital + modelled device)"


@dataclass(frozen=True)
class Convergence:
    """One metric of the optimizers `lines` of a section, and its `bands` over seeds `against` iterations or time."""

    group: str
    where: str
    score: CurveMetric
    against: str
    bands: pd.DataFrame
    lines: LineGroup


def _convergence(results: Results) -> Iterator[Convergence]:
    """Yield every section's metrics against iterations and time.

    Where a section has more optimizers than a figure can show, further settings of a method have figures of their own
    of the training loss; see `line_groups`.
    """
    for _, part in finished_curves(results.curves, results.trials).groupby(c.GROUP, sort=True):
        main, *others = line_groups(results.infos, set(part[c.OPTIMIZER]))
        # further settings are drawn after the comparison itself, and by their loss alone: figures would be too many
        wanted = [(main, score) for score in registered_metrics.judged() if score.column in part]
        wanted += [(lines, TRAINING_LOSS) for lines in others]
        for lines, score in wanted:
            for against in _BANDS:
                yield from _bands(part, lines, score, against)


_BANDS = {"iterations": bands_at_iteration, "time": bands_at_time}


def _bands(part: pd.DataFrame, lines: LineGroup, score: CurveMetric, against: str) -> Iterator[Convergence]:
    """Yield one metric of the optimizers `lines` of a section's curves `part`; nothing where it is not known."""
    setting = part.iloc[0]
    size = quantities.count(float(setting[c.PARAMETERS]))
    where = f"{setting[c.PROBLEM]}, N = {size}, b = {setting[c.BATCH_SIZE]}"
    bands = _BANDS[against](part[part[c.OPTIMIZER].isin(lines.labels)], score.column)
    if len(bands):
        yield Convergence(str(setting[c.GROUP]), where, score, against, bands, lines)


@figure_of("convergence", "convergence", cases=_convergence)
def convergence_chart(results: Results, case: Convergence) -> Chart:
    """Draw a metric of one section against iterations or time, medians with bands over seeds."""
    score, against, bands, lines = case.score, case.against, case.bands, case.lines
    infos, styles, title = results.infos, marks(results.infos), score.title
    figure, axes = charting.panel(4.1)
    present = [label for label in lines.labels if label in set(bands[c.OPTIMIZER])]
    if lines.method:
        styles = marks({label: infos[label] for label in present})
    for label in present:
        opacity = strength(label, present, infos) if lines.method else 1.0
        own = c.only(bands, optimizer=label)
        spaced = own.iloc[:: max(1, len(own) // 6)] if against == "time" else own
        mark = styles[label]
        draw_line(axes, own["x"], own["median"], mark, "", marker="", alpha=opacity)
        marked = line_style(mark, alpha=opacity)
        del marked["linewidth"]
        axes.plot([], [], **marked | {"markersize": 5}, label=infos[label].title)
        points = spaced["x"].to_numpy(float), spaced["median"].to_numpy(float)
        axes.plot(*points, **marked | {"markersize": 4, "linestyle": ""})
        draw_band(axes, own, ("x", "low", "high"), mark.colour, 0.14)
    scales.metric_axis(axes, score.metric, positive=bool((bands["low"] > 0).all()))
    if against == "time":
        scales.axis(axes, "x", _TIME, scales.log_seconds)
    else:
        scales.axis(axes, "x", against, scales.whole)
    axes.set_ylabel(title)
    charting.legend_below(figure, axes)
    of, lost = f", {lines.words}" if lines.words else "", _lost(results, case)
    varied = [lines.method, *lines.varied] if lines.method else []
    return Chart(
        slugs.slug(case.group, score.column, against, *varied),
        f"{title[0].upper()}{title[1:]} against {against}{of} ({case.where})",
        _alt(score, against, bands, infos) + lost,
        "Median and quartile band over the finished seeds; evaluation is off the clock."
        + (" A point is a seed's last evaluation up to that time." if against == "time" else "")
        + lost
        + (charting.appended(results.about_formats(present)) if against == "time" else ""),
        figure,
        bands.reset_index(drop=True),
    )


def _lost(results: Results, case: Convergence) -> str:
    """Return a note on seeds that did not finish and are in no line, by optimizer; "" where all finished."""
    final = c.only(c.outside_sweeps(results.final), group=case.group)
    finished = set(c.only(final, status="ok")[c.OPTIMIZER])
    # of whom no seed finished the main figure tells
    labels = {*case.lines.labels, *(set() if case.lines.method else set(final[c.OPTIMIZER]) - finished)}
    tried = final[final[c.OPTIMIZER].isin(labels) & final[c.STATUS].isin(c.TRIED)]
    counts = (tried[c.STATUS] != "ok").groupby(tried[c.OPTIMIZER]).agg(["sum", "size"])
    told = [
        f"{results.infos[label].title} {counts['sum'][label]} of {counts['size'][label]}"
        for label in results.infos
        if label in counts.index and counts["sum"][label]
    ]
    return f" Seeds that did not finish, and are in no line: {', '.join(told)}." if told else ""


def _main_loss(results: Results) -> Iterator[Convergence]:
    """Yield the training loss of the main section against time, of tuned optimizers alone where the device was tuned.

    Against iterations where no time is known.
    """
    section, infos = main_training(results), results.infos
    if section is None:
        return
    tuned, ran = section.labels(tuned=True), section.labels()
    part = finished_curves(results.curves, results.trials)
    part = c.only(part, group=section.part[c.GROUP].iloc[0])
    if len(part):
        main = line_groups(infos, ran)[0].labels
        only = tuned if any(infos[label].modelled for label in tuned) else ran
        lines = LineGroup(tuple(label for label in main if label in only) or main)
        known = (
            case for against in ("time", "iterations") for case in _bands(part, lines, TRAINING_LOSS, against)
        )
        yield from itertools.islice(known, 1)


@figure_of("pictures", "training loss against time", cases=_main_loss, place=20)
def loss_picture(results: Results, case: Convergence) -> Chart | None:
    """Draw the training loss of the main section for the page's first screen."""
    chart = convergence_chart(results, case)
    return chart and replace(chart, name="loss-against-time")


def _alt(score: CurveMetric, against: str, bands: pd.DataFrame, infos: Infos) -> str:
    title = f"{score.title[0].upper()}{score.title[1:]}"
    last = bands.sort_values("x", kind="stable").groupby(c.OPTIMIZER).tail(1)
    last = last.sort_values("median", ascending=not score.metric.larger_is_better, kind="stable")
    ends = ", ".join(
        f"{infos[row.optimizer].title} {quantities.metric(row.median, score.metric)}" for row in c.each(last)
    )
    return f"{title} against {against}, median over seeds. At its last point, best first: {ends}."


FEWEST_TASKS = 3
"""Fewer tasks make no performance profile."""
_CLOCKS = {"iterations": "iterations", "modelled": "time, the device's included"}


def _profiles(results: Results) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield the profiles of optimizers outside sweeps: by iterations, and by time for those with a clock.

    Sections share one where they trained the same optimizers: what was never tried is not missed. Each comes with the
    names of its sections, "" where it has them all.
    """
    plain = c.outside_sweeps(c.only(panels.main_trials(results), kind="training"))
    for clock, ran in (("iterations", plain), ("modelled", panels.with_clock(plain, results))):
        alike: dict[frozenset[str], list[str]] = {}
        for group, part in ran.groupby(c.GROUP, sort=True):
            alike.setdefault(frozenset(part[c.OPTIMIZER]), []).append(str(group))
        for sections in alike.values():
            own = ran[ran[c.GROUP].isin(sections)]
            tasks = profiles.task_times(own, results.curves, results.targets)
            if tasks["task"].nunique() >= FEWEST_TASKS and tasks[c.OPTIMIZER].nunique() > 1:
                where = quantities.listed(sections) if len(alike) > 1 else ""
                yield clock, where, profiles.profiles(tasks, clock)


@figure_of("convergence", "a performance profile", cases=_profiles, place=30)
def profile_chart(results: Results, case: tuple[str, str, pd.DataFrame]) -> Chart:
    """Draw the performance profile on one clock."""
    (clock, where, profile), infos, styles = case, results.infos, marks(results.infos)
    figure, axes = charting.panel(3.9)
    for label, rows in charting.by_optimizer(profile, infos):
        own, look = rows.sort_values("tau"), line_style(styles[label], markersize=4)
        axes.step(own["tau"], own["share"], where="post", **look, label=infos[label].title)
    axes.set(xlim=(1.0, float(profile["tau"].max()) * 1.02), ylim=(-0.03, 1.03))
    scales.percentages(axes)
    axes.set(xlabel=f"factor τ from the best ({_CLOCKS[clock]})", ylabel="share of tasks within τ")
    charting.legend_below(figure, axes)
    starts = c.only(profile, tau=1.0).sort_values("won", ascending=False, kind="stable")
    won = ", ".join(f"{infos[row.optimizer].title} {quantities.percent(row.won)}" for row in c.each(starts))
    tasks = int(profile["tasks"].iloc[0])
    timed = set() if clock == "iterations" else set(profile[c.OPTIMIZER])
    return Chart(
        slugs.slug("performance-profile", clock, *([where] if where else [])),
        f"Performance profile by {_CLOCKS[clock]}{f' ({where})' if where else ''}",
        f"Share of {tasks} tasks (section, target and seed) won, by {_CLOCKS[clock]}: {won}; in "
        f"{quantities.percent(profile['untold'].iloc[0])} the evaluations do not tell who was first.",
        "Dolan-Moré profile up to τ = 4. A miss is within no factor. A task that nobody solved lowers all curves. A "
        "task is won by the optimizer that an evaluation shows at the target before all others. At τ = 1 the curves "
        "count ties too." + charting.appended(results.about_formats(timed)),
        figure,
        profile.reset_index(drop=True),
    )


def _levels(results: Results) -> Iterator[tuple[CurveMetric, str, pd.DataFrame]]:
    """Yield metric, section and bands where the median seed of an optimizer with a clock reaches a level."""
    shown = panels.with_clock(panels.main_trials(results), results)
    for score in registered_metrics.judged():
        if score.column in results.curves:
            bands = convergence.bands_at_level(results.curves, shown, score.column)
            for group, part in bands.groupby(c.GROUP, sort=True):
                if np.isfinite(part["median"].astype(float)).any():
                    yield score, str(group), part.reset_index(drop=True)


@figure_of("convergence", "time to each level", cases=_levels, place=20)
def level_chart(results: Results, case: tuple[CurveMetric, str, pd.DataFrame]) -> Chart:
    """Draw when each level of a metric is reached, with bands over seeds."""
    (curve, group, part), infos, styles = case, results.infos, marks(results.infos)
    title = curve.title
    figure, axes = charting.panel(4.0)
    reached: dict[str, tuple[float, float]] = {}
    for label, own in charting.by_optimizer(part, infos):
        shown = own[np.isfinite(own["median"].astype(float)) & (own["median"] > 0)]
        if shown.empty:
            continue
        look = line_style(styles[label], markevery=max(1, len(shown) // 6), markersize=5)
        level, median, low, high = (
            shown[name].to_numpy(float) for name in ("level", "median", "low", "high")
        )
        axes.plot(median, level, **look, label=infos[label].title)
        band = [values[np.isfinite(high) & (low > 0)] for values in (level, low, high)]
        axes.fill_betweenx(*band, color=look["color"], alpha=0.14, linewidth=0)
        best = int(level.argmax() if curve.metric.larger_is_better else level.argmin())
        reached[label] = (float(level[best]), float(median[best]))
    scales.axis(axes, "x", "time to reach the level (measured digital + modelled device)", scales.log_seconds)
    scales.metric_axis(axes, curve.metric, positive=bool((part["level"] > 0).all()))
    axes.set_ylabel(title)
    charting.legend_below(figure, axes)
    words = ", ".join(
        f"{infos[label].title} {quantities.metric(level, curve.metric)} in {quantities.seconds(time)}"
        for label, (level, time) in reached.items()
    )
    return Chart(
        slugs.slug(group, curve.column, "time-to-level"),
        f"Time to each level of {title} ({group})",
        f"Median time to reach each level of {title}. Best level reached by the median seed: {words}.",
        "Median and quartiles over seeds of the time at which a level is first reached. A seed that never does "
        "counts as ∞, so a line ends where half of the seeds miss."
        + charting.appended(results.about_formats(set(part[c.OPTIMIZER]))),
        figure,
        part,
    )
