"""What the digital host computes for the device each iteration: loss, gradient, Jacobian, loss Hessian."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from tngd_bench import arguments
from tngd_bench.curvature import GGN

UPLOADS = ("full", "factored")


def host_pass(
    model: nn.Module,
    loss: nn.Module,
    inputs: Tensor | Mapping[str, Any],
    targets: Tensor,
    upload: str = "full",
) -> None:
    """Do the digital side of one TNGD iteration and throw the results away; for timing and counting.

    upload="full" forms all m×N values that the arrays of arXiv 2405.13817 take, block by block as a sender would
    stream them; "factored" stops at layer inputs and output gradients. B stands for J here: same shape, same cost,
    the loss Hessian's root applied to the cotangents instead of an m×m array.
    """
    arguments.choice("upload", upload, UPLOADS)
    ggn = GGN(model, loss, inputs, targets)
    _ = ggn.gradient
    if upload == "factored":
        _ = ggn.blocks
        return
    for _piece in ggn.stream_factor():
        pass


def upload_of(optimizer: object) -> str:
    """The form in which an optimizer's device takes the Jacobian; "full" for one that describes no device."""
    return str(getattr(getattr(optimizer, "device", None), "upload", "full"))
