"""The summary of a study: what was compared, in one sentence."""

from __future__ import annotations

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.training.sweep_kinds import swept_names
from tngd_bench.studies.store import columns as c


def compared(results: Results) -> str:
    """Return which optimizers were compared, on which sizes, problems, seeds and sweeps."""
    trials, infos = results.trials, results.infos
    methods = len({kind.method for kind in infos.values()})
    settings = f" in {len(infos)} settings" if len(infos) > methods else ""
    parts = [f"{methods} optimizer{'' if methods == 1 else 's'}{settings}"]
    timed = c.only(trials, kind="cost", status="ok")
    if len(timed):
        sizes = _span(timed[c.PARAMETERS])
        where = f"{quantities.listed(sorted(set(timed[c.PROBLEM])))}, b = {_span(timed[c.BATCH_SIZE])}"
        where += f", d_z = {_span(timed[c.OUTPUTS])}"
        parts.append(f"cost per iteration at N = {sizes} ({where})")
    training = c.only(trials, kind="training")
    plain = training[training[c.SWEEP_PARAMETER].isna()]
    if len(plain):
        problems = [
            f"{problem} (N = {_span(part[c.PARAMETERS])}, {_tuned(part, infos)}, {_seeds(part)})"
            for problem, part in plain.groupby(c.PROBLEM, sort=True)
        ]
        parts.append(f"training on {quantities.listed(problems)}")
    swept = training[training[c.SWEEP_PARAMETER].notna()]
    if len(swept):
        parts.append(f"sweeps of {quantities.listed(swept_names(swept))}")
    devices = sorted({str(name) for name in trials[c.DEVICE].dropna()} - {""})
    if devices:
        parts.append(f"device: {quantities.listed(devices)}")
    return "; ".join(parts) + "."


def _tuned(training: pd.DataFrame, infos: Infos) -> str:
    """Return whether the optimizers of these trainings ran at settings that a search had found for them."""
    labels = sorted(set(training[c.OPTIMIZER]))
    number = sum(infos[label].tuned for label in labels)
    if not number:
        return "not tuned"
    return "all tuned" if number == len(labels) else f"{number} of {len(labels)} settings tuned"


def _seeds(training: pd.DataFrame) -> str:
    """Return how many seeds the sections of these trainings have."""
    seeds = _span(training.groupby(c.GROUP)[c.SEED].nunique())
    return f"{seeds} seed{'' if seeds == '1' else 's'}"


def _span(values: pd.Series) -> str:
    low, high = quantities.count(float(values.min())), quantities.count(float(values.max()))
    return low if low == high else f"{low} to {high}"
