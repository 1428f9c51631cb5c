"""Relaxation rates of the modes of a programmed device, and a check that the slowest is positive.

The drift is C⁻¹Â with Â = J₁ᵀ Ĥ J₂ + λI and node rates D = C⁻¹ (nominal capacitance: one). Without mismatch its modes
are those of the m×m matrix Ĥ J₂ J₁ᵀ + λI and, where N > m, λ itself. With mismatch all N modes differ.
"""

import torch
from torch import Tensor

from tngd_bench.curvature.operator import Shifted
from tngd_bench.spu.dynamics import double_precision, mismatch
from tngd_bench.spu.dynamics.arrays import Arrays, UnstableDeviceError

REFINED = 3
"""Slowest modes that are refined with mismatch where the whole drift is too large to decompose."""
SEARCHED = (0.0, -1.0, -3.0, 1.0j, -1.0 + 1.0j, -3.0 + 3.0j)
"""Places, in λ, from which growing modes are searched for besides: those that mismatch pulls out of the null space."""
LINEAR_PROBLEMS = 12
"""Linear problems that one search may take."""


def modes(held: Shifted[Arrays], node_rates: Tensor | None = None, in_rows: Tensor | None = None) -> Tensor:
    """Rates of the modes in units of s/τ, complex; those that are equal to λ are listed once.

    `in_rows`: the result of `row_drift`, if already computed.
    Exact, but for node rates beyond `mismatch.LARGEST_DIAGONALISED`: there the null space is listed by its slowest and
    fastest node, and of the other modes the slowest are refined and the rest within λ times the spread of D.
    """
    arrays, damping = held.operator, held.damping
    m, n = arrays.first.shape
    found: Tensor
    if n <= m or (node_rates is not None and n <= mismatch.LARGEST_DIAGONALISED):
        found = torch.linalg.eigvals(_whole_drift(held, node_rates))
    elif node_rates is None:
        found = torch.linalg.eigvals(row_drift(held) if in_rows is None else in_rows)
        found = torch.cat([found, found.new_full((1,), damping)])
    else:
        found = _large_mismatch(held, node_rates)
    if arrays.certainly_stable:
        # the energy x²/2 + ε y²/2 falls at least at these rates: what is below them is rounding
        slowest = damping * (1.0 if node_rates is None else float(node_rates.min()))
        floor = slowest if arrays.lag is None else min(slowest, 1.0 / float(arrays.lag.max()))
        found = torch.complex(found.real.clamp_min(floor), found.imag)
    return found


def least_rate(arrays: Arrays, found: Tensor) -> float:
    """The least rate of the modes `found`, in 1/τ; UnstableDeviceError where it is negative beyond rounding."""
    slowest = float(found.real.min())
    rounding = 64.0 * len(found) * torch.finfo(torch.float64).eps * float(found.abs().max())
    if slowest < -rounding:
        raise UnstableDeviceError(slowest * arrays.scale)
    return slowest * arrays.scale


def row_drift(held: Shifted[Arrays]) -> Tensor:
    """Drift of the m (with lagging amplifiers 2m) states in row space, float64."""
    arrays, damping = held.operator, held.damping
    inner = double_precision.gram(arrays.first, arrays.last)
    one = torch.eye(len(inner), dtype=torch.float64, device=inner.device)
    middle = _middle(arrays)
    if arrays.lag is None:
        return middle @ inner + damping * one
    rate = (1.0 / arrays.lag.to(torch.float64)).unsqueeze(1)
    return torch.cat([torch.cat([damping * one, -middle], 1), torch.cat([rate * inner, rate * one], 1)])


def _middle(arrays: Arrays) -> Tensor:
    if arrays.middle is not None:
        return arrays.middle.to(torch.float64)
    return torch.eye(len(arrays.first), dtype=torch.float64, device=arrays.first.device)


def _whole_drift(held: Shifted[Arrays], node_rates: Tensor | None) -> Tensor:
    """Drift of (x, y) itself, y the lagging amplifiers where there are any."""
    arrays, damping = held.operator, held.damping
    first, last = arrays.first.to(torch.float64), arrays.last.to(torch.float64)
    one = torch.eye(first.shape[1], dtype=torch.float64, device=first.device)
    pull = last.T @ _middle(arrays)
    speed = None if node_rates is None else node_rates.to(torch.float64).unsqueeze(1)
    if arrays.lag is None:
        drift = pull @ first + damping * one
        return drift if speed is None else speed * drift
    upper = torch.cat([damping * one, pull], 1)
    rate = (1.0 / arrays.lag.to(torch.float64)).unsqueeze(1)
    own = rate * torch.eye(len(first), dtype=torch.float64, device=first.device)
    return torch.cat([upper if speed is None else speed * upper, torch.cat([-rate * first, own], 1)])


def _large_mismatch(held: Shifted[Arrays], node_rates: Tensor) -> Tensor:
    arrays, damping = held.operator, held.damping
    rates = node_rates.to(torch.float64)
    pulled = torch.linalg.eigvals(_middle(arrays) @ double_precision.gram(arrays.first, arrays.last, rates))
    found = pulled[pulled.real.argsort()] + damping
    if not arrays.certainly_stable:
        near = damping * torch.tensor(SEARCHED, dtype=found.dtype, device=found.device)
        refined = [_refined(held, rates, start) for start in torch.cat([found[:REFINED], near])]
        found = torch.stack([*found[REFINED:], *(mode for mode in refined if mode is not None)])
    band = torch.stack([rates.min(), rates.max()]) * damping
    return torch.cat([found, band.to(found.dtype)])


def _refined(held: Shifted[Arrays], rates: Tensor, start: Tensor) -> Tensor | None:
    """The mode near `start`, by successive linear problems: I + Ĥ J₂ D(λD − μ)⁻¹ J₁ᵀ is singular at a mode μ.

    None where none is found: what starts in the null space may stay there.
    """
    arrays, damping = held.operator, held.damping
    middle = _middle(arrays).to(torch.complex128)
    one = torch.eye(len(middle), dtype=torch.complex128, device=middle.device)
    mode: Tensor = start
    for _ in range(LINEAR_PROBLEMS):
        left = damping * rates - mode
        value = one + middle @ double_precision.gram(arrays.first, arrays.last, rates / left)
        slope = middle @ double_precision.gram(arrays.first, arrays.last, rates / left**2)
        inverse = torch.linalg.eigvals(torch.linalg.solve(value, slope))
        change = 1.0 / inverse[inverse.abs().argmax()]
        mode = mode - change
        if bool(change.abs() <= 1e-10 * mode.abs()):
            return mode
    return None
