"""Expected iterations of conjugate gradients: from a fit, corrected by those that a study has counted.

The fit is of 1,130 solves to rtol = 10⁻⁶ at the start of training: perceptrons on digits and MNIST, a convolutional
network and a language model, of sizes `FITTED`. None met the limit of 200. Iterations went as λ^−0.36 and d_z^−0.10; N
and b moved them by less than 2 % a factor of e, and are left out.

Once a training is under way they are three times as many. After s steps of rate η the rise is 1 − exp(−(s/s₀)²) with
s₀ = 33 √(λ/η): as read from eight trainings that the limit did not cut, on digits and MNIST with N = 10³ and 10⁴,
λ = 0.01 to 1 and λ/η = 0.3 to 3.3, whose means over 125 to 220 steps it meets within 15 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

SPREAD = 0.26
"""Root mean square of log(counted / expected) over the solves of the fit."""
_AT_ONE, _BY_DAMPING, _BY_OUTPUTS, _BY_SHARING = 6.69, -0.36, -0.097, 1.59
_FITTED_RTOL = 1e-6
_NEAR = 0.1
"""Distance in logarithms within which counted sizes are one."""
FITTED = {"N": (3e3, 3e5), "b": (8.0, 2048.0), "d_z": (10.0, 400.0), "λ": (1e-3, 1.0)}
"""The sizes that the solves of the fit cover, smallest and largest."""
LIMIT, RTOL, DAMPING, RATE = 200, 1e-6, 0.01, 0.01
"""The optimizer's defaults."""
_UNDER_WAY, _RISE_STEPS = 3.0, 33.0


def outside_fit(parameters: float, batch_size: float, outputs: float, damping: float) -> tuple[str, ...]:
    """Return which of N, b, d_z and λ lie outside the sizes that the fit covers."""
    asked = zip(FITTED.items(), (parameters, batch_size, outputs, damping), strict=True)
    return tuple(name for (name, (low, high)), value in asked if not low <= value <= high)


@dataclass(frozen=True)
class CGIterations:
    """Iterations of a solver that stops at ‖r‖ ≤ `rtol`·‖g‖ or after `limit`, with λ = `damping`.

    `counted`: (N, b, d_z, iterations) of solves made with these settings on the model's own problem.
    """

    damping: float = DAMPING
    rtol: float = RTOL
    limit: int = LIMIT
    counted: tuple[tuple[float, float, float, float], ...] = ()
    steps: int = 0
    """Steps of a training at the rate `lr`, of which the mean is meant; 0: the start of one."""
    lr: float = RATE
    in_parameters: bool = False
    """Whether vectors have the length of the parameters, where a product goes from there to the rows and back."""

    @classmethod
    def of(
        cls,
        settings: Mapping[str, object],
        counted: tuple[tuple[float, float, float, float], ...] = (),
    ) -> CGIterations:
        """Return those of an optimizer's settings, defaults for what they lack."""

        def number(name: str, default: float) -> float:
            value = settings.get(name, default)
            return float(value) if isinstance(value, int | float) else default

        limit, wide = round(number("cg_iterations", LIMIT)), settings.get("cg_space") == "parameters"
        about = number("damping", DAMPING), number("cg_rtol", RTOL), limit, counted
        return cls(*about, lr=number("lr", RATE), in_parameters=wide)

    def beforehand(self, outputs: int, *, shared: bool = False) -> float:
        """Return the fit's iterations; `shared`: the model has small kernels used at many positions."""
        if self.rtol == 0.0 or self.damping == 0.0:
            return float(self.limit)
        fitted = _AT_ONE * self.damping**_BY_DAMPING * outputs**_BY_OUTPUTS
        accuracy = math.log(1.0 / self.rtol) / math.log(1.0 / _FITTED_RTOL)
        return float(min(max(1.0, fitted * accuracy * (_BY_SHARING if shared else 1.0)), self.limit))

    @property
    def _growth(self) -> float:
        """The mean over the steps of a training of how many times as many there are as at its start."""
        if self.steps == 0 or self.rtol == 0.0 or self.damping == 0.0:
            return 1.0
        length = self.steps / (_RISE_STEPS * math.sqrt(self.damping / self.lr))
        return 1.0 + (_UNDER_WAY - 1.0) * (1.0 - math.sqrt(math.pi) / 2.0 * math.erf(length) / length)

    def _fitted(self, batch_size: float, outputs: int, *, shared: bool) -> float:
        """Return the fit's iterations, m = b·d_z at most: then a system of m unknowns is solved, but for rounding."""
        fitted = self.beforehand(outputs, shared=shared)
        ends = self.rtol > 0.0 and self.damping > 0.0
        return min(fitted, batch_size * outputs) if ends else fitted

    def at(self, parameters: float, batch_size: float, outputs: int, *, shared: bool = False) -> float:
        """Return the expected iterations: the fit, times how far the solves counted near this size are from it."""
        fitted = self._fitted(batch_size, outputs, shared=shared)
        if not self.counted:
            return min(fitted * self._growth, float(self.limit))
        place = (parameters, batch_size, outputs)
        weights, logs = [], []
        for *size, iterations in self.counted:
            distance = math.dist([math.log(x) for x in place], [math.log(x) for x in size])
            weights.append(1.0 / (distance**2 + _NEAR**2))
            own = self._fitted(size[1], round(size[2]), shared=shared)
            logs.append(math.log(max(iterations, 1.0) / own))
        shift = sum(w * log for w, log in zip(weights, logs, strict=True)) / sum(weights)
        return float(min(max(1.0, fitted * math.exp(shift)), self.limit))
