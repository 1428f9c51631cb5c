"""The section on what the device would have to do, and the sentence that says what decides."""

from __future__ import annotations

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost import break_even
from tngd_bench.analysis.cost.device_use import DeviceUse
from tngd_bench.report.cost.energy_table import energy_table
from tngd_bench.report.document.figures import charts_of
from tngd_bench.report.document.section import Section
from tngd_bench.report.map.map_view import MapView, device_title
from tngd_bench.report.map.what_if import explorer
from tngd_bench.studies.store import columns as c

TITLE = "What the device would have to do"


def what_if_section(view: MapView) -> tuple[Section, str]:
    """Return the section, and what decides in one sentence."""
    calibrations, use = view.calibrations, view.use
    if use is None or not view.device_name or not calibrations.digital:
        absent = (
            "No device was timed beside a digital second-order optimizer in this study, or it cannot be made here "
            "(see “What the numbers rest on”)."
        )
        return Section("what-if", TITLE, absent=absent), f"Not modelled. {absent}"
    energies = energy_table(calibrations, view.devices)
    section = Section(
        "what-if",
        TITLE,
        prose=f"The study's device is {device_title(use)}, τ = {quantities.seconds(use.device.time_constant_s)}, "
        f"{use.device.word_bits} bits a word, t = {use.analog.analog_time:g} τ. Everything here is modelled."
        + _best_case(use),
        charts=charts_of("what-if", view),
        tables=() if energies is None else (energies,),
        explorer=explorer(calibrations, view.batch, use, view.infos, break_even.exact_labels(calibrations)),
    )
    return section, decides(view, use)


def _best_case(use: DeviceUse) -> str:
    if not use.not_stated:
        return ""
    return (
        f" The device states no time for {quantities.items(use.not_stated)} and none is counted: its times and the "
        "link rates that it needs are lower bounds."
    )


def decides(view: MapView, use: DeviceUse) -> str:
    """Return what the device's iteration is made of at the largest measured size, and what would make it as fast."""
    calibrations, summary, name = view.calibrations, view.results.cost_summary, view.device_name
    main = calibrations.main
    here = c.only(
        summary, batch_size=main[c.BATCH_SIZE], outputs=main[c.OUTPUTS], optimizer=calibrations.device_label
    )
    own = here.sort_values(c.PARAMETERS, kind="stable").iloc[-1]
    beside = summary[(summary[[c.GROUP, c.PARAMETERS]] == own[[c.GROUP, c.PARAMETERS]]).all(axis=1)]
    exact = beside[beside[c.OPTIMIZER].isin(break_even.exact_labels(calibrations))]
    if pd.isna(own["total_median_s"]):
        return (
            f"At N = {quantities.count(own[c.PARAMETERS])}, m = {quantities.count(own[c.ROWS])} {name} takes at least "
            f"{quantities.seconds(float(own['at_least_s']))}; its device states no time for "
            f"{quantities.items(use.not_stated)}, so that what decides is not known."
        )
    parts = {
        "its host (measured)": float(own["digital_median_s"]),
        "its link and writing (modelled)": float(own[c.WRITE_S] + own[c.READ_S]),
        "its relaxation (modelled)": float(own[c.RELAX_S]),
    }
    longest = max(parts, key=lambda part: parts[part])
    head = (
        f"At N = {quantities.count(own[c.PARAMETERS])}, m = {quantities.count(own[c.ROWS])} {longest} takes "
        f"{quantities.seconds(parts[longest])} of {name}'s {quantities.seconds(float(own['total_median_s']))}"
    )
    if exact.empty:
        return f"{head}; no exact natural gradient was timed there."
    rival = exact.sort_values("total_median_s", kind="stable").iloc[0]
    rival_name = view.infos[str(rival[c.OPTIMIZER])].title
    rest = parts["its host (measured)"] + parts["its relaxation (modelled)"]
    level = _level(view, use, int(own[c.PARAMETERS]), rival_name, float(rival["total_median_s"]), rest)
    texts = [text for text in view.crossover_texts if rival_name in text]
    return f"{head}; {level}." + (f" Modelled: {texts[0]}." if texts else "")


def _level(view: MapView, use: DeviceUse, size: int, rival: str, rival_s: float, rest_s: float) -> str:
    """Return the link rate at which the device, `rest_s` of host and relaxation apart, is as fast as its rival."""
    if rival_s <= rest_s:
        return (
            f"no link rate is enough there: host and relaxation alone exceed the {quantities.seconds(rival_s)} of "
            f"{rival}"
        )
    main = view.calibrations.main
    line = break_even.line(view.calibrations, use, size, main[c.OUTPUTS], (main[c.BATCH_SIZE],), draws=1)
    bits = float("nan") if line is None else float(line.bits[0])
    return f"it is as fast as {rival} at {quantities.bit_rate(bits / (rival_s - rest_s))}"
