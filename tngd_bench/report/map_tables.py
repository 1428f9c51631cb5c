"""Tables of the map: the rates behind it, and who reaches a target first where that was measured."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.calibration import Calibrations
from tngd_bench.analysis.families import Kind
from tngd_bench.report.tables import Column, Table


def calibration_table(calibrations: Calibrations, known: Mapping[str, Kind]) -> Table:
    """Return the rates behind the maps and how well they foretell each measured size from the others."""
    rows, data = [], []
    for label, found in calibrations.by_label.items():
        overhead, flop, byte = found.readings[0]
        ratios = found.points["ratio"]
        values = {
            "optimizer": label,
            "settings": len(found.points),
            "overhead_s": overhead,
            "flops_per_s": 1.0 / flop if flop else np.nan,
            "bytes_per_s": 1.0 / byte if byte else np.nan,
            "readings": len(found.readings),
            "sigma": found.sigma,
            "worst_low": float(ratios.min()),
            "worst_high": float(ratios.max()),
        }
        data.append(values)
        rows.append(
            (
                known[label].title + (", host" if known[label].modelled else ""),
                str(len(found.points)),
                quantities.seconds(overhead),
                "–" if not flop else f"{quantities.significant(1e-9 / flop)} Gop/s",
                "–" if not byte else f"{quantities.significant(1e-9 / byte)} GB/s",
                str(len(found.readings)),
                "not measured"
                if np.isnan(found.sigma)
                else f"×/÷ {quantities.significant(np.exp(found.sigma))}",
                quantities.interval(float(ratios.min()), float(ratios.max())),
            )
        )
    columns = (
        Column("optimizer", numeric=False),
        Column("measured sizes"),
        Column("overhead", clock="fitted"),
        Column("rate of operations", clock="fitted"),
        Column("rate of bytes", clock="fitted"),
        Column("credible readings"),
        Column("spread of measured/predicted (1 σ)"),
        Column("measured/predicted, range"),
    )
    caption = (
        "The rates behind the maps: measured digital time against closed-form operations and bytes. The spread says "
        "how well each size is foretold from the others; it is what the draws vary."
    )
    return Table("calibration", caption, columns, tuple(rows), pd.DataFrame(data))


def lowest_times(trials: pd.DataFrame, times: pd.DataFrame) -> pd.DataFrame:
    """Return per training section the fastest optimizer to the highest target that one reached in its median seed."""
    columns = ["group", "parameters", "batch_size", "target", "optimizer", "seconds", "runner_up", "ratio"]
    rows = []
    training = trials[trials["kind"] == "training"]
    for group, part in times.groupby("group", sort=True):
        reached = part[np.isfinite(part["modelled_median"].astype(float))]
        if reached.empty:
            continue
        target = reached["target"].iloc[-1] if reached["target"].nunique() == 1 else _hardest(part, reached)
        ranked = reached[reached["target"] == target].sort_values("modelled_median", kind="stable")
        setting = training[training["group"] == group].iloc[0]
        first, second = ranked.iloc[0], ranked.iloc[1] if len(ranked) > 1 else None
        row = [group, int(setting["parameters"]), int(setting["batch_size"]), target, first["optimizer"]]
        row += [float(first["modelled_median"])]
        row += (
            ["", np.nan]
            if second is None
            else [second["optimizer"], float(second["modelled_median"] / first["modelled_median"])]
        )
        rows.append(row)
    return pd.DataFrame(rows, columns=columns)


def _hardest(part: pd.DataFrame, reached: pd.DataFrame) -> str:
    """Return the last of the targets, in the order of the study, that some optimizer reached."""
    order = list(dict.fromkeys(part["target"]))
    return str(max(set(reached["target"]), key=order.index))
