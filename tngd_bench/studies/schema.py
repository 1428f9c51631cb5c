"""A study as frozen, checked dataclasses; what each key means is written beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

Flag = Annotated[bool, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=1)]
PositiveNumber = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, gt=0, le=1)]
PartialShare = Annotated[float, Field(strict=True, gt=0, lt=1)]
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
    trial_memory_limit_gb: PositiveNumber | None = None  # so is one that holds more; 0.9 of its share where left out
    pinned: Flag = True  # bind processes to processors of their own, where there are enough
    engine: Literal["local", "dask"] = "local"  # this machine, or the [cluster]
    dtype: Literal["float32", "float64"] = "float32"


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class Cluster:
    """Where the engine "dask" finds its machines; `options` go to the class of that kind as they are."""

    kind: Literal["scheduler", "local", "ssh", "slurm", "kubernetes"]
    scheduler: Text | None = None  # kind "scheduler": its address, tcp://…
    hosts: tuple[Label, ...] = ()  # kind "ssh": the scheduler's machine, then the workers'
    machines: Count = 2  # Dask workers: processes for kind "local", else machines
    cores: Count | None = None  # of each; what it has where left out (kind "slurm": stated)
    memory: Text | None = None  # of each, for kind "slurm", as in "32GB"
    options: Mapping[str, Scalar | tuple[Scalar, ...]] = field(default_factory=dict)
    mixed: Flag = False  # accept machines of different classes for training; never for cost sections

    def __post_init__(self) -> None:
        """Refuse a kind without what it needs."""
        needs = {"scheduler": "scheduler", "ssh": "hosts", "slurm": "memory"}.get(self.kind)
        if needs is not None and not getattr(self, needs):
            raise ValueError(f"kind = {self.kind!r} needs {needs}")
        if self.kind == "slurm" and self.cores is None:
            raise ValueError("kind = 'slurm' needs cores")
        if self.kind == "ssh" and len(self.hosts) < 2:
            raise ValueError("hosts must name the scheduler's machine and at least one worker's")


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
    validation_share: PartialShare | None = (
        None  # held out of the training samples, in place of the test data
    )


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class Axis:
    """The range of one setting in a search, and the scale on which draws are uniform (see `spaces.toml`)."""

    low: Number
    high: Number
    scale: Literal["log", "log-complement", "linear"] = "log"
    reason: Text = ""

    def __post_init__(self) -> None:
        """Refuse an empty range, and one that its scale does not have."""
        if not self.low < self.high:
            raise ValueError(f"low must be < high, not {self.low:g} and {self.high:g}")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f"low must be > 0 on a log scale, not {self.low:g}")
        if self.scale == "log-complement" and self.high >= 1:
            raise ValueError(f"high must be < 1 on a log-complement scale, not {self.high:g}")


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class Tuning:
    """How `tngd-bench tune` chooses the settings that a label such as adam[tuned] takes.

    Every optimizer gets `trials` settings drawn from its space, and its own defaults besides.
    """

    section: Name | None = None  # the training section tuned for; the only one without a sweep where left out
    optimizers: tuple[Label, ...] = ()  # those of the section where left out
    trials: Count = 16  # a power of 2 is balanced best
    seeds: Count = 1  # runs per setting, which is judged by their median
    epochs: PositiveNumber | None = None  # the section's where left out
    metric: Literal["validation_loss", "validation_accuracy"] = "validation_loss"  # at the end of each run
    validation_share: PartialShare = 0.2  # of the section's training samples, held out of training
    sampler_seed: Annotated[int, Field(strict=True, ge=0)] = 0
    spaces: Mapping[str, Mapping[str, Axis]] = field(default_factory=dict)  # over the package's spaces.toml


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class Study:
    """A question: what is measured, on which problems, with which optimizers."""

    name: Name
    title: Label
    description: Text = ""
    execution: Execution = field(default_factory=Execution)
    cluster: Cluster | None = None
    cost: tuple[CostSection, ...] = ()
    training: tuple[TrainingSection, ...] = ()
    optimizer: Mapping[str, Mapping[str, Scalar]] = field(
        default_factory=dict
    )  # settings for the whole study
    problem: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)  # options of a problem, by its name
    tuning: Tuning | None = None
