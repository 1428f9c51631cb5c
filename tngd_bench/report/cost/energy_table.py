"""The energy of an iteration of the device, from sourced prices; a missing price is said, never zero."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost.calibration import Calibrations
from tngd_bench.analysis.cost.device_use import DeviceUse
from tngd_bench.report.document import tables
from tngd_bench.report.document.tables import Cell, Column, Table, amount, number, words
from tngd_bench.spu.billing import energy
from tngd_bench.spu.ledger import Ledger
from tngd_bench.studies.store import columns as c

_KINDS = ("write", "relax", "read")
NOT_STATED = "not stated"


@dataclass(frozen=True)
class _Row:
    device: str
    parameters: int
    batch_size: int
    outputs: int
    bill: Ledger


def energy_table(calibrations: Calibrations | None, uses: Sequence[tuple[str, DeviceUse]]) -> Table | None:
    """Return the modelled joules per iteration of each device of `uses` at the sizes measured with one."""
    label = None if calibrations is None else calibrations.device_label
    if calibrations is None or label is None:
        return None
    sizes = calibrations.by_label[label].points[[c.PARAMETERS, c.BATCH_SIZE, c.OUTPUTS]].astype(int)
    rows = [
        _Row(title, n, b, d_z, energy(use.device, use.work(n, b, d_z, layers)))
        for title, use in uses
        for n, b, d_z in sizes.itertuples(index=False)
        if (layers := calibrations.counts.layers(n, d_z)) is not None
    ]
    columns = (
        words("device", lambda row: row.device),
        amount("N", c.PARAMETERS),
        Column("m", lambda row: number(row.batch_size * row.outputs)),
        *(Column(kind, _part(kind), tables.MODELLED) for kind in _KINDS),
        Column("total", lambda row: _joules(row.bill.total, row.bill.at_least), tables.MODELLED),
        words("items without a sourced price", lambda row: _unpriced(row.bill)),
    )
    caption = (
        "Energy of one iteration of the device, by formula from sourced prices; its host is not in it. A sum with an "
        "item that has no sourced price is a lower bound (≥), or not stated where no item has one."
    )
    amounts = (*_KINDS, "total", "at_least")
    names = (c.DEVICE, c.PARAMETERS, c.BATCH_SIZE, c.OUTPUTS)
    data = pd.DataFrame(
        [
            [*(getattr(row, name) for name in names), *(getattr(row.bill, name) for name in amounts)]
            for row in rows
        ],
        columns=[*names, *amounts],
    ).astype(dict.fromkeys(amounts, float))
    return tables.table_of("energy", caption, columns, rows, data)


def _part(kind: str) -> Callable[[_Row], Cell]:
    return lambda row: _joules(getattr(row.bill, kind), _priced(row.bill, kind))


def _priced(bill: Ledger, kind: str) -> float | None:
    """Return the sum of the items of a kind that have a price; None where none has."""
    known = [value for name, value in bill.items.items() if name.split("_")[0] == kind and value is not None]
    return sum(known) if known else None


def _unpriced(bill: Ledger) -> str:
    """Return the items without a price in words; one word for none and for all of them."""
    if len(bill.not_stated) == len(bill.items):
        return "all"
    return quantities.items(bill.not_stated) or "none"


def _joules(value: float | None, at_least: float | None) -> Cell:
    if value is not None:
        return number(value, quantities.joules)
    return number(at_least, quantities.joules, "≥ ") if at_least else Cell(None, NOT_STATED)
