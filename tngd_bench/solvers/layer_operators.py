"""The Gauss-Newton matrix of each layer alone, as an operator that a device of its own can hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch import Tensor

from tngd_bench.curvature import GGN
from tngd_bench.curvature.operator import InRange
from tngd_bench.curvature.parameters import TrainableParameters
from tngd_bench.curvature.rows.factor_part import FactorPart


def layer_places(parameters: TrainableParameters) -> dict[str, slice]:
    """Return where the trained parameters of each module lie in a flat vector (N,), in order and without gaps."""
    named = zip(parameters.names, parameters.slots, strict=True)
    owned = groupby(named, key=lambda pair: pair[0].rpartition(".")[0])
    slots = {owner: [slot for _, slot in pairs] for owner, pairs in owned}
    return {name: slice(own[0].offset, own[-1].offset + own[-1].size) for name, own in slots.items()}


def layer_operators(ggn: GGN) -> Sequence[LayerOperator]:
    """Return G_l for every module with trained parameters; it is zero where no output depends on them."""
    parts = {part.name: part for part in ggn.layers}
    unused = replace(ggn.layers[0], blocks=())
    scratch = ggn.parameters.blank().zero_()
    places = layer_places(ggn.parameters)
    return [LayerOperator(ggn, parts.get(name, unused), place, scratch) for name, place in places.items()]


@dataclass(frozen=True)
class LayerOperator:
    """G_l = B_lᵀB_l of the parameters at `place` of a `ggn`, whose columns of B are those of `part`.

    Vectors are those of the layer alone, (N_l,), and rows sample first. `scratch` (N,) is overwritten.
    """

    ggn: GGN
    part: FactorPart
    place: slice
    scratch: Tensor

    @property
    def size(self) -> int:
        """N_l."""
        return int(self.place.stop - self.place.start)

    @property
    def rows(self) -> int:
        """m."""
        return self.ggn.rows

    @property
    def gradient(self) -> Tensor:
        """∇ℓ of the layer's parameters."""
        return self.ggn.gradient[self.place]

    @property
    def gradient_weights(self) -> InRange:
        """∇ℓ_l = B_lᵀ w + q_l, with the w of the whole model."""
        weights, rest = self.ggn.gradient_weights
        return InRange(weights, None if rest is None else rest[self.place])

    def factor_matvec(self, v: Tensor) -> Tensor:
        """B_l v, (m,)."""
        self.scratch[self.place] = v
        return self._sample_first(self.part.matvec(self.scratch))

    def factor_rmatvec(self, u: Tensor) -> Tensor:
        """B_lᵀ u, (N_l,)."""
        self.scratch[self.place] = 0.0  # what no block writes
        self.part.rmatvec(self._column_first(u), self.scratch)
        return self.scratch[self.place].clone()

    def matvec(self, v: Tensor) -> Tensor:
        """G_l v."""
        return self.factor_rmatvec(self.factor_matvec(v))

    def gram_matvec(self, u: Tensor) -> Tensor:
        """K_l u, for u (m,) or (m, k)."""
        return self._sample_first(self.part.gram_matvec(self._column_first(u)))

    def gram(self) -> Tensor:
        """K_l = B_l B_lᵀ, (m, m)."""
        return self._sample_first(self._sample_first(self.part.gram()).T).T

    def factor(self) -> Tensor:
        """B_l, (m, N_l), rows sample first."""
        whole = torch.zeros(self.rows, self.size, dtype=self.scratch.dtype, device=self.scratch.device)
        if self.part.blocks:
            places = torch.arange(len(self.scratch), device=self.scratch.device)
            whole[:, self.part.take(places) - self.place.start] = self._sample_first(self.part.rows())
        return whole

    def largest(self) -> float:
        """The largest |value| of B_l."""
        return max((block.largest() for block in self.part.blocks), default=0.0)

    def dense(self) -> Tensor:
        """G_l, (N_l, N_l)."""
        factor = self.factor()
        return factor.T @ factor

    def _sample_first(self, rows: Tensor) -> Tensor:
        """Rows (m, …) of the part in the order that the model has them."""
        split = rows.reshape(self.part.rows_per_sample, self.part.batch_size, -1)
        return split.transpose(0, 1).reshape(rows.shape)

    def _column_first(self, rows: Tensor) -> Tensor:
        split = rows.reshape(self.part.batch_size, self.part.rows_per_sample, -1)
        return split.transpose(0, 1).reshape(rows.shape)
