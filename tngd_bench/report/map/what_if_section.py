"""The section on what the device would have to do: its energy, the what-if panel, and what decides in one sentence."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from types import MappingProxyType

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost import break_even
from tngd_bench.analysis.cost.calibration import Calibrations
from tngd_bench.analysis.cost.device_use import DeviceUse
from tngd_bench.analysis.cost.iteration_cost import SETTING
from tngd_bench.analysis.cost.leads import strongest_digital
from tngd_bench.report.document import tables
from tngd_bench.report.document.figures import charts_of
from tngd_bench.report.document.section import Section
from tngd_bench.report.document.tables import Cell, Column, Table, amount, number, words
from tngd_bench.report.map.energy_chart import DEFAULT_PROCESSOR, host_joules, host_processor
from tngd_bench.report.map.map_view import MapView, device_title
from tngd_bench.report.map.panel_data import explorer
from tngd_bench.report.map.parts_table import parts_table
from tngd_bench.report.render.processes import beside
from tngd_bench.spu.billing import price_fields
from tngd_bench.spu.device import Device
from tngd_bench.spu.ledger import Ledger
from tngd_bench.spu.processor import Processor
from tngd_bench.studies.file.devices import SET_HERE, SOURCE
from tngd_bench.studies.store import columns as c

TITLE = "What the device would have to do"
_CELLS_A_PROCESS = 40
"""Cells of the map, a dozen quantities each, that take as long as starting a process."""


def _without_panel(use: DeviceUse) -> str:
    """Return why other devices cannot be tried on the page; empty where they can."""
    if use.device.partial_sums_per_tau is not None:
        reason = "this one converts partial sums while it relaxes"
    elif use.analog.delay:
        reason = "the study's optimizer lets the device relax beside the host (delay)"
    else:
        return ""
    return (
        f" Other devices cannot be tried here: {reason}, which the panel's formula does not have. “tngd-bench require” "
        "says what a device needs."
    )


PanelData = dict[str, object]


@contextmanager
def panel_data(view: MapView) -> Iterator[Callable[[], PanelData | None]]:
    """Compute the data of the what-if panel in a process of its own meanwhile; yield what returns it.

    It returns None where there is no panel, and raises what computing the data raised.
    """
    use = view.use
    if use is None or not _is_modelled(view) or _without_panel(use):
        yield lambda: None
        return

    def data() -> PanelData:
        exact = break_even.exact_labels(view.calibrations)
        return explorer(view.calibrations, view.batch, use, view.infos, exact)

    try:
        cells = view.batch.measured.size  # made before the process is forked, which has it then too
    except Exception:
        yield data  # raises it again where the data are asked for
        return
    with beside(data, cells // _CELLS_A_PROCESS) as made:
        yield made


def _is_modelled(view: MapView) -> bool:
    """Whether there is a device to model and a digital rival."""
    return bool(view.use is not None and view.device_name and view.calibrations.digital)


def what_if_section(view: MapView, panel: Callable[[], PanelData | None]) -> tuple[Section, str]:
    """Return the section with the data that `panel` returns (see `panel_data`), and what decides in one sentence."""
    calibrations, use = view.calibrations, view.use
    if use is None or not _is_modelled(view):
        return Section(
            "what-if", TITLE
        ), "Not modelled: no device that can be made here was timed beside a digital rival."
    found = (
        energy_table(calibrations, view.devices, view.results.study, host_processor(view.results)),
        parts_table(calibrations, view.devices),
    )
    bounded = (
        f" The device states no time for {quantities.items(use.not_stated)} and none is counted: its times and the "
        "link rates that it needs are lower bounds."
    )
    section = Section(
        "what-if",
        TITLE,
        prose=f"The study's device is {device_title(use)}, τ = {quantities.seconds(use.device.time_constant_s)}, "
        f"{use.device.word_bits} bits a word, t = {use.analog.analog_time:g} τ. Everything here is modelled."
        + (bounded if use.not_stated else "")
        + _without_panel(use),
        charts=charts_of("what-if", view),
        tables=tuple(table for table in found if table is not None),
        explorer=panel(),
    )
    return section, decides(view, use)


def decides(view: MapView, use: DeviceUse) -> str:
    """Return the longest part of the device's iteration at one size, and the break-even link rate.

    The size is the largest N at the batch size and outputs with the most N; where the device was not timed there, the
    largest of all.
    """
    calibrations, summary, name = view.calibrations, view.results.cost_summary, view.device_name
    timed = c.only(summary, problem=calibrations.counts.problem, optimizer=calibrations.device_label)
    main = {size: calibrations.main[size] for size in (c.BATCH_SIZE, c.OUTPUTS)}
    here = c.only(timed, **main)
    own = (timed if here.empty else here).sort_values(c.PARAMETERS, kind="stable").iloc[-1]
    at = f"b = {quantities.count(own[c.BATCH_SIZE])} and d_z = {quantities.count(own[c.OUTPUTS])}"
    chosen = "timed" if here.empty else f"timed at {at}"
    where = f"At N = {quantities.count(own[c.PARAMETERS])}, m = {quantities.count(own[c.ROWS])} (the largest {chosen})"
    there = summary[(summary[SETTING] == own[SETTING]).all(axis=1)].sort_values(
        "total_median_s", kind="stable"
    )
    exact = there[there[c.OPTIMIZER].isin(break_even.exact_labels(calibrations))]
    if pd.isna(own["total_median_s"]):
        return (
            f"{where} {name} takes at least {quantities.seconds(float(own['at_least_s']))}; its device states no time "
            f"for {quantities.items(use.not_stated)}, so that what decides is not known."
        )
    parts = {
        "its host (measured)": float(own["digital_median_s"]),
        "sending and writing the arrays (modelled)": float(own[c.WRITE_S] + own[c.READ_S]),
        "its relaxation (modelled)": float(own[c.RELAX_S]),
    }
    longest = max(parts, key=lambda part: parts[part])
    head = (
        f"{where}, {quantities.seconds(parts[longest])} of {name}'s "
        f"{quantities.seconds(float(own['total_median_s']))} go to {longest}"
    )
    if exact.empty:
        return f"{head}. No exact natural gradient was timed there."
    rival = exact.iloc[0]
    rival_name, rival_s = view.infos[str(rival[c.OPTIMIZER])].title, float(rival["total_median_s"])
    rate, alone = _rate(view, use, own, rival_s), use.device.transfers_by_link_alone
    rest = "host and relaxation alone exceed" if alone else "all but the link takes longer than"
    level = (
        f"No link rate is enough there: {rest} the {quantities.seconds(rival_s)} of {rival_name}"
        if rate is None
        else f"It is as fast as {rival_name} at {quantities.bit_rate(rate)}"
    )
    quickest = view.infos[str(strongest_digital(there.assign(total_s=there["total_median_s"]), view.infos))]
    if rate is not None and quickest.label != rival[c.OPTIMIZER]:
        least = _rate(
            view, use, own, float(c.only(there, optimizer=quickest.label)["total_median_s"].iloc[0])
        )
        at = "at no link rate" if least is None else f"at {quantities.bit_rate(least)}"
        level += f", and as {quickest.title}, the quickest digital one there, {at}"
    texts = [text for text in view.crossover_texts if rival_name in text]
    return f"{head}. {level}." + (f" Modelled: {texts[0]}." if texts else "")


def _rate(view: MapView, use: DeviceUse, own: pd.Series, rival_s: float) -> float | None:
    """Return the link rate, bits/s, at which the step of a row of the summary takes `rival_s`; None for none."""
    size, outputs, batch_size = (int(own[name]) for name in (c.PARAMETERS, c.OUTPUTS, c.BATCH_SIZE))
    line = break_even.line(view.calibrations, use, size, outputs, (batch_size,), draws=1)
    bits, rate = float("nan") if line is None else float(line.bits[0]), use.device.link_rate_bits_per_s
    alone = use.device.transfers_by_link_alone
    linked = float(own[c.WRITE_S] + own[c.READ_S]) if alone else 0.0 if rate is None else bits / rate
    rest_s = float(own["total_median_s"]) - linked
    return None if rival_s <= rest_s else bits / (rival_s - rest_s)


_KINDS = ("write", "relax", "read")
NOT_STATED = "not stated"


@dataclass(frozen=True)
class _Row:
    device: str
    parameters: int
    batch_size: int
    outputs: int
    bill: Ledger
    host: float | None
    unsourced: tuple[str, ...]
    """Items with a price, for which no source is given."""

    @property
    def least(self) -> float | None:
        """Return the least joules of device and host; None where the host lacks memory."""
        return None if self.host is None else self.host + (self.bill.at_least or 0.0)

    @property
    def unpriced(self) -> str:
        """Return the items without a sourced price in words; one word for none and for all of them."""
        missing = self.bill.not_stated
        named = "all" if len(missing) == len(self.bill.items) else quantities.items(missing)
        counted = f"{quantities.items(self.unsourced)} (a price without a source)" if self.unsourced else ""
        return "; ".join(filter(None, (named, counted))) or "none"


def unsourced_items(device: Device, bill: Ledger, study: Mapping[str, object]) -> tuple[str, ...]:
    """Return the items of `bill` that have a price without a source, neither in the device nor in its `study`."""
    stored = study.get("devices")
    entries = stored.get(device.name, {}) if isinstance(stored, Mapping) else {}

    def sourced(field: str) -> bool:
        entry = entries.get(field, {}) if field not in device.sources else vars(device.sources[field])
        same = entry.get("value", getattr(device, field)) == getattr(device, field)
        return bool(same and entry.get(SOURCE, SET_HERE) != SET_HERE)

    priced = (name for name, value in bill.items.items() if value is not None)
    return tuple(name for name in priced if not all(map(sourced, price_fields(device, name))))


def energy_table(
    calibrations: Calibrations | None,
    uses: Sequence[tuple[str, DeviceUse]],
    study: Mapping[str, object] = MappingProxyType({}),
    processor: Processor | None = None,
) -> Table | None:
    """Return the modelled joules per iteration of each device of `uses` at the sizes measured with one.

    `study` is as stored, with the sources of its own devices; `processor` is the host.
    """
    label = None if calibrations is None else calibrations.device_label
    if calibrations is None or label is None:
        return None
    sizes = calibrations.by_label[label].points[[c.PARAMETERS, c.BATCH_SIZE, c.OUTPUTS]].astype(int)
    processor, counts = processor or Processor.named(DEFAULT_PROCESSOR), calibrations.counts
    models = [
        (counts.iteration(n, b, d_z, layers), (n, b, d_z, layers))
        for n, b, d_z in sizes.itertuples(index=False)
        if (layers := counts.layers(n, d_z)) is not None
    ]
    rows = [
        _Row(
            title, *size[:3], bill, host_joules(use, it, processor), unsourced_items(use.device, bill, study)
        )
        for title, use in uses
        for it, size in models
        for bill in (use.joules(*size),)
    ]
    columns = (
        words("device", lambda row: row.device),
        amount("N", c.PARAMETERS),
        Column("m", lambda row: number(row.batch_size * row.outputs)),
        *(Column(kind, partial(_part, kind=kind), tables.MODELLED) for kind in _KINDS),
        Column("device, total", lambda row: _joules(row.bill.total, row.bill.at_least), tables.MODELLED),
        Column(f"host, {processor.title}", lambda row: _bound(row.host), tables.MODELLED),
        Column(f"device and host, {processor.title}", lambda row: _bound(row.least), tables.MODELLED),
        words("items without a sourced price", lambda row: row.unpriced),
    )
    mixed = any(row.unsourced for row in rows)
    prices, price = (
        ("prices that do not all have a source", "price") if mixed else ("sourced prices", "sourced price")
    )
    caption = (
        f"Energy of one iteration, by formula. Device: from {prices}; a sum with an item that has no {price} is a "
        "lower bound (≥), or not stated where no item has one. Host: seconds at the rated speed of an "
        f"{processor.title}, at {processor.power_watt:g} W, a lower bound."
    )
    amounts, hosted = (*_KINDS, "total", "at_least"), ("host_at_least", "device_and_host_at_least")
    names = (c.DEVICE, c.PARAMETERS, c.BATCH_SIZE, c.OUTPUTS)
    data = pd.DataFrame(
        [(*attrgetter(*names)(row), *attrgetter(*amounts)(row.bill), row.host, row.least) for row in rows],
        columns=[*names, *amounts, *hosted],
    ).astype(dict.fromkeys((*amounts, *hosted), float))
    return tables.table_of("energy", caption, columns, rows, data)


def _part(row: _Row, kind: str) -> Cell:
    """Return the cell of a kind of items; the sum of those with a price where not all have one."""
    items = row.bill.items.items()
    priced = [value for name, value in items if name.split("_")[0] == kind and value is not None]
    return _joules(getattr(row.bill, kind), sum(priced))


def _bound(value: float | None) -> Cell:
    return number(value, quantities.joules, "≥ ", "memory is short")


def _joules(value: float | None, at_least: float | None) -> Cell:
    if value is not None:
        return number(value, quantities.joules)
    return number(at_least or None, quantities.joules, "≥ ", NOT_STATED)
