"""What an iteration of the device costs in energy, where a price is sourced; a missing price is said, never zero."""

from __future__ import annotations

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.calibration import Calibrations
from tngd_bench.analysis.cost_map import DeviceUse
from tngd_bench.report.tables import MODELLED, Column, Table
from tngd_bench.spu.billing import energy

_KINDS = ("write", "relax", "read")
NOT_STATED = "not stated"


def energy_table(calibrations: Calibrations | None, uses: list[tuple[str, DeviceUse]]) -> Table | None:
    """Return the modelled joules per iteration of each device of `uses` at the sizes measured with one."""
    label = None if calibrations is None else calibrations.device_label
    if calibrations is None or label is None:
        return None
    points = calibrations.by_label[label].points
    rows, data = [], []
    for title, use in uses:
        for n, b, d_z in points[["parameters", "batch_size", "outputs"]].itertuples(index=False):
            layers = calibrations.counts.layers(int(n), int(d_z))
            if layers is None:
                continue
            bill = energy(use.device, use.work(int(n), int(b), int(d_z), layers))
            unpriced = [name for name, value in bill.items.items() if value is None]
            sums = {kind: getattr(bill, kind) for kind in _KINDS}
            data.append(
                {
                    "device": title,
                    "parameters": n,
                    "batch_size": b,
                    "outputs": d_z,
                    **sums,
                    "total": bill.total,
                }
            )
            rows.append(
                (
                    title,
                    quantities.count(float(n)),
                    quantities.count(float(b * d_z)),
                    *(_joules(sums[kind]) for kind in _KINDS),
                    _joules(bill.total),
                    ", ".join(name.replace("_", " ") for name in unpriced) or "none",
                )
            )
    columns = (
        Column("device", numeric=False),
        Column("N"),
        Column("m"),
        *(Column(kind, clock=MODELLED) for kind in _KINDS),
        Column("total", clock=MODELLED),
        Column("items without a sourced price", numeric=False),
    )
    caption = (
        "Energy of one iteration of the device, by formula from sourced prices; its host is not in it. A sum with an "
        "item that has no sourced price is not stated."
    )
    names = ["device", "parameters", "batch_size", "outputs", *_KINDS, "total"]
    return Table(
        "energy",
        caption,
        columns,
        tuple(rows),
        pd.DataFrame(data, columns=names).astype(dict.fromkeys([*_KINDS, "total"], float)),
    )


def _joules(value: float | None) -> str:
    return NOT_STATED if value is None else quantities.joules(value)
