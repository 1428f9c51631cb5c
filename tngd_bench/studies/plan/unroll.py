"""Unroll the sections of a study to trials: every combination once, with what each optimizer will need."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from tngd_bench.measure.optimizer_config import Contestant
from tngd_bench.measure.workload import Setting
from tngd_bench.optimizers import registry as optimizers
from tngd_bench.optimizers.costs import PredictedCost, cost_of, host_cost
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.problems.widths import Widths
from tngd_bench.solvers.cg_iterations import CGIterations
from tngd_bench.spu.device import Device
from tngd_bench.studies.file.optimizer_label import contestant_of
from tngd_bench.studies.file.schema import CostSection, Study, TrainingSection
from tngd_bench.studies.file.sweeps import levels_of, settings_of
from tngd_bench.studies.plan.data_requests import problem_of, request_of
from tngd_bench.studies.plan.duration_model import PROCESS_START_S, DurationModel
from tngd_bench.studies.plan.inputs import LoadedSize, MachineLimits
from tngd_bench.studies.plan.trials import (
    Candidate,
    CostBlock,
    DataRequest,
    InspectionTrial,
    SkipReason,
    TrainingTrial,
)

GIGABYTE = 1e9


class _Common(TypedDict):
    """The fields that every kind of trial has, but for its predicted duration."""

    section: str
    setting: Setting
    parameters: int
    width: str
    data: DataRequest
    threads: int
    limits: tuple[float, float]


@dataclass(frozen=True)
class Unroller:
    """Makes the trials of a study for a machine, with durations predicted by `model`."""

    study: Study
    machine: MachineLimits
    model: DurationModel = field(default_factory=DurationModel)

    def cost_blocks(self, section: CostSection) -> Iterator[CostBlock]:
        """Yield one block for every process and size, in that order."""
        contestants = self._contestants(section)
        grid = list(self._grid(section))
        data = {outputs: request_of(self.study, section, outputs) for outputs in section.outputs}
        candidates_at = {}
        for place, widths in grid:
            setting = self._setting(section, *place, ("process", 0))
            candidates_at[place] = tuple(
                self._timed(section, self._judge(contestant, setting, widths, cost=True))
                for contestant in contestants
            )
        for process in range(section.processes):
            for place, widths in grid:
                candidates = candidates_at[place]
                setting = self._setting(section, *place, ("process", process))
                yield CostBlock(
                    **self._common(
                        section, setting, widths, data[setting.outputs], self.study.execution.threads_cost
                    ),
                    predicted_s=_whole(candidates),
                    candidates=candidates,
                    process=process,
                    repetitions=section.repetitions,
                    least_repetitions=section.least_repetitions,
                    seconds_limit=section.seconds_limit,
                )

    def inspections(self, section: CostSection) -> Iterator[InspectionTrial]:
        """Yield one inspection for every size and optimizer that is timed there."""
        contestants = self._contestants(section)
        data = {outputs: request_of(self.study, section, outputs) for outputs in section.outputs}
        threads = self.study.execution.threads_training
        for place, widths in self._grid(section):
            setting = self._setting(section, *place, ("process", 0))
            for contestant in contestants:
                if self._judge(contestant, setting, widths, cost=True).skip is not None:
                    continue  # the cost block says why; there is no step to inspect
                fits = self._judge(contestant, setting, widths, cost=False)
                if fits.skip is None:
                    inspected = self._inspected_seconds(contestant, setting, widths, fits)
                    seconds = self.model.inspected(contestant, inspected)
                    fits = dataclasses.replace(fits, predicted_s=seconds)
                yield InspectionTrial(
                    **self._common(section, setting, widths, data[setting.outputs], threads),
                    predicted_s=_whole((fits,)),
                    candidates=(fits,),
                )

    def training_trials(
        self, section: TrainingSection, sizes: Mapping[DataRequest, LoadedSize]
    ) -> Iterator[TrainingTrial]:
        """Yield one run for every seed, optimizer and combination of swept values, in that order."""
        widths = problem_of(self.study, section).widths(section.parameters, section.outputs)
        data = request_of(self.study, section)
        samples = sizes[data].train_size
        iterations = max(1, round(section.epochs * (samples // section.batch_size)))
        evaluations = min(section.evaluations, iterations) + 1
        # What is chosen on held-out data must not be judged again on the starts and batches it was chosen with.
        purpose = "seed" if section.validation_share is None else "tuning"
        place = (section.parameters, section.batch_size, section.outputs)
        first = self._setting(section, *place, (purpose, 0))
        evaluation_s = self.model.evaluation(
            section.problem, widths.parameters, self._passed(section, first, widths, sizes[data])
        )
        runs = []
        for label in section.optimizers:
            for levels in levels_of(section.sweep):
                contestant = contestant_of(self.study, label, section.problem, settings_of(levels))
                candidate = self._judge_run(contestant, first, widths, iterations)
                if candidate.skip is None:
                    seconds = self.model.trained(
                        contestant, candidate.least_seconds, iterations, evaluations, evaluation_s
                    )
                    candidate = dataclasses.replace(candidate, predicted_s=seconds)
                runs.append((candidate, levels))
        common = self._common(section, first, widths, data, self.study.execution.threads_training)
        for seed in range(section.first_seed, section.first_seed + section.seeds):
            common["setting"] = self._setting(section, *place, (purpose, seed))
            for candidate, levels in runs:
                yield TrainingTrial(
                    **common,
                    predicted_s=_whole((candidate,)),
                    candidates=(candidate,),
                    seed=seed,
                    epochs=section.epochs,
                    evaluations=section.evaluations,
                    evaluation_size=section.evaluation_size,
                    levels=levels,
                )

    def _inspected_seconds(
        self, contestant: Contestant, setting: Setting, widths: Widths, fits: Candidate
    ) -> float:
        """Return the seconds of what is inspected: a step, or of a simulated device the host's part alone."""
        device = self._device(contestant)
        if device is None:
            return fits.least_seconds
        host = host_cost(_iteration(setting, widths), device.upload)
        return host.seconds(self.machine.rate_training)

    def _device(self, contestant: Contestant) -> Device | None:
        """Return the device that a contestant simulates, None for a digital one."""
        entry = optimizers.get(contestant.method)
        if not contestant.simulated or entry.device is None:
            return None
        return entry.device({**entry.defaults, **contestant.settings})

    def _passed(
        self, section: TrainingSection, setting: Setting, widths: Widths, loaded: LoadedSize
    ) -> float:
        """Return the seconds of one evaluation: forward passes, a third of what a step of SGD takes."""
        samples = (section.evaluation_size or loaded.train_size) + loaded.test_size
        at_once = problem_of(self.study, section).evaluation_batch
        whole = dataclasses.replace(setting, batch_size=at_once)
        step = self._judge(Contestant("sgd", "sgd", {}), whole, widths, cost=False)
        return samples / at_once * step.least_seconds / 3.0

    def _contestants(self, section: CostSection) -> list[Contestant]:
        return [contestant_of(self.study, label, section.problem) for label in section.optimizers]

    def _grid(self, section: CostSection) -> Iterator[tuple[tuple[int, int, int], Widths]]:
        """Yield (parameters, batch size, outputs) and the widths, parameters varying fastest."""
        problem = problem_of(self.study, section)
        for outputs in section.outputs:
            for batch_size in section.batch_size:
                for parameters in section.parameters:
                    yield (parameters, batch_size, outputs), problem.widths(parameters, outputs)

    def _setting(
        self,
        section: CostSection | TrainingSection,
        parameters: int,
        batch_size: int,
        outputs: int,
        repetition: tuple[str, int],
    ) -> Setting:
        # The section's name is no part of the seed: two sections on one problem share starts and batches.
        parts = (self.study.name, section.problem, *repetition)
        options = tuple(self.study.problem.get(section.problem, {}).items())
        execution = self.study.execution
        return Setting(
            section.problem,
            parameters,
            outputs,
            batch_size,
            execution.dtype,
            parts,
            options,
            execution.processor,
        )

    def _common(
        self,
        section: CostSection | TrainingSection,
        setting: Setting,
        widths: Widths,
        data: DataRequest,
        threads: int,
    ) -> _Common:
        execution = self.study.execution
        return {
            "section": section.name,
            "setting": setting,
            "parameters": widths.parameters,
            "width": widths.describe(),
            "data": data,
            "threads": threads,
            "limits": (execution.seconds_per_iteration_limit, execution.memory_limit_fraction),
        }

    def _timed(self, section: CostSection, candidate: Candidate) -> Candidate:
        """Add how long the optimizer takes in a cost block."""
        if candidate.skip is not None:
            return candidate
        seconds = self.model.timed(
            candidate.contestant,
            candidate.least_seconds,
            section.repetitions,
            section.least_repetitions,
            section.seconds_limit,
        )
        return dataclasses.replace(candidate, predicted_s=seconds)

    def _judge_run(
        self, contestant: Contestant, setting: Setting, widths: Widths, iterations: int
    ) -> Candidate:
        """Predict a step of a training run, and skip the run where a step or the whole of it exceeds a limit."""
        candidate = self._judge(contestant, setting, widths, cost=False, training=True)
        whole, limit = iterations * candidate.least_seconds, self.study.execution.trial_seconds_limit
        if candidate.skip is not None or whole <= limit:
            return candidate
        reason = f"needs ≈ {whole:.3g} s for {iterations} iterations, limit {limit:g} s"
        return dataclasses.replace(candidate, skip=SkipReason("skipped", reason))

    def _judge(
        self, contestant: Contestant, setting: Setting, widths: Widths, *, cost: bool, training: bool = False
    ) -> Candidate:
        """Predict one iteration's time and memory, and skip what exceeds the limits, naming both."""
        execution, machine = self.study.execution, self.machine
        rate = machine.rate_cost if cost else machine.rate_training
        predicted, simulates = self._predicted(contestant, setting, widths, training=training)
        seconds = predicted.seconds(rate)
        if not predicted.known:
            # it makes a gradient, whatever else it does; the limits of a trial guard the rest
            least = cost_of("sgd", _iteration(setting, widths), _itemsize(setting))
            return Candidate(
                contestant,
                math.nan,
                math.nan,
                gradient_seconds=least.flops / rate,
                gradient_bytes=least.bytes,
            )
        budget = machine.working_bytes * execution.memory_limit_fraction / (1 if cost else execution.workers)
        reasons = []
        if seconds > execution.seconds_per_iteration_limit:
            limit = execution.seconds_per_iteration_limit
            reasons.append(
                f"needs {predicted.flops:.2g} FLOP ≈ {seconds:.3g} s per iteration, limit {limit:g} s{simulates}"
            )
        if predicted.bytes > budget:
            reasons.append(f"needs {predicted.bytes / GIGABYTE:.3g} GB, budget {budget / GIGABYTE:.3g} GB")
        skip = SkipReason("skipped", "; ".join(reasons)) if reasons else None
        return Candidate(contestant, seconds, predicted.bytes, skip)

    def _predicted(
        self, contestant: Contestant, setting: Setting, widths: Widths, *, training: bool
    ) -> tuple[PredictedCost, str]:
        """Return the cost of an iteration, and what to say of a device that is simulated."""
        entry, settings = optimizers.get(contestant.method), contestant.settings
        it, itemsize, device = (
            _iteration(setting, widths, settings),
            _itemsize(setting),
            self._device(contestant),
        )
        if device is not None and not training and entry.device_billed_alone(settings) is not None:
            return host_cost(it, device.upload, itemsize), ""
        predicted = cost_of(contestant.method, it, itemsize, settings, device)
        if device is None or training:
            return predicted, ""
        return predicted, " (its bill depends on the scale of its arrays, so it is simulated)"


def _itemsize(setting: Setting) -> int:
    return 8 if setting.dtype == "float64" else 4


def _iteration(setting: Setting, widths: Widths, settings: Mapping[str, object] | None = None) -> Iteration:
    size = widths.parameters, setting.rows, setting.batch_size, setting.outputs, widths.layers
    return Iteration(*size, CGIterations.of(settings or {}), double=_itemsize(setting) > 4)


def _whole(candidates: Sequence[Candidate]) -> float:
    """Return the predicted seconds of a trial, its process's start included; 0 where nothing runs."""
    running = [candidate.predicted_s for candidate in candidates if candidate.skip is None]
    return PROCESS_START_S + sum(running) if running else 0.0
