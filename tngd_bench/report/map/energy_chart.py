"""The chart of energy: each device's iteration with its host, beside the digital rival's, by one processor model."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost.device_use import DeviceUse
from tngd_bench.analysis.results import Results
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.optimizers.roofline import rated_seconds
from tngd_bench.report.document import charting, scales, slugs
from tngd_bench.report.document.charting import Chart
from tngd_bench.report.document.figures import figure_of
from tngd_bench.report.document.palette import PAPER, PARTS
from tngd_bench.report.document.tables import size_and_batch
from tngd_bench.report.map.map_view import MapView
from tngd_bench.spu.processor import Processor
from tngd_bench.studies.store import columns as c

PROCESSOR = "host_processor"
HOST_WATTS = "host_watts"
"""Keys of an environment: the processor and the power of the measured machine that `tngd-bench report` was given."""
DEFAULT_PROCESSOR = "h100"
_HOST, _DEVICE, _RIVAL = "host", "device", "digital rival"
_LOOK: dict[str, dict[str, Any]] = {
    _HOST: {"color": PARTS["digital"].light, "label": "host"},
    _DEVICE: {
        "color": PARTS["write"].light,
        "hatch": "////",
        "edgecolor": PAPER.light,
        "label": "device, priced items",
    },
    _RIVAL: {"color": PARTS["relax"].light, "label": "digital rival"},
}
_UNKNOWN: dict[str, Any] = {"fill": False, "linestyle": ":", "edgecolor": PARTS["read"].light}


@dataclass(frozen=True)
class _Bar:
    """Joules of one iteration; None: no price, or memory is short. `unpriced`: items without a price."""

    name: str
    host: float | None
    device: float | None
    rival: float | None = None
    unpriced: str = ""
    digital: bool = False


def _bars(view: MapView, processor: Processor) -> Iterator[_Bar]:
    """Yield the digital rivals, and every device with its host, at the study's main size."""
    main = view.calibrations.main
    n, b, d_z = main[c.PARAMETERS], main[c.BATCH_SIZE], main[c.OUTPUTS]
    layers = view.calibrations.counts.layers(n, d_z)
    if layers is None or not view.devices:
        return
    it = view.calibrations.counts.iteration(n, b, d_z, layers)
    for label in view.calibrations.digital:
        seconds = rated_seconds(view.infos[label].method, it, processor)
        yield _Bar(view.infos[label].title, None, None, _joules(seconds, processor), digital=True)
    for title, use in view.devices:
        bill, host = use.joules(n, b, d_z, layers), host_joules(use, it, processor)
        yield _Bar(title, host, bill.at_least, unpriced=quantities.items(bill.not_stated))


def host_processor(results: Results) -> Processor:
    """Return the processor that makes a device's host, and a rival's, in every energy of a page."""
    return Processor.named(str(results.environment.get(PROCESSOR, DEFAULT_PROCESSOR)))


def host_joules(use: DeviceUse, it: Iteration, processor: Processor) -> float | None:
    """Return the least joules of a device's host; None where memory is short."""
    return _joules(use.rated_host_seconds(it, processor, use.device.upload), processor)


def _measured(view: MapView) -> Iterator[_Bar]:
    """Yield what the study timed at its main size, at the power that is given for its machine; nothing without one."""
    watts = view.results.environment.get(HOST_WATTS)
    main = view.calibrations.main
    size = tuple(main[name] for name in c.SIZE)
    layers = view.calibrations.counts.layers(main[c.PARAMETERS], main[c.OUTPUTS])
    if watts is None or layers is None:
        return
    for row in c.each(c.only(view.results.cost_summary, **main)):
        info, joules = view.infos[row.optimizer], float(row.digital_median_s) * float(watts)
        name = f"{info.title}, measured at {watts:g} W"
        if not info.modelled:
            yield _Bar(name, None, None, joules, digital=True)
        elif row.optimizer == view.calibrations.device_label and view.use is not None:
            bill = view.use.joules(*size, layers)
            yield _Bar(name, joules, bill.at_least, unpriced=quantities.items(bill.not_stated))


def _joules(seconds: float | None, processor: Processor) -> float | None:
    return None if seconds is None else seconds * processor.power_watt


@figure_of("what-if", "energy per iteration, host and rival included", place=1)
def energy_chart(view: MapView) -> Chart | None:
    """Draw a bar per device, split into its host and what has a price, under those of the digital rivals."""
    processor = host_processor(view.results)
    bars = [*_bars(view, processor), *_measured(view)]
    known = [value for bar in bars for value in (bar.host, bar.device, bar.rival) if value]
    if not known:
        return None
    names = [charting.folded(bar.name) for bar in bars]
    lines = max(2, *(name.count("\n") + 1 for name in names)) / 2
    figure, axes = charting.panel(0.3 * lines * len(bars) + 1.6)
    ends = min(known) / 3.0, 3.0 * max(known)
    for place, bar in enumerate(bars):
        _draw(axes, place, bar, ends)
    axes.set_yticks(range(len(bars)), names)
    axes.invert_yaxis()
    scales.log_joules(axes, "x")
    axes.set_xlim(*ends)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("joules per iteration, modelled")
    rated = f" on {processor.title}, at {processor.power_watt:g} W"
    looks = (look | {"label": look["label"] + rated * (part != _DEVICE)} for part, look in _LOOK.items())
    for look in (*looks, {**_UNKNOWN, "label": "unknown: no price, or memory is short"}):
        axes.barh([0], [0], left=ends[0], **look)
    charting.legend_below(figure, axes, columns=2)
    return _described(bars, processor, view, figure)


def _draw(axes: Axes, place: float, bar: _Bar, ends: tuple[float, float]) -> None:
    """Draw a rival's bar, or a device's two, the host's above its own; what has no price is dotted to the end."""
    parts = [(_HOST, bar.host, place - 0.17, 0.3), (_DEVICE, bar.device, place + 0.17, 0.3)]
    if bar.digital:
        parts = [(_RIVAL, bar.rival, place, 0.6)]
    for part, value, height, width in parts:
        start = value or ends[0]
        if value:
            axes.barh(height, value, width, **{**_LOOK[part], "label": ""}, linewidth=0.0)
        if not value or (part == _DEVICE and bar.unpriced):
            axes.barh(height, ends[1] - start, width, start, **_UNKNOWN)
    total = sum(filter(None, (bar.rival, bar.host, bar.device)))
    said = f"≥ {quantities.joules(total)}" if total else "unknown"
    axes.text(ends[1] * 1.1, place, said, va="center", fontsize=8)


def _described(bars: list[_Bar], processor: Processor, view: MapView, figure: Any) -> Chart:
    main = view.calibrations.main
    where = size_and_batch(main)
    source = processor.sources["power_watt"].words
    rivals = [bar for bar in bars if bar.rival is not None]
    least = min(rivals, key=lambda bar: bar.rival or 0.0, default=None)
    hosts = [bar.host for bar in bars if bar.host is not None]
    said = "" if least is None else f"{least.name} takes at least {quantities.joules(least.rival or 0.0)}. "
    if hosts:
        said += f"A device's host alone takes at least {quantities.joules(min(hosts))}."
    unknown = (
        " The power of the measured machine is not recorded: “tngd-bench report --host-watts” states it."
        if view.results.environment.get(HOST_WATTS) is None
        else ""
    )
    data = pd.DataFrame([vars(bar) for bar in bars]).astype({"host": float, "device": float, "rival": float})
    return Chart(
        slugs.slug("energy", processor.name),
        f"Energy per iteration with the host on {processor.title} ({where})",
        f"Modelled joules of an iteration at {where}. {said}".strip(),
        f"Host and digital rivals: seconds at rated speed times {processor.power_watt:g} W ({source}), lower bounds. "
        "Device: items with a price; a dotted end has items without one, which are unknown. The energy of a host that "
        f"waits is not counted.{unknown} “tngd-bench report --host-processor” takes another host.",
        figure,
        data.rename(columns={"host": "host_j", "device": "device_at_least_j", "rival": "rival_j"}).replace(
            {np.nan: None}
        ),
    )
