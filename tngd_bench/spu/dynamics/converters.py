"""Finite resolution of digital-to-analog and analog-to-digital converters."""

import torch
from torch import Tensor

LIFT = 2.0**100
"""What signals are multiplied by, exactly, whose levels are too small for their precision."""


def full_scale(signal: Tensor) -> Tensor:
    """Largest |value|, by one reading."""
    lowest, highest = torch.aminmax(signal)
    return torch.maximum(-lowest, highest)


def quantize(signal: Tensor, bits: int | None, limit: float | None = None) -> Tensor:
    """Round to a uniform mid-tread grid of 2^bits − 1 levels over ±max|signal|; None leaves the signal as it is.

    With a `limit` the full scale is ±limit, and what is beyond is clipped to it.

    Full scale follows the signal (a programmable gain stage sets max|signal| to the rail), so the error of a sample is
    at most half a step, max|signal|/(2^bits − 2), and a uniform input has the variance step²/12. One bit has the
    two levels ±full scale.
    """
    if limit is not None:
        return _clipped(signal, bits, limit)
    return signal if bits is None else _rounded(signal, full_scale(signal), bits)


def quantize_each(
    signals: Tensor, bits: int | None, limit: float | None = None, dim: int = 1, out: Tensor | None = None
) -> Tensor:
    """The same for each row (`dim` 1) or column (0) of a matrix as a signal of its own, with its own full scale.

    `out`, such as the signals themselves, may be overwritten by the result.
    """
    if limit is not None:
        return _clipped(signals, bits, limit)
    if bits is None:
        return signals
    lowest, highest = signals.amin(dim, keepdim=True), signals.amax(dim, keepdim=True)
    return _rounded(signals, torch.maximum(-lowest, highest), bits, out)


def _clipped(signal: Tensor, bits: int | None, limit: float) -> Tensor:
    held = signal.clamp(-limit, limit)
    return held if bits is None else _rounded(held, torch.full_like(held[..., :1], limit), bits)


def _rounded(signal: Tensor, largest: Tensor, bits: int, out: Tensor | None = None) -> Tensor:
    if bits == 1:
        return largest * (2.0 * (signal >= 0).to(signal.dtype) - 1.0)
    half_levels = float(2 ** (bits - 1) - 1)
    unit = torch.where(largest > 0, largest, 1.0)  # a signal of zeros stays one
    is_tiny = unit < half_levels * torch.finfo(unit.dtype).tiny  # a level is below what the precision holds
    if bool(is_tiny.any()):
        lift = torch.where(is_tiny, LIFT, 1.0).to(unit)
        return _rounded(signal * lift, largest * lift, bits).div_(lift)
    return torch.mul(signal, half_levels / unit, out=out).round_().mul_(unit / half_levels)
