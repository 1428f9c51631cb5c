"""A study as frozen, checked dataclasses; what each key means is written beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

Count = Annotated[int, Field(strict=True, ge=1)]
PositiveNumber = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, gt=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=60)]
Text = Annotated[str, Field(strict=True)]
Label = Annotated[str, Field(strict=True, min_length=1)]
Number = Annotated[int, Field(strict=True)] | Annotated[float, Field(strict=True, allow_inf_nan=False)]
Scalar = Annotated[bool, Field(strict=True)] | Number | Text

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class Execution:
    """How trials are run; none of it changes what is computed, except `dtype`."""

    threads_cost: Count = 1  # threads of a timed process; cost trials run alone
    threads_training: Count = 1  # threads of each training process
    workers: Count = 1  # training processes side by side
    seconds_per_iteration_limit: PositiveNumber = 4.0  # predicted longer iterations are skipped
    memory_limit_fraction: Share = 0.5  # of the memory available at the start
    trial_seconds_limit: PositiveNumber = 600.0  # a trial that runs longer is stopped
    dtype: Literal["float32", "float64"] = "float32"


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class CostSection:
    """Time per iteration of `optimizers` at each of the sizes `parameters`."""

    name: Name
    problem: Label
    parameters: Annotated[tuple[Count, ...], Field(min_length=1)]
    optimizers: Annotated[tuple[Label, ...], Field(min_length=1)]
    batch_size: Count = 32
    outputs: Count = 10
    processes: Count = 2  # worker processes that repeat the whole measurement
    repetitions: Annotated[int, Field(strict=True, ge=3)] = 20  # timed iterations per process, at most
    seconds_limit: PositiveNumber = 2.0  # per optimizer and process, before the repetitions are cut short


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class Sweep:
    """One optimizer setting run through `values`; "ideal" means no such imperfection."""

    parameter: Label
    values: Annotated[tuple[Number | Literal["ideal"], ...], Field(min_length=1)]


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class TrainingSection:
    """Training runs of `optimizers`, each from the same starts on the same batches."""

    name: Name
    problem: Label
    parameters: Count
    optimizers: Annotated[tuple[Label, ...], Field(min_length=1)]
    epochs: PositiveNumber
    batch_size: Count = 32
    outputs: Count = 10
    train_size: Count | None = None  # the first samples; everything where it is left out
    test_size: Count | None = None
    evaluations: Count = 10  # evenly spaced after the one at the start
    evaluation_size: Count | None = None  # training samples evaluated on, the first; all where it is left out
    seeds: Count = 3
    sweep: Sweep | None = None


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class Study:
    """A question: what is measured, on which problems, with which optimizers."""

    name: Name
    title: Label
    description: Text = ""
    execution: Execution = field(default_factory=Execution)
    cost: tuple[CostSection, ...] = ()
    training: tuple[TrainingSection, ...] = ()
    optimizer: Mapping[str, Mapping[str, Scalar]] = field(
        default_factory=dict
    )  # settings for the whole study
