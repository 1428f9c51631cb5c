"""An optimizer for tngd-bench: momentum SGD written out, to be replaced by your method.

tngd-bench test mine.py                        checks it: resuming, failed steps, stated costs, …
tngd-bench list optimizers --plugin mine.py    shows it among the others
A study knows it by plugins = ["mine.py"], and runs it by optimizers = ["sgd", "mine[lr=0.05]"].
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tngd_bench.curvature.losses import evaluate
from tngd_bench.curvature.model_call import Inputs, run_model
from tngd_bench.optimizers import DivergedError
from tngd_bench.optimizers.entry import OptimizerEntry, Setting
from tngd_bench.optimizers.settings import FRACTION, POSITIVE


class Momentum:
    """Made once for a run; the arguments after the star are `generator` and the settings of the entry below."""

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        *,
        generator: torch.Generator | None,  # draw from it, never from torch's global one
        lr: float,
        momentum: float,
    ) -> None:
        self.model, self.loss, self.lr, self.momentum = model, loss, lr, momentum
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.velocity = [torch.zeros_like(p) for p in self.parameters]
        self.iteration = 0

    def step(self, inputs: Inputs, targets: Tensor) -> float:
        """One iteration on one batch; returns the loss before it. A failed step leaves the parameters alone."""
        loss = evaluate(self.loss, run_model(self.model, inputs), targets)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise DivergedError("the loss", self.iteration)
        # For curvature: GGN(self.model, self.loss, inputs, targets) of tngd_bench.curvature.
        gradients = torch.autograd.grad(loss, self.parameters)
        with torch.no_grad():
            for p, velocity, gradient in zip(self.parameters, self.velocity, gradients, strict=True):
                velocity.mul_(self.momentum).add_(gradient)
                p.sub_(velocity, alpha=self.lr)
        self.iteration += 1
        return value

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next steps depend on."""
        return {"velocity": [each.clone() for each in self.velocity], "iteration": self.iteration}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        for velocity, saved in zip(self.velocity, state_dict["velocity"], strict=True):
            velocity.copy_(saved)
        self.iteration = state_dict["iteration"]


def cost(*, parameters: int, batch_size: int, **size: Any) -> tuple[float, float]:
    """Operations of a step, a multiply-add as two, and numbers held; `size`: rows, outputs, layers.

    Plans, predictions and maps take them. Without a cost nothing of the optimizer is predicted.
    """
    return 6.0 * batch_size * parameters, 4.0 * parameters


ENTRY = OptimizerEntry(
    name="mine",
    title="Mine",
    summary="momentum SGD, written out",
    family="first-order",  # or kfac, natural-gradient, thermodynamic: what a search for settings tunes
    factory=f"{__name__}:Momentum",
    settings={"lr": Setting(0.05, POSITIVE), "momentum": Setting(0.9, FRACTION)},
    cost=cost,
)
