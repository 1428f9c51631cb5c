"""Trials of a study: cost blocks, inspections and training runs, each small enough to be sent to a process."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.measure.problem_instance import DType, ProblemInstance
from tngd_bench.problems.entry import Option
from tngd_bench.studies.file.sweeps import Level

TrialStatus = Literal["ok", "diverged", "skipped", "failed", "timed-out", "out-of-memory"]
KEY_LENGTH = 20
PROCESS_START_S = 0.1
"""Until the trial of a process begins."""


@dataclass(frozen=True)
class DataRequest:
    """The data a trial needs; None takes the whole split.

    With a `validation_share` the test part is that share of the training samples, held out of training.
    `outputs` is None where the data do not depend on it; `options` are the problem's.
    """

    problem: str
    train_size: int | None
    test_size: int | None
    dtype: DType
    validation_share: float | None = None
    outputs: int | None = None
    options: tuple[tuple[str, Option], ...] = ()


@dataclass(frozen=True)
class SkipReason:
    """Reason for a missing result: skipped in the plan, or a trial that ended without one.

    `least_step_s`: the seconds of an iteration, at least, where they were why it was stopped.
    """

    status: TrialStatus
    reason: str
    least_step_s: float | None = None


@dataclass(frozen=True)
class Candidate:
    """An optimizer with its predicted cost per iteration and seconds in its trial; with `skip` it is not run.

    An estimate is NaN for an outside optimizer that does not describe its cost; `least_seconds` and `least_bytes` are
    then what a gradient alone takes, and `predicted_s` is by steps timed for the plan or a lower bound.
    """

    config: OptimizerConfig
    estimate_seconds: float
    estimate_bytes: float
    skip: SkipReason | None = None
    predicted_s: float = 0.0
    gradient_seconds: float = 0.0
    gradient_bytes: float = 0.0

    @property
    def known(self) -> bool:
        """True where its cost is predicted."""
        return not math.isnan(self.estimate_seconds)

    @property
    def least_seconds(self) -> float:
        """The estimate, or a lower bound where there is none."""
        return self.estimate_seconds if self.known else self.gradient_seconds

    @property
    def least_bytes(self) -> float:
        """The estimate, or a lower bound where there is none."""
        return self.estimate_bytes if self.known else self.gradient_bytes


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial: the section of the study it belongs to, its setting, exact size, data, threads and optimizers.

    `limits` are what decided about skipping.
    """

    kind: ClassVar[Literal["cost", "inspection", "training"]]
    section: str
    setting: ProblemInstance
    parameters: int
    width: str
    data: DataRequest
    threads: int
    limits: tuple[float, float]
    candidates: tuple[Candidate, ...]

    @property
    def step_seconds_limit(self) -> float:
        """Seconds per iteration that an optimizer may take."""
        return self.limits[0]

    def particulars(self) -> dict[str, object]:
        """Return the fields that tell this trial from others with the same setting."""
        return {}

    def describe(self) -> str:
        """Return the trial in one line for people, which no other trial of the study has."""
        raise NotImplementedError

    @property
    def candidate(self) -> Candidate:
        """The only optimizer, of a trial that has one."""
        (candidate,) = self.candidates
        return candidate

    @property
    def predicted_s(self) -> float:
        """The predicted seconds of the trial, its process's start included; 0 where nothing runs."""
        running = [candidate.predicted_s for candidate in self.candidates if candidate.skip is None]
        return PROCESS_START_S + sum(running) if running else 0.0

    @property
    def size(self) -> str:
        """The size in words: N, batch size b and outputs d_z."""
        setting = self.setting
        return f"N = {self.parameters:,}, b = {setting.batch_size}, d_z = {setting.outputs}"

    @property
    def runnable(self) -> bool:
        """True where anything is left to run."""
        return self.to_run > 0

    @property
    def to_run(self) -> int:
        """Number of optimizers it runs; each counts as a trial in what people are told (see `Extent`)."""
        return sum(candidate.skip is None for candidate in self.candidates)

    @property
    def machine_fields(self) -> tuple[str, ...]:
        """Fields of the class of machine in the trial's identity (see `measure.environment.machine_class`)."""
        return ("torch",) if self.setting.processor == "cpu" else ("torch", "gpu")

    def key(
        self, data_checksum: str, machine: Mapping[str, str | None], code: Mapping[str, str] | None = None
    ) -> str:
        """Return the trial's key: a hash of what is asked (see `identity`) and of the `code` that answers it."""
        return _hashed(self._asked(data_checksum, machine) | {"code": dict(code or {})})

    def identity(self, data_checksum: str, machine: Mapping[str, str | None]) -> str:
        """Return a hash of what is asked, whatever code answers it: settings, data and the class of `machine`."""
        return _hashed(self._asked(data_checksum, machine))

    def key_before_code(self, data_checksum: str, machine: Mapping[str, str | None], version: str) -> str:
        """Return the key that the trial had before keys held the code: with the package's version alone."""
        return _hashed(self._asked(data_checksum, machine) | {"version": version})

    def _asked(self, data_checksum: str, machine: Mapping[str, str | None]) -> dict[str, object]:
        return {
            "data": data_checksum,
            "machine": {name: machine.get(name) for name in self.machine_fields},
            "kind": self.kind,
            "section": self.section,
            # the processor only where it is a GPU, so that older keys stay
            "setting": {k: v for k, v in vars(self.setting).items() if (k, v) != ("processor", "cpu")},
            "request": vars(self.data),
            "threads": self.threads,
            "limits": self.limits,
            "optimizers": [
                {
                    "label": each.config.label,
                    "method": each.config.method,
                    "settings": dict(each.config.settings),
                }
                for each in self.candidates
            ],
            **self.particulars(),
        }


def _hashed(content: Mapping[str, object]) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


@dataclass(frozen=True, kw_only=True)
class CostBlock(Trial):
    """All optimizers of a section at one size, timed interleaved in one process that has the machine to itself."""

    kind = "cost"
    process: int
    repetitions: int
    least_repetitions: int
    seconds_limit: float
    precision: float | None = None

    @property
    def machine_fields(self) -> tuple[str, ...]:
        """Return the fields of the environment that times depend on, the CPU included."""
        return (*super().machine_fields, "cpu")

    def particulars(self) -> dict[str, object]:
        """Return process, repetitions, time limit, and the precision where one is asked for."""
        return {
            "process": self.process,
            "repetitions": [self.least_repetitions, self.repetitions],
            "seconds_limit": self.seconds_limit,
            **({} if self.precision is None else {"precision": self.precision}),
        }

    def describe(self) -> str:
        """Return the block in one line."""
        return f"cost {self.section}: {self.setting.problem}, {self.size}, process {self.process + 1}"

    def without(self, label: str, skip: SkipReason) -> CostBlock:
        """Return the block with one optimizer left out."""
        candidates = tuple(
            replace(each, skip=skip) if each.config.label == label else each for each in self.candidates
        )
        return replace(self, candidates=candidates)


@dataclass(frozen=True, kw_only=True)
class InspectionTrial(Trial):
    """Operations and peak memory of one step of one optimizer, in a process of its own."""

    kind = "inspection"

    def describe(self) -> str:
        """Return the trial in one line."""
        return f"memory and operations {self.section}: {self.candidate.config.label}, {self.size}"


@dataclass(frozen=True, kw_only=True)
class TrainingTrial(Trial):
    """One training run; `levels` are those of the swept settings, none without a sweep."""

    kind = "training"
    seed: int
    epochs: float
    evaluations: int
    evaluation_size: int | None = None
    levels: tuple[Level, ...] = ()
    keep: tuple[str, ...] = ()

    def particulars(self) -> dict[str, object]:
        """Return seed, length, evaluations, the swept setting, and the files to keep, if any."""
        names = ("seed", "epochs", "evaluations", "evaluation_size")
        sweep = [[level.parameter, level.value] for level in self.levels]
        kept = {"keep": sorted(self.keep)} if self.keep else {}
        return {name: getattr(self, name) for name in names} | {"sweep": sweep} | kept

    def describe(self) -> str:
        """Return the trial in one line."""
        label = self.candidate.config.label
        swept = "".join(f", {level.parameter} = {level.label}" for level in self.levels)
        return f"training {self.section}: {label}{swept}, seed {self.seed + 1}"


@dataclass(frozen=True)
class Extent:
    """Numbers of trials to run and to skip, as people are told.

    A trial here is one optimizer, timed in one process, inspected, or trained from one seed; the optimizers of a cost
    block share a process. `skipped` ones come on top of `trials`.
    """

    trials: int
    processes: int
    skipped: int

    @classmethod
    def of(cls, trials: Iterable[Trial]) -> Extent:
        """Count what `trials` run and skip."""
        counts = [(trial.to_run, len(trial.candidates)) for trial in trials]
        running = sum(to_run for to_run, _ in counts)
        return cls(running, sum(to_run > 0 for to_run, _ in counts), sum(n for _, n in counts) - running)

    def describe(self) -> str:
        """Return the counts in words."""
        trials = f"{self.trials:,} trial{'s' * (self.trials != 1)}"
        processes = f"{self.processes:,} process{'es' * (self.processes != 1)}"
        return f"{trials} in {processes}, {self.skipped:,} skipped"


def finite_or_none(value: float) -> float | None:
    """Return a number as the store keeps it: None for NaN and infinities, which JSON does not have."""
    return value if math.isfinite(value) else None
