"""A problem at one size, with its start and its batches: the ground of every measurement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tngd_bench.measure.seeds import derive_seed
from tngd_bench.optimizers import registry as optimizers
from tngd_bench.problems import registry as problems

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from tngd_bench.datasets.splits import DataSplits, Samples
    from tngd_bench.measure.optimizer_config import OptimizerConfig
    from tngd_bench.optimizers.registry import Stepper
    from tngd_bench.problems.entry import Option, ProblemEntry

DType = Literal["float32", "float64"]


@dataclass(frozen=True)
class ProblemInstance:
    """A problem at one size and batch size; `options` are the problem's, as (name, value).

    `processor` is what computes, as torch names devices: "cpu", "cuda", "cuda:1". Starts and batches are the same on
    all; noise and dropout come from the processor's own generator.

    `seed_parts` name the repetition (study, problem, seed); start, batches and noise derive their seeds from them
    and from nothing else, so every optimizer gets the same ones.
    """

    problem: str
    parameters: int
    outputs: int
    batch_size: int
    dtype: DType
    seed_parts: tuple[str | int, ...]
    options: tuple[tuple[str, Option], ...] = ()
    processor: str = "cpu"

    @property
    def device(self) -> torch.device:
        """The processor, as torch's device."""
        import torch

        return torch.device(self.processor)

    @property
    def entry(self) -> ProblemEntry:
        """The problem, with the options in force."""
        return problems.get(self.problem, dict(self.options))

    @property
    def rows(self) -> int:
        """Rows of the curvature's factor, m."""
        return self.batch_size * self.outputs

    def seed(self, purpose: str) -> int:
        """Return the seed for "start", "batches" or "noise"."""
        return derive_seed(*self.seed_parts, purpose)

    def model(self) -> nn.Module:
        """Return the model at its start, the same on every call."""
        import torch

        entry = self.entry
        widths = entry.widths(self.parameters, self.outputs)
        model = entry.model(widths, self.seed("start"), self.outputs)
        return model.to(self.device, getattr(torch, self.dtype))

    def loss(self) -> nn.Module:
        """Return the problem's loss."""
        return self.entry.loss().to(self.device)

    def optimizer(self, config: OptimizerConfig, model: nn.Module) -> Stepper:
        """Return the optimizer for `model`, its noise drawn from this instance's own generator."""
        import torch

        generator = torch.Generator(self.device).manual_seed(self.seed("noise"))
        entry = optimizers.get(config.method)
        return entry.create(model, self.loss(), config.settings, generator)

    def batches(self, data: DataSplits) -> Iterator[tuple[Samples, Tensor]]:
        """Yield batches without end: each epoch a new order, the incomplete last batch of an epoch left out.

        They lie where the data lie. Raises ValueError when the data hold less than one batch.
        """
        import torch

        from tngd_bench.datasets.splits import take

        size = len(data.train_targets)
        if size < self.batch_size:
            raise ValueError(
                f"batch_size must be <= {size}, the number of training samples, not {self.batch_size}"
            )
        generator = torch.Generator().manual_seed(self.seed("batches"))
        while True:
            order = torch.randperm(size, generator=generator)
            for first in range(0, size - self.batch_size + 1, self.batch_size):
                chosen = order[first : first + self.batch_size]
                yield take(data.train_inputs, chosen), data.train_targets[chosen]
