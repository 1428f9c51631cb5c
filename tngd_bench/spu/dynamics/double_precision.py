"""Products with arrays that may be held in single precision, computed in double a few columns at a time."""

from collections.abc import Iterator

import torch
from torch import Tensor

VALUES_AT_ONCE = 2**22
"""Values of an array that are converted at a time."""


def matvec(array: Tensor, vector: Tensor) -> Tensor:
    """J v in float64, (m,)."""
    total = vector.new_zeros(len(array), dtype=torch.float64)
    for part in _columns(array):
        total += array[:, part].to(torch.float64) @ vector[part].to(torch.float64)
    return total


def rmatvec(array: Tensor, weights: Tensor) -> Tensor:
    """Jᵀ u in float64, (N,)."""
    u = weights.to(torch.float64)
    return torch.cat([array[:, part].to(torch.float64).T @ u for part in _columns(array)])


def gram(first: Tensor, second: Tensor, weights: Tensor | None = None) -> Tensor:
    """J₂ diag(weights) J₁ᵀ in float64, (m, m), or complex128 for complex weights."""
    if weights is not None and weights.is_complex():
        return torch.complex(gram(first, second, weights.real), gram(first, second, weights.imag))
    total = torch.zeros(len(first), len(second), dtype=torch.float64, device=first.device)
    for part in _columns(first):
        left = first[:, part].to(torch.float64)
        if weights is not None:
            left = left * weights[part].to(torch.float64)
        total += left @ second[:, part].to(torch.float64).T
    return total


def _columns(array: Tensor) -> Iterator[slice]:
    if array.dtype == torch.float64:
        yield slice(None)
        return
    width = max(1, VALUES_AT_ONCE // max(len(array), 1))
    for first in range(0, array.shape[1], width):
        yield slice(first, first + width)
