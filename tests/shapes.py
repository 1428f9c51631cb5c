"""Steps of optimizers on tensors without values ("meta"), which dispatch every operation and compute nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import pytest
import torch

IMAGES = {
    "digits-mlp": (64,),
    "mnist-mlp": (784,),
    "mnist-mlp3": (784,),
    "mnist-cnn": (1, 28, 28),
    "fashion-cnn": (1, 28, 28),
}
"""What a sample of a problem of images looks like."""


@contextmanager
def without_values() -> Iterator[None]:
    """Have a tensor without values be 1 as a number, 0 as a status and False as a condition.

    The step then takes the path that it takes where nothing is wrong: a finite loss, a Cholesky that succeeds.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("__float__", 1.0), ("__int__", 0), ("__bool__", False), ("item", 1.0)):
            patch.setattr(torch.Tensor, name, _answering(getattr(torch.Tensor, name), value))
        values = torch.Tensor.tolist
        patch.setattr(torch.Tensor, "tolist", lambda t: [1.0] * t.numel() if t.is_meta else values(t))
        for module in ("curvature.ggn", "optimizers.natural"):
            patch.setattr(f"tngd_bench.{module}.refuse_without_values", lambda device: None)
        patch.setattr("tngd_bench.curvature.rows.factor.FactorSource._free_bytes", 2**60)
        # neither autocast nor fused Adam knows the device
        patch.setattr("tngd_bench.optimizers.natural.without_autocast", lambda device: nullcontext())
        patch.setattr("tngd_bench.curvature.ggn.refuse_autocast", lambda device: None)
        adam = torch.optim.Adam
        patch.setattr(torch.optim, "Adam", lambda *args, fused=None, **kwargs: adam(*args, **kwargs))
        yield


def _answering(real: Callable[[torch.Tensor], object], value: object) -> Callable[[torch.Tensor], object]:
    return lambda tensor: value if tensor.is_meta else real(tensor)
