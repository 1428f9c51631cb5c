"""From a study to its trials, with what each will need, and what is not tried because it cannot fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tngd_bench.measure.contestant import Contestant
from tngd_bench.measure.setting import Setting
from tngd_bench.optimizers.costs import predicted_cost
from tngd_bench.problems import registry as problems
from tngd_bench.problems.entry import ProblemEntry
from tngd_bench.problems.widths import Widths
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.reading import LoadedStudy
from tngd_bench.studies.schema import CostSection, Execution, Study, TrainingSection
from tngd_bench.studies.selection import as_setting, resolve
from tngd_bench.studies.trials import (
    Candidate,
    CostBlock,
    DataRequest,
    InspectionTrial,
    TrainingTrial,
    Trial,
    Verdict,
)

GIGABYTE = 1e9
_PROCESS_START_S = 0.4
_STEP_OVERHEAD_S = 2e-3
_EVALUATION_S = 0.05


@dataclass(frozen=True)
class MachineLimits:
    """What the machine at hand offers: FLOP/s with each of the study's thread counts, free memory, and its class."""

    rate_cost: float
    rate_training: float
    memory_bytes: float
    cpu: str | None = None
    torch: str | None = None

    @property
    def machine_class(self) -> dict[str, str | None]:
        """The class of machine, part of the keys of trials."""
        return {"cpu": self.cpu, "torch": self.torch}


@dataclass(frozen=True)
class LoadedSize:
    """What the plan needs to know of loaded data: the number of training samples, and the checksum."""

    train_size: int
    checksum: str


@dataclass(frozen=True)
class Plan:
    """The trials of a study in the order of execution, by key."""

    loaded: LoadedStudy
    trials: Mapping[str, Trial]
    machine: MachineLimits

    @property
    def study(self) -> Study:
        """The study."""
        return self.loaded.study

    @property
    def predicted_s(self) -> float:
        """Predicted duration of everything, from rough guesses."""
        return predicted_seconds(self.trials.values(), self.study.execution.workers)


def predicted_seconds(trials: Iterable[Trial], workers: int) -> float:
    """Return the predicted duration of `trials`: cost blocks alone, the others side by side."""
    return sum(trial.predicted_s / (1 if isinstance(trial, CostBlock) else workers) for trial in trials)


def data_requests(study: Study) -> tuple[DataRequest, ...]:
    """Return the distinct data sets that a study needs."""
    sections: list[CostSection | TrainingSection] = [*study.cost, *study.training]
    return tuple(dict.fromkeys(_request(study, section) for section in sections))


def make_plan(loaded: LoadedStudy, sizes: Mapping[DataRequest, LoadedSize], machine: MachineLimits) -> Plan:
    """Unroll a study into trials; StudyError when a batch is larger than the data.

    An optimizer is skipped where the predicted operations at the machine's rate exceed the study's limit per
    iteration (or, in training, the whole run its limit), or the predicted memory its share of what is free.
    """
    study = loaded.study
    trials: list[Trial] = []
    _refuse_too_much(study, sizes)
    for cost in study.cost:
        trials += _cost_blocks(study, cost, machine)
    for cost in study.cost:
        trials += _inspections(study, cost, machine)
    for training in study.training:
        trials += _training_trials(study, training, sizes, machine)
    return Plan(loaded, {trial.key(sizes[trial.data].checksum, machine.machine_class): trial for trial in trials}, machine)


def _refuse_too_much(study: Study, sizes: Mapping[DataRequest, LoadedSize]) -> None:
    """Raise StudyError where a section wants more training samples than there are."""
    sections: list[CostSection | TrainingSection] = [*study.cost, *study.training]
    for section in sections:
        kind = "cost" if isinstance(section, CostSection) else "training"
        available = sizes[_request(study, section)].train_size
        wanted = {"batch_size": section.batch_size}
        if isinstance(section, TrainingSection) and section.evaluation_size is not None:
            wanted["evaluation_size"] = section.evaluation_size
        for key, size in wanted.items():
            if size > available:
                raise StudyError(
                    f"{kind}[{section.name}].{key} must be <= {available}, the number of training samples, not {size}"
                )


def _problem(study: Study, section: CostSection | TrainingSection) -> ProblemEntry:
    return problems.get(section.problem, study.problem.get(section.problem))


def _request(study: Study, section: CostSection | TrainingSection) -> DataRequest:
    problem, dtype = _problem(study, section), study.execution.dtype
    outputs = section.outputs if problem.data_by_outputs else None
    options = tuple(study.problem.get(section.problem, {}).items())
    if isinstance(section, CostSection):
        return DataRequest(section.problem, None, None, dtype, None, outputs, options)
    sizes, share = (section.train_size, section.test_size), section.validation_share
    return DataRequest(section.problem, *sizes, dtype, share, outputs, options)


def _cost_blocks(study: Study, section: CostSection, machine: MachineLimits) -> Iterator[CostBlock]:
    execution = study.execution
    problem = _problem(study, section)
    contestants = [resolve(label, study.optimizer) for label in section.optimizers]
    for process in range(section.processes):
        for requested in section.parameters:
            widths = problem.widths(requested, section.outputs)
            setting = _setting(study, section, requested, ("process", process))
            entrants = tuple(
                _judge(contestant, setting, widths, execution, machine, cost=True)
                for contestant in contestants
            )
            running = [e.estimate_seconds + _STEP_OVERHEAD_S for e in entrants if e.verdict is None]
            timed = sum(max(4 * s, min(section.repetitions * s, section.seconds_limit)) for s in running)
            yield CostBlock(
                section=section.name,
                setting=setting,
                parameters=widths.parameters,
                width=widths.describe(),
                data=_request(study, section),
                threads=execution.threads_cost,
                limits=_limits(execution),
                predicted_s=_PROCESS_START_S + timed if running else 0.0,
                entrants=entrants,
                process=process,
                repetitions=section.repetitions,
                seconds_limit=section.seconds_limit,
            )


def _inspections(study: Study, section: CostSection, machine: MachineLimits) -> Iterator[InspectionTrial]:
    execution = study.execution
    problem = _problem(study, section)
    contestants = [resolve(label, study.optimizer) for label in section.optimizers]
    for requested in section.parameters:
        widths = problem.widths(requested, section.outputs)
        setting = _setting(study, section, requested, ("process", 0))
        for contestant in contestants:
            timed = _judge(contestant, setting, widths, execution, machine, cost=True)
            fits = _judge(contestant, setting, widths, execution, machine, cost=False)
            if timed.verdict is not None:
                continue  # the cost block says why; there is no step to inspect
            yield InspectionTrial(
                section=section.name,
                setting=setting,
                parameters=widths.parameters,
                width=widths.describe(),
                data=_request(study, section),
                threads=execution.threads_training,
                limits=_limits(execution),
                predicted_s=0.0 if fits.verdict else _PROCESS_START_S + 2 * fits.estimate_seconds,
                candidate=fits,
            )


def _training_trials(
    study: Study, section: TrainingSection, sizes: Mapping[DataRequest, LoadedSize], machine: MachineLimits
) -> Iterator[TrainingTrial]:
    execution = study.execution
    widths = _problem(study, section).widths(section.parameters, section.outputs)
    request = _request(study, section)
    iterations = max(1, round(section.epochs * (sizes[request].train_size // section.batch_size)))
    sweep = section.sweep
    levels = (None,) if sweep is None else tuple(as_setting(value) for value in sweep.values)
    contestants = {
        (label, level): resolve(label, study.optimizer, {} if sweep is None else {sweep.parameter: level})
        for label in section.optimizers
        for level in levels
    }
    # What is chosen on held-out data must not be judged again on the starts and batches it was chosen with.
    purpose = "seed" if section.validation_share is None else "tuning"
    for seed in range(section.seeds):
        setting = _setting(study, section, section.parameters, (purpose, seed))
        for label in section.optimizers:
            for level in levels:
                contestant = contestants[label, level]
                candidate = _judge(contestant, setting, widths, execution, machine, cost=False)
                whole = iterations * candidate.estimate_seconds
                limit = execution.trial_seconds_limit
                if candidate.verdict is None and whole > limit:
                    reason = f"needs ≈ {whole:.3g} s for {iterations} iterations, limit {limit:g} s"
                    candidate = dataclasses.replace(candidate, verdict=Verdict("skipped", reason))
                evaluating = (min(section.evaluations, iterations) + 1) * _EVALUATION_S
                yield TrainingTrial(
                    section=section.name,
                    setting=setting,
                    parameters=widths.parameters,
                    width=widths.describe(),
                    data=request,
                    threads=execution.threads_training,
                    limits=_limits(execution),
                    predicted_s=0.0
                    if candidate.verdict
                    else _PROCESS_START_S + whole + iterations * _STEP_OVERHEAD_S + evaluating,
                    candidate=candidate,
                    seed=seed,
                    epochs=section.epochs,
                    evaluations=section.evaluations,
                    evaluation_size=section.evaluation_size,
                    sweep_parameter=None if sweep is None else sweep.parameter,
                    sweep_value=float(level) if isinstance(level, int | float) else None,
                )


def _setting(
    study: Study, section: CostSection | TrainingSection, parameters: int, repetition: tuple[str, int]
) -> Setting:
    # The section's name is no part of the seed: two sections on one problem share starts and batches.
    parts = (study.name, section.problem, *repetition)
    options = tuple(study.problem.get(section.problem, {}).items())
    dtype, size = study.execution.dtype, section.batch_size
    return Setting(section.problem, parameters, section.outputs, size, dtype, parts, options)


def _limits(execution: Execution) -> tuple[float, float]:
    return execution.seconds_per_iteration_limit, execution.memory_limit_fraction


def _judge(
    contestant: Contestant,
    setting: Setting,
    widths: Widths,
    execution: Execution,
    machine: MachineLimits,
    *,
    cost: bool,
) -> Candidate:
    """Predict one iteration's time and memory, and skip what exceeds the limits, naming both."""
    iterations = contestant.settings.get("cg_iterations", 200)
    predicted = predicted_cost(
        contestant.method,
        parameters=widths.parameters,
        rows=setting.rows,
        batch_size=setting.batch_size,
        outputs=setting.outputs,
        layers=widths.layers,
        itemsize=8 if setting.dtype == "float64" else 4,
        cg_iterations=iterations if isinstance(iterations, int) else 200,
    )
    seconds = predicted.flops / (machine.rate_cost if cost else machine.rate_training)
    budget = machine.memory_bytes * execution.memory_limit_fraction / (1 if cost else execution.workers)
    reasons = []
    if seconds > execution.seconds_per_iteration_limit:
        limit = execution.seconds_per_iteration_limit
        reasons.append(f"needs {predicted.flops:.2g} FLOP ≈ {seconds:.3g} s per iteration, limit {limit:g} s")
    if predicted.bytes > budget:
        reasons.append(f"needs {predicted.bytes / GIGABYTE:.3g} GB, budget {budget / GIGABYTE:.3g} GB")
    verdict = Verdict("skipped", "; ".join(reasons)) if reasons else None
    return Candidate(contestant, seconds, predicted.bytes, verdict)
