"""Blocks of the factor B = Sᵀ J, one per layer or parameter, that share one set of rows.

A row of B belongs to sample n and column i of S. Inside this package rows run column first, (r, b) with index
i·b + n, which is how batched backward passes deliver them; `GGN` shows them sample first. A weight used as
y = W a at T positions has the rows g_{n,i} aᵀ_n summed over positions, so a block keeps a and g and forms an explicit
row only where that is cheaper ("ghost" products of private training; arXiv 2405.13817 §3 for what they serve).

Every block offers, for k vectors at once, `matvec` (k, N) → (k, m), `rmatvec` (k, m) into the block's slices of
(k, N), `add_gram` (its share of a panel of K) and `rows` (m, width of the block).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from tngd_bench.layers import similarity_is_cheaper

STREAMED_VALUES = 2**18
"""Values in one piece of a streamed factor: 1 MB in float32."""


@dataclass(frozen=True)
class Slot:
    """Where one parameter lies in the flat vector: offset and shape."""

    offset: int
    shape: torch.Size

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    def of(self, flat: Tensor) -> Tensor:
        """The parameter's slice of flat vectors (k, N), as a view (k, size)."""
        return flat[:, self.offset : self.offset + self.size]


class Block(ABC):
    """A group of parameters and its columns of B."""

    @property
    @abstractmethod
    def slots(self) -> tuple[Slot, ...]:
        """Where the block's parameters lie, in the order of its columns."""

    @abstractmethod
    def add_gram(self, panel: Tensor, first: int, last: int) -> None:
        """Add this block's B Bᵀ to a panel of K: its rows from column `first` of S on, its columns up to `last`.

        `panel` is (r − first, b, last − first, b).
        """

    @abstractmethod
    def matvec(self, v: Tensor) -> Tensor:
        """B v for flat vectors (k, N): (k, m)."""

    @abstractmethod
    def rmatvec(self, u: Tensor, out: Tensor) -> None:
        """Write Bᵀ u for (k, m) into the block's slices of `out` (k, N)."""

    @abstractmethod
    def gram_matvec(self, u: Tensor) -> Tensor:
        """B Bᵀ u for (k, m), without a vector of length N."""

    @abstractmethod
    def rows(self) -> Tensor:
        """This block's columns of B, (m, Σ slot sizes)."""

    @abstractmethod
    def stream(self, values: int) -> Iterator[Tensor]:
        """The values of `rows()` once each, in pieces of about `values`; a piece is overwritten by the next."""

    def largest(self) -> float:
        """The largest |value| of `rows()`."""
        return max(
            float(torch.linalg.vector_norm(piece, torch.inf)) for piece in self.stream(STREAMED_VALUES)
        )

    def write_rows(self, out: Tensor) -> None:
        """Write this block's columns of B into its slices of `out` (b, r, N), sample first."""
        b, r = out.shape[:2]
        rows, first = self.rows().view(r, b, -1), 0
        for slot in self.slots:
            target = out[:, :, slot.offset : slot.offset + slot.size]
            target.copy_(rows[..., first : first + slot.size].transpose(0, 1))
            first += slot.size


class AffineBlock(Block):
    """A block of a weight and a bias, of which one may be frozen."""

    weight: Slot | None
    bias: Slot | None

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Slots of the trained parameters, weight first."""
        return tuple(slot for slot in (self.weight, self.bias) if slot is not None)


@dataclass(frozen=True)
class ExplicitBlock(Block):
    """Rows held as a matrix (m, Σ slot sizes)."""

    matrix: Tensor
    owners: tuple[Slot, ...]

    @classmethod
    def joined(cls, rows: Mapping[Slot, Tensor]) -> ExplicitBlock:
        """The block of several parameters from the rows of each."""
        return cls(_side_by_side(list(rows.values())), tuple(rows))

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The parameters, in the order of the columns."""
        return self.owners

    def add_gram(self, panel: Tensor, first: int, last: int) -> None:
        """K += R Rᵀ."""
        b = panel.shape[1]
        panel.add_((self.matrix[first * b :] @ self.matrix[first * b : last * b].T).view(panel.shape))

    def matvec(self, v: Tensor) -> Tensor:
        """R v."""
        pieces = [slot.of(v) for slot in self.slots]
        return _side_by_side(pieces) @ self.matrix.T

    def rmatvec(self, u: Tensor, out: Tensor) -> None:
        """Rᵀ u."""
        product = u @ self.matrix
        first = 0
        for slot in self.slots:
            slot.of(out).copy_(product[:, first : first + slot.size])
            first += slot.size

    def gram_matvec(self, u: Tensor) -> Tensor:
        """R (Rᵀ u)."""
        return (u @ self.matrix) @ self.matrix.T

    def rows(self) -> Tensor:
        """R itself."""
        return self.matrix

    def stream(self, values: int) -> Iterator[Tensor]:
        """R, which is there already."""
        yield self.matrix


@dataclass(frozen=True)
class OuterProductBlock(AffineBlock):
    """A weight (d_out, d_in), and perhaps a bias, used once per sample: row (i, n) is g_{i,n} ⊗ a_n.

    `inputs` a (b, d_in); `cotangents` g (r, b, d_out).
    """

    weight: Slot | None
    bias: Slot | None
    inputs: Tensor
    cotangents: Tensor

    @cached_property
    def _similarity(self) -> Tensor:
        b = self.inputs.shape[0]
        if self.weight is None:
            return self.inputs.new_ones(b, b)
        similarity = self.inputs @ self.inputs.T
        return similarity if self.bias is None else similarity.add_(1.0)

    def add_gram(self, panel: Tensor, first: int, last: int) -> None:
        """K_{(i,n),(j,n')} += (a_n·a_n' + 1)(g_{i,n}·g_{j,n'}), the 1 for the bias."""
        b = panel.shape[1]
        below = self.cotangents[first:].flatten(0, 1)
        across = self.cotangents[first:last].flatten(0, 1)
        panel.addcmul_((below @ across.T).view(panel.shape), self._similarity.view(1, b, 1, b))

    def matvec(self, v: Tensor) -> Tensor:
        """g_{i,n} · (V a_n + v_bias)."""
        b, d_out = self.cotangents.shape[1:]
        k = v.shape[0]
        if self.weight is None:
            image = torch.zeros(b, k, d_out, dtype=v.dtype, device=v.device)
        else:
            image = (self.inputs @ self.weight.of(v).reshape(k * d_out, -1).T).view(b, k, d_out)
        if self.bias is not None:
            image = image + self.bias.of(v)
        return self._along_cotangents(image)

    def rmatvec(self, u: Tensor, out: Tensor) -> None:
        """Σ_{n,i} u_{i,n} g_{i,n} aᵀ_n."""
        b, d_out = self.cotangents.shape[1:]
        k = u.shape[0]
        mixed = self._mixed_cotangents(u)
        if self.weight is not None:
            target = self.weight.of(out)
            if k == 1:
                torch.mm(mixed.view(b, d_out).T, self.inputs, out=target.view(d_out, -1))
            else:
                target.copy_((mixed.reshape(b, k * d_out).T @ self.inputs).view(k, -1))
        if self.bias is not None:
            self.bias.of(out).copy_(mixed.sum(0))

    def gram_matvec(self, u: Tensor) -> Tensor:
        """g_{i,n} · Σ_n' (a_n·a_n' + 1) Σ_j u_{j,n'} g_{j,n'}: by the inputs' b×b similarity, or through the weight."""
        mixed = self._mixed_cotangents(u)
        b, k, d_out = mixed.shape
        if self.weight is None:
            image = mixed.new_zeros(mixed.shape)
        elif similarity_is_cheaper(b, self.inputs.shape[1]):
            return self._along_cotangents((self._similarity @ mixed.flatten(1)).view(mixed.shape))
        else:
            through = mixed.reshape(b, k * d_out).T @ self.inputs  # (k·d_out, d_in)
            image = (self.inputs @ through.T).view(mixed.shape)
        if self.bias is not None:
            image = image + mixed.sum(0)
        return self._along_cotangents(image)

    def _mixed_cotangents(self, u: Tensor) -> Tensor:
        """Σ_i u_{i,n} g_{i,n}, (b, k, d_out)."""
        r, b, _ = self.cotangents.shape
        # contiguous: with strided coefficients torch multiplies three to ten times slower
        return torch.bmm(u.view(-1, r, b).permute(2, 0, 1).contiguous(), self.cotangents.transpose(0, 1))

    def _along_cotangents(self, image: Tensor) -> Tensor:
        """g_{i,n} · image_n for (b, k, d_out), as (k, m)."""
        products = torch.bmm(self.cotangents.transpose(0, 1), image.transpose(1, 2))  # (b, r, k)
        return products.permute(2, 1, 0).reshape(image.shape[1], -1)

    def rows(self) -> Tensor:
        """Explicit outer products."""
        r, b, d_out = self.cotangents.shape
        pieces = []
        if self.weight is not None:
            outer = self.cotangents.unsqueeze(-1) * self.inputs.unsqueeze(-2)
            pieces.append(outer.view(r * b, -1))
        if self.bias is not None:
            pieces.append(self.cotangents.reshape(r * b, d_out))
        return _side_by_side(pieces)

    def write_rows(self, out: Tensor) -> None:
        """Outer products, one column of S at a time, straight into place."""
        r, b, d_out = self.cotangents.shape
        for column in range(r):
            g = self.cotangents[column]
            if self.weight is not None:
                target = self.weight.of(out[:, column]).view(b, d_out, -1)
                torch.mul(g.unsqueeze(2), self.inputs.unsqueeze(1), out=target)
            if self.bias is not None:
                self.bias.of(out[:, column]).copy_(g)

    def stream(self, values: int) -> Iterator[Tensor]:
        """Outer products of a few rows at a time in one buffer, then the bias's rows."""
        r, b, d_out = self.cotangents.shape
        if self.weight is not None:
            width = d_out * self.inputs.shape[1]
            step = max(1, min(b, values // width))
            buffer = self.inputs.new_empty(step, d_out, self.inputs.shape[1])
            for column in range(r):
                for first in range(0, b, step):
                    taken = slice(first, min(first + step, b))
                    g, a = self.cotangents[column, taken].unsqueeze(2), self.inputs[taken].unsqueeze(1)
                    yield torch.mul(g, a, out=buffer[: taken.stop - taken.start])
        if self.bias is not None:
            yield self.cotangents

    def largest(self) -> float:
        """The largest |value|: of the products of a sample, that of its largest factors."""
        a, g = self.inputs.abs().amax(1), self.cotangents.abs().amax((0, 2))
        found = [] if self.weight is None else [a * g]
        return float(torch.cat([*found, *([] if self.bias is None else [g])]).max())


def channel_rows(
    inputs: Tensor, cotangents: Tensor, *, weight: Slot | None, bias: Slot | None, factor: Tensor | None
) -> ExplicitBlock:
    """Rows Σ_u g_{i,n,c,u} a_{n,c,u} of a weight whose output channels see inputs of their own.

    `inputs` a (b, C, d_in, U), `cotangents` g (r, b, C, U), `factor` what the bias sees instead of ones (b, C, U); the
    weight is (C, d_in).
    """
    b, channels, _, outputs = inputs.shape
    r = cotangents.shape[0]
    by_channel = cotangents.reshape(r, b * channels, outputs).transpose(0, 1)  # (b·C, r, U), a view
    rows: dict[Slot, Tensor] = {}
    if weight is not None:
        products = torch.bmm(by_channel, inputs.flatten(0, 1).transpose(1, 2))  # (b·C, r, d_in)
        rows[weight] = products.transpose(0, 1).reshape(r * b, -1)
    if bias is not None:
        seen = cotangents if factor is None else cotangents * factor.view(1, b, channels, outputs)
        rows[bias] = seen.sum(-1).reshape(r * b, channels)
    return ExplicitBlock.joined(rows)


def _side_by_side(pieces: Sequence[Tensor]) -> Tensor:
    return pieces[0] if len(pieces) == 1 else torch.cat(list(pieces), 1)


def total_width(blocks: Sequence[Block]) -> int:
    """Number of parameters the blocks hold."""
    return sum(slot.size for block in blocks for slot in block.slots)
