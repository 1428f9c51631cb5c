"""The section on who is cheapest where, with the tables of rates and crossovers behind its maps."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost.break_even import BreakEven
from tngd_bench.analysis.cost.calibration import Calibration, Calibrations
from tngd_bench.analysis.cost.iteration_cost import SETTING, paired_ratio
from tngd_bench.analysis.cost.leads import Lead, together
from tngd_bench.analysis.cost.rates import uncounted
from tngd_bench.analysis.families import Infos, OptimizerInfo
from tngd_bench.analysis.map.cost_map import cheapest
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.statistics import discrepancy
from tngd_bench.report.document import tables
from tngd_bench.report.document.figures import charts_of
from tngd_bench.report.document.section import Section, guarded
from tngd_bench.report.document.tables import Cell, Column, Table, amount, number, words
from tngd_bench.report.map.break_even_charts import place_words, shows_a_plane
from tngd_bench.report.map.map_view import DECADES, MapView
from tngd_bench.report.map.what_if_section import TITLE as WHAT_IF
from tngd_bench.report.map.what_if_section import panel_data, what_if_section
from tngd_bench.studies.store import columns as c

TITLE = "Who is cheapest where"
NOTHING_VOUCHED = (
    "No map of exact solvers over N and b: at no size are the predictions of the two quickest known to within a factor "
    "of 1.5. More sizes in the cost sections of one problem would help."
)


@dataclass(frozen=True)
class MapResults:
    """The two sections, and what decides in one sentence."""

    map: Section
    what_if: Section
    decides: str


def map_results(results: Results) -> MapResults:
    """Return the map and what-if sections; call it inside `charting.style()`."""
    try:
        calibrations = results.calibrations
    except Exception as error:
        parts = (Section.failed("map", TITLE, error), Section.failed("what-if", WHAT_IF, error))
        return MapResults(*parts, _not_made(error))
    if calibrations is None:
        return MapResults(
            Section("map", TITLE), Section("what-if", WHAT_IF), "Not measured: no second-order optimizer."
        )
    view = MapView(results, calibrations)
    with panel_data(view) as panel:
        (maps,) = guarded("map", TITLE, lambda: [map_section(view)])
        try:
            return MapResults(maps, *what_if_section(view, panel))
        except Exception as error:
            return MapResults(maps, Section.failed("what-if", WHAT_IF, error), _not_made(error))


def _not_made(error: Exception) -> str:
    return f"Not known: the section could not be made ({type(error).__name__}: {error})."


def map_section(view: MapView) -> Section:
    """Return the section with the maps, the statements beside them and the tables behind them."""
    main, problem = view.calibrations.main, view.calibrations.counts.problem
    largest = main[c.PARAMETERS]
    sizes = (largest, *(size for size in DECADES if size > 2 * largest))
    crossovers = [crossing for size in sizes for crossing in view.crossovers(size)]
    device = str(view.calibrations.device_label)
    others = [view.infos[label].title for label in view.approximate]
    exact = f" Maps of exact solvers leave out {quantities.listed(others)}." if others else ""
    return Section(
        "map",
        TITLE,
        prose="Which second-order optimizer has the shortest step, predicted at sizes that were not "
        f"run.{exact} Models are the family of {problem}, with d_z = "
        f"{main[c.OUTPUTS]} over N and b, and with b = {main[c.BATCH_SIZE]} over N and d_z.{device_words(view)}"
        f"{quicker_words(view)}",
        points=tuple(_points(view)),
        charts=charts_of("map", view),
        tables=(
            *([crossover_table(crossovers, view.infos, device)] if crossovers else []),
            calibration_table(view.calibrations, view.infos),
        ),
    )


def device_words(view: MapView) -> str:
    """Return a sentence on the optimizers on a device that no map has; "" where only one was timed."""
    infos, device = view.infos, view.calibrations.device_label
    timed = c.only(view.results.finished_costs, problem=view.calibrations.counts.problem)[
        c.OPTIMIZER
    ].unique()
    others = [infos[label].title for label in timed if infos[label].modelled and label != device]
    if device is None or not others:
        return ""
    return (
        f" One optimizer on a device is on the maps, {infos[device].title}, and not {quantities.few(others)}."
    )


def quicker_words(view: MapView) -> str:
    """Return the settings confirmed quicker than the one with which their optimizer is in the maps."""
    infos, mapped = view.infos, view.calibrations.by_label
    found: list[tuple[str, str, Lead]] = []
    timed = c.only(view.results.finished_costs, problem=view.calibrations.counts.problem)
    for setting, part in c.groups(timed, SETTING):
        present = set(part[c.OPTIMIZER])
        for label, own in infos.items():
            alike = (
                each
                for each in mapped
                if (own.modelled and infos[each].modelled) or infos[each].method == own.method
            )
            stands = next(alike, None)
            if label in mapped or label not in present or stands not in present or stands is None:
                continue
            ratio, size = paired_ratio(part, stands, label), int(setting[c.PARAMETERS])
            times = part.groupby(c.OPTIMIZER)[c.TOTAL_S].median()
            against = " against ".join(quantities.seconds(float(times[each])) for each in (label, stands))
            said = f"{infos[label].title}, {against} at N = {quantities.count(size)}"
            found.append((label, said, Lead(size, label, stands, ratio, view.results.run_spread)))
    leads = together([lead for *_, lead in found])
    sure = {label: said for (label, said, _), lead in zip(found, leads, strict=True) if not lead.doubt}
    if not sure:
        return ""
    named = quantities.few([*sure.values()])
    return f" Each optimizer has one setting there, the plainest, and others were quicker: {named}."


def _points(view: MapView) -> Iterator[str]:
    yield unseen_words(view.calibrations, view.infos)
    exact = cheapest(view.between[0], view.use, view.approximate)
    labels = (*exact.labels, *view.approximate)
    if len(labels) < 2:
        alone = view.infos[labels[0]].title if labels else "none"
        yield f"Nothing to compare on a map: the only second-order optimizer with a formula is {alone}."
    elif len(exact.labels) < 2:
        alone = f"one was timed ({view.infos[exact.labels[0]].title})" if exact.labels else "none was timed"
        yield f"No map of exact solvers, as there is nothing to compare: {alone}."
    elif not exact.vouched.any():
        yield NOTHING_VOUCHED
    yield from (f"{text}." for text in view.crossover_texts)
    varied = pd.concat([each.points for each in view.calibrations.by_label.values()])
    for name, title in ((c.BATCH_SIZE, "b"), (c.OUTPUTS, "d_z")):
        if varied[name].nunique() == 1:
            yield (
                f"{title} was never varied on {view.calibrations.counts.problem} ({title} = "
                f"{int(varied[name].iloc[0])}). How the cost grows with it comes from counted operations alone, so "
                "that boundaries across it are wide. A cost section with several values of it would narrow them."
            )
    yield view.targets.words
    if about := view.results.about_formats(view.calibrations.by_label):
        yield about
    names = uncounted(view.results.cost_summary, view.infos)
    if names:
        yield f"On no map, since no formula predicts their cost: {quantities.listed(names)}."
    if len(view.reached) and not shows_a_plane(view.reached):
        yield place_words(view.reached, view.infos)


def calibration_table(calibrations: Calibrations, infos: Infos) -> Table:
    """Return the rates behind the maps and how well they predict each measured size from the others."""
    data = pd.DataFrame([_rates(label, found) for label, found in calibrations.by_label.items()])
    columns = (
        words("optimizer", lambda row: _host_title(infos[row.optimizer])),
        amount("measured sizes", c.SETTINGS, str),
        amount("overhead", "overhead_s", quantities.seconds, "fitted"),
        Column("rate of operations", lambda row: _rate(row.flops_per_s, "Gop/s"), "fitted"),
        Column("rate of bytes", lambda row: _rate(row.bytes_per_s, "GB/s"), "fitted"),
        amount("credible readings", "readings", str),
        Column("spread of measured/predicted (1 σ)", lambda row: _factor(row.sigma)),
        Column("the same, added per factor of e from measured sizes", lambda row: _factor(row.gamma)),
        Column(
            "measured/predicted, range",
            lambda row: Cell(row.worst_low, quantities.span(row.worst_low, row.worst_high)),
        ),
    )
    caption = (
        "The rates behind the maps: measured digital time against closed-form operations and bytes. The spread says "
        "how well each size is predicted from the others. Beyond measured sizes the formula may fail. One prediction "
        "in twenty is then off by more than a factor of two at once. The error also grows with the distance from "
        "measured sizes: as fast as it did for the largest sizes when they were left out, and at least by "
        f"×/÷ {quantities.significant(np.exp(discrepancy.LEAST_GAMMA))}. The error of a prediction holds all of "
        f"this. It also holds the spread from run to run: {calibrations.run_spread.words}."
    )
    return tables.table_of("calibration", caption, columns, data)


def _rates(label: str, found: Calibration) -> dict[str, object]:
    overhead, flop, byte = found.readings[0]
    ratios = found.points["ratio"]
    return {
        c.OPTIMIZER: label,
        c.SETTINGS: len(found.points),
        "overhead_s": overhead,
        "flops_per_s": 1.0 / flop if flop else np.nan,
        "bytes_per_s": 1.0 / byte if byte else np.nan,
        "readings": len(found.readings),
        "sigma": found.sigma,
        "gamma": found.gamma,
        "worst_low": float(ratios.min()),
        "worst_high": float(ratios.max()),
    }


def _host_title(info: OptimizerInfo) -> str:
    return f"{info.title}, host" if info.modelled else info.title


def _rate(value: float, unit: str) -> Cell:
    return number(value, lambda rate: f"{quantities.significant(1e-9 * rate)} {unit}", none="–")


def _factor(sigma: float) -> Cell:
    return number(np.exp(sigma), quantities.significant, "×/÷ ", none="not measured")


def unseen_words(calibrations: Calibrations, infos: Infos) -> str:
    """Return the errors of predictions at measured sizes that their calibration did not see."""
    parts = []
    for label, found in calibrations.by_label.items():
        if found.unseen is not None and len(found.unseen.ratio_logs):
            ratios = np.exp(found.unseen.ratio_logs)
            span = quantities.span(float(ratios.min()), float(ratios.max()))
            parts.append(f"{_host_title(infos[label])} {span} ({quantities.number_of(len(ratios), 'size')})")
    if not parts:
        return "The error of predictions at sizes left out of their fit was not measured: there are too few sizes."
    return (
        "Measured over predicted time at sizes left out of the fit, the largest N, b and d_z in turn. "
        f"{'. '.join(parts)}."
    )


def crossover_table(found: Sequence[BreakEven], infos: Infos, device: str) -> Table:
    """Return from which m on the device's iteration is the shorter one, by rival and N."""
    columns = (
        words("rival", lambda each: infos[each.rival].title),
        Column("N", lambda each: number(each.parameters)),
        Column("ahead above m [95 % interval]", _above, "predicted"),
        Column(
            "ahead at small m too",
            lambda each: number(each.below or None, before="≤ ", none="–"),
            "predicted",
        ),
        Column("link", _link),
        words(
            "digital seconds", lambda each: "extrapolated" if each.extrapolated else "between measured sizes"
        ),
    )
    first = found[0]
    span = f"m = {quantities.count(first.smallest)} to {quantities.count(first.largest)}"
    caption = (
        f"From which m = b·d_z on {infos[device].title} has the shorter iteration (d_z = {first.outputs}, {span}). "
        "Extrapolated: host and rival are predicted beyond the sizes that were measured."
    )
    if first.not_stated:
        items = quantities.items(first.not_stated)
        caption += f" At best (≥): no time is stated for {items}, and none is counted."
    rows = (dataclasses.asdict(each) | {c.NOT_STATED: " ".join(each.not_stated)} for each in found)
    data = pd.DataFrame(rows)
    if not data[c.NOT_STATED].any():
        data = data.drop(columns=c.NOT_STATED)
    return tables.table_of("crossovers", caption, columns, found, data)


def _above(each: BreakEven) -> Cell:
    if np.isinf(each.rows_m):
        bound = "" if np.isinf(each.low) else f" [from {_rounded(each.low)}]"
        return Cell(None, f"no crossover in range{bound}")
    if each.undetermined:
        return Cell(each.rows_m, "not determined")
    low, high = ("beyond" if np.isinf(bound) else _rounded(bound) for bound in (each.low, each.high))
    return Cell(each.rows_m, f"{'≥ ' if each.not_stated else ''}{_rounded(each.rows_m)} [{low}, {high}]")


def _link(each: BreakEven) -> Cell:
    rate = each.link_rate
    return Cell(math.inf, "unlimited") if rate is None else number(rate, quantities.bit_rate)


def _rounded(value: float) -> str:
    return quantities.count(float(f"{value:.1e}"))
