"""Standard normal vectors; long ones are drawn by as many threads as torch has."""

import math

import numpy as np
import torch
from torch import Tensor

SHORT = 2**18
"""Numbers below which torch's own draws are quicker, which one thread makes."""
PIECE = 2**17
"""Numbers that are made at a time, an even number: they and what they are made of fit a cache."""


def standard_normal(size: int, generator: torch.Generator | None, like: Tensor) -> Tensor:
    """Return `size` draws in the precision and on the device of `like`; `generator` None: torch's default one.

    From SHORT numbers on, on a processor, one thread draws only the random bits, from a stream whose seed comes from
    `generator`, and all threads make normal numbers of them. The draws do not depend on the number of threads.
    """
    if size < SHORT or like.device.type != "cpu" or like.dtype not in (torch.float32, torch.float64):
        return torch.randn(size, generator=generator, dtype=like.dtype, device=like.device)
    source = np.random.SFC64(int(torch.randint(2**62, (1,), generator=generator)))
    found = torch.empty(size + size % 2, dtype=like.dtype)
    for piece in torch.split(found, PIECE):
        _fill(piece, source)
    return found[:size]


def _fill(piece: Tensor, source: np.random.SFC64) -> None:
    """Fill an even number of values with normal numbers in pairs (Box and Muller, Ann. Math. Statist. 29, 1958).

    r = √(−2 ln u) and an angle θ give r cos θ and r sin θ. A signed integer i of as many bits as a value gives
    u = |i| / 2^(bits − 1), moved off zero by a quarter of its step, and another one θ in [−π, π).
    """
    bits = 8 * piece.dtype.itemsize
    raw = source.random_raw(len(piece) * bits // 64).view(np.int32 if bits == 32 else np.int64)
    radii, angles = piece.chunk(2)
    of_radii, of_angles = torch.from_numpy(raw).chunk(2)
    step = 2.0 ** (1 - bits)
    quarter = piece.new_tensor(step / 4)
    torch.add(quarter, radii.copy_(of_radii).abs_(), alpha=step, out=radii)
    radii.log_().mul_(-2.0).sqrt_()
    cosines = angles.copy_(of_angles).mul_(math.pi * step).cos()
    angles.sin_().mul_(radii)
    radii.mul_(cosines)
