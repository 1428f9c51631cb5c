"""SGD and Adam: torch's own classes, called with a batch like the second-order optimizers."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tngd_bench.curvature import TrainableParameters
from tngd_bench.curvature.losses import evaluate
from tngd_bench.curvature.model_call import Inputs, run_model
from tngd_bench.curvature.parameters import in_order
from tngd_bench.optimizers.natural import DivergedError


class FirstOrder:
    """One forward and backward pass and one step of a `torch.optim` optimizer per batch."""

    def __init__(self, model: nn.Module, loss: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.iteration = 0

    def step(self, inputs: Inputs, targets: Tensor) -> float:
        """One iteration; returns the loss before it. DivergedError if it is not finite.

        The gradient is not inspected, since that pass over N values is not torch's own: a non-finite one shows as a
        non-finite loss at the next step.
        """
        self.optimizer.zero_grad(set_to_none=True)
        loss = evaluate(self.loss, run_model(self.model, inputs), targets)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise DivergedError("the loss", self.iteration)
        torch.autograd.backward(loss)
        for group in self.optimizer.param_groups:
            # torch's fused update pairs values by their place, which may have changed since the last step
            group["fused"] = group["fused"] and in_order(*group["params"])
        self.optimizer.step()
        self.iteration += 1
        return value

    def state_dict(self) -> dict[str, Any]:
        """Return the state of torch's optimizer and the number of steps."""
        return {"optimizer": self.optimizer.state_dict(), "iteration": self.iteration}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore a `state_dict`; a resumed run gives the same bits."""
        self.optimizer.load_state_dict(state_dict["optimizer"])
        self.iteration = state_dict["iteration"]


def make_sgd(
    model: nn.Module, loss: nn.Module, *, generator: torch.Generator | None, lr: float, momentum: float
) -> FirstOrder:
    """`torch.optim.SGD`."""
    parameters = TrainableParameters(model).tensors
    return FirstOrder(model, loss, torch.optim.SGD(parameters, lr=lr, momentum=momentum))


def make_adam(
    model: nn.Module,
    loss: nn.Module,
    *,
    generator: torch.Generator | None,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> FirstOrder:
    """`torch.optim.Adam`, fused where that is right: the fastest form torch has."""
    parameters = TrainableParameters(model).tensors
    return FirstOrder(
        model, loss, torch.optim.Adam(parameters, lr=lr, betas=(beta1, beta2), eps=eps, fused=True)
    )
