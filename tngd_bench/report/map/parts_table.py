"""Table of the parts of each device at the largest size that was timed, and of how long its cells last."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost.calibration import Calibrations
from tngd_bench.analysis.cost.device_use import DeviceUse
from tngd_bench.report.document import tables
from tngd_bench.report.document.tables import Table, amount, words
from tngd_bench.spu.parts import Parts
from tngd_bench.studies.store import columns as c

CAPTION = (
    "What each device is built of at the largest size that was timed with one, by formula. A programming writes every "
    "cell once, so that a cell is worn out after the writes that it endures; area is that of the parts for which it is "
    "stated."
)


def parts_table(calibrations: Calibrations | None, uses: Sequence[tuple[str, DeviceUse]]) -> Table | None:
    """Return the table for the devices of `uses`; None without a device that was timed."""
    if calibrations is None or calibrations.device_label is None:
        return None
    points = calibrations.by_label[calibrations.device_label].points
    largest = points.sort_values(c.PARAMETERS, kind="stable").iloc[-1]
    n, b, d_z = (int(largest[name]) for name in c.SIZE)
    layers = calibrations.counts.layers(n, d_z)
    if layers is None:
        return None
    names = [field.name for field in dataclasses.fields(Parts)]
    found = [(title, n, b * d_z, *dataclasses.astuple(use.parts(n, b, d_z, layers))) for title, use in uses]
    data = pd.DataFrame(found, columns=[c.DEVICE, c.PARAMETERS, c.ROWS, *names])
    data = data.astype({"area_m2": float, "worn_out_after": float})
    data["tiles"] = data["tiles"].where(pd.Series([use.device.is_tiled for _, use in uses], dtype=bool))
    columns = (
        words("device", lambda row: row.device),
        amount("N", c.PARAMETERS),
        amount("m", c.ROWS),
        amount("cells", "cells", clock=tables.COUNTED),
        amount("tiles", "tiles", clock=tables.COUNTED, none="whole arrays"),
        amount("amplifiers", "amplifiers", clock=tables.COUNTED),
        amount("converters", "converters", clock=tables.COUNTED),
        amount("area", "area_m2", _square_millimetres, tables.MODELLED, "not stated"),
        amount("iterations until worn out", "worn_out_after", clock=tables.MODELLED, none="not stated"),
    )
    return tables.table_of("parts", CAPTION, columns, data)


def _square_millimetres(area: float) -> str:
    return f"{quantities.significant(1e6 * area)} mm²"
