"""By which route curvature is computed, decided from sizes alone; no torch, so that planning reads the same rules.

A few products with G or K go by rows of B or through the model. Rows take a batched backward pass a column and are
then read twice a product; a product by J and Jᵀ is some three passes through the model whatever the number of columns.
The constants are of one core of an AMD EPYC (2026-11-28): for 22 products at b = 32 on perceptrons of N = 3·10⁵ and
2·10⁶, two convolutional networks and a language model, with 20 to 160 columns, they name the route that was measured to
be the quicker one in 14 cases of 15; the other is a tie. They are for that comparison alone, and predict no time.
"""

from __future__ import annotations

LARGEST_STRUCTURED = 256
"""Outputs per sample up to which r batched backward passes are cheaper than the two passes of every product."""
LARGEST_UNROLLED = 32
"""The same where layers have more output values per sample than there are parameters, as adapters in a sequence model:
a row per output then keeps more than B itself has."""
PANELS = 4
"""Panels in which a symmetric K or G is formed: (1 + 1/4)/2 of the products."""
SMALLEST_PANELLED = 256
"""Order below which one product is quicker than four."""
OPERATIONS_PER_NUMBER = 12
"""Operations in the time that reading one number of the rows takes: a product with them waits for memory."""
COLUMN_SHARE = 0.25
"""Time of an operation in the batched passes that make the rows, in those of a product by J and Jᵀ."""
MAKING = 8
"""Readings of the rows that making them is worth."""
PRODUCT_START = 6e7
"""Operations in the time that a product by J and Jᵀ takes however small the model."""


def rows_are_too_many(columns: int, layer_outputs: float, parameters: int) -> bool:
    """Whether a row per output costs more than products by J and Jᵀ do, whatever their number.

    `layer_outputs` are those of all layers at all positions, of one sample.
    """
    return columns > (LARGEST_STRUCTURED if layer_outputs <= parameters else LARGEST_UNROLLED)


def model_is_cheaper(operations: float, kept: float, columns: int, batch_size: int, products: int) -> bool:
    """Whether `products` products cost less by J and Jᵀ than by making `columns` rows a sample and reading them.

    For one sample, `operations` are the multiply-adds of a forward pass and `kept` the numbers that a row keeps.
    """
    rows = 2 * COLUMN_SHARE * columns * operations
    rows += OPERATIONS_PER_NUMBER * columns * kept * (2 * products + MAKING)
    return products * (6 * operations + PRODUCT_START / batch_size) < rows


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
