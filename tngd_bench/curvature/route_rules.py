"""By which route curvature is computed, decided from sizes alone; no torch, so that planning reads the same rules.

A few products with G or K go by rows of B or through the model. Rows take a batched backward pass a column and are
then read twice a product; a product by J and Jᵀ is some four passes through the model whatever the number of columns.
The constants are seconds on one core of an AMD EPYC (2026-11-29), fitted to 78 places timed by both routes
(`benchmarks.routes`): perceptrons and convolutional networks, N = 3·10³ to 2·10⁶, b = 32 to 4,096, 10 to 250 columns, 8
to 30 products. In all of these, on which they were fitted, the rule names the quicker route or one within 10 % of it.
At one further place, left out as mis-timed, it names one that was timed to be 2.5 times as slow as the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LARGEST_STRUCTURED = 256
"""Outputs per sample up to which r batched backward passes are cheaper than the two passes of every product."""
LARGEST_UNROLLED = 32
"""The same where layers have more output values per sample than there are parameters, as adapters in a sequence model:
a row per output then keeps more than B itself has."""
PANELS = 4
"""Panels in which a symmetric K or G is formed: (1 + 1/4)/2 of the products."""
SMALLEST_PANELLED = 256
"""Order below which one product is quicker than four."""
OPERATION_S, WEIGHT_S, VALUE_S, KERNEL_S, PRODUCT_S = 5.8e-12, 2.2e-9, 5.4e-9, 9.2e-9, 5.2e-4
"""Of a product through the model: for an operation, for a weight whatever the batch, for an output of a layer, beside
that for one at several positions, and whatever the size."""
RATE = 1.45e11
"""Operations per second of large products on that core."""
PASSES = 8
"""Operations of such a product in a multiply-add of a forward pass."""
COLUMN_S, COLUMN_KERNEL_S, MAKING_S = 1.0e-11, 9.6e-10, 3.0e-9
"""Of making the rows, a column: for a multiply-add, for an output at one of several positions, for a number kept."""
READING_S, BETWEEN_S, BLOCK_S, START_S = 3.9e-10, 4.3e-12, 2.1e-7, 1.4e-4
"""Of a product by rows: for a number kept, read twice; for an operation between the readings; for a layer's block of a
sample; and whatever the size."""


@dataclass(frozen=True)
class LayerShape:
    """Of one use of a layer, for one sample: its weights, its outputs at all `positions`, numbers that a row keeps."""

    weights: float
    outputs: float
    kept: float
    positions: float = 1

    @property
    def operations(self) -> float:
        """Multiply-adds of a forward pass."""
        return self.weights * self.positions

    @property
    def repeated(self) -> bool:
        """Whether its weight is used at several positions."""
        return self.positions > 1


def rows_are_too_many(columns: int, layer_outputs: float, parameters: int) -> bool:
    """Whether a row per output costs more than products by J and Jᵀ do, whatever their number.

    `layer_outputs` are those of all layers at all positions, of one sample.
    """
    return columns > (LARGEST_STRUCTURED if layer_outputs <= parameters else LARGEST_UNROLLED)


def model_is_cheaper(layers: Sequence[LayerShape], columns: int, batch_size: int, products: int) -> bool:
    """Whether `products` products cost less by J and Jᵀ than by making `columns` rows a sample and reading them."""
    b = float(batch_size)
    operations, kept = sum(layer.operations for layer in layers), sum(layer.kept for layer in layers)
    repeated = sum(layer.outputs for layer in layers if layer.repeated)
    between = sum(
        min(layer.operations, b * layer.outputs / 2.0) for layer in layers if not layer.repeated
    )  # by the weight, or by the similarity of the inputs
    through = b * PASSES * OPERATION_S * operations + waiting_seconds(layers, batch_size)
    making = b * columns * (COLUMN_S * operations + COLUMN_KERNEL_S * repeated + MAKING_S * kept)
    reading = b * (2.0 * READING_S * columns * kept + 4.0 * BETWEEN_S * between + BLOCK_S * len(layers))
    return products * through < making + products * (reading + START_S)


def waiting_seconds(layers: Sequence[LayerShape], batch_size: int) -> float:
    """Return the seconds of a product by J and Jᵀ beside its operations."""
    outputs, weights = sum(layer.outputs for layer in layers), sum(layer.weights for layer in layers)
    repeated = sum(layer.outputs for layer in layers if layer.repeated)
    return batch_size * (VALUE_S * outputs + KERNEL_S * repeated) + WEIGHT_S * weights + PRODUCT_S


def rows_are_written(rows: int, batch: int, d_in: float, d_out: float, positions: float) -> bool:
    """Whether a weight used at many positions has its part of each row written out, if memory allows."""
    small = rows_are_small(rows, batch, d_in, d_out, positions)
    return small or not pairs_are_cheaper(rows, batch, d_in, d_out, positions)


def rows_are_small(rows: int, batch: int, d_in: float, d_out: float, positions: float) -> bool:
    """Whether rows written out are no larger than the inputs and cotangents that they are made of."""
    return rows * d_out * (d_in + 1) <= rows * d_out * positions + batch * d_in * positions


def pairs_are_cheaper(rows: int, batch: int, d_in: float, d_out: float, positions: float) -> bool:
    """Whether K from pairs of positions takes fewer operations than K from explicit rows."""
    explicit = rows * positions * d_in * d_out + rows * rows * d_in * d_out / 2
    pairs = (batch * positions) ** 2 * d_in + (rows * positions) ** 2 * (d_out + 2) / 2
    return pairs < explicit
