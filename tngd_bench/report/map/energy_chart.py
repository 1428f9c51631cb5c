"""The chart of energy: each device's iteration with its host, beside the digital rival's, by one processor model."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.optimizers.roofline import rated_host_seconds, rated_seconds
from tngd_bench.report.document import charting, slugs
from tngd_bench.report.document.charting import Chart
from tngd_bench.report.document.figures import figure_of
from tngd_bench.report.document.palette import PAPER, PARTS
from tngd_bench.report.map.map_view import MapView
from tngd_bench.spu.processor import Processor
from tngd_bench.studies.store import columns as c

PROCESSOR = "h100"
_HOST, _DEVICE, _RIVAL = "host", "device", "digital rival"
_LOOK: dict[str, dict[str, Any]] = {
    _HOST: {"color": PARTS["digital"].light, "label": "host, at its rated power"},
    _DEVICE: {
        "color": PARTS["write"].light,
        "hatch": "////",
        "edgecolor": PAPER.light,
        "label": "device, priced items",
    },
    _RIVAL: {"color": PARTS["relax"].light, "label": "digital rival, at the same power"},
}


@dataclass(frozen=True)
class _Bar:
    """Joules of one iteration; None where nothing has a price or does not fit. `unpriced`: items without a price."""

    name: str
    host: float | None
    device: float | None
    rival: float | None = None
    unpriced: str = ""


def _bars(view: MapView, processor: Processor) -> Iterator[_Bar]:
    """Yield the digital rivals, and every device with its host, at the study's main size."""
    main = view.calibrations.main
    n, b, d_z = main[c.PARAMETERS], main[c.BATCH_SIZE], main[c.OUTPUTS]
    layers = view.calibrations.counts.layers(n, d_z)
    if layers is None or not view.devices:
        return
    it = Iteration(n, b * d_z, b, d_z, layers, view.calibrations.counts.cg)
    for label in view.calibrations.digital:
        seconds = rated_seconds(view.infos[label].method, it, processor)
        yield _Bar(view.infos[label].title, None, None, _joules(seconds, processor))
    for title, use in view.devices:
        host = None if use.is_of_factors else rated_host_seconds(it, use.device.upload, processor)
        bill = use.joules(n, b, d_z, layers)
        yield _Bar(title, _joules(host, processor), bill.at_least, unpriced=quantities.items(bill.not_stated))


def _joules(seconds: float | None, processor: Processor) -> float | None:
    return None if seconds is None else seconds * processor.power_watt


@figure_of("what-if", "energy per iteration, host and rival included", place=1)
def energy_chart(view: MapView) -> Chart | None:
    """Draw a bar per device, split into its host and what has a price, under those of the digital rivals."""
    processor = Processor.named(PROCESSOR)
    bars = list(_bars(view, processor))
    if not bars:
        return None
    figure, axes = charting.panel(0.3 * len(bars) + 1.6)
    known = [value for bar in bars for value in (bar.host, bar.device, bar.rival) if value]
    left, right = (
        min(known) / 3.0,
        3.0 * max(sum(filter(None, (bar.host, bar.device))) or max(known) for bar in bars),
    )
    for place, bar in enumerate(bars):
        start = left
        for part, value in ((_RIVAL, bar.rival), (_HOST, bar.host), (_DEVICE, bar.device)):
            if value:
                end = value if start == left else start + value
                axes.barh(place, end - start, 0.6, start, **{**_LOOK[part], "label": ""}, linewidth=0.0)
                start = end
        if bar.unpriced or start == left:  # an open end: what has no price is unknown, not zero
            axes.barh(
                place, right - start, 0.6, start, fill=False, linestyle=":", edgecolor=PARTS["read"].light
            )
        total = sum(filter(None, (bar.rival, bar.host, bar.device)))
        bound = "≥ " if total else ""
        axes.text(
            right * 1.1,
            place,
            f"{bound}{quantities.joules(total)}" if total else "unknown",
            va="center",
            fontsize=8,
        )
    axes.set_yticks(range(len(bars)), [bar.name for bar in bars])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(left, right)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("joules per iteration, modelled")
    for look in _LOOK.values():
        axes.barh([0], [0], **look)
    axes.barh([0], [0], fill=False, linestyle=":", edgecolor=PARTS["read"].light, label="no price: unknown")
    charting.legend_below(figure, axes, columns=2)
    return _described(bars, processor, view, figure)


def _described(bars: list[_Bar], processor: Processor, view: MapView, figure: Any) -> Chart:
    main = view.calibrations.main
    where = f"N = {quantities.count(main[c.PARAMETERS])}, b = {main[c.BATCH_SIZE]}, d_z = {main[c.OUTPUTS]}"
    source = processor.sources["power_watt"]
    rivals = [bar for bar in bars if bar.rival is not None]
    least = min(rivals, key=lambda bar: bar.rival or 0.0, default=None)
    hosts = [bar.host for bar in bars if bar.host is not None]
    said = "" if least is None else f"{least.name} takes at least {quantities.joules(least.rival or 0.0)}. "
    if hosts:
        said += f"A device's host alone takes at least {quantities.joules(min(hosts))}."
    data = pd.DataFrame([vars(bar) for bar in bars]).astype({"host": float, "device": float, "rival": float})
    return Chart(
        slugs.slug("energy", PROCESSOR),
        f"Energy per iteration with the host on {processor.title} ({where})",
        f"Modelled joules of an iteration at {where}. {said}".strip(),
        f"Host and digital rivals: seconds at rated speed times {processor.power_watt:g} W ({source.source}, grade "
        f"{source.grade}), lower bounds. Device: items with a price; a dotted end has items without one, which are "
        "unknown. The energy of a host that waits is not counted.",
        figure,
        data.rename(columns={"host": "host_j", "device": "device_at_least_j", "rival": "rival_j"}).replace(
            {np.nan: None}
        ),
    )
