"""Embedding tables: each row of B touches only the tokens of its sample."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from tngd_bench.curvature.rows.blocks import Block, Slot


@dataclass(frozen=True)
class EmbeddingBlock(Block):
    """A table (V, D) read at T positions: row (i, n) holds g_{i,n,t} at the token of position t.

    `tokens` (b, T); `cotangents` g (r, b, T, D), zero where the token is padding. K adds, token by token, the products
    between the samples that contain it: nothing of the table's size is formed.
    """

    weight: Slot
    tokens: Tensor
    cotangents: Tensor

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The table."""
        return (self.weight,)

    @cached_property
    def _by_token(self) -> list[tuple[Tensor, Tensor]]:
        """For each token of the batch, the samples that contain it (s,) and their summed cotangents (r, s, D)."""
        r, b, positions, width = self.cotangents.shape
        flat = self.cotangents.reshape(r, b * positions, width)
        owner = torch.arange(b, device=self.tokens.device).repeat_interleave(positions)
        order = torch.argsort(self.tokens.reshape(-1), stable=True)
        counts = torch.unique_consecutive(self.tokens.reshape(-1)[order], return_counts=True)[1]
        found = []
        for places in torch.split(order, counts.tolist()):
            samples, position = torch.unique(owner[places], return_inverse=True)
            summed = flat.new_zeros(r, len(samples), width).index_add_(1, position, flat[:, places])
            found.append((samples, summed))
        return found

    @cached_property
    def _in_all_samples(self) -> Tensor:
        """The cotangents of tokens that every sample contains, as of a table of positions, side by side (r·b, ΣD)."""
        b = len(self.tokens)
        found = [g.flatten(0, 1) for samples, g in self._by_token if len(samples) == b]
        return torch.cat(found, 1) if found else self.cotangents.new_empty(len(self.cotangents) * b, 0)

    def add_gram(self, panel: Tensor, first: int, last: int) -> None:
        """K over pairs of samples that share a token."""
        b, everywhere = len(self.tokens), self._in_all_samples
        if everywhere.numel():
            # one product for all of them: K is read and written once, not once for each token
            panel += (everywhere[first * b :] @ everywhere[first * b : last * b].T).view(panel.shape)
        by_samples = panel.permute(1, 3, 0, 2)  # (b, b, r − first, last − first), a view
        for samples, g in self._by_token:
            if len(samples) == b:
                continue
            below, across = g[first:], g[first:last]
            products = (below.flatten(0, 1) @ across.flatten(0, 1).T).view(
                *below.shape[:2], *across.shape[:2]
            )
            by_samples[samples[:, None], samples[None, :]] += products.permute(1, 3, 0, 2)

    def matvec(self, v: Tensor) -> Tensor:
        """Σ_t g_{i,n,t} · V[token]."""
        table = self.weight.of(v).view(len(v), *self.weight.shape)
        seen = table[:, self.tokens]  # (k, b, T, D)
        return torch.einsum("rbx,kbx->krb", self.cotangents.flatten(2), seen.flatten(2)).flatten(1)

    def rmatvec(self, u: Tensor, out: Tensor) -> None:
        """Mixed cotangents, added up at their tokens."""
        r, b, _, width = self.cotangents.shape
        k = len(u)
        mixed = torch.einsum("krb,rbx->kbx", u.view(k, r, b), self.cotangents.flatten(2)).reshape(
            k, -1, width
        )
        table = u.new_zeros(k, *self.weight.shape).index_add_(1, self.tokens.reshape(-1), mixed)
        self.weight.of(out).copy_(table.flatten(1))

    def gram_matvec(self, u: Tensor) -> Tensor:
        """B (Bᵀ u), token by token."""
        r, b = self.cotangents.shape[:2]
        weights = u.view(-1, r, b)
        products = torch.zeros_like(weights)
        for samples, g in self._by_token:
            mixed = torch.einsum("krs,rsd->kd", weights[:, :, samples], g)
            products[:, :, samples] += torch.einsum("rsd,kd->krs", g, mixed)
        return products.flatten(1)

    def stream(self, values: int) -> Iterator[Tensor]:
        """Explicit rows, one column of S at a time."""
        for column in range(len(self.cotangents)):
            yield replace(self, cotangents=self.cotangents[column : column + 1]).rows()

    def rows(self) -> Tensor:
        """Explicit rows (m, V·D)."""
        r, b, _, width = self.cotangents.shape
        table = self.cotangents.new_zeros(r, b, *self.weight.shape)
        index = self.tokens.view(1, b, -1, 1).expand(r, b, -1, width)
        return table.scatter_add_(2, index, self.cotangents).reshape(r * b, -1)
