"""The factor B, or its columns B_l of one layer."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tngd_bench.curvature.rows.blocks import Block, total_width
from tngd_bench.layers import panel_width


@dataclass(frozen=True)
class FactorPart:
    """The blocks of some parameters, of b samples with r rows each, column first as the blocks have them.

    `name` is that of the module that owns the parameters, "" for the model.
    """

    name: str
    blocks: Sequence[Block]
    batch_size: int
    rows_per_sample: int
    dtype: torch.dtype
    device: torch.device

    def gram(self, *, mirrored: bool = True) -> Tensor:
        """B_l B_lᵀ, (m, m); unless `mirrored`, right on and below its diagonal alone."""
        r, b = self.rows_per_sample, self.batch_size
        gram = torch.zeros(r, b, r, b, dtype=self.dtype, device=self.device)
        # symmetric: only panels on and below the diagonal are multiplied out
        width = panel_width(r, b * r)
        for first in range(0, r, width):
            last = min(first + width, r)
            panel = gram[first:, :, first:last]
            for block in self.blocks:
                block.add_gram(panel, first, last)
            if mirrored:
                gram[first:last, :, last:] = gram[last:, :, first:last].permute(2, 3, 0, 1)
        return gram.view(b * r, b * r)

    @property
    def width(self) -> int:
        """Number of parameters."""
        return total_width(self.blocks)

    def rows(self) -> Tensor:
        """B_l itself, (m, width): columns in the order of the blocks' slots."""
        return torch.cat([block.rows() for block in self.blocks], 1)

    def matvec(self, v: Tensor) -> Tensor:
        """B_l v, (m,), of a vector (N,) over all parameters."""
        products = torch.zeros(
            1, self.batch_size * self.rows_per_sample, dtype=self.dtype, device=self.device
        )
        for block in self.blocks:
            products += block.matvec(v.unsqueeze(0))
        return products[0]

    def rmatvec(self, u: Tensor, out: Tensor) -> None:
        """Write B_lᵀ u for u (m,) into this part's places of `out` (N,)."""
        for block in self.blocks:
            block.rmatvec(u.unsqueeze(0), out.unsqueeze(0))

    def gram_matvec(self, u: Tensor) -> Tensor:
        """B_l B_lᵀ u for u (m,) or (m, k), without a vector of length N."""
        rows = u.reshape(len(u), -1).T.contiguous()
        products = torch.zeros_like(rows)
        for block in self.blocks:
            products += block.gram_matvec(rows)
        return products.T.reshape(u.shape)

    def take(self, v: Tensor) -> Tensor:
        """This part's values of a vector (N,) over all parameters, (width,)."""
        return torch.cat([slot.of(v.unsqueeze(0))[0] for block in self.blocks for slot in block.slots])

    def put(self, values: Tensor, out: Tensor) -> None:
        """Write (width,) into this part's places of `out` (N,)."""
        first = 0
        for block in self.blocks:
            for slot in block.slots:
                slot.of(out.unsqueeze(0)).copy_(values[first : first + slot.size])
                first += slot.size
