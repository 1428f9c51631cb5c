"""The work of making a page: calls of Python functions while one is made from records that were never measured.

    python -m tngd_bench.report.render.page_work        prints the number

Seconds of a page differ from run to run; this number hardly does, and grows with every loop over rows that is added. It
is one of the gate's figures. The records are formulas: two optimizers, one size, a training each.
"""

import json
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pandas as pd

from tngd_bench.report.document import charting
from tngd_bench.report.document.figures import registered
from tngd_bench.report.document.outline import contents
from tngd_bench.studies.store import columns as c
from tngd_bench.studies.store.columns import COST_COLUMNS, CURVE_COLUMNS, TRIAL_COLUMNS
from tngd_bench.studies.store.records import Records

OPTIMIZERS = ("sgd", "tngd")
PARAMETERS, BATCH_SIZE, OUTPUTS = 1_000, 16, 10
PROCESSES, REPETITIONS, SEEDS, EVALUATIONS = 3, 100, 3, 20


def page_records() -> Records:
    """Return the records of a small study, every number by a formula."""
    trials, costs, curves = (_frame(rows, columns) for rows, columns in _rows())
    study = {"name": "page", "title": "A page", "execution": {"threads_cost": 1, "threads_training": 1}}
    environment = {"cpu": "none", "dtype": "float32", "threads_cost": 1, "threads_training": 1}
    return Records(study, environment, trials, costs, curves, ignored={})


def count_calls(records: Records) -> int:
    """Return the number of calls of Python functions while the contents of a page are made, its figures drawn."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    registered()  # imports the modules with figures, which is no work of a page
    with charting.style():
        sys.setprofile(count)
        try:
            contents(records)
        finally:
            sys.setprofile(None)
    return calls


def _rows() -> Iterator[tuple[list[dict[str, Any]], dict[str, str]]]:
    trials: list[dict[str, Any]] = []
    costs: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    for place, optimizer in enumerate(OPTIMIZERS, start=1):
        for process in range(PROCESSES):
            trial = _trial(f"c{place}{process}#0", optimizer, kind="cost", group="cost", process=process)
            trials.append(trial | {c.FLOPS: 1e6 * place, c.PEAK_BYTES: 1e5 * place})
            for repetition in range(REPETITIONS):
                seconds = 1e-3 * place * (1.0 + 0.01 * ((7 * repetition + 3 * process) % 5))
                parts = dict.fromkeys((c.WRITE_S, c.RELAX_S, c.READ_S), 1e-5 * (place - 1))
                timed = {c.STEP_S: seconds, c.DIGITAL_S: seconds, c.TOTAL_S: seconds + sum(parts.values())}
                costs.append(trial | parts | timed | {c.OVERLAP_S: 0.0, c.REPETITION: repetition})
        for seed in range(SEEDS):
            trial = _trial(f"t{place}{seed}#0", optimizer, kind="training", group="digits", seed=seed)
            trials.append(trial)
            for iteration in range(EVALUATIONS):
                loss = (2.3 + 0.05 * seed) / (1.0 + place * iteration)
                losses = dict.fromkeys((c.LOSS, "train_loss", "test_loss"), loss)
                scores = losses | {"test_accuracy": 1.0 - loss / 3.0}
                clocks = dict.fromkeys((c.MEASURED_S, c.MODELLED_S), 1e-3 * iteration)
                curves.append(trial | scores | clocks | {c.ITERATION: iteration, c.EPOCH: iteration / 10})
    yield trials, TRIAL_COLUMNS
    yield costs, COST_COLUMNS
    yield curves, CURVE_COLUMNS


def _trial(key: str, optimizer: str, **values: object) -> dict[str, Any]:
    device = "paper" if optimizer == "tngd" else None
    return {
        c.KEY: key,
        c.PROBLEM: "digits-mlp",
        c.PARAMETERS_REQUESTED: PARAMETERS,
        c.PARAMETERS: PARAMETERS,
        c.BATCH_SIZE: BATCH_SIZE,
        c.OUTPUTS: OUTPUTS,
        c.ROWS: BATCH_SIZE * OUTPUTS,
        c.WIDTH: "one hidden layer",
        **dict.fromkeys((c.OPTIMIZER, c.METHOD), optimizer),
        c.SETTINGS: json.dumps({c.DEVICE: device} if device else {}),
        c.DEVICE: device,
        c.THREADS: 1,
        c.STATUS: "ok",
        **values,
    }


def _frame(rows: list[dict[str, Any]], columns: dict[str, str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows).reindex(columns=list(columns))
    return frame.astype({name: dtype for name, dtype in columns.items() if frame[name].notna().any()})


if __name__ == "__main__":
    sys.stdout.write(f"{count_calls(page_records())}\n")
