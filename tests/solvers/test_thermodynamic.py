"""Readouts averaged, carried-over noise, and ensembles of programmings."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.spu import circuit
from tngd_bench.curvature import GGN
from tngd_bench.solvers import Gram, Thermodynamic
from tngd_bench.spu import Device
from tngd_bench.spu.dynamics import arrays as programming
from tngd_bench.spu.dynamics.converters import quantize

IDEAL = Device.ideal()


@pytest.fixture(scope="module")
def ggn() -> GGN:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4)).double()
    return GGN(model, nn.CrossEntropyLoss(), torch.rand(6, 5, dtype=torch.float64), torch.arange(6) % 4)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class NullSpace:
    """G = 0 on many nodes: each coordinate is a draw of the null-space mode a = λ."""

    rows = 1

    def __init__(self, copies: int) -> None:
        self.size = copies
        self.gradient = torch.zeros(copies, dtype=torch.float64)

    def factor_matvec(self, v: Tensor) -> Tensor:
        return v.new_zeros(1)

    def factor_rmatvec(self, u: Tensor) -> Tensor:
        return u.new_zeros(self.size)

    def gram(self) -> Tensor:
        return torch.zeros(1, 1, dtype=torch.float64)


def test_the_mean_of_correlated_samples_has_the_predicted_variance() -> None:
    """n samples of a mode with ρ = e^{−aΔ}: Var = σ²/n · (1 + 2 Σ (1 − k/n) ρᵏ)."""
    a, n, spacing, kappa, copies = 0.5, 5, 1.0, 0.3, 20_000
    solver = Thermodynamic(
        analog_time=100.0,
        start="zero",
        noise_variance=kappa,
        method="gram",
        generator=seeded(),
        samples=n,
        spacing=spacing,
    )
    modes = NullSpace(copies)
    readout = solver.relax(modes, modes.gradient, a, None).readout  # type: ignore[arg-type]
    rho = math.exp(-a * spacing)
    expected = kappa / a / n * (1 + 2 * sum((1 - k / n) * rho**k for k in range(1, n)))
    assert float(readout.var()) == pytest.approx(expected, rel=5 * math.sqrt(2 / copies))


@pytest.mark.parametrize("start", ["previous", "zero"])
def test_null_space_noise_is_remembered_by_a_carried_start_as_the_documentation_says(start: str) -> None:
    """docs/device.md: per step, variance v and diffusion v (1 + ρ)/(1 − ρ) of the sum over steps, ρ = e^{−λt}."""
    damping, t, kappa, copies, steps, settling = 0.4, 0.5, 0.3, 4000, 200, 60
    solver = Thermodynamic(
        analog_time=t, start=start, noise_variance=kappa, method="gram", generator=seeded()
    )
    modes = NullSpace(copies)
    state: Tensor | None = modes.gradient
    total = torch.zeros(copies, dtype=torch.float64)
    for step in range(settling + steps):
        relaxation = solver.relax(modes, modes.gradient, damping, state)  # type: ignore[arg-type]
        state = relaxation.state
        if step >= settling:
            total += relaxation.readout
    carried = start == "previous"
    variance = kappa / damping * (1.0 if carried else 1.0 - math.exp(-2 * damping * t))
    rho = math.exp(-damping * t) if carried else 0.0
    tolerance = 5 * math.sqrt(2 / copies)
    assert float(relaxation.readout.var()) == pytest.approx(variance, rel=tolerance)
    # the finite sum is short of the limit by about 2ρ/(1 − ρ²)/steps of it
    diffusion = variance * (1 + rho) / (1 - rho) * (1 - 2 * rho / (1 - rho**2) / steps)
    assert float(total.var()) / steps == pytest.approx(diffusion, rel=tolerance)


def mitigated(ggn: GGN, bits: int, ensemble: int, damping: float = 0.01, shared: bool = True) -> float:
    device = IDEAL.override(array_bits=bits, shared_array=shared)
    solution = Gram().solve(ggn, damping=damping).solution
    solver = Thermodynamic(analog_time=1e5, device=device, ensemble=ensemble)
    readout = solver.solve(ggn, damping=damping).solution
    return float((readout - solution).norm() / solution.norm())


def test_an_ensemble_of_rounding_events_turns_linear_error_into_quadratic(ggn: GGN) -> None:
    bits = np.array([5, 6, 7, 8])
    plain = np.log2([mitigated(ggn, int(b), 1) for b in bits])
    ensemble = np.log2([mitigated(ggn, int(b), 200) for b in bits])
    assert np.polyfit(bits, plain, 1)[0] == pytest.approx(-1.0, abs=0.15)
    assert np.polyfit(bits, ensemble, 1)[0] == pytest.approx(-2.0, abs=0.2)
    # with few members the linear term is still there, 1/K of itself
    assert mitigated(ggn, 10, 1) / mitigated(ggn, 10, 64) == pytest.approx(64, rel=0.5)


def test_the_ensemble_fails_where_one_level_is_not_small_beside_the_damping(ggn: GGN) -> None:
    """6 bits at λ = 10⁻³: the quadratic term is what is left, and more members do not remove it."""
    few, many = mitigated(ggn, 6, 50, 1e-3), mitigated(ggn, 6, 200, 1e-3)
    assert many > 0.15
    assert many > 0.9 * few
    with pytest.raises(programming.UnstableDeviceError):
        mitigated(ggn, 3, 4, 1e-3, shared=False)


def test_samples_and_delay_go_on_from_the_amplifiers_as_they_are() -> None:
    """N = m = 1, J = √15, λ = 0.01, 1 MHz: the readouts of one undisturbed circuit, which settles at g/(15 + λ)."""
    factor = np.array([[math.sqrt(15.0)]])
    one = circuit.Factor(factor, np.array([1.0]))
    solver = Thermodynamic(
        analog_time=2.0,
        delay=1.5,
        start="previous",
        device=IDEAL.override(amplifier_bandwidth_hz=1e6),
        samples=40,
        spacing=0.5,
    )
    relaxation = solver.relax(one, None, 0.01, torch.tensor([0.3], dtype=torch.float64))  # type: ignore[arg-type]
    matrix = circuit.drift(factor, factor, 0.01, circuit.lag(factor, 1e6))
    begin, force = np.array([0.3, 0.3 * math.sqrt(15.0)]), np.array([1.0, 0.0])
    states = [circuit.flow(matrix, begin, force, 0.5 + 0.5 * k) for k in range(40)]
    assert float(relaxation.readout) == pytest.approx(np.mean([state[0] for state in states]), rel=1e-9)
    after_delay = circuit.flow(matrix, begin, force, 0.5 + 0.5 * 39 + 1.5)
    assert float(relaxation.state) == pytest.approx(after_delay[0], rel=1e-9)
    assert after_delay[0] == pytest.approx(0.0666, abs=1e-4)


def test_an_ensemble_writes_a_carried_state_through_the_da_converters(ggn: GGN) -> None:
    device = IDEAL.override(dac_bits=4, shared_array=True, array_bits=8)
    state = torch.linspace(-1.0, 0.7, ggn.size, dtype=torch.float64)
    solver = Thermodynamic(analog_time=0.0, start="previous", device=device, ensemble=3)
    assert torch.allclose(solver.relax(ggn, None, 0.1, state).readout, quantize(state, 4), rtol=1e-14)
    alone = Thermodynamic(analog_time=0.0, start="previous", device=device)
    assert torch.equal(alone.relax(ggn, None, 0.1, state).readout, state)


def test_a_carried_state_leaks_while_it_is_held(ggn: GGN) -> None:
    """Closed form: x(0) = e^(−hold/τ_h) x; nothing else changes, and a fresh start has nothing to lose."""
    state = torch.randn(ggn.size, dtype=torch.float64, generator=seeded())
    leaking = IDEAL.override(leak_time_constant_s=0.2, hold_time_s=0.1)

    def readout(device: Device, x: Tensor, **settings: object) -> Tensor:
        solver = Thermodynamic(analog_time=3.0, device=device, **settings)  # type: ignore[arg-type]
        return solver.relax(ggn, None, 0.05, x).readout

    left = math.exp(-0.5) * state
    assert torch.allclose(readout(leaking, state), readout(IDEAL, left), rtol=1e-12)
    assert not torch.allclose(readout(leaking, state), readout(IDEAL, state))
    assert torch.equal(readout(leaking, state, start="zero"), readout(IDEAL, state, start="zero"))
    # an ensemble writes the mean of its readouts, which is digital
    assert torch.equal(readout(leaking, state, ensemble=2), readout(IDEAL, state, ensemble=2))


def test_a_device_that_forgets_at_once_starts_from_zero(ggn: GGN) -> None:
    state = torch.ones(ggn.size, dtype=torch.float64)
    device = IDEAL.override(leak_time_constant_s=1e-9, hold_time_s=1.0)
    solver, zero = (
        Thermodynamic(analog_time=3.0, device=device, start=start) for start in ("previous", "zero")
    )
    found, fresh = (each.relax(ggn, None, 0.05, state).readout for each in (solver, zero))
    assert torch.allclose(found, fresh, rtol=1e-12)
