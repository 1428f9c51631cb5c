"""Records of a study that never ran: every number comes from a formula stated here, so the truth is known."""

from __future__ import annotations

import fcntl
import json
import os
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tngd_bench.analysis.findings.answer import Answer
from tngd_bench.analysis.results import Results
from tngd_bench.report import build
from tngd_bench.report.cost.cost_section import cost_sections
from tngd_bench.report.document.outline import Contents
from tngd_bench.studies.store.columns import COST_COLUMNS, CURVE_COLUMNS, TRIAL_COLUMNS
from tngd_bench.studies.store.records import Records

SIZES = (1_000, 3_162, 10_000, 31_623, 100_000, 316_228, 1_000_000)
OPTIMIZERS = ("sgd", "adam", "kfac", "ngd", "ngd-woodbury", "ngd-gram", "ngd-cg", "tngd", "tngd-adam")
BATCH_SIZE, OUTPUTS = 32, 10
ROWS = BATCH_SIZE * OUTPUTS
NOISE_LEVELS = (0.0, 1e-4, 1e-3, 1e-2, 1e-1)
BIT_LEVELS = (None, 12, 8, 6, 4, 2)
_EVALUATIONS = np.arange(0, 301, 20)


def digital_seconds(optimizer: str, parameters: int) -> float:
    """Overhead a + b·Nᵖ in seconds, the exponents of the paper's Table 1."""
    n, m = float(parameters), float(ROWS)
    return {
        "sgd": 1.5e-4 + 3e-9 * n,
        "adam": 1.8e-4 + 5e-9 * n,
        "kfac": 9e-4 + 2e-8 * n,
        "ngd": 4e-4 + 2e-11 * n**3 / 3e3 + 1e-9 * n**2,
        "ngd-woodbury": 2.5e-3 + 1e-10 * m * n,
        "ngd-gram": 3e-3 + 2.2e-8 * n,
        "ngd-cg": 2.4e-2 + 4e-7 * n,
        "tngd": 1.1e-3 + 4e-8 * n,
        "tngd-adam": 1.2e-3 + 4.2e-8 * n,
    }[optimizer]


def device_seconds(parameters: int) -> tuple[float, float, float]:
    """Write, relax and read at 16 bits, 50 Gb/s, t = 50 τ, τ = 1 µs."""
    words = 16 / 50e9
    return (ROWS * (ROWS + 2 * parameters) + parameters) * words, 50e-6, parameters * words


def loss_rate(optimizer: str) -> float:
    return {"sgd": 0.006, "adam": 0.012, "kfac": 0.02, "tngd": 0.027, "tngd-adam": 0.024}.get(optimizer, 0.03)


def make_records(
    *,
    name: str = "synthetic",
    title: str = "Synthetic study: numbers from formulas, not from a run",
    optimizers: tuple[str, ...] = OPTIMIZERS,
    sizes: tuple[int, ...] = SIZES,
    sweeps: bool = True,
    training: bool = True,
    skip: tuple[str, ...] = (),
) -> Records:
    """Return made-up `Records`; optimizers in `skip` have no finished trial."""
    frames = _Frames(np.random.default_rng(7), skip)
    for parameters in sizes:
        for optimizer in optimizers:
            for process in range(3):
                frames.cost(optimizer, parameters, process)
    if training:
        for optimizer in optimizers:
            for seed in range(3):
                frames.training("digits", optimizer, seed)
        if sweeps:
            for seed in range(5):
                for level in NOISE_LEVELS:
                    frames.training("noise", "tngd", seed, "noise_variance", level)
                for bits in BIT_LEVELS:
                    frames.training("resolution", "tngd", seed, "adc_bits", bits)
    study: dict[str, Any] = {
        "name": name,
        "title": title,
        "description": "Cost per iteration, convergence and noise on formulas with a known answer.",
        "source": "shipped",
        "version": "0.1.0",
        "command": f"tngd-bench run {name}",
        "execution": {"threads_cost": 1, "threads_training": 1, "seconds_per_iteration_limit": 2.0},
        "cost": [{"name": "cost", "problem": "digits-mlp", "parameters": list(sizes), "processes": 3}],
        "training": [{"name": "digits", "problem": "digits-mlp", "parameters": 10_000, "seeds": 3}],
        "optimizer": {"tngd": {"analog_time": 50.0}},
        "devices": {
            "paper": {
                "summary": "the device of the TNGD paper",
                "word_bits": {"value": 16, "grade": "S", "source": "arXiv 2405.13817 app. C"},
                "link_rate_bits_per_s": {"value": 50e9, "grade": "S", "source": "arXiv 2405.13817 app. C"},
            }
        },
    }
    environment: dict[str, Any] = {
        "cpu": "a processor that does not exist",
        "cores": 2,
        "memory_bytes": 8 * 2**30,
        "python": "3.11.0",
        "torch": "2.6.0",
        "dtype": "float32",
        "git_revision": None,
        "packages": {"numpy": "2.0.0", "torch": "2.6.0"},
        "started": "2026-01-01T00:00:00+00:00",
    }
    return Records(study, environment, *frames.collect(), ignored={})


class _Frames:
    def __init__(self, generator: np.random.Generator, skip: tuple[str, ...]) -> None:
        self.generator = generator
        self.skip = skip
        self.trials: list[dict[str, Any]] = []
        self.costs: list[dict[str, Any]] = []
        self.curves: list[dict[str, Any]] = []

    def _trial(self, optimizer: str, parameters: int, **values: Any) -> dict[str, Any]:
        place = len(self.trials)
        row = dict.fromkeys(TRIAL_COLUMNS) | {
            "key": f"{place // 3:04x}.json#{place % 3}",
            "problem": "digits-mlp",
            "parameters_requested": parameters,
            "parameters": parameters,
            "batch_size": BATCH_SIZE,
            "outputs": OUTPUTS,
            "rows": ROWS,
            "width": "two hidden layers",
            "optimizer": optimizer,
            "method": optimizer.split("[")[0],
            "settings": json.dumps({"lr": 0.01}),
            "device": "paper" if optimizer.startswith("tngd") else None,
            "status": "ok",
            "estimate_seconds": 1e-3,
            "estimate_bytes": 1e6,
            "flops": np.nan,
            "peak_bytes": np.nan,
            "elapsed_s": 1.0,
        }
        self.trials.append(row | values)
        return self.trials[-1]

    def cost(self, optimizer: str, parameters: int, process: int) -> None:
        trial = self._trial(optimizer, parameters, kind="cost", group="cost", process=process)
        trial |= {"flops": 6.0 * BATCH_SIZE * parameters, "peak_bytes": 1e8 + 8.0 * parameters}
        if optimizer in self.skip:
            trial |= {"status": "skipped", "reason": "does not fit", "flops": np.nan, "peak_bytes": np.nan}
            return
        if optimizer == "ngd" and parameters > 20_000:
            needed = 4.0 * parameters**2
            reason = "the N×N matrix does not fit the memory limit"
            trial |= {
                "status": "skipped",
                "reason": reason,
                "estimate_bytes": needed,
                "estimate_seconds": 1e3,
            }
            return
        size_effect = np.exp(0.03 * np.random.default_rng(parameters).standard_normal())
        write, relax, read = device_seconds(parameters) if trial["device"] else (0.0, 0.0, 0.0)
        for repetition in range(7):
            noise = np.exp(0.04 * self.generator.standard_normal())
            digital = digital_seconds(optimizer, parameters) * size_effect * noise
            row = {name: trial.get(name) for name in COST_COLUMNS} | {"repetition": repetition}
            row |= {"step_s": digital * (3.0 if trial["device"] else 1.0), "digital_s": digital}
            row |= {
                "write_s": write,
                "relax_s": relax,
                "read_s": read,
                "total_s": digital + write + relax + read,
                "overlap_s": 0.0,
            }
            self.costs.append(row)

    def training(
        self, group: str, optimizer: str, seed: int, parameter: str | None = None, level: float | None = None
    ) -> None:
        trial = self._trial(optimizer, 10_000, kind="training", group=group, seed=seed)
        trial |= {"sweep_parameter": parameter, "sweep_value": level}
        if optimizer in self.skip:
            trial |= {"status": "skipped", "reason": "does not fit"}
            return
        if optimizer == "kfac" and seed == 2:
            trial |= {"status": "diverged", "reason": "loss not finite at iteration 41"}
            return
        excess = 0.0
        if parameter == "noise_variance" and level:
            excess = 30.0 * level
        if parameter == "adc_bits" and level:
            excess = 4.0 * 2.0**-level
        start = 2.3 + 0.05 * np.random.default_rng(seed).standard_normal()
        floor = 0.03 + 0.004 * seed + excess
        per_step = digital_seconds(optimizer, 10_000)
        device = sum(device_seconds(10_000)) if trial["device"] else 0.0
        for iteration in _EVALUATIONS:
            decay = np.exp(-loss_rate(optimizer) * iteration)
            loss = floor + (start - floor) * decay
            row = {name: trial.get(name) for name in CURVE_COLUMNS} | {"iteration": int(iteration)}
            accuracy = 0.1 + 0.87 * (1 - decay) - 0.3 * excess
            row |= {"epoch": iteration / 45, "loss": np.nan, "train_loss": loss, "test_loss": 1.1 * loss}
            row |= {"train_accuracy": accuracy + 0.01, "test_accuracy": accuracy - 0.004 * seed}
            row |= {"measured_s": iteration * per_step, "modelled_s": iteration * (per_step + device)}
            self.curves.append(row)

    def collect(self) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        trials = pd.DataFrame(self.trials, columns=list(TRIAL_COLUMNS))
        trials = trials.astype({"sweep_value": float, "seed": "Int64", "process": "Int64"})
        costs = pd.DataFrame(self.costs, columns=list(COST_COLUMNS))
        curves = pd.DataFrame(self.curves, columns=list(CURVE_COLUMNS)).astype({"sweep_value": float})
        return trials, costs, curves


@pytest.fixture(scope="session")
def records() -> Records:
    return make_records()


@pytest.fixture(scope="session")
def make() -> Any:
    return make_records


@pytest.fixture(scope="session")
def built(records: Records, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The whole report of `records`, built once for all tests that only look at it, whichever worker runs them."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # that of all workers of this run
    kept = folder / "report.pickle"
    with (folder / "report.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            kept.write_bytes(pickle.dumps(build.build_report(records, folder / "report")))
    return pickle.loads(kept.read_bytes())


@pytest.fixture
def costs_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a report hold the sections on cost alone."""

    def sections(source: Any, *_: Any) -> Contents:
        return Contents(Answer(""), cost_sections(Results.over(source)))

    monkeypatch.setattr(build, "contents", sections)
