"""Schema of a study file: frozen, checked dataclasses with the meaning of each key below it (see `key_tables`)."""

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
Settings = Mapping[str, Mapping[str, Scalar]]  # by the name of an optimizer or a problem

_STRICT = ConfigDict(extra="forbid")


def _as_list(value: Any) -> Any:
    """Let one value stand for a list of one; the checks of its entries then speak of the value itself."""
    return value if value is None or isinstance(value, list | tuple) else (value,)


Sizes = Annotated[tuple[Count, ...], Field(min_length=1), BeforeValidator(_as_list)]


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class Execution:
    """Execution of trials; nothing here changes what is computed, except `dtype` and `processor`."""

    threads_cost: Threads = 1
    """Threads of a timed process, at most the processors there are. Cost trials run alone."""
    threads_training: Threads = 1
    """Threads of each training process."""
    workers: Annotated[int, Field(strict=True, ge=0)] = 0
    """Training processes side by side. 0: as many as the cores have threads for and memory has room for, on a GPU 1."""
    seconds_per_iteration_limit: PositiveNumber = 4.0
    """Optimizers predicted to take longer are skipped; one that describes no cost is stopped. In seconds."""
    memory_limit_fraction: Share = 0.5
    """Share of the memory free at the start; optimizers that are predicted to need more are skipped."""
    trial_seconds_limit: PositiveNumber = 600.0
    """A trial that runs longer is stopped. In seconds."""
    trial_memory_limit_gb: PositiveNumber | None = None
    """A trial that holds more is stopped. In GB; left out: 0.9 of its share of the free memory."""
    pinned: Flag = True
    """Bind processes to processors of their own, where there are enough."""
    engine: Label = "local"
    """"local": this machine; "dask": the machines of `[cluster]`; or the name of a plug-in's."""
    processor: Annotated[str, Field(strict=True, pattern=r"^(cpu|cuda(:[0-9]+)?)$")] = "cpu"
    """Processor that trials compute on, as torch names it: "cpu", "cuda", "cuda:1"."""
    dtype: Literal["float32", "float64"] = "float32"
    """Number format of models, data and solvers."""


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class Cluster:
    """Machines of the engine "dask"."""

    kind: Literal["scheduler", "local", "ssh", "slurm", "kubernetes"]
    """Kind of cluster: a scheduler that runs already, processes of this machine, or machines to be started."""
    scheduler: Text | None = None
    """Address of the scheduler, tcp://HOST:PORT. For "scheduler"."""
    hosts: tuple[Label, ...] = ()
    """The scheduler's machine, then the workers'; one may be both. For "ssh"."""
    machines: Count = 2
    """Number of Dask workers: processes for "local", else machines."""
    cores: Count | None = None
    """Cores of each worker. "local" shares out this machine's where left out."""
    memory: Text | None = None
    """Memory of each machine, as in "32GB". For "slurm"."""
    options: Mapping[str, Scalar | tuple[Scalar, ...] | Mapping[str, Scalar]] = field(default_factory=dict)
    """Arguments that go to Dask's class of that kind as they are."""
    mixed: Flag = False
    """Accept machines of different classes for training; never for cost sections."""

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
    """Name of the section, which no other section of the study has."""
    problem: Label
    """Problem, as `tngd-bench list problems` names it."""
    parameters: Sizes
    """Numbers of parameters N, which the widths of the model are chosen to match within 2 %."""
    optimizers: Annotated[tuple[Label, ...], Field(min_length=1)]
    """Optimizers with their settings: "tngd", "tngd[analog_time=5]", "adam[tuned]"; lists of values are run through."""
    batch_size: Sizes = (32,)
    """Batch sizes b."""
    outputs: Sizes = (10,)
    """Numbers of outputs d_z; the problem's own where left out."""
    processes: Count = 5
    """Worker processes that repeat the whole measurement."""
    precision: PositiveNumber | None = None
    """Relative precision at which an optimizer is not repeated further: that of its ratio to the first one, from three
    processes on (95 % interval). Left out: all processes."""
    repetitions: Annotated[int, Field(strict=True, ge=3)] = 20
    """Timed iterations per process, at most."""
    seconds_limit: PositiveNumber = 2.0
    """Seconds per optimizer and process, before the repetitions are cut short."""
    least_repetitions: Count = 2
    """Timed iterations per process, at least, whatever the seconds."""
    enabled: Flag = True
    """false: the section is left out, as a profile may want."""


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class Sweep:
    """One setting of the optimizers, or one field of their device, run through `values`."""

    parameter: Label
    """The setting or field."""
    values: Annotated[tuple[Scalar, ...], Field(min_length=1)]
    """Its values; "ideal" means that an imperfection is absent."""
    labels: tuple[Label, ...] = ()
    """Names of the values in reports; the values as written where left out."""

    def __post_init__(self) -> None:
        """Refuse labels that do not match the values one to one."""
        if self.labels and len(self.labels) != len(self.values):
            raise ValueError(f"as many labels as values ({len(self.values)}), not {len(self.labels)}")


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class TargetLevel:
    """A level fixed beforehand; how long each optimizer takes to reach it is reported."""

    metric: Label
    """train_ or test_ and "loss" or a metric of the problem."""
    value: Number
    """The level, to be reached from above for a loss, from below for the others."""
    provenance: Text = "stated in the study file"
    """Source of the level."""


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class TrainingSection:
    """Training runs of `optimizers`, each from the same starts on the same batches.

    A file may give lists of `parameters` and of `batch_size`: every combination becomes a section of its own.
    """

    name: Name
    """Name of the section, which no other section of the study has."""
    problem: Label
    """Problem, as `tngd-bench list problems` names it."""
    parameters: Count
    """Number of parameters N, which the widths of the model are chosen to match within 2 %."""
    optimizers: Annotated[tuple[Label, ...], Field(min_length=1)]
    """Optimizers with their settings, as in a cost section."""
    epochs: Epochs
    """Passes through the training samples; may be a fraction."""
    batch_size: Count = 32
    """Batch size b."""
    outputs: Count = 10
    """Number of outputs d_z; the problem's own where left out."""
    train_size: Count | None = None
    """Training samples, the first; all where left out."""
    test_size: Count | None = None
    """Test samples, the first; all where left out."""
    evaluations: Count = 10
    """Evaluations, evenly spaced, after the one at the start."""
    evaluation_size: Count | None = None
    """Training samples that are evaluated on, the first; all where left out."""
    seeds: Count = 3
    """Runs of each optimizer, which differ in start and batches."""
    first_seed: Annotated[int, Field(strict=True, ge=0)] = 0
    """The seeds are this one and those after it."""
    sweep: (
        Annotated[tuple[Sweep, ...], Field(min_length=1, max_length=2), BeforeValidator(_as_list)] | None
    ) = None
    """One setting run through values, or two: every pair of their values."""
    validation_share: PartialShare | None = None
    """Share of the training samples held out of training and evaluated on in place of the test data."""
    targets: tuple[TargetLevel, ...] = ()
    """Levels whose reaching is timed; those of the problem's metric where left out: 80, 90 and 95 % of accuracy."""
    timed: Flag = False
    """Time its optimizers in turn, at its size and batch, if no cost section does; with `targets` always so."""
    keep: tuple[Literal["weights", "curve"], ...] = ()
    """Files kept of each run beside its record: its final "weights", its "curve" as CSV."""
    enabled: Flag = True
    """false: the section is left out, as a profile may want."""

    def __post_init__(self) -> None:
        """Refuse a time that nothing would show."""
        if self.timed and self.sweep is not None:
            raise ValueError(
                "timed = true with a sweep, whose curves have no axis of time; accepted: one of the two"
            )


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class Axis:
    """Range of one setting in a search."""

    low: Number
    """Least value."""
    high: Number
    """Greatest value."""
    scale: Literal["log", "log-complement", "linear"] = "log"
    """Scale on which draws are uniform; "log-complement": the logarithm of the distance from 1."""
    reason: Text = ""
    """Reason for this range."""

    def __post_init__(self) -> None:
        """Refuse an empty range, and one that its scale does not have."""
        check_range(self.low, self.high, self.scale)


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class Tuning:
    """The search by `tngd-bench tune` for the settings that a label such as adam[tuned] takes."""

    section: Name | None = None
    """Training section to tune for; the only one without a sweep where left out."""
    optimizers: tuple[Label, ...] = ()
    """Optimizers to tune; those of the section where left out."""
    trials: Annotated[int, Field(strict=True, ge=1, le=4096)] = 16
    """Settings drawn per optimizer, besides its own; a power of 2 is balanced best."""
    seeds: Count = 1
    """Runs per setting, which is judged by their median."""
    epochs: Epochs | None = None
    """Epochs of a run in the search; the section's where left out."""
    finalists: Count = 3
    """The best settings of each optimizer, run again on new seeds for the section's epochs. 1: no finals."""
    final_seeds: Count = 3
    """Runs per finalist; the best mean is taken."""
    metric: Label = "validation_loss"
    """Metric judged at the end of a run: validation_ and "loss" or a metric of the problem."""
    validation_share: PartialShare = 0.2
    """Share of the section's training samples held out of training, on which the metric is taken."""
    sampler_seed: Annotated[int, Field(strict=True, ge=0)] = 0
    """Seed of the draws."""
    spaces: Mapping[str, Mapping[str, Axis]] = field(default_factory=dict)
    """Ranges by optimizer and setting, in place of the optimizer's own."""


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class TunedSet:
    """Result of a search on one problem."""

    tuned: Settings = field(default_factory=dict)
    """As `tuned` of the study."""
    tuning_record: Settings = field(default_factory=dict)
    """As `tuning_record` of the study."""


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class Study:
    """A study: what is measured, on which problems, with which optimizers."""

    name: Name
    """Name of the study."""
    title: Label
    """Title of the report."""
    description: Text = ""
    """The question, for people."""
    choices: Mapping[Label, tuple[Label, ...]] = field(default_factory=dict)
    """By topic, what a source leaves open and what is done here; topics of included files are kept."""
    execution: Execution = field(default_factory=Execution)
    """Threads, limits and workers of trials."""
    cluster: Cluster | None = None
    """Machines to run on, with `execution.engine = "dask"`."""
    cost: tuple[CostSection, ...] = ()
    """Sections that time iterations."""
    training: tuple[TrainingSection, ...] = ()
    """Sections that train."""
    optimizer: Settings = field(default_factory=dict)
    """Settings of optimizers for the whole study, `[optimizer.NAME]`."""
    problem: Settings = field(default_factory=dict)
    """Options of problems, `[problem.NAME]`."""
    tuning: Tuning | None = None
    """Choices of `tngd-bench tune`."""
    tuned: Settings = field(default_factory=dict)
    """Settings that a label such as adam[tuned] takes, `[tuned.NAME]`."""
    tuning_record: Settings = field(default_factory=dict)
    """Origin of `tuned`: the search, and what it cost and found for each optimizer. Written by `tune`."""
    tuned_for: Mapping[Label, TunedSet] = field(default_factory=dict)
    """`tuned` by problem, where included files were tuned on several."""
    device: Mapping[Name, Mapping[str, Scalar]] = field(default_factory=dict)
    """Devices of this study, `[device.NAME]`: a `base`, and the fields that differ from it."""
