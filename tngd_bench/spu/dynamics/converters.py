"""Finite resolution of digital-to-analog and analog-to-digital converters."""

import torch
from torch import Tensor


def full_scale(signal: Tensor) -> Tensor:
    """Largest |value|, by one reading."""
    lowest, highest = torch.aminmax(signal)
    return torch.maximum(-lowest, highest)


def quantize(signal: Tensor, bits: int | None) -> Tensor:
    """Round to a uniform mid-tread grid of 2^bits − 1 levels over ±max|signal|; None leaves the signal as it is.

    Full scale follows the signal (a programmable gain stage sets max|signal| to the rail), so the error of a sample is
    at most half a step, max|signal|/(2^bits − 2), and a uniform input has the variance step²/12. One bit has the
    two levels ±full scale.
    """
    if bits is None:
        return signal
    largest = full_scale(signal)
    if not bool(largest > 0):
        return signal
    if bits == 1:
        return largest * (2.0 * (signal >= 0).to(signal.dtype) - 1.0)
    half_levels = float(2 ** (bits - 1) - 1)
    return (signal * (half_levels / largest)).round_().mul_(largest / half_levels)
