"""Curvature products that a device saves conjugate gradients, beside what the device takes for it.

Plain conjugate gradients to the same tolerance, at the same λ, memory and limit, are the measure. A solve that stopped
at its limit did not reach the tolerance: it needs that many products at least.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis.cost.device_use import device_use
from tngd_bench.analysis.cost.iteration_cost import SETTING
from tngd_bench.analysis.cost.recorded_devices import recorded
from tngd_bench.analysis.results import Results
from tngd_bench.optimizers import registry
from tngd_bench.spu.billing import Workload, energy
from tngd_bench.studies.store import columns as c

_ALIKE = ("cg_rtol", "cg_iterations", "damping", "memory")
_COLUMNS = [
    *SETTING,
    *[c.OPTIMIZER, "plain", "products", "plain_products", "saved", "reached"],
    *["host_saved_s", "device_s", "bound", "device_j", "keys"],
]


def products_saved(results: Results) -> pd.DataFrame:
    """Return one row per setting and optimizer with a device beside the plain conjugate gradients of its settings.

    Columns: the setting, `optimizer` and the `plain` one beside it; medians over processes of the `products` of both,
    `saved` = plain − products (negative: more), whether the tolerance was `reached`; `host_saved_s` (measured,
    medians), `device_s` of the bill (modelled), `bound`: whether that is a lower bound as an item is not stated;
    `device_j`, its joules, NaN where no item has a price; `keys`. A plain solve at its limit is no measure, and has no
    row.
    """
    summary, trials = results.cost_summary, c.only(results.trials, kind="cost", status="ok")
    trials = trials[trials[c.SOLVER_ITERATIONS].notna()]
    used = {
        str(label): json.loads(text)
        for label, text in trials.groupby(c.OPTIMIZER)[c.SETTINGS].first().items()
    }
    counted = trials.groupby([*SETTING, c.OPTIMIZER])[c.SOLVER_ITERATIONS].median()
    rows = []
    for row in c.each(summary):
        size = tuple(getattr(row, name) for name in SETTING)
        if not _is_preconditioned(str(row.method)) or (*size, row.optimizer) not in counted.index:
            continue
        plain = _plain(summary, size, used, str(row.optimizer))
        if plain is None:
            continue
        settings, products = used[str(row.optimizer)], float(counted[(*size, row.optimizer)])
        limit, before = int(settings["cg_iterations"]), float(counted[(*size, plain.optimizer)])
        if before >= limit:
            continue
        device_s = float(row.at_least_s) - float(row.digital_median_s)
        rows.append(
            dict(zip(SETTING, size, strict=True))
            | {c.OPTIMIZER: row.optimizer, "plain": plain.optimizer, "products": products}
            | {"plain_products": before, "saved": before - products, "reached": products < limit}
            | {"host_saved_s": plain.digital_median_s - row.digital_median_s, "device_s": device_s}
            | {
                "bound": bool(np.isnan(row.total_median_s)),
                "device_j": _joules(trials, row, settings, products),
            }
            | {"keys": (*row.keys, *plain.keys)}
        )
    return pd.DataFrame(rows, columns=_COLUMNS)


def _is_preconditioned(method: str) -> bool:
    entry = registry.recorded(method)
    return entry is not None and entry.family == "preconditioned"


def _plain(
    summary: pd.DataFrame, size: tuple[object, ...], used: Mapping[str, Mapping[str, Any]], label: str
) -> Any:
    """Return the row of the plain conjugate gradients of one setting that stop as `label` does; None without one."""
    here = summary[(summary[SETTING] == list(size)).all(axis=1)]
    for row in c.each(here):
        own = used.get(str(row.optimizer), {})
        digital = "cg_rtol" in own and not _is_preconditioned(str(row.method))
        if digital and all(own.get(name) == used[label].get(name) for name in _ALIKE):
            return row
    return None


def _joules(trials: pd.DataFrame, row: Any, settings: Mapping[str, Any], products: float) -> float:
    """Return the joules of the items that have a price, with as many applications as products; NaN without any."""
    first = trials[trials[c.OPTIMIZER] == row.optimizer].iloc[0]
    use = device_use(recorded(first[c.DEVICE], first[c.SETTINGS])[0], settings)
    if use is None or use.device.upload != "full":
        return float("nan")
    analog = dataclasses.replace(use.analog, start="zero", refinements=max(round(products), 1) - 1)
    known = energy(use.device, Workload(row.parameters, row.rows, analog)).at_least
    return float("nan") if known is None else known
