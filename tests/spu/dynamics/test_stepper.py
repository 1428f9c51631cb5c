"""Rails and mismatch by steps: the truncated normal law, projected circuits by scipy, modes that turn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.stats
import torch
from torch import Tensor

from tests.spu import circuit
from tngd_bench.curvature.operator import Shifted
from tngd_bench.spu import Device
from tngd_bench.spu.dynamics import stability
from tngd_bench.spu.dynamics.arrays import Arrays
from tngd_bench.spu.dynamics.mismatch import node_rates
from tngd_bench.spu.dynamics.programmed import ProgrammedDevice
from tngd_bench.spu.dynamics.stepper import HeunStepper

COPIES = 20_000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Products:
    """An operator of which only its products are known."""

    def __init__(self, matvec: Callable[[Tensor], Tensor]) -> None:
        self.matvec = matvec


def nodes(force: float, rail: float, t: float, x0: float = 0.0) -> Tensor:
    """COPIES independent nodes of rate 1 and κ = 1, whose own standard deviation is 1."""
    rhs = torch.full((COPIES,), force, dtype=torch.float64)
    stepper = HeunStepper(Shifted(Products(torch.zeros_like), 1.0), rhs, 1.0, limit=rail)
    return stepper.run(torch.full_like(rhs, x0), t, seeded())


@pytest.mark.parametrize("rail", [0.1, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("force", [0.0, 1.5])
def test_a_node_settles_on_the_truncated_normal_law(rail: float, force: float) -> None:
    t = 4.0 if rail >= 1.0 else 4.0 * rail**2
    law = scipy.stats.truncnorm(-rail - force, rail - force, loc=force)
    actual = nodes(force, rail, t)
    fourth = law.expect(lambda x: (x - law.mean()) ** 4)
    noise = 4.5 * np.sqrt((fourth / law.var() ** 2 - 1.0) / COPIES)
    assert float(actual.var()) == pytest.approx(law.var(), rel=0.01 + noise)
    assert float(actual.mean()) == pytest.approx(law.mean(), abs=(0.01 + 4.5 / np.sqrt(COPIES)) * law.std())
    assert float(actual.abs().max()) <= rail


def fokker_planck(force: float, rail: float, x0: float, t: float, cells: int = 300) -> tuple[float, float]:
    """Mean and variance at t with reflecting ends, rate 1 and κ = 1, by finite volumes (Scharfetter-Gummel)."""
    width = 2.0 * rail / cells
    faces = -rail + width * np.arange(1, cells)
    slope = (force - faces) * width
    up, down = -slope / np.expm1(-slope) / width**2, slope / np.expm1(slope) / width**2
    generator = np.diag(up, -1) + np.diag(down, 1)
    generator -= np.diag(generator.sum(0))
    density = np.zeros(cells)
    density[min(int((x0 + rail) / width), cells - 1)] = 1.0
    density = scipy.linalg.expm(generator * t) @ density
    centres = -rail + width * (np.arange(cells) + 0.5)
    mean = float(density @ centres)
    return mean, float(density @ (centres - mean) ** 2)


@pytest.mark.parametrize(
    ("force", "rail", "x0", "t"), [(0.1, 1.0, 1.0, 0.3), (1.51, 0.5, -0.5, 0.05), (1.01, 2.0, 2.0, 0.5)]
)
def test_a_node_on_its_way_follows_the_fokker_planck_equation(
    force: float, rail: float, x0: float, t: float
) -> None:
    mean, variance = fokker_planck(force, rail, x0, t)
    actual = nodes(force, rail, t, x0)
    noise = 4.5 * np.sqrt(3.0 / COPIES)  # a kurtosis of up to 4
    assert float(actual.var()) == pytest.approx(variance, rel=0.015 + noise)
    assert float(actual.mean()) == pytest.approx(mean, abs=(0.015 + 4.5 / np.sqrt(COPIES)) * variance**0.5)


def test_two_nodes_settle_on_the_normal_law_cut_off_at_the_box() -> None:
    """Reversible: the density is that of the free device, exp(−(xᵀAx/2 − gᵀx)/κ), inside the box and none outside."""
    matrix, force, kappa, rail = np.array([[1.0, 0.6], [0.6, 0.8]]), np.array([0.5, -0.2]), 0.7, 0.9
    grid = np.linspace(-rail, rail, 401)
    x, y = np.meshgrid(grid, grid, indexing="ij")
    energy = (
        0.5 * (matrix[0, 0] * x**2 + 2 * matrix[0, 1] * x * y + matrix[1, 1] * y**2)
        - force[0] * x
        - force[1] * y
    )
    weight = np.exp(-energy / kappa)
    weight /= weight.sum()
    mean = np.array([(weight * x).sum(), (weight * y).sum()])
    expected = np.cov(np.stack([x.ravel(), y.ravel()]), aweights=weight.ravel(), ddof=0)
    coupling = torch.as_tensor(matrix)
    rhs = torch.as_tensor(force).repeat(COPIES, 1)
    stepper = HeunStepper(
        Shifted(Products(lambda v: v @ coupling), 0.0),
        rhs,
        kappa,
        limit=rail,
        modes=torch.linalg.eigvals(coupling),
    )
    actual = stepper.run(torch.zeros_like(rhs), 6.0, seeded()).numpy()
    assert np.abs(actual.mean(0) - mean).max() < 0.01 * rail + 4.5 * rail / np.sqrt(COPIES)
    assert np.abs(np.cov(actual.T) - expected).max() < 0.03 * expected.max()


def test_a_start_beyond_the_rails_is_held_by_them_at_once() -> None:
    device = Device.ideal().override(rail_volts=0.5)
    operator = circuit.Factor(np.ones((1, 3)), np.ones(3))
    programmed = ProgrammedDevice(device, operator, None, 0.1)
    start = torch.tensor([2.0, -0.1, -3.0], dtype=torch.float64)
    assert programmed.sample(start, 0.0).tolist() == [0.5, -0.1, -0.5]
    assert programmed.settled(start).nodes.tolist() == [0.5, -0.1, -0.5]
    inside = programmed.sample(torch.tensor([0.5, -0.1, -0.5], dtype=torch.float64), 1.3)
    assert torch.equal(programmed.sample(start, 1.3), inside)


@pytest.mark.parametrize("t", [0.4, 2.0, 12.0])
def test_without_noise_the_path_is_that_of_the_projected_circuit(t: float) -> None:
    rng = np.random.default_rng(3)
    factor, force = rng.normal(size=(2, 4)), 2.0 * rng.normal(size=4)
    matrix, rail = factor.T @ factor + 0.2 * np.eye(4), 0.8

    def flow(_: float, x: circuit.Array) -> circuit.Array:
        pull = force - matrix @ x
        return np.where((x >= rail) & (pull > 0.0) | (x <= -rail) & (pull < 0.0), 0.0, pull)

    exact = scipy.integrate.solve_ivp(flow, (0.0, t), np.zeros(4), max_step=2e-3, rtol=1e-6).y[:, -1]
    device = Device.ideal().override(rail_volts=rail)
    actual = ProgrammedDevice(device, circuit.Factor(factor, force), None, 0.2).sample(
        torch.zeros(4).double(), t
    )
    assert (np.abs(exact) > rail * 0.999).any() or t < 1.0
    assert np.abs(actual.numpy() - exact).max() < 5e-3


@pytest.mark.parametrize(("turn", "t"), [(0.5, 30.0), (2.0, 30.0), (20.0, 1.0)])
def test_a_mode_that_turns_faster_than_it_decays_is_followed(turn: float, t: float) -> None:
    """a = 0.041 ± i·turn: Euler's bound is 2 Re a/|a|², not 2/|a|."""
    matrix = np.array([[0.04, turn], [-turn, 0.04]])
    drift = torch.as_tensor(matrix + 1e-3 * np.eye(2))
    rhs, x0 = torch.tensor([1.0, 0.3], dtype=torch.float64), torch.tensor([-2.0, 1.0], dtype=torch.float64)
    free = HeunStepper(
        Shifted(Products(lambda v: torch.as_tensor(matrix) @ v), 1e-3),
        rhs,
        0.0,
        limit=1e3,
        modes=torch.linalg.eigvals(drift),
    )
    exact = circuit.flow(drift.numpy(), x0.numpy(), rhs.numpy(), t)
    assert np.abs(free.run(x0, t, None).numpy() - exact).max() < 4e-3 * np.linalg.norm(x0.numpy())


def test_far_rails_do_nothing_to_separate_arrays_with_errors() -> None:
    rng = np.random.default_rng(5)
    factor, force = rng.normal(size=(4, 9)), rng.normal(size=9)
    operator, start = circuit.Factor(factor, force), torch.as_tensor(rng.normal(size=9))
    device = Device.ideal().override(programming_error=0.02)
    for t in (1.0, 20.0):
        free = ProgrammedDevice(device, operator, None, 0.3, generator=seeded()).sample(start, t)
        railed = ProgrammedDevice(device.override(rail_volts=1e4), operator, None, 0.3, generator=seeded())
        assert float((railed.sample(start, t) - free).norm()) < 2e-3 * float(free.norm())


def test_mismatch_of_separate_arrays_follows_its_circuit() -> None:
    rng = np.random.default_rng(1)
    first = rng.normal(size=(3, 8))
    last = first + 0.1 * rng.normal(size=(3, 8))
    force, x0, kappa = rng.normal(size=8), rng.normal(size=8), 0.3
    rates = node_rates(0.2, 0, torch.ones(8, dtype=torch.float64))
    arrays = Arrays(torch.as_tensor(first), torch.as_tensor(last), None, None)
    matrix = circuit.drift(first, last, 0.2, capacitance=1.0 / rates.numpy())
    modes = stability.modes(Shifted(arrays, 0.2), rates)
    j2, j1, copies = arrays.first, arrays.last, 10_000
    stepper = HeunStepper(
        Shifted(Products(lambda v: v @ j2.T @ j1), 0.2),
        torch.as_tensor(force).repeat(copies, 1),
        kappa,
        rates=rates,
        modes=modes,
    )
    actual = stepper.run(torch.as_tensor(x0).repeat(copies, 1), 1.5, seeded()).numpy()
    mean = circuit.flow(matrix, x0, rates.numpy() * force, 1.5)
    spread = circuit.covariance(matrix, np.diag(2.0 * kappa * rates.numpy() ** 2), 1.5)
    white = np.linalg.solve(np.linalg.cholesky(spread), (actual - mean).T)
    assert np.abs(white.mean(1)).max() < 0.01 + 4.5 / np.sqrt(copies)
    assert np.abs(np.cov(white) - np.eye(8)).max() < 0.01 + 6.5 / np.sqrt(copies)


def test_what_takes_too_many_steps_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"takes .* steps, more than the 1e\+07 that are simulated: rail_volts"
    ):
        nodes(0.0, 1e-5, 1.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_slow_mode_beside_a_fast_one_goes_on_in_single_precision(dtype: torch.dtype) -> None:
    """What a step of the fast mode's length moves the slow one by is a tenth of a unit in its last place."""
    rates = torch.tensor([200.0, 0.01], dtype=dtype)
    stepper = HeunStepper(Shifted(Products(lambda x: rates * x), 0.0), rates.clone(), 0.0, limit=10.0)
    reached = stepper.run(torch.tensor([1.0, 0.99], dtype=dtype), 2.0, None)
    assert reached.dtype == dtype
    assert reached.tolist() == pytest.approx([1.0, 1.0 - 0.01 * np.exp(-0.02)], abs=2e-7)
