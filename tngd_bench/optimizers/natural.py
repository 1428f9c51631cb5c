"""Base of the second-order optimizers: a direction x from one batch, handed to torch's own update rule."""

import copy
import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

from tngd_bench import arguments
from tngd_bench.curvature import GGN, TrainableParameters
from tngd_bench.curvature.losses import Loss
from tngd_bench.curvature.model_call import Inputs, refuse_without_values, without_autocast
from tngd_bench.curvature.parameters import in_order
from tngd_bench.curvature.verification import OPTIMIZER_INTERVAL, Verification
from tngd_bench.optimizers.forward_state import ForwardState

RULES = ("sgd", "adam")
_SGD_SETTINGS = ("lr", "momentum", "weight_decay", "dampening", "nesterov", "maximize", "foreach", "fused")


class DivergedError(RuntimeError):
    """A non-finite loss, gradient, curvature or direction; the parameters are as they were before the step.

    `iteration` counts from 0.
    """

    def __init__(self, what: str, iteration: int, fault: str = "is not finite") -> None:
        super().__init__(f"{what} {fault} at iteration {iteration}")
        self.iteration = iteration


def update_rule(
    parameters: TrainableParameters,
    rule: str,
    *,
    lr: float,
    momentum: float,
    betas: tuple[float, float],
    eps: float,
    fused: bool = False,
) -> torch.optim.Optimizer:
    """`torch.optim.SGD` or `torch.optim.Adam` over the trainable parameters, its arguments checked.

    `fused`: SGD in one pass over N values, where momentum takes three; its rounding is not that of the plain form.
    """
    arguments.choice("rule", rule, RULES)
    arguments.real("lr", lr, above=0.0)
    arguments.real("momentum", momentum, minimum=0.0, below=1.0)
    if len(betas) != 2:
        raise ValueError(f"betas must be two numbers (β₁, β₂), not {betas!r}")
    for name, value in zip(("betas[0]", "betas[1]"), betas, strict=True):
        arguments.real(name, value, minimum=0.0, below=1.0)
    arguments.real("eps", eps, above=0.0)
    if rule == "sgd":
        fused = fused and parameters.device.type != "meta"  # which has no such kernel
        return torch.optim.SGD(parameters.tensors, lr=lr, momentum=momentum, fused=fused or None)
    if momentum:
        raise ValueError(f"momentum must be 0 with rule='adam', not {momentum!r}: set betas instead")
    return torch.optim.Adam(parameters.tensors, lr=lr, betas=betas, eps=eps)


def restore_generator(generator: torch.Generator | None, state: Tensor | None) -> None:
    """Put a resumed run's generator where the saved one stood; `state` None: the run had none.

    Raises ValueError when the saved run had a generator and this one has not.
    """
    if state is None:
        return
    if generator is None:
        raise ValueError("generator must be given to resume a run that had one")
    generator.set_state(state.cpu())  # which a load_state_dict onto a GPU may have moved


class NaturalOptimizer(torch.optim.Optimizer):
    """Base of optimizers whose update is a torch rule applied to a direction x instead of the gradient.

    Parameters
    ----------
    model : Module
        The model that is trained; its trainable parameters are the optimizer's one group.
    loss : Module or callable
        As `GGN` takes it.
    lr : float
        η > 0, the learning rate.
    damping : float
        λ ≥ 0 of (G + λI) x = ∇ℓ.
    rule : str
        "sgd" (with `momentum`) or "adam" (with `betas` and `eps`).
    momentum, betas, eps : float
        Settings of `torch.optim.SGD` and `torch.optim.Adam`.
    fused : bool
        SGD in one pass over the parameters.

    Notes
    -----
    A subclass gives `_direction`. `verification` says when its curvature is checked against autograd: at steps 1, 2, 4,
    8, …, when shapes, hooks, training mode or layers change, and every 100 steps. The torch rule's parameter group and
    state are this optimizer's own, so learning rate schedulers and `state_dict` work; settings read at each step
    (`damping`, …) lie in the group too.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        *,
        lr: float,
        damping: float,
        rule: str = "sgd",
        momentum: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        fused: bool = False,
    ) -> None:
        arguments.real("damping", damping, minimum=0.0)
        self.model = model
        self.loss = loss
        self.parameters = TrainableParameters(model)
        refuse_without_values(self.parameters.device)
        self.parameters.check_separate()
        self._rule = update_rule(
            self.parameters, rule, lr=lr, momentum=momentum, betas=betas, eps=eps, fused=fused
        )
        super().__init__(self.parameters.tensors, {**self._rule.defaults, "damping": damping})
        self._share_state()
        self.verification = Verification(OPTIMIZER_INTERVAL)
        self.iteration = 0
        self.iterations: int | None = None
        self.natural_gradient: Tensor | None = None

    def step(  # type: ignore[override]  # torch's takes a closure; a second-order step needs the batch itself
        self, inputs: Inputs, targets: Tensor
    ) -> float:
        """One iteration on one batch; returns the loss before it.

        Raises DivergedError, with the parameters untouched, when the loss, curvature or direction is not finite, and
        ValueError when the model's trainable parameters are no longer those that the optimizer was made for.
        """
        self.parameters.check_unchanged(self.model)
        with without_autocast(self.parameters.device):
            try:
                value, direction = self._direction(inputs, targets)
            except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]  # not in torch's list of names
                fault = "is not finite, or singular to rounding,"
                raise DivergedError("the curvature", self.iteration, fault) from error
            self._check_finite("the direction", direction)
        self.natural_gradient = direction
        self._apply(direction)
        self.iteration += 1
        return value

    def check_curvature(self, inputs: Inputs, targets: Tensor) -> None:
        """Check the curvature on this batch without a step, so that steps on batches like it need no check.

        For timings: the check is then off the clock. Random draws of the model and changes of its buffers (running
        statistics) are taken back.
        """
        device = self.parameters.device
        self.verification.ahead = True
        try:
            with without_autocast(device), ForwardState.capture(device, self.model).replay(self.model):
                self._check_curvature(inputs, targets)
        finally:
            self.verification.ahead = False

    def _check_curvature(self, inputs: Inputs, targets: Tensor) -> None:
        self._curvature(inputs, targets)[1].check()

    @abstractmethod
    def _direction(self, inputs: Inputs, targets: Tensor) -> tuple[float, Tensor]:
        """Loss before the update and the direction x, (N,)."""

    @property
    def settings(self) -> dict[str, Any]:
        """The parameter group: lr, damping and the rest as they stand now."""
        return self.param_groups[0]

    def state_dict(self) -> dict[str, Any]:
        """torch's own state with what this optimizer carries from step to step."""
        return {**super().state_dict(), "carried": self._carried()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore a `state_dict`; a resumed run gives the same bits."""
        if "carried" not in state_dict:
            raise ValueError(
                f"state_dict must come from {type(self).__name__}.state_dict(): 'carried' is missing"
            )
        # a copy: torch's own shares momenta with the optimizer that they are of
        super().load_state_dict(
            copy.deepcopy({key: value for key, value in state_dict.items() if key != "carried"})
        )
        self._share_state()
        self._restore(state_dict["carried"])

    def __getstate__(self) -> dict[str, Any]:
        """All of the optimizer, for deepcopy and pickle: torch's own keeps the parameter groups and state alone."""
        # a scheduler of rates puts a `step` here that is bound to this very object
        return {key: value for key, value in self.__dict__.items() if key != "step"}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Refuse a second group: curvature couples all parameters, and one (λ, lr) serves them."""
        if self.param_groups:
            raise ValueError(
                f"{type(self).__name__} has one parameter group, the model's trainable parameters"
            )
        super().add_param_group(param_group)

    def _curvature(self, inputs: Inputs, targets: Tensor) -> tuple[float, GGN]:
        ggn = GGN(self.model, self.loss, inputs, targets, verify=self.verification)
        value = float(ggn.loss)
        self._check_loss(value)
        return value, ggn

    def _check_loss(self, value: float) -> None:
        if not math.isfinite(value):
            raise DivergedError("the loss", self.iteration)

    def _check_finite(self, what: str, vector: Tensor) -> None:
        if not math.isfinite(float(vector @ vector)):
            # the sum of squares also overflows for huge finite values, which are as good as diverged
            raise DivergedError(what, self.iteration)

    def _apply(self, direction: Tensor) -> None:
        tensors = self.parameters.tensors
        pieces = [piece.to(self.parameters.dtype) for piece in self.parameters.views(direction)]
        if isinstance(self._rule, torch.optim.SGD):
            self._descend(pieces)
            return
        kept = [p.grad for p in tensors]
        for p, piece in zip(tensors, pieces, strict=True):
            p.grad = piece
        self._rule.step()
        for p, gradient in zip(tensors, kept, strict=True):
            p.grad = gradient

    @torch.no_grad()
    def _descend(self, pieces: list[Tensor]) -> None:
        """Do what `SGD.step` does; its way there takes longer than the update of a model of 10⁵ parameters."""
        tensors: list[Tensor] = [*self.parameters.tensors]
        buffers = [self.state[p].get("momentum_buffer") for p in tensors] if self.settings["momentum"] else []
        settings = {name: self.settings[name] for name in _SGD_SETTINGS}
        if settings["fused"] and not in_order(*tensors, *pieces, *buffers):
            settings["fused"] = False
        sgd(tensors, pieces, buffers, **settings)
        for p, buffer in zip(tensors, buffers, strict=bool(buffers)):
            self.state[p]["momentum_buffer"] = buffer

    def _carried(self) -> dict[str, Any]:
        return {"iteration": self.iteration, "verification": self.verification.state()}

    def _restore(self, carried: Mapping[str, Any]) -> None:
        self.iteration = carried["iteration"]
        if "verification" in carried:  # states of earlier versions have none
            self.verification.restore(carried["verification"])

    def _share_state(self) -> None:
        self._rule.param_groups = self.param_groups
        self._rule.state = self.state
