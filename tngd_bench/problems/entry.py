"""The description of a problem: real data, a family of models with a size knob, a loss and a score.

Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, get_args

from tngd_bench import arguments
from tngd_bench.datasets import DType
from tngd_bench.problems.metrics import ACCURACY, OWN, Metric
from tngd_bench.problems.widths import Widths

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tngd_bench.datasets.splits import DataSplits, Subset

Option = str | int | float | bool
EVALUATION_BATCH = 250
"""Samples evaluated at a time: larger batches of images leave the cache and take twice as long."""


class Loader(Protocol):
    """Reads the data: `(train_size, test_size, dtype, outputs) -> DataSplits`; None takes everything."""

    def __call__(
        self, train_size: int | None, test_size: int | None, dtype: DType, outputs: int
    ) -> DataSplits:
        """Return the splits; `outputs` matters only where the data are prepared for a number of outputs."""


class Score(Protocol):
    """Turns a model's outputs for some samples into numbers, by name; "loss" is always among them."""

    def __call__(self, loss: nn.Module, outputs: Tensor, part: Subset) -> Mapping[str, float]:
        """Return the loss and the problem's `metrics` for outputs (n, …), made in evaluation mode."""


@dataclass(frozen=True)
class ProblemOption:
    """An option of a problem, set in a study's `[problem.NAME]` table: default, check and meaning."""

    default: Option
    check: Callable[[str, object], object]
    meaning: str


def cross_entropy() -> nn.Module:
    """Return the mean-reduced cross-entropy."""
    from torch import nn

    return nn.CrossEntropyLoss()


def accuracy() -> Score:
    """Return the score of a classification: mean loss, and the share of samples whose class is right."""
    from tngd_bench.problems.scores import classification

    return classification


def _check_metric(metric: object) -> None:
    if not isinstance(metric, Metric):
        raise TypeError(f"metrics must be of tngd_bench.problems.metrics.Metric, not {metric!r}")
    if any(metric.name == own.name and metric != own for own in OWN):
        raise ValueError(
            f"the metric {metric.name!r} is described in tngd_bench.problems.metrics; take that one"
        )


@dataclass(frozen=True)
class ProblemEntry:
    """A registered problem.

    `classes` is the least number of outputs, for a classification its number of labels; more outputs than labels are
    allowed (they are logits that no target ever names) and set d_z. `data_source` says where the data are from.
    `make_loss` makes the mean-reduced loss; `evaluation_batch` samples are evaluated at a time. `search` gives the
    widths for `(outputs, parameters)`, `read` the data, `build` the model for `widths`, initialised from torch's global
    generator; the model trains those of its parameters that require a gradient.

    `metrics` are what `make_score` gives besides the loss. `default_outputs`: outputs where a study names none,
    `classes` where it is None. `data_by_outputs`: the data are prepared for a number of outputs. A problem with
    `options` has `configure`, which returns the entry with them in force. `size` gives its number of parameters where
    it has one model alone. `packages`: those besides torch whose version changes what it gives.
    """

    name: str
    title: str
    summary: str
    data_source: str
    classes: int
    search: Callable[[int, int], Widths]
    read: Loader
    build: Callable[[Widths], nn.Module]
    metrics: tuple[Metric, ...] = (ACCURACY,)
    make_loss: Callable[[], nn.Module] = cross_entropy
    make_score: Callable[[], Score] = accuracy
    evaluation_batch: int = EVALUATION_BATCH
    default_outputs: int | None = None
    data_by_outputs: bool = False
    options: Mapping[str, ProblemOption] = field(default_factory=dict)
    configure: Callable[[Mapping[str, Option]], ProblemEntry] | None = None
    size: Callable[[], int] | None = None
    packages: tuple[str, ...] = ()

    @property
    def outputs(self) -> int:
        """Outputs per sample where nothing else is asked for."""
        return self.classes if self.default_outputs is None else self.default_outputs

    def check_fields(self) -> None:
        """Raise TypeError or ValueError for fields that are not what they have to be."""
        for name in ("name", "title", "summary", "data_source"):
            arguments.text(name, getattr(self, name))
        for name in ("search", "read", "build", "make_loss", "make_score"):
            arguments.function(name, getattr(self, name))
        for metric in self.metrics:
            _check_metric(metric)
        arguments.integer("classes", self.classes, minimum=1)
        if self.default_outputs is not None:
            arguments.integer("default_outputs", self.default_outputs, minimum=self.classes)
        arguments.integer("evaluation_batch", self.evaluation_batch, minimum=1)
        if self.configure is not None:
            arguments.function("configure", self.configure)

    def configured(self, options: Mapping[str, object]) -> ProblemEntry:
        """Return the problem with `options` in force, defaults for the rest; ValueError or TypeError for a bad one."""
        given: dict[str, Option] = {}
        for name, value in options.items():
            if name not in self.options:
                accepted = arguments.accepted(name, self.options)
                hint = arguments.suggestion(name, self.options)
                raise ValueError(f"{self.name} has no option {name!r}{hint} (it has: {accepted})")
            self.options[name].check(name, value)
            assert isinstance(value, Option)
            given[name] = value
        if self.configure is None:
            return self
        return self.configure({name: option.default for name, option in self.options.items()} | given)

    def widths(self, parameters: int, outputs: int | None = None) -> Widths:
        """Return the widths whose exact count lies within 2 % of `parameters`.

        Raises ValueError naming the smallest model or the nearest sizes when there are none.
        """
        arguments.integer("parameters", parameters, minimum=1)
        wanted = self.outputs if outputs is None else outputs
        arguments.integer("outputs", wanted, minimum=self.classes)
        try:
            return self.search(wanted, parameters)
        except ValueError as error:
            raise ValueError(f"{self.name}, {wanted} outputs: {error}") from None
        except (Exception, SystemExit) as error:  # whatever the search of an outside problem does
            said = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ValueError(
                f"{self.name}, {wanted} outputs: its search for widths fails ({said})"
            ) from error

    def load(
        self,
        train_size: int | None = None,
        test_size: int | None = None,
        dtype: DType = "float32",
        outputs: int | None = None,
    ) -> DataSplits:
        """Return the data (images scaled to [0, 1]); `None` takes the whole split, `outputs` the problem's default.

        Raises ValueError for a size the data does not have, DataNotFoundError when the data cannot be had.
        """
        for name, size in (("train_size", train_size), ("test_size", test_size)):
            if size is not None:
                arguments.integer(name, size, minimum=1)
        arguments.choice("dtype", dtype, get_args(DType))
        return self.read(train_size, test_size, dtype, self.outputs if outputs is None else outputs)

    def model(self, widths: Widths, seed: int, outputs: int | None = None) -> nn.Module:
        """Return the model in float32 on the CPU, its initialisation drawn from `seed`.

        The global random state is left as it was. `outputs`, where given, must be that of `widths`.
        """
        import torch

        if outputs is not None and outputs != widths.outputs:
            raise ValueError(f"outputs must be {widths.outputs}, as in the widths given, not {outputs!r}")
        from tngd_bench.optimizers.forward_state import draws_kept, seed_host

        with draws_kept(torch.device("cpu")):
            seed_host(seed)
            built = self.build(widths)
        trained = sum(each.numel() for each in built.parameters() if each.requires_grad)
        if trained != widths.parameters:
            raise ValueError(
                f"{self.name}: its widths say {widths.parameters:,} parameters, and the model that it builds trains"
                f" {trained:,}; both must be the same number"
            )
        return built

    def loss(self) -> nn.Module:
        """Return the problem's loss, mean-reduced; for a classification the cross-entropy."""
        return self.make_loss()

    def score(self) -> Score:
        """Return what turns outputs into the loss and `metrics`."""
        return self.make_score()
