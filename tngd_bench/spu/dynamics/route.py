"""By which route a relaxation is simulated, decided from sizes alone; without torch, so that planning reads it too."""

from __future__ import annotations

import math

EIGENDECOMPOSITION, PRODUCT = 9.0 / 0.7, 1.0 / 0.05
"""Cost of an m×m eigendecomposition in m³, and of a flop in a matrix-vector product, both in flops of a matrix product.

Orders of magnitude on a CPU: products by single vectors wait for memory, a twentieth of the speed.
"""
VECTORS = 2
"""Krylov spaces that a transition takes: the start (or the noise) and the right-hand side."""
TOLERANCE = 1e-6
"""Relative error of a Krylov route, where nothing else is asked for."""
SMALLEST_LANCZOS = 320
"""Rows below which the eigendecomposition of K takes less time than a Lanczos loop on it."""


def predicted_flops(
    rows: int, size: int, tolerance: float, width: float | None = None
) -> tuple[float, float]:
    """Cost of the gram and krylov transitions for m rows and N parameters, in flops of a matrix product.

    gram: 2m²W to form K and its eigendecomposition; krylov: 12 ln(1/tolerance) products of 4mW in each of two spaces
    and their orthogonalisation. W is the `width` of a row as it is kept: the outputs of all layers together, taken as
    3√N (a few layers of even width), or N where rows are a matrix.
    """
    m, kept = float(rows), 3.0 * math.sqrt(size) if width is None else width
    gram = 2.0 * m * m * kept + EIGENDECOMPOSITION * m**3
    dimension = min(m, 12.0 * math.log(1.0 / min(tolerance, 0.1)))
    krylov = VECTORS * (dimension * 4.0 * m * kept + 4.0 * m * dimension**2) * PRODUCT
    return gram, krylov


def gram_is_cheaper(rows: int, size: int, tolerance: float = TOLERANCE, width: float | None = None) -> bool:
    """Whether K is formed, rather than multiplied with through the rows."""
    gram, krylov = predicted_flops(rows, size, tolerance, width)
    return gram <= krylov
