"""The map and the what-if of a report, and the sentence that says what decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost import break_even, caveats
from tngd_bench.analysis.cost.calibration import Calibrations
from tngd_bench.analysis.cost.device_use import DeviceUse
from tngd_bench.analysis.cost.rates import uncounted
from tngd_bench.analysis.cost.recorded_devices import own_devices
from tngd_bench.analysis.families import OptimizerInfo
from tngd_bench.analysis.map.cost_map import cheapest
from tngd_bench.analysis.map.plane import Plane, plane
from tngd_bench.analysis.results import Results
from tngd_bench.optimizers import registry
from tngd_bench.report.cost import break_even_charts
from tngd_bench.report.cost.energy_table import energy_table
from tngd_bench.report.document.charting import Chart
from tngd_bench.report.document.missing_figures import several_figures
from tngd_bench.report.document.palette import Mark, marks
from tngd_bench.report.document.section import Section
from tngd_bench.report.document.tables import Table
from tngd_bench.report.map import map_charts, map_tables
from tngd_bench.report.map import what_if as explorer
from tngd_bench.report.map.target_maps import target_maps
from tngd_bench.spu.device import Device

LINKS = (5e9, 5e10, 5.12e11, 3.6e12, 2.68e13, None)
"""A tenth of the paper's, the paper's, PCIe 5.0 x16, NVLink 4, HBM3, unlimited (hardware parameters of the suite)."""
DECADES = (10_000, 1_000_000, 100_000_000)
_EXACT = "the fastest exact natural gradient"
_KFAC = "K-FAC"
NOTHING_VOUCHED = (
    "No map over N and b: at no size are the two quickest vouched for within a factor of 1.5. More sizes in the cost "
    "sections of one problem would tell."
)


@dataclass(frozen=True)
class MapResults:
    """The two sections, and what decides in one sentence."""

    map: Section
    what_if: Section
    decides: str


def map_results(results: Results) -> MapResults:
    """Return the map and what-if sections."""
    infos, summary, calibrations = results.infos, results.cost_summary, results.calibrations
    if calibrations is None:
        absent = "No second-order optimizer was timed in this study, so nothing can be predicted."
        return MapResults(
            Section("map", "Who is cheapest where", absent=absent),
            Section("what-if", "What the device would have to do", absent=absent),
            "Not measured: no second-order optimizer was timed.",
        )
    styles = marks(infos)
    use = calibrations.use
    batch = plane(calibrations, "batch_size", calibrations.main["outputs"])
    outputs = plane(calibrations, "outputs", calibrations.main["batch_size"])
    uses = [] if use is None else device_uses(use, results.trials)
    maps = _maps(calibrations, batch, outputs, use, uses, infos, styles)
    reached = map_tables.lowest_times(results.trials, results.times_to_target, results.hits)
    untimed = caveats.named(results.unstated("training"), infos)
    by_target = break_even_charts.place_chart(reached, infos, styles, untimed)
    over_target, rests_on = target_maps(results, calibrations, styles)
    charts = (*maps, *over_target, *((by_target,) if by_target is not None else ()))
    prose = (
        f"Over sizes nobody ran: which second-order optimizer has the shortest iteration, at b = "
        f"{calibrations.main['batch_size']} or d_z = {calibrations.main['outputs']} held fixed. “Exact” maps leave out "
        f"K-FAC, which solves an approximate system. Models: the family of {calibrations.counts.problem}."
    )
    section = Section(
        "map",
        "Who is cheapest where",
        prose=prose,
        points=(
            *_map_points(calibrations, batch, use, infos),
            rests_on,
            *_left_out(summary, infos),
            *([break_even_charts.place_words(reached, infos)] if by_target is None and len(reached) else []),
        ),
        charts=charts,
        tables=(
            *_crossover_table(calibrations, use, infos),
            map_tables.calibration_table(calibrations, infos),
        ),
    )
    what_if, decides = _what_if(calibrations, batch, use, uses, summary, infos)
    return MapResults(section, what_if, decides)


def _left_out(summary: pd.DataFrame, infos: Mapping[str, OptimizerInfo]) -> tuple[str, ...]:
    names = uncounted(summary, infos)
    if not names:
        return ()
    return (f"Timed, and on no map, since no formula counts its operations: {quantities.listed(names)}.",)


def _kfac(calibrations: Calibrations) -> tuple[str, ...]:
    return tuple(label for label in calibrations.digital if calibrations.infos[label].method == "kfac")


def device_title(use: DeviceUse | None) -> str:
    """Return e.g. "paper, 50 Gb/s"."""
    if use is None:
        return "no device"
    rate = use.device.link_rate_bits_per_s
    return f"{use.device.name}, {'unlimited link' if rate is None else quantities.bit_rate(rate)}"


def device_uses(use: DeviceUse, trials: pd.DataFrame) -> list[tuple[str, DeviceUse]]:
    """Return the study's own devices and every installed preset, used as the study uses its device.

    The preset "ideal" is the unlimited link again.
    """
    presets = [Device.preset(name) for name in Device.presets() if name != "ideal"]
    used = [replace(use, device=device) for device in (*own_devices(trials), *presets)]
    return [(device_title(each), each) for each in used]


def link_uses(use: DeviceUse) -> list[tuple[str, DeviceUse]]:
    """Return the study's device on other links, the arrays sent whole and in factors."""
    uses = []
    for upload in ("full", "factored"):
        for rate in LINKS if upload == "full" else (5e10, 5.12e11):
            device = use.device.override(link_rate_bits_per_s=rate, upload=upload)
            text = "unlimited" if rate is None else quantities.bit_rate(rate)
            uses.append((f"{text}, {upload}", replace(use, device=device)))
    return uses


@several_figures("maps of who is cheapest")
def _maps(
    calibrations: Calibrations,
    batch: Plane,
    outputs: Plane,
    use: DeviceUse | None,
    every: Sequence[tuple[str, DeviceUse]],
    infos: Mapping[str, OptimizerInfo],
    styles: Mapping[str, Mark],
) -> list[Chart]:
    kfac, title = _kfac(calibrations), device_title(use)
    bounds = "" if use is None else lower_bounds([(title, use)])
    charts: list[Chart] = []
    for area, words, name in ((batch, "N and b", "batch"), (outputs, "N and d_z", "outputs")):
        for without, kind, heading in (
            (kfac, "exact", "Cheapest exact solver"),
            ((), "all", "The same with K-FAC,"),
        ):
            if kind == "all" and not kfac:
                continue
            found = cheapest(area, use, without)
            if not found.vouched.any():
                continue
            note = map_charts.AS_ABOVE if charts else f"{map_charts.NOTE}{bounds}"
            heading = f"{heading} over {words} ({title})"
            charts.append(
                map_charts.map_chart(found, f"map-{kind}-{name}", heading, infos, styles, note=note)
            )
    if use is not None:
        for name, title, uses in (
            ("map-presets", "Cheapest exact solver, by device", every),
            ("map-links", "Cheapest exact solver, by link and upload", link_uses(use)),
        ):
            panels = [(heading, cheapest(batch, each, kfac)) for heading, each in uses]
            if not any(found.vouched.any() for _, found in panels):
                continue
            note = f"{map_charts.AS_ABOVE}{lower_bounds(uses)}"
            charts.append(map_charts.multiples(panels, name, title, infos, styles, note))
    return charts


def lower_bounds(uses: Sequence[tuple[str, DeviceUse]]) -> str:
    """Return a sentence on the devices whose bill has items without a stated time, "" where none has."""
    unstated = {use.device.name: quantities.items(use.not_stated) for _, use in uses if use.not_stated}
    if not unstated:
        return ""
    named = "; ".join(f"{name} ({items})" for name, items in sorted(unstated.items()))
    return f" {map_charts.AT_BEST} Not stated: {named}."


def _map_points(
    calibrations: Calibrations, batch: Plane, use: DeviceUse | None, infos: Mapping[str, OptimizerInfo]
) -> tuple[str, ...]:
    device, points = calibrations.device_label, [map_tables.unseen_words(calibrations, infos)]
    if not cheapest(batch, use, _kfac(calibrations)).vouched.any():
        points.append(NOTHING_VOUCHED)
    if use is not None and device is not None:
        size = calibrations.main["parameters"]
        points += [f"{text}." for text in _crossover_texts(calibrations, use, size, infos, device)]
    varied = pd.concat([c.points for c in calibrations.by_label.values()])
    for name, title in (("batch_size", "b"), ("outputs", "d_z")):
        if varied[name].nunique() == 1:
            points.append(
                f"{title} was never varied on {calibrations.counts.problem} ({title} = {int(varied[name].iloc[0])}): "
                "how cost grows with it rests on the counts alone, and boundaries across it are wide. A cost section "
                "with several values on that problem would settle it."
            )
    return tuple(points)


def _sizes(calibrations: Calibrations) -> tuple[int, ...]:
    """Return the largest measured N and the decades beyond it that the statements speak of."""
    largest = calibrations.main["parameters"]
    return (largest, *(size for size in DECADES if size > 2 * largest))


def _crossovers(
    calibrations: Calibrations, use: DeviceUse, size: int, infos: Mapping[str, OptimizerInfo]
) -> list[break_even.BreakEven]:
    found = break_even.line(calibrations, use, size, calibrations.main["outputs"])
    if found is None:
        return []
    crossovers = break_even.crossovers(found, use)
    return [c for c in crossovers if registry.get(infos[c.rival].method).break_even]


def _crossover_texts(
    calibrations: Calibrations, use: DeviceUse, size: int, infos: Mapping[str, OptimizerInfo], device: str
) -> list[str]:
    return [crossing.text(infos, device) for crossing in _crossovers(calibrations, use, size, infos)]


def _crossover_table(
    calibrations: Calibrations, use: DeviceUse | None, infos: Mapping[str, OptimizerInfo]
) -> tuple[Table, ...]:
    device = calibrations.device_label
    if use is None or device is None:
        return ()
    found = [c for size in _sizes(calibrations) for c in _crossovers(calibrations, use, size, infos)]
    return (map_tables.crossover_table(found, infos, device),) if found else ()


def _what_if(
    calibrations: Calibrations,
    batch: Plane,
    use: DeviceUse | None,
    uses: Sequence[tuple[str, DeviceUse]],
    summary: pd.DataFrame,
    infos: Mapping[str, OptimizerInfo],
) -> tuple[Section, str]:
    title, device = "What the device would have to do", calibrations.device_label
    exact, kfac = break_even.exact_labels(calibrations), _kfac(calibrations)
    if use is None or device is None or not calibrations.digital:
        absent = (
            "No device was timed beside a digital second-order optimizer in this study, or it cannot be made here "
            "(see “What the numbers rest on”)."
        )
        return Section("what-if", title, absent=absent), f"Not modelled. {absent}"
    name, d_z = infos[device].title, calibrations.main["outputs"]
    rivals = {rival: labels for rival, labels in ((_EXACT, exact), (_KFAC, kfac)) if labels}
    lines = [break_even.line(calibrations, use, size, d_z) for size in DECADES]
    frames = [break_even.break_even_rates(line, rivals) for line in lines if line is not None]
    rates = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["rival"])
    charts = [
        break_even_charts.rate_chart(rates[rates["rival"] == rival], rival, name, d_z)
        for rival in rivals
        if (rates["rival"] == rival).any()
    ]
    size = calibrations.main["parameters"]
    for rival, labels in rivals.items():
        frame = break_even.sensitivities(calibrations, use, size, d_z, (32, 512, 8192), labels)
        if len(frame):
            charts.append(break_even_charts.sensitivity_chart(frame, rival, name, use))
    section = Section(
        "what-if",
        title,
        prose=f"The study's device is {device_title(use)}, τ = {quantities.seconds(use.device.time_constant_s)}, "
        f"{use.device.word_bits} bits a word, t = {use.analog.analog_time:g} τ. Everything here is modelled."
        + _best_case(use),
        charts=tuple(charts),
        tables=tuple(table for table in (energy_table(calibrations, uses),) if table is not None),
        explorer=explorer.explorer(calibrations, batch, use, infos, exact),
    )
    return section, decides(calibrations, use, summary, infos)


def _best_case(use: DeviceUse) -> str:
    if not use.not_stated:
        return ""
    return (
        f" The device states no time for {quantities.items(use.not_stated)} and none is counted: its times and the "
        "link rates that it needs are lower bounds."
    )


def decides(
    calibrations: Calibrations, use: DeviceUse, summary: pd.DataFrame, infos: Mapping[str, OptimizerInfo]
) -> str:
    """Return what the device's iteration is made of at the largest measured size, and what would make it as fast."""
    device = calibrations.device_label
    assert device is not None
    main = calibrations.main
    here = summary[
        (summary["batch_size"] == main["batch_size"])
        & (summary["outputs"] == main["outputs"])
        & (summary["optimizer"] == device)
    ]
    own = here.sort_values("parameters", kind="stable").iloc[-1]
    beside = summary[(summary[["group", "parameters"]] == own[["group", "parameters"]]).all(axis=1)]
    exact = beside[beside["optimizer"].isin(break_even.exact_labels(calibrations))]
    name = infos[device].title
    if pd.isna(own["total_median_s"]):
        return (
            f"At N = {quantities.count(own['parameters'])}, m = {quantities.count(own['rows'])} {name} takes at least "
            f"{quantities.seconds(float(own['at_least_s']))}; its device states no time for "
            f"{quantities.items(use.not_stated)}, so that what decides is not known."
        )
    parts = {
        "its host (measured)": float(own["digital_median_s"]),
        "its link and writing (modelled)": float(own["write_s"] + own["read_s"]),
        "its relaxation (modelled)": float(own["relax_s"]),
    }
    longest = max(parts, key=lambda part: parts[part])
    head = (
        f"At N = {quantities.count(own['parameters'])}, m = {quantities.count(own['rows'])} {longest} takes "
        f"{quantities.seconds(parts[longest])} of {name}'s {quantities.seconds(float(own['total_median_s']))}"
    )
    if exact.empty:
        return f"{head}; no exact natural gradient was timed there."
    rival = exact.sort_values("total_median_s", kind="stable").iloc[0]
    rival_name, rival_s = infos[str(rival["optimizer"])].title, float(rival["total_median_s"])
    left = rival_s - parts["its host (measured)"] - parts["its relaxation (modelled)"]
    if left <= 0:
        level = (
            f"no link rate is enough there: host and relaxation alone exceed the {quantities.seconds(rival_s)} of "
            f"{rival_name}"
        )
    else:
        found = break_even.line(
            calibrations, use, int(own["parameters"]), main["outputs"], (main["batch_size"],), draws=1
        )
        bits = float("nan") if found is None else float(found.bits[0])
        level = f"it is as fast as {rival_name} at {quantities.bit_rate(bits / left)}"
    texts = [
        text
        for text in _crossover_texts(calibrations, use, main["parameters"], infos, device)
        if infos[str(rival["optimizer"])].title in text
    ]
    return f"{head}; {level}." + (f" Modelled: {texts[0]}." if texts else "")
