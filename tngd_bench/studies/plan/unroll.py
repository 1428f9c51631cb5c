"""Unroll the sections of a study to trials: every combination once, with what each optimizer will need."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.measure.problem_instance import ProblemInstance
from tngd_bench.studies.file.optimizer_label import config_of
from tngd_bench.studies.file.schema import CostSection, Study, TrainingSection
from tngd_bench.studies.file.sweeps import Level, levels_of, settings_of
from tngd_bench.studies.plan.candidates import CandidateMaker, SizedProblem
from tngd_bench.studies.plan.data_requests import problem_of, request_of
from tngd_bench.studies.plan.duration_model import DurationModel
from tngd_bench.studies.plan.enough_processes import chance_of_process
from tngd_bench.studies.plan.inputs import LoadedSize, MachineLimits
from tngd_bench.studies.plan.trials import Candidate, CostBlock, DataRequest, InspectionTrial, TrainingTrial


@dataclass(frozen=True)
class Unroller:
    """Makes the trials of a study for a machine, with durations predicted by `model`."""

    study: Study
    machine: MachineLimits
    model: DurationModel = field(default_factory=DurationModel)

    @cached_property
    def _make(self) -> CandidateMaker:
        return CandidateMaker(self.study.execution, self.machine)

    def cost_blocks(self, section: CostSection) -> Iterator[CostBlock]:
        """Yield one block for every process and size, in that order."""
        configs = self._configs(section)
        blocks = [
            (problem, tuple(self._timed(config, problem, section) for config in configs))
            for problem in self._sizes(section)
        ]
        threads = self.study.execution.threads_cost
        for process in range(section.processes):
            chance = chance_of_process(process, section.precision)
            for problem, candidates in blocks:
                yield CostBlock(
                    **self._common(section, self._again(problem, ("process", process)), threads),
                    candidates=tuple(_lasting(each, chance * each.predicted_s) for each in candidates),
                    process=process,
                    repetitions=section.repetitions,
                    least_repetitions=section.least_repetitions,
                    seconds_limit=section.seconds_limit,
                    precision=section.precision,
                )

    def inspections(self, section: CostSection) -> Iterator[InspectionTrial]:
        """Yield one inspection for every size and optimizer that is timed there."""
        configs = self._configs(section)
        for problem in self._sizes(section):
            common = self._common(section, problem, self.study.execution.threads_training)
            for config in configs:
                if self._make.timed(config, problem).skip is not None:
                    continue  # the cost block says why; there is no step to inspect
                candidate = self._make.inspected(config, problem)
                if candidate.skip is None:
                    inspected = self._make.inspected_seconds(candidate, problem)
                    candidate = _lasting(candidate, self.model.inspected(config, problem.instance, inspected))
                yield InspectionTrial(**common, candidates=(candidate,))

    def training_trials(
        self, section: TrainingSection, sizes: Mapping[DataRequest, LoadedSize]
    ) -> Iterator[TrainingTrial]:
        """Yield one run for every seed, optimizer and combination of swept values, in that order."""
        # What is chosen on held-out data must not be judged again on the starts and batches it was chosen with.
        purpose = "seed" if section.validation_share is None else "tuning"
        size = section.parameters, section.batch_size, section.outputs
        problem = self._problem(section, *size, (purpose, 0))
        runs = list(self._runs(section, problem, sizes[request_of(self.study, section)]))
        threads = self.study.execution.threads_training
        length = {
            name: getattr(section, name) for name in ("epochs", "evaluations", "evaluation_size", "keep")
        }
        for seed in range(section.first_seed, section.first_seed + section.seeds):
            common = self._common(section, self._again(problem, (purpose, seed)), threads) | length
            for candidate, levels in runs:
                yield TrainingTrial(**common, candidates=(candidate,), seed=seed, levels=levels)

    def _runs(
        self, section: TrainingSection, problem: SizedProblem, loaded: LoadedSize
    ) -> Iterator[tuple[Candidate, tuple[Level, ...]]]:
        """Yield the optimizers of a section at every combination of swept values."""
        iterations = max(1, round(section.epochs * (loaded.train_size // section.batch_size)))
        evaluations = min(section.evaluations, iterations) + 1
        samples = (section.evaluation_size or loaded.train_size) + loaded.test_size
        evaluation_s = self.model.evaluation(
            problem.instance,
            problem.widths.parameters,
            samples,
            lambda: self._passes_seconds(section, problem, samples),
        )
        for label in section.optimizers:
            for levels in levels_of(section.sweep):
                config = config_of(self.study, label, section.problem, settings_of(levels))
                candidate = self._make.trained(config, problem, iterations)
                if candidate.skip is None:
                    step_s = candidate.least_seconds
                    length = iterations, evaluations, evaluation_s
                    seconds = self.model.trained(config, problem.instance, step_s, *length)
                    candidate = _lasting(candidate, seconds)
                yield candidate, levels

    def _passes_seconds(self, section: TrainingSection, problem: SizedProblem, samples: int) -> float:
        """Return the seconds of one evaluation of `samples`: forward passes, a third of what a step of SGD takes."""
        at_once = problem_of(self.study, section).evaluation_batch
        whole = SizedProblem(dataclasses.replace(problem.instance, batch_size=at_once), problem.widths)
        step = self._make.inspected(OptimizerConfig("sgd", "sgd", {}), whole)
        return samples / at_once * step.least_seconds / 3.0

    def _timed(self, config: OptimizerConfig, problem: SizedProblem, section: CostSection) -> Candidate:
        candidate = self._make.timed(config, problem)
        if candidate.skip is not None:
            return candidate
        before, step_s = self._make.seconds_before(config, problem), candidate.least_seconds
        return _lasting(candidate, self.model.timed(config, problem.instance, step_s, section, *before))

    def _configs(self, section: CostSection) -> list[OptimizerConfig]:
        return [config_of(self.study, label, section.problem) for label in section.optimizers]

    def _sizes(self, section: CostSection) -> Iterator[SizedProblem]:
        """Yield the problem at every size, parameters varying fastest, for the first process."""
        sizes = itertools.product(section.outputs, section.batch_size, section.parameters)
        for outputs, batch_size, parameters in sizes:
            yield self._problem(section, parameters, batch_size, outputs, ("process", 0))

    def _problem(
        self,
        section: CostSection | TrainingSection,
        parameters: int,
        batch_size: int,
        outputs: int,
        repetition: tuple[str, int],
    ) -> SizedProblem:
        # The section's name is no part of the seed: two sections on one problem share starts and batches.
        seed_parts = (self.study.name, section.problem, *repetition)
        options = tuple(self.study.problem.get(section.problem, {}).items())
        dtype, processor = self.study.execution.dtype, self.study.execution.processor
        size = section.problem, parameters, outputs, batch_size
        widths = problem_of(self.study, section).widths(parameters, outputs)
        return SizedProblem(ProblemInstance(*size, dtype, seed_parts, options, processor), widths)

    def _again(self, problem: SizedProblem, repetition: tuple[str, int]) -> SizedProblem:
        """Return the problem for another process or seed."""
        parts = (*problem.instance.seed_parts[:2], *repetition)
        return SizedProblem(dataclasses.replace(problem.instance, seed_parts=parts), problem.widths)

    def _common(
        self, section: CostSection | TrainingSection, problem: SizedProblem, threads: int
    ) -> dict[str, Any]:
        """Return the fields that every kind of trial has."""
        execution = self.study.execution
        return {
            "section": section.name,
            "setting": problem.instance,
            "parameters": problem.widths.parameters,
            "width": problem.widths.describe(),
            "data": request_of(self.study, section, problem.instance.outputs),
            "threads": threads,
            "limits": (execution.seconds_per_iteration_limit, execution.memory_limit_fraction),
        }


def _lasting(candidate: Candidate, seconds: float) -> Candidate:
    return dataclasses.replace(candidate, predicted_s=seconds)
