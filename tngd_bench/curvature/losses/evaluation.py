"""Losses and their value on one batch, the targets checked."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tngd_bench.curvature.capture import kind_of
from tngd_bench.curvature.losses.interface import Loss
from tngd_bench.curvature.model_call import TORCH_ERRORS


class PerSampleLoss(nn.Module):
    """The mean over the batch of any per-sample loss that is convex in the outputs.

    Parameters
    ----------
    function : callable
        `function(z_n, y_n)` takes one sample's outputs and target and returns a scalar tensor, in operations that
        `torch.func` can differentiate twice. Its Hessian is checked when curvature is asked for.
    """

    reduction = "mean"

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss."""
        return torch.vmap(self.function)(outputs, targets).mean()


CLOSED_FORMS = (nn.CrossEntropyLoss, nn.MSELoss, nn.BCEWithLogitsLoss, PerSampleLoss)


def evaluate(loss: Loss, outputs: Tensor, targets: Tensor) -> Tensor:
    """`loss(outputs, targets)`, a scalar.

    A cross-entropy also takes its classes from the last dimension (b, T, C), and labels of any integer type. Raises
    ValueError where the targets do not fit the outputs or the loss is no scalar.
    """
    targets = fitting_targets(loss, outputs, targets)
    if class_dim(loss, outputs, targets) == outputs.dim() - 1 and outputs.dim() > 2:
        outputs = outputs.movedim(-1, 1)
    try:
        value = loss(outputs, targets)
    except TORCH_ERRORS as error:
        if type(error) not in TORCH_ERRORS:
            raise
        given = kind_of(targets) if isinstance(targets, Tensor) else type(targets).__name__
        raise ValueError(
            f"loss(outputs, targets) fails for outputs {kind_of(outputs)} and targets {given}: {error}"
        ) from error
    if not isinstance(value, Tensor) or value.dim():
        found = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(
            f"loss(outputs, targets) must return a scalar tensor, not {found}: reduce it by a mean"
        )
    return value


def is_closed_form(loss: Loss, kind: type[nn.Module]) -> bool:
    """Whether calling `loss` computes what torch's `kind` does: its forward unchanged, no hooks."""
    if not isinstance(loss, kind):
        return False
    own_forward = type(loss).forward is not kind.forward or "forward" in vars(loss)
    own_call = type(loss).__call__ is not nn.Module.__call__
    return not (own_forward or own_call or loss._forward_hooks or loss._forward_pre_hooks)


def closed_form(loss: Loss) -> type[nn.Module] | None:
    """Return the loss module that `loss` computes the same as, None for any other callable."""
    return next((kind for kind in CLOSED_FORMS if is_closed_form(loss, kind)), None)


def fitting_targets(loss: Loss, outputs: Tensor, targets: Tensor) -> Tensor:
    """Targets as torch's losses take them; ValueError where broadcasting would pair samples with each other."""
    if not isinstance(targets, Tensor):
        if closed_form(loss) is not None:
            raise TypeError(f"targets must be a tensor, not {type(targets).__name__}")
        return targets  # a loss of the user's own may take anything
    if targets.dim() and targets.shape[0] != outputs.shape[0]:
        raise ValueError(
            f"targets must have one entry a sample, b = {outputs.shape[0]}, not {tuple(targets.shape)}"
        )
    if is_closed_form(loss, nn.CrossEntropyLoss):
        if targets.is_floating_point():
            return targets.to(outputs.dtype)
        return targets if targets.is_complex() else targets.long()
    elementwise = is_closed_form(loss, nn.MSELoss) or is_closed_form(loss, nn.BCEWithLogitsLoss)
    if elementwise and targets.shape != outputs.shape:
        raise ValueError(
            f"{type(loss).__name__} needs targets of the outputs' shape {tuple(outputs.shape)}, not "
            f"{tuple(targets.shape)}: broadcasting would pair each sample with the targets of others"
        )
    return targets


def class_dim(loss: Loss, outputs: Tensor, targets: Tensor) -> int:
    """Dimension of the classes: torch's second one, or the last where only that fits the targets."""
    plain = is_closed_form(loss, nn.CrossEntropyLoss)
    if not plain or outputs.dim() < 3 or targets.is_floating_point():
        return 1
    second = targets.shape == outputs.shape[:1] + outputs.shape[2:]
    last = targets.shape == outputs.shape[:-1]
    if last and second:
        warnings.warn(
            f"outputs {tuple(outputs.shape)} may have their classes second or last: they are taken from the second "
            "dimension, as torch does",
            stacklevel=2,
        )
    return outputs.dim() - 1 if last and not second else 1
