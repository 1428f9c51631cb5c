"""Each imperfection alone: its limit is the ideal device, its effect has the predicted sign and scaling."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests import oracles
from tngd_bench.curvature import GGN
from tngd_bench.solvers import Gram
from tngd_bench.spu import Device
from tngd_bench.spu.description import BOLTZMANN
from tngd_bench.spu.dynamics import arrays as programming
from tngd_bench.spu.dynamics.factor_operator import ErringFactor
from tngd_bench.spu.dynamics.programmed import ProgrammedDevice

LAMBDA = 0.05
T = 8.0
IDEAL = Device.ideal()


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
    assert method(ggn, 0.1, capacitor_mismatch=0.01) == "dense (mismatch)"
    assert method(ggn, 0.1, capacitor_mismatch=0.01, programming_error=0.001) == "stepped (mismatch)"
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


def test_dead_cells_act_as_their_arrays_say_the_more_the_more_there_are(ggn: GGN, start: Tensor) -> None:
    shares = (0.1, 0.03, 0.01, 1e-9)
    fields = {"shared_array": True, "hessian_array": False}
    errors = [error(ggn, start, stuck_off=share, **fields) for share in shares]
    assert errors == sorted(
        errors, reverse=True
    )  # the cells of a smaller share are among those of a larger one
    assert errors[-2] > 1e-3
    assert errors[-1] < 1e-10  # of 24 × 74 cells none
    held = programming.program(ggn.factor(), IDEAL.override(stuck_off=0.03, stuck_on=0.01, **fields)).first
    dense = held.T @ held + LAMBDA * torch.eye(74, dtype=torch.float64)
    actual = run(ggn, start, stuck_off=0.03, stuck_on=0.01, **fields)
    assert oracles.relative_error(actual, oracles.ou_mean(dense, ggn.gradient, start, T)) < 1e-10


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
    monkeypatch.setattr("tngd_bench.spu.dynamics.mismatch.LARGEST_DIAGONALISED", 10)
    assert method(ggn, capacitor_mismatch=0.05) == "krylov (mismatch)"
    assert oracles.relative_error(run(ggn, start, capacitor_mismatch=0.05), dense) < 1e-5


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
    torch.manual_seed(4)
    by_default = noisy.read(start)  # torch's own generator where none is given
    assert torch.equal(by_default, noisy.read(start, seeded(4)))


def test_a_pair_of_cells_errs_twice_and_is_stuck_by_halves() -> None:
    factor = torch.randn(100, 400, dtype=torch.float64, generator=seeded())
    largest = float(factor.abs().max())
    one = {"cells_per_value": 2, "shared_array": True, "hessian_array": False}
    noisy = IDEAL.override(programming_error=0.01, **one)
    error = (programming.program(factor, noisy, seeded()).first - factor) / largest
    assert float(error.std()) == pytest.approx(0.01 * math.sqrt(2.0), rel=0.02)
    dead = IDEAL.override(stuck_off=0.02, stuck_on=0.01, **one)
    held = programming.program(factor, dead).first
    assert torch.equal(programming.program(factor, dead).first, held)
    change = (held - factor) / largest
    wanted = factor / largest
    # off: a value is lost if the cell that holds it is stuck; on: either cell adds the full scale of its own sign
    lost = torch.isclose(change, -wanted) & (factor != 0)
    assert float(lost.double().mean()) == pytest.approx(0.02, rel=0.2)
    unused_on = torch.isclose(change, -factor.sign())
    used_on = torch.isclose(held / largest, factor.sign()) & (wanted.abs() < 1.0)
    assert float(unused_on.double().mean()) == pytest.approx(0.01, rel=0.25)
    assert float(used_on.double().mean()) == pytest.approx(0.01, rel=0.25)


def test_a_pair_errs_twice_where_its_array_is_drawn_by_its_law_too() -> None:
    """E tr(K̃ − K) = m N 2σ² with σ of a cell, over the full scale squared; behind wires the cells are formed."""
    device = IDEAL.override(programming_error=0.05, cells_per_value=2, shared_array=True, hessian_array=False)
    generator = seeded()
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4)).double()
    few = GGN(model, nn.CrossEntropyLoss(), torch.rand(2, 5, dtype=torch.float64), torch.arange(2))
    traces = []
    for _ in range(60):
        held = ProgrammedDevice(device, few, None, LAMBDA, generator=generator)._held
        assert isinstance(held, ErringFactor)
        traces.append(float((held.gram() - few.gram()).trace()))
    added = 2.0 * (0.05 * float(few.factor().abs().max())) ** 2 * few.rows * few.size
    assert np.mean(traces) == pytest.approx(added, abs=4.0 * np.std(traces) / math.sqrt(60))
    assert np.std(traces) / math.sqrt(60) < 0.1 * added
    wired = ProgrammedDevice(device.override(wire_ohm=0.01), few, None, LAMBDA, generator=generator)
    assert not isinstance(wired._held, ErringFactor)


def test_each_cell_of_a_pair_is_rounded_to_its_own_levels() -> None:
    """2^bits levels from 0 to the full scale in each; the nearest ones, listed one by one."""
    factor = torch.randn(20, 30, dtype=torch.float64, generator=seeded())
    largest = float(factor.abs().max())
    held = programming.program(factor, IDEAL.override(array_bits=3, cells_per_value=2)).first.numpy()
    levels = np.linspace(0.0, largest, 2**3)
    values = factor.numpy()
    parts = [np.maximum(values, 0.0), np.maximum(-values, 0.0)]
    plus, minus = (levels[np.abs(part[..., None] - levels).argmin(-1)] for part in parts)
    assert np.abs(held - (plus - minus)).max() < 1e-12
    device = IDEAL.override(array_bits=3, cells_per_value=2)
    members = [programming.program(factor, device, member=(k, 64)).first for k in range(64)]
    assert float((torch.stack(members).mean(0) - factor).abs().max()) <= largest / 7 / 64 + 1e-12


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
