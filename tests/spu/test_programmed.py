"""Each imperfection alone: its limit is the ideal device, its effect has the predicted sign and scaling."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests import oracles
from tngd_bench.curvature import GGN
from tngd_bench.solvers import Gram, Thermodynamic
from tngd_bench.spu import Device
from tngd_bench.spu import arrays as programming
from tngd_bench.spu.device import BOLTZMANN
from tngd_bench.spu.programmed import ProgrammedDevice

LAMBDA = 0.05
T = 8.0
IDEAL = Device.ideal()


@pytest.fixture(scope="module")
def ggn() -> GGN:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4)).double()
    return GGN(model, nn.CrossEntropyLoss(), torch.rand(6, 5, dtype=torch.float64), torch.arange(6) % 4)


@pytest.fixture(scope="module")
def start() -> Tensor:
    return torch.randn(74, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def run(
    ggn: GGN, x0: Tensor, seed: int = 0, *, t: float = T, damping: float = LAMBDA, **fields: object
) -> Tensor:
    device = IDEAL.override(**fields)
    return ProgrammedDevice(device, ggn, None, damping, generator=seeded(seed)).sample(
        x0, t, seeded(seed + 1)
    )


def error(ggn: GGN, x0: Tensor, seed: int = 0, **fields: object) -> float:
    return float((run(ggn, x0, seed, **fields) - run(ggn, x0)).norm() / run(ggn, x0).norm())


def method(ggn: GGN, noise: float = 0.0, **fields: object) -> str:
    return ProgrammedDevice(IDEAL.override(**fields), ggn, None, LAMBDA, noise, generator=seeded()).method


def test_the_route_is_said(ggn: GGN) -> None:
    assert method(ggn) == "gram"
    assert method(ggn, array_bits=8) == "gram"
    assert method(ggn, array_bits=8, programming_error=0.01) == "arrays"
    assert method(ggn, programming_error=0.01, shared_array=True, hessian_array=False) == "gram"
    assert method(ggn, amplifier_gain=1e5) == "arrays"
    assert method(ggn, temperature_kelvin=300.0, row_sum_noise=True) == "arrays"
    assert method(ggn, capacitor_mismatch=0.01) == "dense (mismatch)"
    assert method(ggn, 0.1, capacitor_mismatch=0.01) == "stepped (mismatch)"
    assert method(ggn, rail_volts=1.0) == "stepped (rails)"


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("programming_error", (4e-4, 2e-4, 1e-4)),
        ("capacitor_mismatch", (4e-3, 2e-3, 1e-3)),
    ],
)
def test_small_errors_act_in_proportion(
    ggn: GGN, start: Tensor, field: str, values: tuple[float, ...]
) -> None:
    errors = [error(ggn, start, **{field: value}) for value in values]
    assert errors[0] > 1e-5
    assert errors[0] / errors[1] == pytest.approx(2.0, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(2.0, rel=0.05)


def test_each_bit_of_the_arrays_halves_the_error(ggn: GGN, start: Tensor) -> None:
    errors = np.array([error(ggn, start, array_bits=bits) for bits in range(6, 15)])
    slope = np.polyfit(np.arange(6, 15), np.log2(errors), 1)[0]
    assert slope == pytest.approx(-1.0, abs=0.15)


def test_shared_arrays_with_programming_error_follow_their_own_dense_drift(ggn: GGN, start: Tensor) -> None:
    device = IDEAL.override(programming_error=0.05, shared_array=True, hessian_array=False)
    held = programming.program(ggn.factor(), device, seeded(3))
    assert held.symmetric
    factor = held.first
    error_of_cells = (factor - ggn.factor()) / ggn.factor().abs().max()
    assert float(error_of_cells.std()) == pytest.approx(0.05, rel=0.1)
    dense = factor.T @ factor + LAMBDA * torch.eye(74, dtype=torch.float64)
    actual = ProgrammedDevice(device, ggn, None, LAMBDA, generator=seeded(3)).sample(start, T)
    assert oracles.relative_error(actual, oracles.ou_mean(dense, ggn.gradient, start, T)) < 1e-10


def test_separate_arrays_differ_and_are_programmed_anew(ggn: GGN) -> None:
    device = IDEAL.override(programming_error=0.01)
    generator = seeded()
    one, two = (programming.program(ggn.factor(), device, generator) for _ in range(2))
    assert one.middle is not None
    for a, b in ((one.first, one.last), (one.first, two.first), (one.last, two.last)):
        assert not torch.equal(a, b)
    off_diagonal = one.middle - torch.diag(one.middle.diagonal())
    assert float(off_diagonal.std()) == pytest.approx(0.01, rel=0.2)


def test_dead_cells_stay_dead_in_the_right_share(ggn: GGN) -> None:
    factor = torch.randn(100, 400, dtype=torch.float64, generator=seeded())
    device = IDEAL.override(stuck_off=0.02, stuck_on=0.01)
    held = programming.program(factor, device)
    again = programming.program(-factor, device)
    full_scale = float(factor.abs().max())
    dead = held.first == 0.0
    lit = (held.first.abs() == full_scale) & (factor.abs() != full_scale)
    assert float(dead.double().mean()) == pytest.approx(0.02, rel=0.2)
    assert float(lit.double().mean()) == pytest.approx(0.01, rel=0.25)
    assert torch.equal(held.first[~dead & ~lit], factor[~dead & ~lit])
    assert torch.equal(again.first == 0.0, dead)
    assert not torch.equal(programming.program(factor, device.override(instance=1)).first == 0.0, dead)


def test_finite_gain_weakens_the_curvature_by_the_noise_gain(ggn: GGN, start: Tensor) -> None:
    gain = 1e4
    noise_gain = 1.0 + ggn.factor().abs().sum(1)
    expected = 1.0 / (1.0 + noise_gain / gain) / (1.0 + 2.0 / gain)  # the identity's rows have NG = 2
    held = programming.program(ggn.factor(), IDEAL.override(amplifier_gain=gain))
    assert held.middle is not None
    assert torch.allclose(held.middle, torch.diag(expected), rtol=1e-12)
    errors = [error(ggn, start, amplifier_gain=value) for value in (1e4, 2e4, 4e4)]
    assert errors[0] / errors[1] == pytest.approx(2.0, rel=0.01)
    assert errors[1] / errors[2] == pytest.approx(2.0, rel=0.01)
    solution = Gram().solve(ggn, damping=LAMBDA).solution
    weaker = run(ggn, start, t=1e5, amplifier_gain=100.0)
    assert float(weaker @ ggn.gradient) > float(solution @ ggn.gradient)  # a weaker G divides g by less


def test_bandwidth_delays_and_does_not_move_the_fixed_point(ggn: GGN, start: Tensor) -> None:
    held = programming.program(ggn.factor(), IDEAL.override(amplifier_bandwidth_hz=1e8))
    assert held.lag is not None
    expected = (1.0 + ggn.factor().abs().sum(1)) / (2 * math.pi * 1e8) / 1e-6
    assert torch.allclose(held.lag, expected)
    errors = [error(ggn, start, amplifier_bandwidth_hz=value) for value in (1e8, 2e8, 4e8)]
    assert errors[0] / errors[1] == pytest.approx(2.0, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(2.0, rel=0.05)
    settled = run(ggn, start, t=1e4, amplifier_bandwidth_hz=1e6)
    assert oracles.relative_error(settled, Gram().solve(ggn, damping=LAMBDA).solution) < 1e-9


def test_a_narrow_conductance_range_slows_the_device_and_lets_noise_weigh_more(
    ggn: GGN, start: Tensor
) -> None:
    largest = float(ggn.factor().abs().max())
    siemens = largest / 4.0 / 1e3  # a quarter of what the largest value asks for at R = 1 kΩ
    device = IDEAL.override(conductance_max_siemens=siemens, shared_array=True, hessian_array=False)
    programmed = ProgrammedDevice(device, ggn, None, LAMBDA, 0.1, generator=seeded())
    assert programmed.scale == pytest.approx(1.0 / 16.0)
    assert oracles.relative_error(run(ggn, start, conductance_max_siemens=siemens), run(ggn, start)) < 1e-9
    ideal = ProgrammedDevice(IDEAL, ggn, None, LAMBDA, 1.6)
    assert (
        oracles.relative_error(programmed.sample(start, T, seeded()), ideal.sample(start, T, seeded())) < 1e-9
    )
    wide = device.override(conductance_max_siemens=1.0)
    assert ProgrammedDevice(wide, ggn, None, LAMBDA).scale == 1.0
    assert device.latency(74, 24, 10.0, scale=programmed.scale).relax == pytest.approx(10e-6 * 16)
    # the range's lower end comes off the span, and the middle array counts where there is one
    offset = device.override(conductance_min_siemens=siemens / 2)
    assert ProgrammedDevice(offset, ggn, None, LAMBDA).scale == pytest.approx(1.0 / 64.0)


def test_thermal_noise_is_kt_over_c_and_grows_with_the_conductance_of_a_node(ggn: GGN) -> None:
    device = IDEAL.override(temperature_kelvin=300.0)
    assert device.thermal_variance == pytest.approx((2.035e-6) ** 2, rel=1e-3)
    small = device.override(capacitance_farad=1e-12)
    assert math.sqrt(small.thermal_variance) == pytest.approx(64e-6, rel=0.01)
    assert device.override(volts_per_unit=0.1).thermal_variance == pytest.approx(
        100 * device.thermal_variance
    )

    def variances(t: float, **fields: object) -> Tensor:
        programmed = ProgrammedDevice(device.override(**fields), ggn, torch.zeros(74).double(), LAMBDA)
        generator = seeded(5)
        zero = torch.zeros(74, dtype=torch.float64)
        return torch.stack([programmed.sample(zero, t, generator) for _ in range(3000)]).var(0)

    kappa, t = BOLTZMANN * 300.0 / 1e-9, 1e-3
    tolerance = 6 * math.sqrt(2 / 3000)
    uniform = variances(t) / (2 * t * kappa)  # before A matters, the variance is 2κt
    assert float((uniform - 1.0).abs().max()) < tolerance
    conductance = ggn.factor().abs().sum(0) + LAMBDA
    by_node = variances(t, row_sum_noise=True) / (2 * t * kappa)
    assert float((by_node / conductance - 1.0).abs().max()) < tolerance + 0.01


def test_mismatch_follows_the_dense_drift_and_keeps_the_fixed_point(ggn: GGN, start: Tensor) -> None:
    programmed = ProgrammedDevice(IDEAL.override(capacitor_mismatch=0.05), ggn, None, LAMBDA)
    rates = programmed._rates()
    assert rates is not None
    assert float((1.0 / rates).std()) == pytest.approx(0.05, rel=0.3)
    drift = torch.diag(rates) @ (ggn.dense() + LAMBDA * torch.eye(74, dtype=torch.float64))
    expected = oracles.ou_mean(drift, rates * ggn.gradient, start, T)
    assert oracles.relative_error(programmed.sample(start, T), expected) < 1e-10
    settled = programmed.sample(start, 1e5)
    assert oracles.relative_error(settled, Gram().solve(ggn, damping=LAMBDA).solution) < 1e-9


def test_mismatch_beyond_the_dense_limit_goes_through_lanczos(
    ggn: GGN, start: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense = run(ggn, start, capacitor_mismatch=0.05)
    monkeypatch.setattr("tngd_bench.spu.programmed.LARGEST_BALANCED_DENSE", 10)
    assert method(ggn, capacitor_mismatch=0.05) == "krylov (mismatch)"
    assert oracles.relative_error(run(ggn, start, capacitor_mismatch=0.05), dense) < 1e-5


def test_noisy_mismatch_has_the_stationary_variance_of_each_node() -> None:
    """dx = −D(λx dt − √(2κ) dW): each node settles at κD/λ, as kT/C does with its own C."""
    damping, kappa, copies = 0.5, 0.3, 20_000

    class NoCurvature:
        size, rows = copies, 1

        @staticmethod
        def matvec(v: Tensor) -> Tensor:
            return torch.zeros_like(v)

    device = IDEAL.override(capacitor_mismatch=0.2)
    zero = torch.zeros(copies, dtype=torch.float64)
    programmed = ProgrammedDevice(device, NoCurvature(), zero, damping, kappa)
    rates = programmed._rates()
    assert rates is not None
    assert programmed.method == "stepped (mismatch)"
    normalised = programmed.sample(zero, 40.0, seeded(1)) / (kappa * rates / damping).sqrt()
    # the steps, 1/16 of the bound of the fastest node, enlarge a variance by at most 1/15
    assert 1.0 - 5 * math.sqrt(2 / copies) < float(normalised.var()) < 16 / 15 + 5 * math.sqrt(2 / copies)
    slow = rates < rates.median()
    assert float(normalised[slow].var() / normalised[~slow].var()) == pytest.approx(1.0, abs=0.08)


def test_rails_hold_the_state_and_far_rails_do_nothing(ggn: GGN, start: Tensor) -> None:
    ideal = run(ggn, start)
    limit = 0.5 * float(ideal.abs().max())
    clipped = run(ggn, start, rail_volts=limit)
    assert float(clipped.abs().max()) <= limit * (1 + 1e-12)
    assert float((clipped - ideal).norm()) > 0.01 * float(ideal.norm())
    assert oracles.relative_error(run(ggn, start, rail_volts=1e3), ideal) < 5e-3  # Euler steps remain
    assert torch.equal(run(ggn, start, rail_volts=2 * limit, volts_per_unit=2.0), clipped)


def test_clipping_settles_where_the_constrained_gradient_vanishes(ggn: GGN, start: Tensor) -> None:
    """At rest each node is either in balance or pushed against its rail (the KKT conditions of a box)."""
    solution = Gram().solve(ggn, damping=LAMBDA).solution
    limit = 0.6 * float(solution.abs().max())
    x = run(ggn, start, t=400.0, rail_volts=limit)
    force = ggn.gradient - ggn.matvec(x) - LAMBDA * x
    inside = x.abs() < limit * (1 - 1e-9)
    assert 0 < int((~inside).sum()) < 74
    assert float(force[inside].abs().max()) < 1e-6
    assert bool((force[~inside] * x[~inside] > 0).all())


def test_converters(ggn: GGN, start: Tensor) -> None:
    coarse = ProgrammedDevice(IDEAL.override(dac_bits=3), ggn, None, LAMBDA)
    assert len(coarse.rhs.unique()) <= 7
    noisy = ProgrammedDevice(IDEAL.override(adc_noise_volts=0.02, volts_per_unit=0.5), ggn, None, LAMBDA)
    generator = seeded()
    draws = torch.stack([noisy.read(start, generator) - start for _ in range(500)])
    assert float(draws.std()) == pytest.approx(0.04, rel=0.02)
    assert len(ProgrammedDevice(IDEAL.override(adc_bits=4), ggn, None, LAMBDA).read(start).unique()) <= 15
    with pytest.raises(ValueError, match="generator must be given with adc_noise_volts"):
        noisy.read(start)


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


def test_stability_is_reported_and_not_a_number(ggn: GGN) -> None:
    device = IDEAL.override(programming_error=0.3)
    with pytest.raises(programming.UnstableDeviceError, match="the device is unstable"):
        ProgrammedDevice(device, ggn, None, 1e-4, generator=seeded())
    shared = device.override(shared_array=True, hessian_array=False)
    assert ProgrammedDevice(shared, ggn, None, 1e-4, generator=seeded()).method == "gram"


def test_arrays_beyond_memory_are_refused_with_the_size(ggn: GGN, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programming, "LARGEST_ARRAY_BYTES", 1000)
    with pytest.raises(ValueError, match="an array of 24 × 74 takes"):
        method(ggn, array_bits=8)
    assert method(ggn, adc_bits=8) == "gram"


def test_bandwidth_with_rails_is_refused(ggn: GGN) -> None:
    with pytest.raises(ValueError, match="amplifier_bandwidth_hz cannot be simulated together"):
        method(ggn, amplifier_bandwidth_hz=1e8, rail_volts=1.0)
