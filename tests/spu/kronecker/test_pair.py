"""Two passes of relaxations against the dense Kronecker system."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from tests.spu.kronecker.test_symmetric_array import damped, positive
from tngd_bench.solvers.refinement import refined
from tngd_bench.spu import Device
from tngd_bench.spu.kronecker.pair import KroneckerPair, is_linear

IDEAL = Device.ideal()
N_IN, N_OUT, SHIFT_IN, SHIFT_OUT = 5, 3, 0.3, 0.2
A, GAMMA = positive(N_IN, rank=3, seed=1), positive(N_OUT, rank=2, seed=2)
GRADIENT = torch.randn(N_OUT, N_IN, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def pair(t: float, device: Device = IDEAL, **options: object) -> KroneckerPair:
    return KroneckerPair.program((A, SHIFT_IN), (GAMMA, SHIFT_OUT), t, device, **options)  # type: ignore[arg-type]


def phi(matrix: Tensor, t: float) -> np.ndarray:
    """∫₀ᵗ e^(−Ms) ds by the exponential of a block matrix, without a division."""
    n = len(matrix)
    block = np.zeros((2 * n, 2 * n))
    block[:n, :n], block[:n, n:] = -matrix.numpy(), np.eye(n)
    return scipy.linalg.expm(block * t)[:n, n:]


@pytest.mark.parametrize("t", [1e-3, 0.4, 3.0, 50.0])
def test_both_passes_are_the_dense_kronecker_system(t: float) -> None:
    """vec(X) = (φ(Γ′) ⊗ φ(A′)) vec(∇W), rows first."""
    system = np.kron(phi(damped(GAMMA, SHIFT_OUT), t), phi(damped(A, SHIFT_IN), t))
    wanted = (system @ GRADIENT.numpy().reshape(-1)).reshape(N_OUT, N_IN)
    found = pair(t)
    np.testing.assert_allclose(found.solve(GRADIENT, IDEAL), wanted, rtol=1e-9)
    assert found.is_deterministic
    np.testing.assert_allclose(found.outputs[0].matrix @ GRADIENT @ found.inputs[0].matrix, wanted, rtol=1e-9)


def test_a_long_time_inverts_and_a_short_one_is_t_squared_times_the_gradient() -> None:
    inverse = torch.linalg.solve(damped(GAMMA, SHIFT_OUT), GRADIENT) @ torch.linalg.inv(damped(A, SHIFT_IN))
    torch.testing.assert_close(pair(1e6).solve(GRADIENT, IDEAL), inverse, rtol=1e-10, atol=1e-12)
    t = 1e-7
    torch.testing.assert_close(pair(t).solve(GRADIENT, IDEAL) / t**2, GRADIENT, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("unit_diagonal", [False, True])
def test_noise_of_the_first_pass_goes_through_the_second(unit_diagonal: bool) -> None:
    """Cov vec(X) = φ(Γ′)² ⊗ κψ(A′) + κψ(Γ′) ⊗ I, every D^(−1/2) of a unit diagonal in its place."""
    t, kappa, draws = 0.9, 0.2, 5_000
    found = pair(t, noise_variance=kappa, unit_diagonal=unit_diagonal)
    assert not found.is_deterministic

    def law(matrix: Tensor, shift: float) -> tuple[np.ndarray, np.ndarray]:
        whole = damped(matrix, shift)
        w = torch.diag(whole.diagonal().rsqrt()) if unit_diagonal else torch.eye(len(whole)).double()
        held, w = w @ whole @ w, w.numpy()
        return w @ phi(held, t) @ w, kappa * (w @ (2 * phi(2 * held, t)) @ w)

    (mean_in, noise_in), (mean_out, noise_out) = law(A, SHIFT_IN), law(GAMMA, SHIFT_OUT)
    wanted = np.kron(mean_out @ mean_out, noise_in) + np.kron(noise_out, np.eye(N_IN))
    generator = torch.Generator().manual_seed(5)
    samples = torch.stack([found.solve(GRADIENT, IDEAL, generator).reshape(-1) for _ in range(draws)]).numpy()
    variances = np.outer(np.diag(wanted), np.diag(wanted))
    assert (np.abs(np.cov(samples.T) - wanted) < 5 * np.sqrt((variances + wanted**2) / draws)).all()
    mean = (mean_out @ GRADIENT.numpy() @ mean_in).reshape(-1)
    assert (np.abs(samples.mean(0) - mean) < 5 * np.sqrt(np.diag(wanted) / draws)).all()


def test_copies_that_err_apart_take_the_right_hand_sides_in_turn() -> None:
    device = IDEAL.override(programming_error=0.005)
    found = pair(2.0, device, copies=4, generator=torch.Generator().manual_seed(0))
    assert (len(found.inputs), len(found.outputs)) == (N_OUT, 4)
    first = torch.stack([GRADIENT[k] @ found.inputs[k].response for k in range(N_OUT)])
    wanted = torch.stack([found.outputs[k % 4].response @ first[:, k] for k in range(N_IN)], 1)
    torch.testing.assert_close(found.solve(GRADIENT, device), wanted)
    assert not torch.equal(found.inputs[0].response, found.inputs[1].response)
    assert not found.is_deterministic
    alike = pair(2.0, IDEAL.override(array_bits=12), copies=4)
    assert len(alike.inputs) == len(alike.outputs) == 1


def test_what_is_read_between_the_passes_is_converted_like_any_readout() -> None:
    device = IDEAL.override(adc_bits=4, dac_bits=6)
    found = pair(2.0, device)
    first = found.inputs[0].answer(GRADIENT, device)
    torch.testing.assert_close(found.solve(GRADIENT, device), found.outputs[0].answer(first.T, device).T)
    assert not torch.allclose(found.solve(GRADIENT, device), pair(2.0).solve(GRADIENT, IDEAL), rtol=1e-3)
    assert is_linear(IDEAL)
    assert not any(
        is_linear(IDEAL.override(**{name: 4})) for name in ("adc_bits", "dac_bits", "adc_noise_volts")
    )


def test_a_pair_from_its_state_gives_the_same_bits() -> None:
    device = IDEAL.override(programming_error=0.005, temperature_kelvin=300.0, volts_per_unit=1e-4)
    found = pair(2.0, device, copies=2, unit_diagonal=True, generator=torch.Generator().manual_seed(0))
    again = KroneckerPair.from_state(found.state())
    one, other = (each.solve(GRADIENT, device, torch.Generator().manual_seed(9)) for each in (found, again))
    assert torch.equal(one, other)
    assert again.scales == found.scales == (1.0, 1.0)


@pytest.mark.parametrize("rounds", [1, 3])
def test_rounds_by_exact_products_follow_the_dense_kronecker_system(rounds: int) -> None:
    """vec(X) ← vec(X) + P (g − M vec(X)) with P = φ(Γ′) ⊗ φ(A′) and M = Γ′ ⊗ A′."""
    t = 8.0
    system = np.kron(damped(GAMMA, SHIFT_OUT), damped(A, SHIFT_IN))
    answer = np.kron(phi(damped(GAMMA, SHIFT_OUT), t), phi(damped(A, SHIFT_IN), t))
    g = GRADIENT.numpy().reshape(-1)
    wanted = answer @ g
    for _ in range(rounds):
        wanted = wanted + answer @ (g - system @ wanted)
    made = pair(t, keep=True)
    x, residuals = refined(
        made.solve(GRADIENT, IDEAL),
        GRADIENT,
        made.product,
        lambda residual: made.solve(residual, IDEAL),
        rounds,
        varies=False,
    )
    np.testing.assert_allclose(x.reshape(-1), wanted, rtol=1e-9)
    assert list(residuals) == sorted(residuals, reverse=True)
    with pytest.raises(ValueError, match="keep must be true"):
        pair(t).product(GRADIENT)
