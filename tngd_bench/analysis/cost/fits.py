"""The exponents of every optimizer's cost in N, b or d_z: measured, modelled, total, operations and memory, apart."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench import arguments
from tngd_bench.analysis.cost import paper_costs
from tngd_bench.analysis.cost.iteration_cost import timed_costs
from tngd_bench.analysis.families import optimizer_infos
from tngd_bench.analysis.statistics.scaling import fit_scaling
from tngd_bench.studies.store import columns as c

SERIES = [c.GROUP, c.PROBLEM, c.BATCH_SIZE, c.OUTPUTS]
MEASURED, MODELLED, TOTAL = "measured", "modelled", "measured digital + modelled device"
COUNTED, MEMORY = "operations", "peak memory"
_NUMBERS = [f"{name}{end}" for name in ("log_log", "exponent") for end in ("", "_low", "_high")]
_NUMBERS += ["exponent_determined", "overhead"]


def series_of(axis: str) -> list[str]:
    """Return the columns that are constant in a fit along `axis`: "parameters" (N), "batch_size" (b), "outputs" (d_z).

    Along b and d_z the model is asked for with one N; its exact count may differ by the 2 % a width can.
    """
    arguments.choice("axis", axis, c.SIZE)
    held = {c.PARAMETERS: SERIES[2:], c.BATCH_SIZE: [c.PARAMETERS_REQUESTED, c.OUTPUTS]}
    return [*SERIES[:2], *held.get(axis, [c.PARAMETERS_REQUESTED, c.BATCH_SIZE])]


def scaling_table(
    costs: pd.DataFrame,
    trials: pd.DataFrame,
    axis: str = c.PARAMETERS,
    *,
    quantities: Collection[str] | None = None,
    optimizers: Collection[str] | None = None,
) -> pd.DataFrame:
    """Return one row per series with more than one size along `axis`, optimizer and quantity, sorted.

    Columns: the series (`series_of`), optimizer, method, `quantity`; `sizes` (how many) from `smallest` to `largest`;
    `log_log` and `exponent` with `_low` and `_high` (NaN with fewer than five sizes), `overhead` in the quantity's
    unit; `local_slopes` (tuple); `paper`, the largest power in Table 1 (NaN if it has none), and `paper_here`, the
    log-log slope of the table's formula over these very sizes; `note`; `axis`; `keys`, the records behind the row. For
    the fits see `scaling`. `quantities` and `optimizers`: only these rows, each the same as in the whole table.
    """
    series = series_of(axis)
    requested = trials.drop_duplicates(c.KEY).set_index(c.KEY)
    clean = timed_costs(costs, trials)
    if c.PARAMETERS_REQUESTED in series:
        clean = clean.assign(parameters_requested=clean[c.KEY].map(requested[c.PARAMETERS_REQUESTED]))
    infos = optimizer_infos(trials)
    inspected = c.completed(c.only(trials, kind="cost", status="ok"), [c.PEAK_BYTES])
    rows = []
    for _, part in c.groups(clean, series):
        for setting, own in c.groups(part, [*series, c.OPTIMIZER, c.METHOD]):
            optimizer = setting[c.OPTIMIZER]
            if part[axis].nunique() < 2 or (optimizers is not None and optimizer not in optimizers):
                continue
            device = own[[c.WRITE_S, c.RELAX_S, c.READ_S]].sum(axis=1)
            counted = inspected[inspected[c.KEY].isin(own[c.KEY])]
            samples = {MEASURED: (own, own[c.DIGITAL_S])}
            # a device that states no time for an item has no seconds to fit
            if infos[optimizer].modelled and own[c.TOTAL_S].notna().all():
                samples |= {MODELLED: (own, device), TOTAL: (own, own[c.TOTAL_S])}
            samples |= {COUNTED: (counted, counted[c.FLOPS]), MEMORY: (counted, counted[c.PEAK_BYTES])}
            for quantity, (frame, numbers) in samples.items():
                if quantities is not None and quantity not in quantities:
                    continue
                fitted = _fit(frame, axis, numbers)
                if fitted["sizes"]:
                    row = setting | {"quantity": quantity} | fitted
                    row |= _paper(setting[c.METHOD], quantity, axis, own)
                    rows.append(row | {"axis": axis, "keys": tuple(sorted(set(own[c.KEY])))})
    columns = [*series, c.OPTIMIZER, c.METHOD, "quantity", "sizes", "smallest", "largest", *_NUMBERS]
    columns += ["local_slopes", "paper", "note", "paper_here", "axis", "keys"]
    return pd.DataFrame(rows, columns=columns)


def _paper(method: str, quantity: str, axis: str, frame: pd.DataFrame) -> dict[str, float]:
    formulas = paper_costs.MEMORY if quantity == MEMORY else paper_costs.RUNTIME
    sizes: list[Any] = frame[c.SIZE].drop_duplicates().to_dict("records")
    return {
        "paper": paper_costs.largest_power(method, axis, formulas),
        "paper_here": paper_costs.table_exponent(method, axis, sizes, formulas),
    }


def _fit(frame: pd.DataFrame, axis: str, values: pd.Series) -> dict[str, object]:
    samples = {"size": frame[axis], "cost": values.astype(float)}
    if c.PROCESS in frame and frame[c.PROCESS].notna().all():
        samples[c.PROCESS] = pd.Series(pd.factorize(frame[c.PROCESS])[0], index=frame.index)
    fit = fit_scaling(pd.DataFrame(samples))
    row: dict[str, object] = {**dict.fromkeys(_NUMBERS, np.nan), "exponent_determined": False}
    row |= {"sizes": len(fit.sizes), "smallest": fit.fit_range[0], "largest": fit.fit_range[1]}
    for name, fitted in (("log_log", fit.log_log), ("exponent", fit.over_overhead)):
        if fitted is not None:
            row |= {name: fitted.value, f"{name}_low": fitted.low, f"{name}_high": fitted.high}
    if fit.over_overhead is not None:
        row |= {"exponent_determined": fit.over_overhead.determined, "overhead": fit.overhead}
    return row | {"local_slopes": fit.local_slopes, "note": fit.note}
