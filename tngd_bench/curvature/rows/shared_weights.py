"""Weights used at many positions: linear layers in sequences, convolutions, layers called more than once."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tngd_bench.curvature.rows.blocks import AffineBlock, ExplicitBlock, Slot
from tngd_bench.layers import Layer


@dataclass(frozen=True)
class PositionalBlock(AffineBlock):
    """Row (i, n) is Σ_t g_{i,n,t} ⊗ a_{n,t}, kept as a and g.

    `inputs` a (b, G, d_in, T), `cotangents` g (r, b, G, d_out, T); the weight is (G·d_out, d_in), the bias G·d_out.
    K comes from pairs of positions, (a·a')(g·g') summed ("ghost" norms of private training), or from explicit rows
    made a slice of output channels at a time, whichever takes fewer operations.
    """

    weight: Slot | None
    bias: Slot | None
    inputs: Tensor
    cotangents: Tensor
    memory_bytes: int

    def add_gram(self, panel: Tensor, first: int, last: int) -> None:
        """Add B Bᵀ by pairs or by explicit slices."""
        r, b, _, d_out, positions = self.cotangents.shape
        if not positions:  # an empty part of a sequence
            return
        if Layer(self.inputs.shape[2], d_out, positions).pairs_are_cheaper(r * b, b):
            self._add_pairs(panel, first, last)
            return
        for rows in self._row_slices():
            panel.add_((rows[first * b :] @ rows[first * b : last * b].T).view(panel.shape))

    def matvec(self, v: Tensor) -> Tensor:
        """Σ_t g_{i,n,t} · (V a_{n,t} + v_bias)."""
        _, b, groups, d_out, positions = self.cotangents.shape
        k = len(v)
        image = torch.zeros(k, b, groups, d_out, positions, dtype=v.dtype, device=v.device)
        if self.weight is not None:
            weights = self.weight.of(v).view(k, groups, d_out, -1)
            image += torch.einsum("kgoi,bgit->kbgot", weights, self.inputs)
        if self.bias is not None:
            image += self.bias.of(v).view(k, 1, groups, d_out, 1)
        return torch.einsum("rbx,kbx->krb", self.cotangents.flatten(2), image.flatten(2)).flatten(1)

    def rmatvec(self, u: Tensor, out: Tensor) -> None:
        """Σ_{n,i,t} u_{i,n} g_{i,n,t} aᵀ_{n,t}."""
        r, b, groups, d_out, positions = self.cotangents.shape
        k = len(u)
        mixed = torch.einsum("krb,rbx->kbx", u.view(k, r, b), self.cotangents.flatten(2))
        mixed = mixed.view(k, b, groups, d_out, positions)
        if self.weight is not None:
            self.weight.of(out).copy_(torch.einsum("kbgot,bgit->kgoi", mixed, self.inputs).reshape(k, -1))
        if self.bias is not None:
            self.bias.of(out).copy_(mixed.sum((1, 4)).view(k, -1))

    def gram_matvec(self, u: Tensor) -> Tensor:
        """B (Bᵀ u) through the layer's own parameters."""
        weight = None if self.weight is None else Slot(0, self.weight.shape)
        bias = None if self.bias is None else Slot(0 if weight is None else weight.size, self.bias.shape)
        local = replace(self, weight=weight, bias=bias)
        vector = u.new_empty(len(u), sum(slot.size for slot in local.slots))
        local.rmatvec(u, vector)
        return local.matvec(vector)

    def rows(self) -> Tensor:
        """Explicit rows."""
        return explicit_rows(self.inputs, self.cotangents, weight=self.weight, bias=self.bias).matrix

    def stream(self, values: int) -> Iterator[Tensor]:
        """Explicit rows, a few output channels at a time."""
        return replace(self, memory_bytes=values * self.cotangents.element_size())._row_slices()

    def _row_slices(self) -> Iterator[Tensor]:
        """Explicit rows (m, width) a few output channels at a time, within the memory allowed."""
        r, b, groups, d_out, _ = self.cotangents.shape
        d_in = self.inputs.shape[2]
        per_channel = r * b * groups * (d_in + 1) * self.cotangents.element_size()
        step = max(1, min(d_out, self.memory_bytes // max(per_channel, 1)))
        for channel in range(0, d_out, step):
            g = self.cotangents[:, :, :, channel : channel + step]
            if self.weight is not None:
                yield torch.einsum("rbgot,bgit->rbgoi", g, self.inputs).reshape(r * b, -1)
            if self.bias is not None:
                yield g.sum(-1).reshape(r * b, -1)

    def _add_pairs(self, panel: Tensor, first: int, last: int) -> None:
        r, b, groups, d_out, positions = self.cotangents.shape
        rows = (r - first) * b * positions
        chunk = max(
            1, self.memory_bytes // max(2 * rows * positions * panel.element_size() * (last - first), 1)
        )
        for group in range(groups):
            a = self.inputs[:, group].transpose(1, 2).reshape(b * positions, -1)
            g = self.cotangents[first:, :, group].transpose(2, 3)  # (r', b, T, d_out)
            below = g.reshape(rows, d_out)
            for sample in range(0, b, chunk):
                taken = slice(sample, min(sample + chunk, b))
                count = taken.stop - taken.start
                if self.weight is None:
                    similarity = a.new_ones(b, positions, count, positions)
                else:
                    similarity = (a @ a.view(b, positions, -1)[taken].flatten(0, 1).T).view(
                        b, positions, count, positions
                    )
                    if self.bias is not None:
                        similarity = similarity + 1.0
                across = g[: last - first, taken].reshape(-1, d_out)
                products = (below @ across.T).view(r - first, b, positions, last - first, count, positions)
                panel[..., taken] += torch.einsum("ibtjns,btns->ibjn", products, similarity)


def explicit_rows(
    inputs: Tensor, cotangents: Tensor, *, weight: Slot | None, bias: Slot | None
) -> ExplicitBlock:
    """Rows of a positional weight written out; arguments as in `PositionalBlock`."""
    r, b = cotangents.shape[:2]
    rows: dict[Slot, Tensor] = {}
    if weight is not None:
        rows[weight] = torch.einsum("rbgot,bgit->rbgoi", cotangents, inputs).reshape(r * b, -1)
    if bias is not None:
        rows[bias] = cotangents.sum(-1).reshape(r * b, -1)
    return ExplicitBlock.joined(rows)


def positional_block(
    inputs: Tensor, cotangents: Tensor, *, weight: Slot | None, bias: Slot | None, memory_bytes: int
) -> ExplicitBlock | PositionalBlock:
    """Explicit rows where they are no larger than a and g themselves, or cheaper and within memory; else a and g."""
    r, b, groups, d_out, positions = cotangents.shape
    layer = Layer(inputs.shape[2], d_out, positions, bias=bias is not None)
    fits = r * b * groups * d_out * layer.columns * cotangents.element_size() <= memory_bytes
    small = layer.rows_are_small(r * b, b)
    if small or (fits and not layer.pairs_are_cheaper(r * b, b)):
        return explicit_rows(inputs, cotangents, weight=weight, bias=bias)
    return PositionalBlock(weight, bias, inputs, cotangents, memory_bytes)
