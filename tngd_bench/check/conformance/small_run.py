"""A run on 200 digits that the checks share, and how a check ends."""

import random
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tngd_bench.datasets.splits import DataSplits
from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.measure.problem_instance import DType, ProblemInstance
from tngd_bench.problems import registry as problems

GROUND = "digits-mlp"
"""Problem that optimizers and devices are tried on."""
STEPS = 4
"""Steps of a check that makes some."""


class Failure(AssertionError):  # noqa: N818  # a verdict, no error of the program
    """Something that a plug-in has to do and does not."""


class NotApplicable(Exception):  # noqa: N818  # as above
    """The reason why a check is not made."""


def require(holds: object, otherwise: str) -> None:
    """Raise Failure unless something holds."""
    if not holds:
        raise Failure(otherwise)


@cache
def digits(dtype: DType = "float32") -> DataSplits:
    """Return 200 digits to train on and 50 more."""
    return problems.get(GROUND).load(200, 50, dtype)


class SmallRun:
    """An optimizer at its start on 200 digits: its model and its batches, the same for every optimizer."""

    def __init__(self, name: str, *, dtype: DType = "float32", processor: str = "cpu") -> None:
        self.instance = ProblemInstance(GROUND, 500, 10, 16, dtype, ("conformance", 0), processor=processor)
        data = digits(dtype).to(self.instance.device)
        self.batches = self.instance.batches(data)
        self.model = self.instance.model()
        self.optimizer: Any = self.instance.optimizer(OptimizerConfig.of(name), self.model)

    def steps(self, count: int = STEPS) -> list[float]:
        """Make steps and return their losses."""
        return [self.optimizer.step(*next(self.batches)) for _ in range(count)]

    @property
    def parameters(self) -> list[Tensor]:
        """Copies of the parameters."""
        return copies(self.model)


def copies(model: nn.Module) -> list[Tensor]:
    """Return copies of a model's parameters."""
    return [p.detach().clone() for p in model.parameters()]


def same(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    """Return whether tensors agree in every bit."""
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


def next_draws() -> tuple[float, ...]:
    """Return the next draws of the global generators, without advancing them."""
    kept = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002  # the global one
    drawn = float(torch.rand(())), random.random(), float(np.random.rand())  # noqa: NPY002, S311
    torch.set_rng_state(kept[0])
    random.setstate(kept[1])
    np.random.set_state(kept[2])  # noqa: NPY002
    return drawn
