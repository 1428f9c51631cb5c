"""A dense symmetric positive definite matrix on one array of the device, and its relaxations, exact in time.

Cell (i, j) couples nodes i and j: one element serves both directions, so errors leave the matrix symmetric.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tngd_bench import arguments
from tngd_bench.layers import panel_width
from tngd_bench.spu.device import Device
from tngd_bench.spu.dynamics.arrays import UnstableDeviceError, largest_unit, programmed
from tngd_bench.spu.dynamics.converters import quantize_each
from tngd_bench.spu.dynamics.gaussian import standard_normal
from tngd_bench.spu.dynamics.route import cells_err
from tngd_bench.spu.dynamics.spectral import Response, Spread
from tngd_bench.spu.dynamics.transitions import eigendecomposition

REMEDY = "raise damping, program more precisely, or scale to a unit diagonal"


@dataclass(frozen=True)
class SymmetricArray:
    """What an array of order n makes of right-hand sides in one relaxation of t, from a start at zero.

    `response` is φ(M̂) with φ(a) = (1 − e^(−at))/a, (n, n) · `noise_root`, where there is noise, the upper triangular R
    of its covariance RᵀR = κψ(M̂) with ψ(a) = (1 − e^(−2at))/a · `weights` D^(−1/2), (n,), by which the host scales both
    what it writes and what it reads; None: M̂ is the matrix itself · `scale` s ≤ 1 by which the conductance range
    shrinks M̂, so that a relaxation takes t/s · `wanted` M, where it was to be kept for refinements.
    """

    response: Tensor
    noise_root: Tensor | None = None
    weights: Tensor | None = None
    scale: float = 1.0
    wanted: Tensor | None = None

    @property
    def matrix(self) -> Tensor:
        """The mean answer to the unit vectors, converters apart, (n, n)."""
        if self.weights is None:
            return self.response
        return self.weights.unsqueeze(1) * self.response * self.weights

    def answer(
        self, signals: Tensor, device: Device, generator: torch.Generator | None = None, dim: int = 1
    ) -> Tensor:
        """One readout for each right-hand side, D/A conversion, relaxation, A/D conversion.

        Right-hand sides are the rows of (k, n) with `dim` 1, the columns of (n, k) with `dim` 0.
        """
        written = quantize_each(self._weighed(signals, dim), device.dac_bits, dim=dim)
        return self._read(written @ self.response if dim else self.response @ written, device, generator, dim)

    def answer_product(
        self, left: Tensor, right: Tensor, device: Device, generator: torch.Generator | None = None
    ) -> Tensor:
        """The same for the rows of leftᵀ right, factors (r, k) and (r, n), without a DAC."""
        return self._read(left.T @ (self._weighed(right, 1) @ self.response), device, generator, 1)

    def _weighed(self, signals: Tensor, dim: int) -> Tensor:
        return signals if self.weights is None else signals * _along(self.weights, dim)

    def _read(self, reached: Tensor, device: Device, generator: torch.Generator | None, dim: int) -> Tensor:
        """Return the host's readout of nodes at `reached`, to which their noise is added in place."""
        if self.noise_root is not None:
            _add_noise(reached if dim else reached.T, self.noise_root, _normal(reached, generator), dim)
        if device.adc_noise_volts:
            deviation = device.adc_noise_volts / device.volts_per_unit
            reached = reached + deviation * _normal(reached, generator)
        read = quantize_each(reached, device.adc_bits, device.adc_range, dim, out=reached)
        return self._weighed(read, dim)


def _add_noise(signals: Tensor, root: Tensor, normal: Tensor, dim: int) -> None:
    """Add ξ R to signals (k, n), a panel of columns at a time: R is zero below its diagonal."""
    draws, n = normal if dim else normal.T, len(root)
    width = panel_width(n, n)
    for first in range(0, n, width):
        last = min(first + width, n)
        signals[:, first:last].addmm_(draws[:, :last], root[:last, first:last])


def _along(values: Tensor, dim: int) -> Tensor:
    """Values of nodes (n,) as they multiply signals along `dim`."""
    return values if dim else values.unsqueeze(1)


def program(
    matrix: Tensor,
    shift: float,
    t: float,
    device: Device,
    *,
    noise_variance: float = 0.0,
    unit_diagonal: bool = False,
    generator: torch.Generator | None = None,
    place: int = 0,
    keep: bool = False,
) -> SymmetricArray:
    """Write M = `matrix` + `shift`·I, a positive semi-definite (n, n) and a number > 0, for relaxations of `t` > 0.

    `unit_diagonal` loads D^(−1/2) M D^(−1/2), D the diagonal of M. `noise_variance` is κ₀ of the device, signal²;
    thermal noise of `device` comes on top. `generator` (None: torch's default one) draws the programming error;
    `place` tells the arrays of a chip apart; `keep` M as `wanted`. Raises
    UnstableDeviceError where M as programmed is not positive definite.
    """
    arguments.real("t", t, above=0.0)
    arguments.real("noise_variance", noise_variance, minimum=0.0)
    held, weights, floor = matrix.clone(), None, shift
    held.diagonal().add_(shift)
    wanted = held if keep else None
    if unit_diagonal:
        weights = held.diagonal().rsqrt()
        held = weights.unsqueeze(1) * held * weights
        floor *= float(weights.min()) ** 2
    largest = float(held.diagonal().max())  # no value of a positive matrix is larger
    scale = largest_unit(device, largest)
    if device.array_bits is not None or cells_err(device):
        # in double: whether a small mode decays or grows is not to depend on rounding
        cells = programmed(held.to(torch.float64), largest, device, generator, place, (0, 1))
        values, vectors = eigendecomposition(_one_element_a_pair(cells))
        _check_stable(values, scale)
        values, vectors = values.clamp_min(0.0), vectors.to(matrix.dtype)
    else:
        values, vectors = eigendecomposition(held)
        values = values.clamp_min(floor)
    variance = (noise_variance + device.thermal_variance) / scale
    root = None
    if variance > 0.0:
        deviations = Spread(t, variance)(values).to(vectors.dtype)
        root = torch.linalg.qr(deviations.unsqueeze(1) * vectors.T, mode="r").R
    return SymmetricArray(
        (vectors * Response(t)(values).to(vectors.dtype)) @ vectors.T, root, weights, scale, wanted
    )


def _one_element_a_pair(cells: Tensor) -> Tensor:
    """The matrix whose cells on and above the diagonal were drawn, each for both of its places."""
    upper = torch.triu(cells)
    return upper + torch.triu(cells, 1).T


def _check_stable(values: Tensor, scale: float) -> None:
    slowest, fastest = float(values[0]), float(values[-1])
    if slowest < -64.0 * len(values) * torch.finfo(torch.float64).eps * fastest:
        raise UnstableDeviceError(slowest * scale, REMEDY)


def _normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
    return standard_normal(like.numel(), generator, like).view(like.shape)
