"""Refinement by exact residuals: its closed form on dense matrices, where it converges, and what is said where not."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests import oracles
from tngd_bench.curvature import GGN
from tngd_bench.solvers import Gram, Layerwise, Thermodynamic
from tngd_bench.solvers.refinement import SLACK, RefinementError, refined
from tngd_bench.spu import Device
from tngd_bench.spu.dynamics import arrays
from tngd_bench.spu.dynamics.converters import quantize

IDEAL = Device.ideal()
DAMPING = 0.05


@pytest.fixture(scope="module")
def ggn() -> GGN:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4)).double()
    return GGN(model, nn.CrossEntropyLoss(), torch.rand(6, 5, dtype=torch.float64), torch.arange(6) % 4)


def dense(ggn: GGN) -> Tensor:
    return ggn.dense() + DAMPING * torch.eye(ggn.size, dtype=torch.float64)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def relaxed(ggn: GGN, rounds: int, state: Tensor | None = None, **settings: object) -> Tensor:
    solver = Thermodynamic(generator=seeded(), refinements=rounds, **settings)  # type: ignore[arg-type]
    return solver.relax(ggn, None, DAMPING, state).readout


@pytest.mark.parametrize("rounds", [1, 2, 5])
@pytest.mark.parametrize("start", ["zero", "gradient", "previous"])
@pytest.mark.parametrize("method", ["gram", "dense", "krylov"])
def test_on_the_ideal_device_each_round_is_as_if_the_time_went_on(
    ggn: GGN, rounds: int, start: str, method: str
) -> None:
    """The error is (e^(−At))^(k+1) times that of the start, whatever the start."""
    t, a = 3.0, dense(ggn)
    solution = torch.linalg.solve(a, ggn.gradient)
    state = torch.linspace(-1, 1, ggn.size, dtype=torch.float64)
    x0 = {"zero": torch.zeros_like(state), "gradient": ggn.gradient, "previous": state}[start]
    decay = torch.linalg.matrix_power(torch.from_numpy(scipy.linalg.expm(-t * a.numpy())), rounds + 1)
    expected = solution + decay @ (x0 - solution)
    found = relaxed(ggn, rounds, state, start=start, analog_time=t, method=method)
    assert oracles.relative_error(found, expected) < (1e-5 if method == "krylov" else 1e-9)


def held(device: Device, ggn: GGN) -> np.ndarray:
    """Â as the arrays of `device` come to hold it, by drawing what `ProgrammedDevice` draws."""
    made = arrays.program(ggn.factor(), device, seeded())
    middle = torch.eye(ggn.rows, dtype=torch.float64) if made.middle is None else made.middle
    return (made.last.T @ middle @ made.first + DAMPING * torch.eye(ggn.size, dtype=torch.float64)).numpy()


DEVICES = {
    "bits of one array": IDEAL.override(array_bits=7, shared_array=True, hessian_array=False),
    "arrays that err apart": IDEAL.override(programming_error=0.003),
    "stuck cells": IDEAL.override(stuck_off=0.002, hessian_array=False, shared_array=True),
    "gain": IDEAL.override(amplifier_gain=200.0),
    "all but converters": IDEAL.override(programming_error=0.002, array_bits=9, amplifier_gain=1e3),
}


@pytest.mark.parametrize("name", DEVICES)
def test_rounds_follow_the_closed_form_of_the_matrix_as_held(ggn: GGN, name: str) -> None:
    """x ← x + φ(Â)(g − A x) with φ(Â) = (I − e^(−Ât)) Â⁻¹, dense in float64."""
    device, t, a = DEVICES[name], 40.0, dense(ggn).numpy()
    programmed, g = held(device, ggn), ggn.gradient.numpy()
    answer = np.linalg.solve(programmed, np.eye(len(a)) - scipy.linalg.expm(-t * programmed))
    x = answer @ g
    for _ in range(3):
        x = x + answer @ (g - a @ x)
    found = relaxed(ggn, 3, start="zero", analog_time=t, device=device)
    assert oracles.relative_error(found, x) < 1e-9
    plain = relaxed(ggn, 0, start="zero", analog_time=t, device=device)
    solution = Gram().solve(ggn, damping=DAMPING).solution
    assert (found - solution).norm() < 0.1 * (plain - solution).norm()


def test_converters_round_each_right_hand_side_and_readout(ggn: GGN) -> None:
    """By hand: each residual passes the DAC at its own full scale, each correction the ADC at its own."""
    device, t, a = IDEAL.override(dac_bits=5, adc_bits=6), 60.0, dense(ggn)
    answer = torch.linalg.solve(
        a, torch.eye(ggn.size, dtype=torch.float64) - torch.from_numpy(scipy.linalg.expm(-t * a.numpy()))
    )

    def read(rhs: Tensor) -> Tensor:
        return quantize(answer @ quantize(rhs, 5), 6)

    x = read(ggn.gradient)
    for _ in range(4):
        x = x + read(ggn.gradient - a @ x)
    found = relaxed(ggn, 4, start="zero", analog_time=t, device=device)
    # the levels are those of values that agree to rounding, which no level here lies on
    assert oracles.relative_error(found, x) < 1e-9


def test_a_carried_start_is_the_refined_x_written_through_the_converters(ggn: GGN) -> None:
    device = IDEAL.override(dac_bits=6)
    solver = Thermodynamic(analog_time=2.0, device=device, refinements=2, generator=seeded())
    first = solver.relax(ggn, None, DAMPING, None)
    assert first.state is first.readout
    second = solver.relax(ggn, None, DAMPING, first.state).readout
    by_hand = solver.relax(ggn, None, DAMPING, quantize(first.readout, 6)).readout
    torch.testing.assert_close(second, by_hand, rtol=1e-9, atol=1e-12)


def test_layers_are_refined_by_their_own_curvature(ggn: GGN) -> None:
    device = IDEAL.override(programming_error=0.002)
    found = relaxed(ggn, 12, start="zero", analog_time=1e3, device=device, scope="layer")
    wanted = Layerwise().solve(ggn, damping=DAMPING).solution
    assert oracles.relative_error(found, wanted) < 1e-6


@settings(max_examples=60, deadline=None)
@given(
    spectrum=st.lists(st.floats(0.05, 3.0), min_size=2, max_size=8),
    gain=st.floats(0.05, 3.5),
    seed=st.integers(0, 2**16),
)
def test_it_converges_exactly_where_the_iteration_matrix_is_below_one(
    spectrum: list[float], gain: float, seed: int
) -> None:
    """Â = A/(gain) and an error with it: ‖I − A Â⁻¹‖ decides, on both sides of one, and what is returned is the sum."""
    n = len(spectrum)
    random = np.random.default_rng(seed)
    basis = np.linalg.qr(random.normal(size=(n, n)))[0]
    a = torch.from_numpy(basis @ np.diag(spectrum) @ basis.T)
    # symmetric iteration matrix I − A Â⁻¹ = (1 − gain·f) in the same basis
    factors = gain * random.uniform(0.6, 1.0, n)
    answer = torch.from_numpy(basis @ np.diag(factors / np.array(spectrum)) @ basis.T)
    norm = float(np.abs(1.0 - factors).max())
    rhs, rounds = torch.from_numpy(random.normal(size=n)), 60

    def run() -> tuple[Tensor, tuple[float, ...]]:
        return refined(answer @ rhs, rhs, lambda v: a @ v, lambda r: answer @ r, rounds, varies=False)

    if norm < 0.99:
        x, residuals = run()
        decay = np.diag((1.0 - factors) ** (rounds + 1))
        expected = basis @ (np.eye(n) - decay) @ np.diag(1.0 / np.array(spectrum)) @ basis.T @ rhs.numpy()
        assert oracles.relative_error(x, expected) < 1e-9
        assert len(residuals) == rounds + 1
        assert residuals[-1] <= residuals[0]
    elif norm > 1.05:
        with pytest.raises(RefinementError, match=f"in round {rounds}") as caught:
            run()
        assert caught.value.residuals[-1] > caught.value.residuals[-2]


def test_a_device_too_far_from_the_matrix_is_reported(ggn: GGN) -> None:
    device = IDEAL.override(programming_error=0.3, shared_array=True, hessian_array=False)
    a, programmed = dense(ggn).numpy(), held(device, ggn)
    assert np.abs(np.linalg.eigvals(np.eye(len(a)) - a @ np.linalg.inv(programmed))).max() > 1.0
    with pytest.raises(RefinementError, match="refinement fails"):
        relaxed(ggn, 6, start="zero", analog_time=1e4, device=device)


def test_a_number_that_is_none_has_diverged() -> None:
    rhs = torch.ones(3)
    with pytest.raises(RefinementError):
        refined(rhs, rhs, lambda v: v, lambda r: r * float("nan"), 1, varies=True)


def test_noise_lets_the_residual_vary_and_not_grow(ggn: GGN) -> None:
    """At the floor of the noise the residual neither falls nor grows; it is no divergence."""
    for seed in range(20):
        solver = Thermodynamic(
            analog_time=200.0, start="zero", noise_variance=1e-3, refinements=2, generator=seeded(seed)
        )
        residuals = solver.relax(ggn, None, DAMPING, None).residuals
        assert residuals[-1] < SLACK * min(residuals[:-1])


def test_noise_is_to_a_correction_what_it_is_to_the_first_x(ggn: GGN) -> None:
    """Residuals are sent at the size of g, so that each round brings x nearer by the same factor, noise and all."""
    solver = Thermodynamic(
        analog_time=400.0, start="zero", noise_variance=1e-7, refinements=4, generator=seeded()
    )
    residuals = solver.relax(ggn, None, DAMPING, None).residuals
    assert residuals[0] > 1e-4
    assert residuals[-1] < 1e-8


@pytest.mark.parametrize(
    ("device", "t", "within"),
    [
        (IDEAL.override(capacitor_mismatch=0.1), 250.0, 1e-5),
        (IDEAL.override(rail_volts=50.0), 15.0, 0.02),
        (IDEAL.override(amplifier_bandwidth_hz=1e7, amplifier_gain=1e4), 250.0, 1e-5),
        (IDEAL.override(conductance_max_siemens=2e-4), 250.0, 1e-5),
    ],
    ids=["mismatch", "rails", "lag", "range"],
)
def test_every_route_of_the_simulation_takes_another_right_hand_side(
    ggn: GGN, device: Device, t: float, within: float
) -> None:
    """Each of these devices holds A, but for the gain, so that two rounds are three times the relaxation."""
    found = relaxed(ggn, 2, start="zero", analog_time=t, device=device)
    expected = oracles.ou_mean(dense(ggn), ggn.gradient, torch.zeros_like(ggn.gradient), 3.0 * t)
    assert oracles.relative_error(found, expected) < within


def test_an_ensemble_refines_each_programming() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4)).double()
    ggn = GGN(model, nn.CrossEntropyLoss(), torch.rand(6, 5, dtype=torch.float64), torch.arange(6) % 4)
    device = IDEAL.override(array_bits=7, shared_array=True)
    found = relaxed(ggn, 15, start="zero", analog_time=1e3, device=device, ensemble=3)
    assert oracles.relative_error(found, Gram().solve(ggn, damping=DAMPING).solution) < 1e-6


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"refinements": -1}, "refinements must be an integer >= 0"),
        ({"refinements": 1, "delay": 1.0}, "delay must be 0 with refinements = 1"),
    ],
)
def test_refusals(given: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Thermodynamic(**given)  # type: ignore[arg-type]
