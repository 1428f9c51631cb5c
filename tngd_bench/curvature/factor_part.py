"""Columns of the factor B that belong to some of the parameters, all rows: B itself, or B_l of one layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tngd_bench.curvature.blocks import Block

PANELS = 4
"""Panels in which a symmetric K or G is formed: (1 + 1/4)/2 of the products."""
SMALLEST_PANELLED = 256
"""Order below which one product is quicker than four."""


@dataclass(frozen=True)
class FactorPart:
    """The blocks of some parameters, of b samples with r rows each; vectors of m = b·r rows are sample first.

    `name` is that of the module that owns the parameters, "" for the model.
    """

    name: str
    blocks: Sequence[Block]
    batch_size: int
    rows_per_sample: int
    dtype: torch.dtype
    device: torch.device

    def gram(self) -> Tensor:
        """B_l B_lᵀ, (m, m)."""
        r, b = self.rows_per_sample, self.batch_size
        gram = torch.zeros(r, b, r, b, dtype=self.dtype, device=self.device)
        # symmetric: only panels on and below the diagonal are multiplied out, the rest is mirrored
        width = r if b * r < SMALLEST_PANELLED else math.ceil(r / PANELS)
        for first in range(0, r, width):
            last = min(first + width, r)
            panel = gram[first:, :, first:last]
            for block in self.blocks:
                block.add_gram(panel, first, last)
            gram[first:last, :, last:] = gram[last:, :, first:last].permute(2, 3, 0, 1)
        return gram.permute(1, 0, 3, 2).reshape(b * r, b * r)

    def matvec(self, v: Tensor) -> Tensor:
        """B_l v, (m,), of a vector (N,) over all parameters."""
        r, b = self.rows_per_sample, self.batch_size
        products = torch.zeros(1, r * b, dtype=self.dtype, device=self.device)
        for block in self.blocks:
            products += block.matvec(v.unsqueeze(0))
        return products.view(r, b).T.reshape(-1)

    def rmatvec(self, u: Tensor, out: Tensor) -> None:
        """Write B_lᵀ u for u (m,) into this part's places of `out` (N,)."""
        rows = u.view(self.batch_size, self.rows_per_sample).T.reshape(1, -1)
        for block in self.blocks:
            block.rmatvec(rows, out.unsqueeze(0))

    def copy(self, source: Tensor, out: Tensor) -> None:
        """Copy this part's places of one vector (N,) into another."""
        for block in self.blocks:
            for slot in block.slots:
                slot.of(out.unsqueeze(0)).copy_(slot.of(source.unsqueeze(0)))
