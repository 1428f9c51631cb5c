"""The device written down from its circuit equations, for the tests: numpy and scipy, nothing of the package.

    C dx/dt = −J₁ᵀ Ĥ ρ y − λ x + g + √(2κ) dW        ε dy/dt = J₂ x − y

C, ε and κ by node or row, times in units of τ/s; ρ = 1/(1 + NG/A₀) of each row's amplifier, NG = 1 + ΣG/G_f.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]


class Factor:
    """An operator G = BᵀB with what a device asks of it, B given."""

    matrix_free = False

    def __init__(self, factor: Array, gradient: Array, dtype: torch.dtype = torch.float64) -> None:
        self._factor = torch.as_tensor(factor, dtype=dtype)
        self.gradient = torch.as_tensor(gradient, dtype=dtype)
        self.rows, self.size = self._factor.shape

    def factor(self) -> Tensor:
        return self._factor

    def matvec(self, v: Tensor) -> Tensor:
        return self._factor.T @ (self._factor @ v)

    def dense(self) -> Tensor:
        return self._factor.T @ self._factor


def lag(factor: Array, hertz: float, gain: float = math.inf, tau: float = 1e-6) -> Array:
    """Closed-loop time constants of the rows' amplifiers in units of τ: NG/(2π GBW)/(1 + NG/A₀)."""
    noise_gain = 1.0 + np.abs(factor).sum(1)
    return noise_gain / (2.0 * math.pi * hertz) / (1.0 + noise_gain / gain) / tau


def drift(
    first: Array,
    last: Array,
    damping: float,
    lags: Array | None = None,
    middle: Array | None = None,
    capacitance: Array | None = None,
) -> Array:
    """The matrix F of d(x, y)/dt = −F (x, y) + …, without y where nothing lags; `middle` holds ρ."""
    m, n = first.shape
    held = np.eye(m) if middle is None else middle
    c = np.ones(n) if capacitance is None else capacitance
    if lags is None:
        return (last.T @ held @ first + damping * np.eye(n)) / c[:, None]
    rate = 1.0 / lags[:, None]
    upper = np.hstack([damping * np.eye(n), last.T @ held]) / c[:, None]
    return np.vstack([upper, np.hstack([-rate * first, rate * np.eye(m)])])


def flow(matrix: Array, state: Array, force: Array, t: float) -> Array:
    """State after t of dw/dt = −F w + force, by one matrix exponential of the enlarged system."""
    k = len(matrix)
    enlarged = np.zeros((k + 1, k + 1))
    enlarged[:k, :k], enlarged[:k, k] = -matrix, force
    return np.asarray((scipy.linalg.expm(enlarged * t) @ np.append(state, 1.0))[:k])


def covariance(matrix: Array, diffusion: Array, t: float) -> Array:
    """∫₀ᵗ e^{−Fs} Q e^{−Fᵀs} ds: the Lyapunov equation's stationary value, less what has not come yet."""
    stationary = scipy.linalg.solve_continuous_lyapunov(matrix, diffusion)
    propagator = scipy.linalg.expm(-matrix * t)
    return np.asarray(stationary - propagator @ stationary @ propagator.T)
