"""A study as frozen, checked dataclasses; what each key means is written beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from tngd_bench.optimizers.entry import check_range
from tngd_bench.spu.field_info import in_words

Count = Annotated[int, Field(strict=True, ge=1)]
Threads = Annotated[int, Field(strict=True, ge=1, le=1024)]  # torch crashes when asked for tens of thousands
Epochs = Annotated[float, Field(strict=True, gt=0, le=1e6)]
PositiveNumber = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, gt=0, le=1)]
PartialShare = Annotated[float, Field(strict=True, gt=0, lt=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=60)]
Text = Annotated[str, Field(strict=True)]
Label = Annotated[str, Field(strict=True, min_length=1)]
Number = Annotated[int, Field(strict=True)] | Annotated[float, Field(strict=True, allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]
Scalar = Annotated[Flag | Number | Text, BeforeValidator(in_words)]

_STRICT = ConfigDict(extra="forbid")


def _as_list(value: Any) -> Any:
    """Let one value stand for a list of one; the checks of its entries then speak of the value itself."""
    return value if value is None or isinstance(value, list | tuple) else (value,)


Counts = Annotated[tuple[Count, ...], Field(min_length=1), BeforeValidator(_as_list)]


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class Execution:
    """How trials are run; none of it changes what is computed, except `dtype` and `processor`."""

    threads_cost: Threads = 1  # threads of a timed process; cost trials run alone
    threads_training: Threads = 1  # threads of each training process
    # training processes side by side; 0: as many as the cores have threads for, and memory has room for
    workers: Annotated[int, Field(strict=True, ge=0)] = 0
    seconds_per_iteration_limit: PositiveNumber = 4.0  # predicted longer iterations are skipped
    memory_limit_fraction: Share = 0.5  # of the memory available at the start
    trial_seconds_limit: PositiveNumber = 600.0  # a trial that runs longer is stopped
    trial_memory_limit_gb: PositiveNumber | None = (
        None  # so is one that holds more; 0.9 of its share where left out
    )
    pinned: Flag = True  # bind processes to processors of their own, where there are enough
    engine: Literal["local", "dask"] = "local"  # this machine, or the [cluster]
    # what trials compute on, as torch names devices: "cpu", "cuda", "cuda:1"; on a GPU `workers` 0 is 1
    processor: Annotated[str, Field(strict=True, pattern=r"^(cpu|cuda(:[0-9]+)?)$")] = "cpu"
    dtype: Literal["float32", "float64"] = "float32"


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class Cluster:
    """Where the engine "dask" finds its machines; `options` go to the class of that kind as they are."""

    kind: Literal["scheduler", "local", "ssh", "slurm", "kubernetes"]
    scheduler: Text | None = None  # kind "scheduler": its address, tcp://…
    hosts: tuple[Label, ...] = ()  # kind "ssh": the scheduler's machine, then the workers'
    machines: Count = 2  # Dask workers: processes for kind "local", else machines
    cores: Count | None = None  # of each; kind "local" shares out this machine's where left out
    memory: Text | None = None  # of each, for kind "slurm", as in "32GB"
    options: Mapping[str, Scalar | tuple[Scalar, ...] | Mapping[str, Scalar]] = field(default_factory=dict)
    mixed: Flag = False  # accept machines of different classes for training; never for cost sections

    def __post_init__(self) -> None:
        """Refuse a kind without what it needs."""
        needs = {
            "scheduler": ("scheduler",),
            "ssh": ("hosts", "cores"),
            "slurm": ("cores", "memory"),
            "kubernetes": ("cores",),
        }.get(self.kind, ())
        for key in needs:
            if not getattr(self, key):
                raise ValueError(f"kind = {self.kind!r} needs {key}")
        if self.kind == "ssh" and len(self.hosts) < 2:
            raise ValueError("hosts must name the scheduler's machine and at least one worker's")


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class CostSection:
    """Time per iteration of `optimizers` at every combination of `parameters`, `batch_size` and `outputs`."""

    name: Name
    problem: Label
    parameters: Counts
    optimizers: Annotated[tuple[Label, ...], Field(min_length=1)]
    batch_size: Counts = (32,)
    outputs: Counts = (10,)
    processes: Count = 5  # worker processes that repeat the whole measurement
    repetitions: Annotated[int, Field(strict=True, ge=3)] = 20  # timed iterations per process, at most
    seconds_limit: PositiveNumber = 2.0  # per optimizer and process, before the repetitions are cut short
    least_repetitions: Count = 2  # whatever the seconds; with five processes ten, enough for a comparison
    enabled: Flag = True  # false: left out, as a profile may want


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class Sweep:
    """One setting of the optimizers, or one field of their device, run through `values`.

    "ideal" means no such imperfection; `labels` are what the values are called in reports.
    """

    parameter: Label
    values: Annotated[tuple[Scalar, ...], Field(min_length=1)]
    labels: tuple[Label, ...] = ()  # as written where left out

    def __post_init__(self) -> None:
        """Refuse labels that do not match the values one to one."""
        if self.labels and len(self.labels) != len(self.values):
            raise ValueError(f"as many labels as values ({len(self.values)}), not {len(self.labels)}")


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class TargetLevel:
    """A level fixed beforehand, whose reaching is timed, and where it comes from."""

    metric: Label
    value: Number
    provenance: Text = "stated in the study file"


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class TrainingSection:
    """Training runs of `optimizers`, each from the same starts on the same batches.

    A file may give lists of `parameters` and of `batch_size`: every combination becomes a section of its own.
    """

    name: Name
    problem: Label
    parameters: Count
    optimizers: Annotated[tuple[Label, ...], Field(min_length=1)]
    epochs: Epochs
    batch_size: Count = 32
    outputs: Count = 10
    train_size: Count | None = None  # the first samples; everything where it is left out
    test_size: Count | None = None
    evaluations: Count = 10  # evenly spaced after the one at the start
    evaluation_size: Count | None = None  # training samples evaluated on, the first; all where it is left out
    seeds: Count = 3
    first_seed: Annotated[int, Field(strict=True, ge=0)] = 0  # the seeds are this one and those after it
    sweep: (
        Annotated[tuple[Sweep, ...], Field(min_length=1, max_length=2), BeforeValidator(_as_list)] | None
    ) = None  # two sweeps: every pair of their values
    validation_share: PartialShare | None = (
        None  # held out of the training samples, in place of the test data
    )
    targets: tuple[TargetLevel, ...] = ()
    enabled: Flag = True  # false: left out, as a profile may want


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class Axis:
    """The range of one setting in a search, and the scale on which draws are uniform (see `optimizers.families`)."""

    low: Number
    high: Number
    scale: Literal["log", "log-complement", "linear"] = "log"
    reason: Text = ""

    def __post_init__(self) -> None:
        """Refuse an empty range, and one that its scale does not have."""
        check_range(self.low, self.high, self.scale)


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class Tuning:
    """How `tngd-bench tune` chooses the settings that a label such as adam[tuned] takes.

    Every optimizer gets `trials` settings drawn from its space, and its own defaults besides. The `finalists` best of
    each then run the section's own epochs on seeds that the search has not had, and the best of these is taken: what
    wins by luck on few seeds, or lasts for part of the training alone, does not win twice.
    """

    section: Name | None = None  # the training section tuned for; the only one without a sweep where left out
    optimizers: tuple[Label, ...] = ()  # those of the section where left out
    trials: Annotated[int, Field(strict=True, ge=1, le=4096)] = 16  # a power of 2 is balanced best
    seeds: Count = 1  # runs per setting, which is judged by their median
    epochs: Epochs | None = None  # of a run in the search; the section's where left out
    finalists: Count = 3  # 1: the best of the search is taken as it is, without finals
    final_seeds: Count = 3  # runs per finalist
    metric: Label = "validation_loss"  # at the end of each run; or validation_ and a metric of the problem
    validation_share: PartialShare = 0.2  # of the section's training samples, held out of training
    sampler_seed: Annotated[int, Field(strict=True, ge=0)] = 0
    spaces: Mapping[str, Mapping[str, Axis]] = field(default_factory=dict)  # over those of the optimizers


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class TunedSet:
    """What one search found on one problem: `tuned` and `tuning_record` as in `Study`."""

    tuned: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)
    tuning_record: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class Study:
    """A question: what is measured, on which problems, with which optimizers."""

    name: Name
    title: Label
    description: Text = ""
    choices: Mapping[Label, tuple[Label, ...]] = field(
        default_factory=dict
    )  # by topic, sentences on what the source leaves open and what is done here; an included topic adds to the others
    execution: Execution = field(default_factory=Execution)
    cluster: Cluster | None = None
    cost: tuple[CostSection, ...] = ()
    training: tuple[TrainingSection, ...] = ()
    optimizer: Mapping[str, Mapping[str, Scalar]] = field(
        default_factory=dict
    )  # settings for the whole study
    problem: Mapping[str, Mapping[str, Scalar]] = field(
        default_factory=dict
    )  # options of a problem, by its name
    tuning: Tuning | None = None
    tuned: Mapping[str, Mapping[str, Scalar]] = field(
        default_factory=dict
    )  # settings that a label such as adam[tuned] takes
    tuning_record: Mapping[str, Mapping[str, Scalar]] = field(
        default_factory=dict
    )  # where `tuned` comes from: "search", and what it cost and found for each optimizer
    tuned_for: Mapping[Label, TunedSet] = field(
        default_factory=dict
    )  # by problem, where included files were tuned on several; see `tuned_sets`
    device: Mapping[Name, Mapping[str, Scalar]] = field(
        default_factory=dict
    )  # devices of this study: a base, and the fields that differ from it
