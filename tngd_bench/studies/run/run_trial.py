"""Run one trial in a worker process; results are plain values, ready for the store."""

import contextlib
import dataclasses
import json
import math
import time
from collections.abc import Callable, Collection
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from tngd_bench.datasets.splits import DataSplits
from tngd_bench.measure.clock import multiplication_rate
from tngd_bench.measure.containment import resident_bytes, undisturbed
from tngd_bench.measure.cost import ProbedStep, measure_cost, probe_step
from tngd_bench.measure.cpu_affinity import bind_to
from tngd_bench.measure.inspection import inspect_step
from tngd_bench.measure.memory import keep_freed_memory
from tngd_bench.measure.step_limit import Deadline, StepLimit
from tngd_bench.measure.step_timer import CostResult
from tngd_bench.measure.threads import use_threads
from tngd_bench.measure.training import TrainingResult, probe_evaluation, train
from tngd_bench.optimizers import registry as optimizers
from tngd_bench.optimizers.forward_state import seed_host
from tngd_bench.spu.ledger import Ledger
from tngd_bench.studies.file.sweeps import swept_columns
from tngd_bench.studies.plan.candidates import SizedProblem, understated
from tngd_bench.studies.plan.step_bounds import LEAST_STEP_S
from tngd_bench.studies.plan.trials import (
    Candidate,
    CostBlock,
    InspectionTrial,
    TrainingTrial,
    Trial,
    TrialStatus,
    finite_or_none,
)
from tngd_bench.studies.run.artefacts import artefacts
from tngd_bench.studies.run.data_files import read_splits
from tngd_bench.studies.store import columns as c
from tngd_bench.studies.store.columnar import by_column
from tngd_bench.studies.store.reader import ARTEFACTS

Entry = dict[str, Any]
Tell = Callable[[str], None]
TellSteps = Callable[[Deadline | None], None]


def run_in_worker(
    trial: Trial, data: Path, processors: Collection[int] | None, connection: Connection
) -> None:
    """Run a trial and send ("done", entries) or ("failed", reason); ("turn", optimizer) comes before each turn.

    ("steps", deadline) comes before steps that have a limit, and ("steps", None) after them.
    The process is bound to `processors`, unless that is None.
    """
    if processors is not None:
        bind_to(processors)
    _work_and_send(trial, connection, lambda *tell: run_trial(trial, read_splits(data), *tell))


def probe_in_worker(trial: Trial, data: Path, evaluating: bool, connection: Connection) -> None:
    """Send ("done", (step, sample_s)), or ("failed", reason).

    `step` is what `probe_step` returns of the trial's optimizer, `sample_s` what `probe_evaluation` does, None where it
    is not asked for (`evaluating`).
    """
    config, simulating = trial.candidate.config, isinstance(trial, TrainingTrial)

    def probe(*_: object) -> tuple[ProbedStep, float | None]:
        splits = read_splits(data)
        step = probe_step(trial.setting, splits, config, simulating=simulating)
        return step, probe_evaluation(trial.setting, splits) if evaluating else None

    _work_and_send(trial, connection, probe)


def _work_and_send(trial: Trial, connection: Connection, work: Callable[[Tell, TellSteps], object]) -> None:
    def tell_turn(label: str) -> None:
        connection.send(("resident", resident_bytes()))  # what has been held so far is the last turn's
        connection.send(("turn", label))

    def tell_steps(deadline: Deadline | None) -> None:
        connection.send(("steps", deadline))

    with contextlib.suppress(BrokenPipeError):  # the parent has stopped listening: it was interrupted
        try:
            use_threads(trial.threads)
            if isinstance(trial, TrainingTrial):
                keep_freed_memory()
            # On by default for convolutions, where it cuts float32 to ten bits and a study's dtype would not be true.
            torch.backends.cudnn.allow_tf32 = False
            # Dropout and the like draw from the global generators: the same draws for every optimizer.
            seed = trial.setting.seed("model")
            torch.manual_seed(seed)
            seed_host(seed)
            connection.send(("done", work(tell_turn, tell_steps)))
        except BrokenPipeError:
            raise
        except Exception as error:
            # The process boundary: whatever went wrong in a trial is its record, not the end of the study.
            connection.send(("failed", f"{type(error).__name__}: {' '.join(str(error).split())}"))


def measure_rate_in_worker(threads: int, processor: str, connection: Connection) -> None:
    """Send ("done", FLOP/s of a matrix product on `processor` with `threads` threads)."""
    use_threads(threads)
    connection.send(("done", multiplication_rate(processor)))


def run_trial(
    trial: Trial, data: DataSplits, on_turn: Tell, on_steps: TellSteps = lambda deadline: None
) -> list[Entry]:
    """Run a trial in this process; one entry per optimizer."""
    start = time.perf_counter()
    if isinstance(trial, CostBlock):
        entries = _run_cost(trial, data, on_turn, on_steps)
    elif isinstance(trial, InspectionTrial):
        entries = [_run_inspection(trial, data)]
    elif isinstance(trial, TrainingTrial):
        entries = [_run_training(trial, data, on_steps)]
    else:
        raise TypeError(f"{type(trial).__name__} is no kind of trial")
    elapsed_s = time.perf_counter() - start
    return [entry | {"elapsed_s": elapsed_s if entry["status"] != "skipped" else 0.0} for entry in entries]


def entries_without_result(trial: Trial) -> list[Entry]:
    """Return the entries of those optimizers of a trial that are not run, with the reasons."""
    return [entry_of(trial, candidate) for candidate in trial.candidates if candidate.skip is not None]


def entry_of(
    trial: Trial, candidate: Candidate, status: TrialStatus | None = None, reason: str | None = None
) -> Entry:
    """Return what an entry says whatever was measured; why there is no result where there is none."""
    if candidate.skip is not None:
        status, reason = candidate.skip.status, candidate.skip.reason
    config, setting = candidate.config, trial.setting
    return {
        "kind": trial.kind,
        "group": trial.section,
        "problem": setting.problem,
        "parameters_requested": setting.parameters,
        "parameters": trial.parameters,
        "batch_size": setting.batch_size,
        "outputs": setting.outputs,
        "rows": setting.rows,
        "width": trial.width,
        "optimizer": config.label,
        "method": config.method,
        "settings": json.dumps(dict(config.settings), sort_keys=True),
        "device": config.device,
        "seed": trial.seed if isinstance(trial, TrainingTrial) else None,
        "process": trial.process if isinstance(trial, CostBlock) else None,
        "precision": trial.precision if isinstance(trial, CostBlock) else None,
        **swept_columns(trial.levels if isinstance(trial, TrainingTrial) else ()),
        "validation_share": trial.data.validation_share,
        "threads": trial.threads,
        "status": status,
        "reason": reason,
        "estimate_seconds": finite_or_none(candidate.estimate_seconds),
        "estimate_bytes": finite_or_none(candidate.estimate_bytes),
        "elapsed_s": 0.0,
        **_least_step(None if candidate.skip is None else candidate.skip.least_step_s),
    }


def _least_step(seconds: float | None) -> dict[str, Any]:
    """Return what an entry says of an optimizer whose steps were beyond their limit: of further trials it decides."""
    return {} if seconds is None else {LEAST_STEP_S: seconds}


def _step_limit(trial: Trial, candidate: Candidate, on_steps: TellSteps) -> StepLimit | None:
    """Return the limit on the steps of an optimizer that no plan could bound; None of others."""
    return None if candidate.known else StepLimit(trial.step_seconds_limit, on_steps)


def _run_cost(trial: CostBlock, data: DataSplits, on_turn: Tell, on_steps: TellSteps) -> list[Entry]:
    running = [candidate for candidate in trial.candidates if candidate.skip is None]
    results = measure_cost(
        trial.setting,
        data,
        [candidate.config for candidate in running],
        repetitions=trial.repetitions,
        seconds_limit=trial.seconds_limit,
        least_repetitions=trial.least_repetitions,
        on_timing=on_turn,
        limits={
            each.config.label: limit for each in running if (limit := _step_limit(trial, each, on_steps))
        },
    )
    measured = {each.config.label: entry_of(trial, each) | {"iterations": {}} for each in trial.candidates}
    for candidate, result in zip(running, results, strict=True):
        iterations = [_plain(dataclasses.asdict(iteration)) for iteration in result.iterations]
        measured[result.label] = entry_of(trial, candidate, result.status, result.reason) | {
            "solver_iterations": result.solver_iterations,
            "iterations": by_column(iterations),
            **_by_class(result),
            **_lower_bound(result.bill),
            **_least_step(result.least_step_s),
        }
    return list(measured.values())


def _run_inspection(trial: InspectionTrial, data: DataSplits) -> Entry:
    inspection = inspect_step(trial.setting, data, trial.candidate.config)
    config, setting = trial.candidate.config, trial.setting
    lie = ""
    if optimizers.origin(config.method) is not None:  # ours are held to it by tests
        sized = SizedProblem.of(setting)
        lie = understated(config, sized, inspection.operations.flops)
    half = {name: dataclasses.asdict(products) for name, products in inspection.operations.half.items()}
    reasons = filter(None, (lie, inspection.operations.reason, inspection.memory.reason))
    return entry_of(trial, trial.candidate, "failed" if lie else "ok", "; ".join(reasons) or None) | {
        "flops": finite_or_none(inspection.operations.flops),
        "peak_bytes": finite_or_none(inspection.memory.peak_bytes),
        **({c.HALF_PRODUCTS: half} if half else {}),
    }


def _run_training(trial: TrainingTrial, data: DataSplits, on_steps: TellSteps) -> Entry:
    with undisturbed(trial.setting.device):
        result = train(
            trial.setting,
            data,
            trial.candidate.config,
            epochs=trial.epochs,
            evaluations=trial.evaluations,
            evaluation_size=trial.evaluation_size,
            keep_weights="weights" in trial.keep,
            limit=_step_limit(trial, trial.candidate, on_steps),
        )
    files = artefacts(trial.keep, result)
    return entry_of(trial, trial.candidate, result.status, result.reason) | {
        "solver_iterations": result.solver_iterations,
        **_lower_bound(result.bill),
        **({} if result.stability_margin is None else {"stability_margin": result.stability_margin}),
        **_by_class(result),
        "curve": by_column([_plain(point.columns()) for point in result.curve]),
        **({ARTEFACTS: files} if files else {}),
    }


def _by_class(result: CostResult | TrainingResult) -> dict[str, Any]:
    """Return what an entry says of an optimizer named by its class alone; nothing of others."""
    if result.routing is None:
        return {}
    return {"routing": result.routing, "first_step_s": finite_or_none(result.first_step_s or math.nan)}


def _lower_bound(bill: Ledger | None) -> dict[str, Any]:
    """Return what an entry says of a bill with items that have no stated time; nothing of a complete one."""
    if bill is None or not bill.not_stated:
        return {}
    return {"not_stated": " ".join(bill.not_stated), "stated_s": bill.at_least}


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is not a finite number: JSON has no NaN."""
    return {name: each for name, each in values.items() if not isinstance(each, float) or math.isfinite(each)}
