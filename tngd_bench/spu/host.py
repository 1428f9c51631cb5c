"""The digital host's part of an iteration on the device: loss, gradient, Jacobian, loss Hessian."""

import torch
from torch import Tensor, nn

from tngd_bench.curvature import GGN
from tngd_bench.curvature.model_call import Inputs
from tngd_bench.curvature.route import COLUMNS_AT_ONCE
from tngd_bench.curvature.rows.blocks import STREAMED_VALUES
from tngd_bench.curvature.verification import Verification
from tngd_bench.spu.description import DEVICE_FIELDS


def host_pass(
    model: nn.Module,
    loss: nn.Module,
    inputs: Inputs,
    targets: Tensor,
    upload: str = "full",
    columns: int | None = None,
    products: int = 0,
    verify: bool | Verification = False,
) -> None:
    """Do the digital side of one TNGD iteration and discard the results; for timing and counting.

    upload="full" forms all m×N values that the arrays of arXiv 2405.13817 take, block by block as a sender would
    stream them; "factored" stops at layer inputs and output gradients. B is formed in place of J: same shape, same
    cost, the loss Hessian's root applied to the cotangents instead of an m×m array. Where all rows at once would not
    fit (`GGN.matrix_free`), a few columns of S are made and dropped at a time; `columns` stops after that many.
    `products` are those by G that refinements or conjugate gradients take, each with a residual, an update and an inner
    product. `verify` is as in `GGN`, off by default
    because a check is no part of an iteration.
    """
    DEVICE_FIELDS["upload"].accepted.check("upload", upload)
    ggn = GGN(model, loss, inputs, targets, verify=verify)
    x = ggn.gradient
    for _ in range(products):
        residual = torch.sub(ggn.gradient, ggn.matvec(x).add_(x))
        x = torch.add(x, residual, alpha=1.0 / max(float(residual @ residual), 1.0))
    if ggn.matrix_free:
        last = ggn.rows_per_sample if columns is None else min(columns, ggn.rows_per_sample)
        for first in range(0, last, COLUMNS_AT_ONCE):
            for block in ggn.column_blocks(first, min(first + COLUMNS_AT_ONCE, last)):
                for _piece in block.stream(STREAMED_VALUES) if upload == "full" else ():
                    pass
        return
    if upload == "factored":
        _ = ggn.blocks
        return
    for _piece in ggn.stream_factor():
        pass


def upload_of(optimizer: object) -> str:
    """The form in which an optimizer's device takes the Jacobian; "full" for one that describes no device."""
    return str(getattr(getattr(optimizer, "device", None), "upload", "full"))


def products_of(optimizer: object) -> int:
    """The curvature products that an optimizer on a device makes on its host in an iteration, as the last one had."""
    return int(getattr(optimizer, "host_products", None) or 0)
