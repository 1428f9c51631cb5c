"""The exponents of every optimizer's cost in N: measured, modelled, their total, and counted operations, apart."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tngd_bench.analysis.cost import finished_costs
from tngd_bench.analysis.families import kinds
from tngd_bench.analysis.scaling import fit_scaling

SERIES = ["group", "problem", "batch_size", "outputs"]
MEASURED, MODELLED, TOTAL, COUNTED = (
    "measured",
    "modelled",
    "measured digital + modelled device",
    "operations",
)
# Table 1 of arXiv 2405.13817: the largest power of N. It has no row for K-FAC and the Gram form.
PAPER_EXPONENTS = {
    "sgd": 1.0,
    "adam": 1.0,
    "ngd": 3.0,
    "ngd-cg": 1.0,
    "ngd-woodbury": 1.0,
    "tngd": 1.0,
    "tngd-adam": 1.0,
}
_NUMBERS = [
    *["log_log", "log_log_low", "log_log_high"],
    *["exponent", "exponent_low", "exponent_high", "exponent_determined", "overhead"],
]
_COLUMNS = [
    *SERIES,
    *["optimizer", "method", "quantity", "sizes", "smallest", "largest"],
    *_NUMBERS,
    *["local_slopes", "paper", "note"],
]


def scaling_table(costs: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Return one row per series with more than one size, optimizer and quantity, sorted.

    Columns: the series, optimizer, method, `quantity`; `sizes` (how many) from `smallest` to `largest`; `log_log` and
    `exponent` with `_low` and `_high` (NaN with fewer than five sizes), `overhead` in the quantity's unit;
    `local_slopes` (tuple); `paper`, the exponent of Table 1 (NaN if it has none); `note`. For the fits see `scaling`.
    """
    clean = finished_costs(costs, trials)
    known = kinds(trials)
    flops = trials[(trials["kind"] == "cost") & (trials["status"] == "ok")]
    rows = []
    for series, part in clean.groupby(SERIES, sort=True):
        if part["parameters"].nunique() < 2:
            continue
        for (optimizer, method), own in part.groupby(["optimizer", "method"], sort=True):
            device = own[["write_s", "relax_s", "read_s"]].sum(axis=1)
            counted = flops[flops["key"].isin(own["key"])]
            quantities = {MEASURED: (own["parameters"], own["digital_s"])}
            if known[str(optimizer)].modelled:
                quantities |= {
                    MODELLED: (own["parameters"], device),
                    TOTAL: (own["parameters"], own["total_s"]),
                }
            quantities[COUNTED] = (counted["parameters"], counted["flops"])
            for quantity, (sizes, values) in quantities.items():
                row = dict(zip(SERIES, series, strict=True))
                row |= {"optimizer": optimizer, "method": method, "quantity": quantity}
                fitted = _fit(sizes, values)
                if fitted["sizes"]:
                    rows.append(row | fitted | {"paper": PAPER_EXPONENTS.get(str(method), np.nan)})
    return pd.DataFrame(rows, columns=_COLUMNS)


def _fit(sizes: pd.Series, values: pd.Series) -> dict[str, object]:
    fit = fit_scaling(pd.DataFrame({"size": sizes, "cost": values.astype(float)}))
    row: dict[str, object] = {**dict.fromkeys(_NUMBERS, np.nan), "exponent_determined": False}
    row |= {"sizes": len(fit.sizes), "smallest": fit.fit_range[0], "largest": fit.fit_range[1]}
    if fit.log_log is not None:
        row |= {
            "log_log": fit.log_log.value,
            "log_log_low": fit.log_log.low,
            "log_log_high": fit.log_log.high,
        }
    if fit.over_overhead is not None:
        over = fit.over_overhead
        row |= {"exponent": over.value, "exponent_low": over.low, "exponent_high": over.high}
        row |= {"exponent_determined": over.determined, "overhead": fit.overhead}
    return row | {"local_slopes": fit.local_slopes, "note": fit.note}
