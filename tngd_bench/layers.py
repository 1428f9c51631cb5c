"""Sizes of a layer and the cost of its part of the factor B, without torch: for curvature and all predictions.

Costs are operations, a multiply-add as two, of one batch of b samples with m rows of B.
"""

from __future__ import annotations

import math
from typing import NamedTuple

PANELS = 4
"""Panels in which a symmetric K or G is formed: (1 + 1/4)/2 of the products."""
SMALLEST_PANELLED = 256
"""Order below which one product is quicker than four."""


class Layer(NamedTuple):
    """One affine layer: `d_in` inputs (kernel included), `d_out` outputs, at `positions` places.

    A layer that is not `trained` has no columns in B; passes go through it all the same. One `of_values` is a product
    of two values of the model, as in attention: it is not trained, and a backward pass takes the gradients of both.
    One without inputs (`d_in` = 0) stands for `d_out` scales and shifts, as of a normalisation. One at no positions is
    not used: its parameters are counted, and no operation takes them.
    """

    d_in: int
    d_out: int
    positions: int = 1
    trained: bool = True
    bias: bool = True
    of_values: bool = False

    @property
    def weights(self) -> int:
        """Values of the weight matrix."""
        return self.d_in * self.d_out

    @property
    def columns(self) -> int:
        """Columns of B for each output: the inputs, and the bias."""
        return self.d_in + self.bias

    @property
    def parameters(self) -> int:
        """Parameters that are trained."""
        return self.columns * self.d_out if self.trained else 0

    @property
    def factored(self) -> bool:
        """Whether it has Kronecker factors, as a trained matrix has that is used."""
        return self.trained and self.d_in > 0 and self.positions > 0

    @property
    def values(self) -> int:
        """Outputs at all positions, of one sample."""
        return self.d_out * self.positions

    @property
    def repeated(self) -> bool:
        """Whether the weight is used at several positions."""
        return self.positions > 1

    @property
    def largest_row(self) -> int:
        """Numbers that a row keeps at most: output gradients, or its part of B written out."""
        return self.d_out * self.columns if self.repeated else self.d_out

    def forward(self, batch: int) -> float:
        """A forward pass."""
        return 2.0 * batch * self.weights * self.positions

    def propagation(self, batch: int) -> float:
        """A backward pass through it, without the gradient of its weights."""
        return self.forward(batch) * (1 + self.of_values)

    def is_written(self, rows: int, batch: int) -> bool:
        """Whether rows of a layer at several positions are written out, if memory allows."""
        return self.repeated and (self.rows_are_small(rows, batch) or not self.pairs_are_cheaper(rows, batch))

    def rows_are_small(self, rows: int, batch: int) -> bool:
        """Whether rows written out are no larger than the inputs and output gradients that they are made of."""
        return rows * self.d_out * self.columns <= (rows * self.d_out + batch * self.d_in) * self.positions

    def pairs_are_cheaper(self, rows: int, batch: int) -> bool:
        """Whether K from pairs of positions takes fewer operations than K from rows written out."""
        explicit = rows * self.positions * self.weights + rows * rows * self.weights / 2
        pairs = (batch * self.positions) ** 2 * self.d_in + (rows * self.positions) ** 2 * (
            self.d_out + 2
        ) / 2
        return pairs < explicit

    def row_values(self, rows: int, batch: int) -> float:
        """Numbers that a row keeps."""
        return float(self.d_out * self.columns) if self.is_written(rows, batch) else float(self.values)

    def writing(self, rows: int, following: Layer | None, columns: int) -> float:
        """Writing rows out from output gradients.

        A pooling behind the layer shows in what the `following` one takes of each channel: only the positions that it
        passes on are gone through where that is less.
        """
        passed: float = self.positions
        if following is not None and not following.repeated:
            selected = following.d_in / self.d_out
            if 0 < selected < self.positions and pooling_is_fused(self, selected, columns):
                passed = selected
        return 2.0 * rows * self.weights * passed

    def forming_gram(self, rows: int, batch: int) -> float:
        """This layer's share of K, from what its rows keep, weighed by products of its inputs."""
        m, b, t = float(rows), float(batch), self.positions
        if self.is_written(rows, batch):
            return 2.0 * m * m * self.d_out * self.columns * panelled(rows)
        if t == 1:
            return 2.0 * m * m * self.d_out * panelled(rows) + 2.0 * b * b * self.d_in
        inputs = 2.0 * (b * t) ** 2 * self.d_in * (PANELS if rows >= SMALLEST_PANELLED else 1)
        return 2.0 * (m * t) ** 2 * (self.d_out + 1.0) * panelled(rows) + inputs

    def gram_product(self, rows: int, batch: int) -> float:
        """Of a product with K what lies between the two readings of the rows."""
        if self.is_written(rows, batch):
            return 0.0
        through = 2.0 * self.forward(batch)
        return through if self.repeated else min(2.0 * float(batch) ** 2 * self.d_out, through)


class PointwiseLayer(NamedTuple):
    """A layer without a matrix, a table of embeddings or a normalisation: outputs, and numbers that a row keeps."""

    values: float
    largest_row: float
    weights: float = 0.0
    positions: int = 1
    repeated: bool = False


def similarity_is_cheaper(batch: int, d_in: int) -> bool:
    """Whether a product with K goes by the b×b products of a layer's inputs rather than through its weight.

    2b²·d_out operations against 4b·d_in·d_out, for each vector.
    """
    return batch <= 2 * d_in


def pooling_is_fused(layer: Layer, passed: float, columns: int) -> bool:
    """Whether selecting the `passed` positions of a pooling moves less data than full output gradients would."""
    return passed * layer.d_in <= columns * layer.positions


def preconditioning(rows: float, d_in: float, d_out: float) -> tuple[float, float]:
    """Return multiply-adds of both Kronecker inverses on k `rows`, x·g included, and on the finished gradient."""
    slope = rows * min(rows * (d_in + d_out), d_in * d_out)
    return rows * (d_in * d_in + d_out * d_out) + slope, d_in * d_out * (d_in + d_out)


def panelled(order: int) -> float:
    """Return the share of a symmetric product's operations that are made."""
    return (PANELS + 1) / (2 * PANELS) if order >= SMALLEST_PANELLED else 1.0


def panel_width(columns: int, order: int) -> int:
    """Return how many of the `columns` of a symmetric matrix of that order are formed at a time."""
    return columns if order < SMALLEST_PANELLED else math.ceil(columns / PANELS)
