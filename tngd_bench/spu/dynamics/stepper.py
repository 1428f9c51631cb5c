"""Time stepping of the device where no exact law is known: rails, and mismatch with a drift that is not symmetric.

At a rail ±V a node is held by the supply and driven back by the drift and the noise: a diffusion reflected at ±V, which
settles on the normal law truncated to [−V, V] for one node. A step is Heun's, with the drift frozen at the mean of both
ends; what the rail gives back in it is drawn from the exact law of a Brownian path with that drift (Lépingle, Math.
Comput. Simul. 38, 1995), so that a boundary layer thinner than a step is right too. Without noise it is projection, and
a rest point is exactly the minimum in the box.
"""

import math

import torch
from torch import Tensor

from tngd_bench.curvature.operator import Products, Shifted
from tngd_bench.spu.dynamics.euler_maruyama import largest_rate

SHARE = 1.0 / 8.0
"""Step times |a| of a real mode a; see `HeunStepper` for the error that is left."""
SHARE_OF_RAILS = 1.0 / 3.0
"""Largest noise of one step, as a share of the rail: a path then meets one rail a step, not both."""
LARGEST_STEPS = 10**7
"""Steps of one run beyond which it is refused."""


class HeunStepper:
    """Heun's method for dx = −D (Â x − ĝ) dt + D √(2κᵢ) dW with every |x| held at `limit`.

    `shifted` is Â, λ apart · `rates` D (N,), None: one · `noise_variance` κ, one number or (N,) · `modes` the rates of
    the drift DÂ, complex; None: Â is symmetric and its largest rate is found by power iteration.

    The step h obeys h|a| ≤ ⅛ √(Re a/|a|) for every mode a. Far from the rails a mode is then off by at most 10⁻³ of
    its amplitude and its variance by 0.4 %, both of second order in h. Near a rail the error is of first order in h:
    once settled at most 1 % of a node's variance and 1 % of its standard deviation in the mean, from V = 0.1 to 3
    standard deviations, and 1.5 % of both on the way. The tests compare it with the truncated normal law and with
    the Fokker-Planck equation.
    """

    def __init__(
        self,
        shifted: Shifted[Products],
        rhs: Tensor,
        noise_variance: float | Tensor,
        *,
        rates: Tensor | None = None,
        limit: float = math.inf,
        modes: Tensor | None = None,
    ) -> None:
        self._shifted = shifted
        self._rhs = rhs
        self._rates = rates
        self._limit = limit
        self._modes = modes
        deviation = torch.as_tensor(noise_variance, dtype=rhs.dtype, device=rhs.device).mul(2.0).sqrt()
        self._deviation = deviation if rates is None else deviation * rates
        self._noisy = bool((self._deviation > 0).any())
        self._largest_step: float | None = None

    def write(self, rhs: Tensor) -> None:
        """Replace the right-hand side, (N,)."""
        self._rhs = rhs

    def run(self, x0: Tensor, t: float, generator: torch.Generator | None) -> Tensor:
        """State after t, (N,); `generator` None: torch's default one."""
        # in double: a step of a slow mode is below what single precision adds to x
        x = x0.to(torch.float64).clamp(-self._limit, self._limit)
        if t == 0.0:
            return x.to(x0.dtype)
        if self._largest_step is None:
            self._largest_step = self._bound()
        count = max(1, math.ceil(t / self._largest_step))
        if count > LARGEST_STEPS:
            raise ValueError(
                f"t = {t:g} takes {count:.1e} steps, more than the {LARGEST_STEPS:.0e} that are simulated: "
                "rail_volts is small beside the noise, t is long beside the fastest mode, or a mode turns far faster "
                "than it decays"
            )
        step = t / count
        for _ in range(count):
            x = self._stepped(x, step, generator)
        return x.to(x0.dtype)

    def _stepped(self, x: Tensor, step: float, generator: torch.Generator | None) -> Tensor:
        noise, dip, drawn_as = torch.zeros(()).to(x), torch.zeros(()).to(x), self._rhs.dtype
        if self._noisy:
            deviation = self._deviation * math.sqrt(step)
            noise = deviation * torch.randn(x.shape, generator=generator, dtype=drawn_as, device=x.device)
            if math.isfinite(self._limit):
                drawn = torch.rand(x.shape, generator=generator, dtype=drawn_as, device=x.device)
                # −2 σ² ln U with U in (0, 1]: how far a path strays beyond its ends
                dip = -2.0 * deviation * deviation * torch.log1p(-drawn)
        pull = self._drift(x)
        reached = self._held(x, step * pull + noise, dip)
        return self._held(x, (0.5 * step) * (pull + self._drift(reached)) + noise, dip)

    def _held(self, x: Tensor, change: Tensor, dip: Tensor) -> Tensor:
        """Where a path from x by `change` ends if the rails hold it: pushed back by as much as it would overshoot."""
        free = x + change
        if math.isinf(self._limit):
            return free
        middle, reach = x + 0.5 * change, 0.5 * torch.sqrt(change * change + dip)
        lowest, highest = middle - reach, middle + reach
        pushed = free + (-self._limit - lowest).clamp_min(0.0) - (highest - self._limit).clamp_min(0.0)
        return pushed.clamp(-self._limit, self._limit)

    def _drift(self, x: Tensor) -> Tensor:
        force = self._rhs - self._shifted.matvec(x.to(self._rhs.dtype))
        return (force if self._rates is None else force.mul_(self._rates)).to(torch.float64)

    def _bound(self) -> float:
        bound = math.inf
        if self._modes is None:
            fastest = 1.0 if self._rates is None else float(self._rates.max())
            rate = (largest_rate(self._shifted.operator, self._rhs) + self._shifted.damping) * fastest
            bound = SHARE / rate if rate > 0.0 else math.inf
        else:
            moving = self._modes[self._modes.abs() > 0.0]
            steps = SHARE * moving.real.clamp_min(0.0).sqrt() / moving.abs() ** 1.5
            steps = steps[steps > 0.0]
            bound = float(steps.min()) if len(steps) else math.inf
        if self._noisy and math.isfinite(self._limit):
            bound = min(bound, (SHARE_OF_RAILS * self._limit / float(self._deviation.max())) ** 2)
        return bound
