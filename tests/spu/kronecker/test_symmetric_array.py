"""Relaxations on a dense symmetric array: exact law, levels, converters, instability."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.oracles import ou_covariance, ou_mean
from tngd_bench.layers import SMALLEST_PANELLED
from tngd_bench.spu import Device, UnstableDeviceError
from tngd_bench.spu.dynamics.route import refuse_beyond_symmetric
from tngd_bench.spu.kronecker.symmetric_array import SymmetricArray, program

IDEAL = Device.ideal()
N = 6


def positive(n: int = N, rank: int | None = None, seed: int = 0) -> Tensor:
    """A positive semi-definite matrix whose entries differ in size."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(rank or n, n, generator=generator, dtype=torch.float64)
    return rows.T @ rows * torch.linspace(0.3, 2.0, n).double().outer(torch.linspace(0.3, 2.0, n).double())


def covariance(array: SymmetricArray) -> Tensor:
    """Of the noise of a readout."""
    assert array.noise_root is not None
    return array.noise_root.T @ array.noise_root


def rows_of(k: int, n: int = N) -> Tensor:
    return torch.randn(k, n, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


def damped(matrix: Tensor, shift: float) -> Tensor:
    return matrix + shift * torch.eye(len(matrix), dtype=matrix.dtype)


@given(t=st.floats(1e-3, 1e3), shift=st.floats(1e-3, 10.0), rank=st.integers(1, N), seed=st.integers(0, 99))
def test_a_readout_is_the_mean_of_the_process(t: float, shift: float, rank: int, seed: int) -> None:
    matrix, rows = positive(rank=rank, seed=seed), rows_of(3)
    found = program(matrix, shift, t, IDEAL).answer(rows, IDEAL)
    wanted = np.stack([ou_mean(damped(matrix, shift), r, torch.zeros_like(r), t) for r in rows])
    np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=1e-9 * np.abs(wanted).max())


def test_a_unit_diagonal_is_undone_at_rest_and_changes_the_way_there() -> None:
    """At time t it is W φ(W M W) W with W the inverse root of M's diagonal, whose limit is M⁻¹ again."""
    matrix, rows = positive(), rows_of(2)
    whole = damped(matrix, 0.1)
    w = np.diag(np.diag(whole.numpy()) ** -0.5)
    scaled = w @ whole.numpy() @ w
    for t in (0.7, 1e5):
        settled = np.linalg.solve(scaled, np.eye(N) - scipy.linalg.expm(-scaled * t))
        found = program(matrix, 0.1, t, IDEAL, unit_diagonal=True)
        np.testing.assert_allclose(found.answer(rows, IDEAL), rows.numpy() @ w @ settled @ w, rtol=1e-9)
        np.testing.assert_allclose(found.matrix, w @ settled @ w, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.answer(rows, IDEAL), torch.linalg.solve(whole, rows.T).T)


@pytest.mark.parametrize("unit_diagonal", [False, True])
def test_the_spread_of_many_readouts_is_that_of_the_process(unit_diagonal: bool) -> None:
    matrix, t, kappa, draws = positive(4), 0.8, 0.3, 40_000
    array = program(matrix, 0.2, t, IDEAL, noise_variance=kappa, unit_diagonal=unit_diagonal)
    found = array.answer(torch.zeros(draws, 4).double(), IDEAL, torch.Generator().manual_seed(1))
    whole = damped(matrix, 0.2)
    w = torch.diag(whole.diagonal().rsqrt()) if unit_diagonal else torch.eye(4).double()
    wanted = w.numpy() @ ou_covariance(w @ whole @ w, kappa, t) @ w.numpy()
    np.testing.assert_allclose(covariance(array), ou_covariance(w @ whole @ w, kappa, t), rtol=1e-8)
    # the entry (i, j) of a sample covariance has the standard error √((Σᵢᵢ Σⱼⱼ + Σᵢⱼ²)/n)
    error = np.sqrt((np.outer(np.diag(wanted), np.diag(wanted)) + wanted**2) / draws)
    assert (np.abs(np.cov(found.numpy().T) - wanted) < 5 * error).all()
    assert (np.abs(found.mean(0).numpy()) < 5 * np.sqrt(np.diag(wanted) / draws)).all()


@pytest.mark.parametrize("dim", [0, 1])
def test_noise_by_panels_is_the_normal_draws_times_the_whole_root(dim: int) -> None:
    n = SMALLEST_PANELLED + 3
    array = program(positive(n) / n, 0.2, 0.8, IDEAL, noise_variance=0.3)
    silent = torch.zeros((2, n) if dim else (n, 2), dtype=torch.float64)
    found = array.answer(silent, IDEAL, torch.Generator().manual_seed(1), dim)
    normal = torch.randn(silent.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert array.noise_root is not None
    torch.testing.assert_close(found, normal @ array.noise_root if dim else array.noise_root.T @ normal)


def test_thermal_noise_of_the_device_comes_on_top_and_a_conductance_range_raises_it() -> None:
    """An array that must hold sM settles like M in t/s, and its noise weighs κ/s."""
    matrix, warm = positive(), IDEAL.override(temperature_kelvin=300.0, volts_per_unit=1e-3)
    largest = float(damped(matrix, 0.1).max())
    narrow = warm.override(conductance_max_siemens=0.25 * largest / warm.resistance_ohm)
    plain, scaled = (program(matrix, 0.1, 2.0, d, noise_variance=1e-6) for d in (warm, narrow))
    kappa = 1e-6 + 1.380649e-23 * 300.0 / 1e-9 / 1e-6
    wanted = ou_covariance(damped(matrix, 0.1), kappa, 2.0)
    np.testing.assert_allclose(covariance(plain), wanted, rtol=1e-8)
    assert scaled.scale == pytest.approx(0.25)
    torch.testing.assert_close(covariance(scaled), 4.0 * covariance(plain))
    torch.testing.assert_close(scaled.response, plain.response)
    assert program(matrix, 0.1, 2.0, narrow, unit_diagonal=True).scale == min(1.0, 0.25 * largest)


def brute_levels(values: np.ndarray, bits: int) -> np.ndarray:
    """Each value at the nearest of the 2^bits − 1 levels, by trying all."""
    levels = np.linspace(-1.0, 1.0, 2**bits - 1) * np.abs(values).max()
    return levels[np.abs(values[..., None] - levels).argmin(-1)]


@pytest.mark.parametrize("bits", [4, 6, 8, 12])
@pytest.mark.parametrize("unit_diagonal", [False, True])
def test_cells_are_rounded_as_by_trying_all_levels(bits: int, unit_diagonal: bool) -> None:
    matrix, t = positive(seed=3), 1.5
    whole = damped(matrix, 4.0).numpy()
    w = np.diag(np.diag(whole) ** -0.5) if unit_diagonal else np.eye(N)
    held = brute_levels(w @ whole @ w, bits)
    assert np.linalg.eigvalsh(held).min() > 0
    wanted = w @ np.linalg.solve(held, np.eye(N) - scipy.linalg.expm(-held * t)) @ w
    found = program(matrix, 4.0, t, IDEAL.override(array_bits=bits), unit_diagonal=unit_diagonal)
    np.testing.assert_allclose(found.matrix, wanted, rtol=1e-9, atol=1e-12)


def test_each_right_hand_side_and_answer_has_a_full_scale_of_its_own() -> None:
    matrix, t = positive(), 0.9
    rows = rows_of(4) * torch.tensor([[1e-6], [1.0], [1e6], [0.0]])
    device = IDEAL.override(dac_bits=5, adc_bits=7)
    found = program(matrix, 0.5, t, device).answer(rows, device)
    for row, answer in zip(rows[:3].numpy(), found[:3].numpy(), strict=True):
        rest = damped(matrix, 0.5)
        wanted = ou_mean(rest, torch.tensor(brute_levels(row, 5)), torch.zeros(N).double(), t)
        np.testing.assert_allclose(
            answer, brute_levels(wanted, 7), rtol=1e-9, atol=1e-12 * np.abs(wanted).max()
        )
    assert not found[3].any()


def test_a_converter_adds_its_noise_to_each_readout() -> None:
    device = IDEAL.override(adc_noise_volts=2e-3, volts_per_unit=0.5)
    found = program(positive(), 0.5, 1.0, device).answer(torch.zeros(20_000, N).double(), device)
    assert float(found.std()) == pytest.approx(4e-3, rel=0.02)


def test_cells_of_a_pair_err_together_by_the_stated_share_of_full_scale() -> None:
    n, device = 120, IDEAL.override(programming_error=1e-3)
    matrix = positive(n) / n
    at_rest = [
        torch.linalg.inv(
            program(matrix, 30.0, 1e4, device, generator=torch.Generator().manual_seed(k)).response
        )
        for k in (0, 0, 1)
    ]
    assert torch.equal(at_rest[0], at_rest[1])
    assert not torch.equal(at_rest[0], at_rest[2])
    error = at_rest[0] - damped(matrix, 30.0)
    torch.testing.assert_close(error, error.T, atol=1e-9, rtol=0)
    largest = float(damped(matrix, 30.0).max())
    upper = error[torch.triu(torch.ones(n, n)).bool()]
    assert float(upper.std()) == pytest.approx(1e-3 * largest, rel=0.05)


def test_dead_cells_are_those_of_the_chip_and_of_the_place() -> None:
    device = IDEAL.override(stuck_off=0.03, instance=1)
    matrix = positive(16)
    held = [torch.linalg.inv(program(matrix, 50.0, 1e4, device, place=k).response) for k in (0, 0, 1)]
    assert torch.equal(held[0], held[1])
    assert not torch.allclose(held[0], held[2])
    dead = held[0].abs() < 1e-9
    assert dead.any()
    assert torch.equal(dead, dead.T)
    torch.testing.assert_close(held[0][~dead], damped(matrix, 50.0)[~dead])


def test_an_indefinite_array_is_unstable_with_the_rate_of_its_slowest_mode() -> None:
    matrix = positive(40, rank=2)
    device = IDEAL.override(array_bits=3)
    held = brute_levels(damped(matrix, 0.01).numpy(), 3)
    lowest = np.linalg.eigvalsh(held).min()
    assert lowest < 0
    with pytest.raises(UnstableDeviceError, match="scale to a unit diagonal") as caught:
        program(matrix, 0.01, 1.0, device)
    assert caught.value.margin == pytest.approx(lowest, rel=1e-9)


def test_levels_move_the_spectrum_as_a_random_matrix_of_their_size_does() -> None:
    """About 2 √n times the standard deviation of a level, max|M|·2^(1−bits)/√12: 0.58 √n max|M| 2^(1−bits)."""
    n, bits = 150, 8
    matrix = positive(n) / n
    whole = damped(matrix, 1.0)
    found = program(matrix, 1.0, 1e6, IDEAL.override(array_bits=bits))
    moved = torch.linalg.matrix_norm(torch.linalg.inv(found.response) - whole, 2)
    assert float(moved) == pytest.approx(0.58 * n**0.5 * float(whole.max()) * 2 ** (1 - bits), rel=0.15)


@pytest.mark.parametrize(
    "name", ["rail_volts", "capacitor_mismatch", "amplifier_gain", "amplifier_bandwidth_hz"]
)
def test_what_is_not_simulated_is_refused_by_name(name: str) -> None:
    with pytest.raises(
        ValueError, match=f"sets {name}, which a symmetric array is not simulated with; accepted: temp"
    ):
        refuse_beyond_symmetric(IDEAL.override(**{name: 0.5}))
    for accepted in ("array_bits", "adc_bits"):
        refuse_beyond_symmetric(IDEAL.override(**{accepted: 8}))


def test_single_precision_keeps_a_damping_far_below_its_rounding() -> None:
    """Without errors of cells the matrix is known to be at least the shift."""
    matrix = positive(30, rank=1).to(torch.float32) * 1e4
    for unit_diagonal in (False, True):
        found = program(matrix, 1e-4, 10.0, IDEAL, unit_diagonal=unit_diagonal)
        assert isinstance(found, SymmetricArray)
        assert bool(torch.isfinite(found.matrix).all())
