"""What a study says first: what was compared, in one sentence, and what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from tngd_bench.analysis import findings, quantities
from tngd_bench.analysis.families import OptimizerInfo
from tngd_bench.analysis.findings import Findings
from tngd_bench.analysis.setting_names import parameter_name
from tngd_bench.analysis.statistics.run_spread import run_spread_of
from tngd_bench.analysis.training.sweep_kinds import is_pair, is_worded
from tngd_bench.studies.file.optimizer_label import TUNED, label_texts
from tngd_bench.studies.store.records import Records


def compared(trials: pd.DataFrame, known: Mapping[str, OptimizerInfo]) -> str:
    """Return which optimizers were compared, on which sizes, problems, seeds and sweeps."""
    methods = len({kind.method for kind in known.values()})
    settings = f" in {len(known)} settings" if len(known) > methods else ""
    parts = [f"{methods} optimizer{'' if methods == 1 else 's'}{settings}"]
    timed = trials[(trials["kind"] == "cost") & (trials["status"] == "ok")]
    if len(timed):
        sizes = _span(timed["parameters"])
        where = f"{quantities.listed(sorted(set(timed['problem'])))}, b = {_span(timed['batch_size'])}"
        where += f", d_z = {_span(timed['outputs'])}"
        parts.append(f"cost per iteration at N = {sizes} ({where})")
    training = trials[trials["kind"] == "training"]
    plain = training[training["sweep_parameter"].isna()]
    if len(plain):
        problems = [
            f"{problem} (N = {_span(part['parameters'])}, {_tuned(part)}, {_seeds(part)})"
            for problem, part in plain.groupby("problem", sort=True)
        ]
        parts.append(f"training on {quantities.listed(problems)}")
    swept = training[training["sweep_parameter"].notna()]
    if len(swept):
        parts.append(f"sweeps of {quantities.listed(_swept_names(swept))}")
    devices = sorted({str(name) for name in trials["device"].dropna()} - {""})
    if devices:
        parts.append(f"device: {quantities.listed(devices)}")
    return "; ".join(parts) + "."


def _tuned(training: pd.DataFrame) -> str:
    """Return whether the optimizers of these trainings ran at settings that a search had found for them."""
    labels = sorted(set(training["optimizer"]))
    number = sum(TUNED in label_texts(label) for label in labels)
    if not number:
        return "not tuned"
    return "all tuned" if number == len(labels) else f"{number} of {len(labels)} settings tuned"


def _seeds(training: pd.DataFrame) -> str:
    """Return how many seeds the sections of these trainings have."""
    seeds = _span(training.groupby("group")["seed"].nunique())
    return f"{seeds} seed{'' if seeds == '1' else 's'}"


def found(records: Records) -> Findings:
    """Return the three findings of a study, as the page and the terminal tell them."""
    apart = is_pair(records.trials) | is_worded(records.trials)
    told = findings.find(
        records.study,
        records.trials[~apart],
        records.costs,
        records.curves,
        run_spread_of(records.environment),
    )
    return replace(told, noise=noise(told.noise, records.trials[apart]))


def noise(found: str, apart: pd.DataFrame) -> str:
    """Return the finding on noise with what was swept `apart` from it: two settings at once, or words."""
    training = apart[apart["kind"] == "training"]
    if training.empty:
        return found
    return f"{found} Not judged here: {quantities.listed(_swept_names(training))}; see the tables of sensitivity."


def _swept_names(swept: pd.DataFrame) -> list[str]:
    columns = [name for name in ("sweep_parameter", "sweep_parameter_2") if name in swept]
    settings = dict.fromkeys(zip(*(swept[name] for name in columns), strict=True))
    return [" × ".join(parameter_name(name) for name in each if isinstance(name, str)) for each in settings]


def _span(values: pd.Series) -> str:
    low, high = quantities.count(float(values.min())), quantities.count(float(values.max()))
    return low if low == high else f"{low} to {high}"
