"""The trainable parameters of a model as one flat vector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tngd_bench.curvature.blocks import Slot


class TrainableParameters:
    """The trainable parameters of a model as one flat vector, in `model.parameters()` order.

    Raises ValueError when there is none, or when they differ in dtype or device.
    """

    def __init__(self, model: nn.Module) -> None:
        self.tensors: list[nn.Parameter] = [p for p in model.parameters() if p.requires_grad]
        if not self.tensors:
            raise ValueError("the model has no trainable parameter (requires_grad is False everywhere)")
        kinds = {(p.dtype, p.device) for p in self.tensors}
        if len(kinds) > 1:
            raise ValueError(
                f"trainable parameters must share one dtype and device, not {sorted(map(str, kinds))}"
            )
        self.slots: list[Slot] = []
        offset = 0
        for p in self.tensors:
            self.slots.append(Slot(offset, p.shape))
            offset += p.numel()
        self.count = offset

    @property
    def dtype(self) -> torch.dtype:
        """Common dtype."""
        return self.tensors[0].dtype

    @property
    def device(self) -> torch.device:
        """Common device."""
        return self.tensors[0].device

    @property
    def curvature_dtype(self) -> torch.dtype:
        """dtype of curvature and of flat vectors: float32 for half-precision models, which have no Cholesky."""
        return torch.float32 if self.dtype in (torch.bfloat16, torch.float16) else self.dtype

    def flatten(self, pieces: Sequence[Tensor | None]) -> Tensor:
        """Concatenate per-parameter tensors into a flat vector (N,), zeros where there is None."""
        whole = [
            torch.zeros_like(p) if piece is None else piece
            for p, piece in zip(self.tensors, pieces, strict=True)
        ]
        return torch.cat([piece.reshape(-1) for piece in whole]).to(self.curvature_dtype)

    def views(self, flat: Tensor) -> list[Tensor]:
        """Per-parameter views into a flat vector (N,)."""
        return [flat[s.offset : s.offset + s.size].view(s.shape) for s in self.slots]
