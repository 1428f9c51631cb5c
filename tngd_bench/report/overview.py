"""What was compared, in one sentence: the first thing a page says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.families import Kind
from tngd_bench.analysis.findings import PARAMETER_NAMES


def compared(trials: pd.DataFrame, known: Mapping[str, Kind]) -> str:
    """Return which optimizers were compared, on which sizes, problems, seeds and sweeps."""
    parts = [f"{len(known)} optimizer{'' if len(known) == 1 else 's'}"]
    timed = trials[(trials["kind"] == "cost") & (trials["status"] == "ok")]
    if len(timed):
        sizes = _span(timed["parameters"])
        where = f"{_and(sorted(set(timed['problem'])))}, b = {_span(timed['batch_size'])}"
        where += f", d_z = {_span(timed['outputs'])}"
        parts.append(f"cost per iteration at N = {sizes} ({where})")
    training = trials[trials["kind"] == "training"]
    plain = training[training["sweep_parameter"].isna()]
    if len(plain):
        problems = [
            f"{problem} (N = {_span(part['parameters'])})"
            for problem, part in plain.groupby("problem", sort=True)
        ]
        parts.append(f"training on {_and(problems)}, {_span(plain.groupby('group')['seed'].nunique())} seeds")
    swept = training[training["sweep_parameter"].notna()]
    if len(swept):
        names = [
            PARAMETER_NAMES.get(str(name), str(name)) for name in dict.fromkeys(swept["sweep_parameter"])
        ]
        parts.append(f"sweeps of {_and(names)}")
    devices = sorted({str(name) for name in trials["device"].dropna()} - {""})
    if devices:
        parts.append(f"device: {_and(devices)}")
    return "; ".join(parts) + "."


def _span(values: pd.Series) -> str:
    low, high = quantities.count(float(values.min())), quantities.count(float(values.max()))
    return low if low == high else f"{low} to {high}"


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
