"""Curvature of a loss at the outputs of one batch: in closed form where there is one, else differentiated."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tngd_bench.curvature.losses.elementwise import binary_cross_entropy, squared_error
from tngd_bench.curvature.losses.evaluation import PerSampleLoss, closed_form, fitting_targets
from tngd_bench.curvature.losses.interface import Loss, OutputCurvature
from tngd_bench.curvature.losses.per_sample import EmpiricalFisher, differentiated, per_sample
from tngd_bench.curvature.losses.softmax import cross_entropy

_RULES: dict[type[nn.Module], Callable[..., OutputCurvature]] = {
    nn.CrossEntropyLoss: cross_entropy,
    nn.MSELoss: squared_error,
    nn.BCEWithLogitsLoss: binary_cross_entropy,
    PerSampleLoss: per_sample,
}


def output_curvature(
    loss: Loss, outputs: Tensor, targets: Tensor, *, empirical: bool = False, value: Tensor | None = None
) -> OutputCurvature:
    """Return the curvature of `loss(outputs, targets)` at the given outputs (b, …).

    `empirical` takes the empirical Fisher instead of the Hessian; `value` is the loss as it was evaluated before.
    Raises ValueError for a torch loss with another reduction than the mean, and for any loss that is not a sum of
    per-sample terms convex in the outputs, or that has another value when it is evaluated again.
    """
    outputs = outputs.detach()
    targets = fitting_targets(loss, outputs, targets)
    kind = closed_form(loss)
    if kind is None:
        if isinstance(targets, Tensor) and targets.is_floating_point() and targets.dtype.itemsize < 4:
            # of a half-precision model, whose outputs are here in float32
            targets = targets.to(outputs.dtype)
        return differentiated(loss, outputs, targets, empirical=empirical, value=value)
    reduction = getattr(loss, "reduction", "mean")
    if reduction != "mean":
        raise ValueError(
            f"loss must be mean-reduced, not reduction={reduction!r}: curvature is scaled by 1/b"
        )
    with torch.no_grad():  # targets and weights of a loss may want gradients
        curvature = _RULES[kind](loss, outputs, targets)
    return EmpiricalFisher(curvature.slope()) if empirical else curvature
