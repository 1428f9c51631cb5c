"""What an iteration of the device costs in energy, where a price is sourced; a missing price is said, never zero."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost.calibration import Calibrations
from tngd_bench.analysis.map.cost_map import DeviceUse
from tngd_bench.report.document.tables import MODELLED, Column, Table
from tngd_bench.spu.billing import energy
from tngd_bench.spu.ledger import Ledger

_KINDS = ("write", "relax", "read")
NOT_STATED = "not stated"


def energy_table(calibrations: Calibrations | None, uses: Sequence[tuple[str, DeviceUse]]) -> Table | None:
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
            least = {kind: _priced(bill, kind) for kind in _KINDS}
            data.append(
                {
                    "device": title,
                    "parameters": n,
                    "batch_size": b,
                    "outputs": d_z,
                    **sums,
                    "total": bill.total,
                    "at_least": bill.at_least,
                }
            )
            rows.append(
                (
                    title,
                    quantities.count(float(n)),
                    quantities.count(float(b * d_z)),
                    *(_joules(sums[kind], least[kind]) for kind in _KINDS),
                    _joules(bill.total, bill.at_least),
                    _unpriced(unpriced, bill),
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
        "item that has no sourced price is a lower bound (≥), or not stated where no item has one."
    )
    amounts = [*_KINDS, "total", "at_least"]
    names = ["device", "parameters", "batch_size", "outputs", *amounts]
    return Table(
        "energy",
        caption,
        columns,
        tuple(rows),
        pd.DataFrame(data, columns=names).astype(dict.fromkeys(amounts, float)),
    )


def _priced(bill: Ledger, kind: str) -> float | None:
    """Return the sum of the items of a kind that have a price; None where none has."""
    known = [value for name, value in bill.items.items() if name.split("_")[0] == kind and value is not None]
    return sum(known) if known else None


def _unpriced(names: Sequence[str], bill: Ledger) -> str:
    """Return the items without a price in words; one word for none and for all of them."""
    if len(names) == len(bill.items):
        return "all"
    return quantities.items(names) or "none"


def _joules(value: float | None, at_least: float | None) -> str:
    if value is not None:
        return quantities.joules(value)
    return f"≥ {quantities.joules(at_least)}" if at_least else NOT_STATED
