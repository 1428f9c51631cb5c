"""OU transitions against scipy's matrix exponential, their law, and Euler-Maruyama's known errors."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests import oracles
from tngd_bench.curvature import GGN
from tngd_bench.curvature.operator import ExplicitFactor
from tngd_bench.curvature.route import relaxation_operations
from tngd_bench.spu import OUProcess

TIMES = [1e-3, 1.0, 50.0, 500.0, 1e6]
EXACT = ["gram", "dense", "krylov"]


def batch(dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[GGN, Tensor, Tensor]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4)).double()
    inputs, targets = torch.rand(6, 5, dtype=torch.float64), torch.arange(6) % 4
    dense = oracles.ggn(model, nn.CrossEntropyLoss(), inputs, targets)
    ggn = GGN(model.to(dtype), nn.CrossEntropyLoss(), inputs.to(dtype), targets)
    return (
        ggn,
        dense,
        torch.randn(ggn.size, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(dtype),
    )


def shifted(dense: Tensor, damping: float) -> Tensor:
    return dense + damping * torch.eye(len(dense), dtype=torch.float64)


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("damping", [1e-6, 1e-2, 10.0])
@pytest.mark.parametrize("t", TIMES)
def test_mean_equals_the_matrix_exponential(method: str, damping: float, t: float) -> None:
    ggn, dense, x0 = batch()
    expected = oracles.ou_mean(shifted(dense, damping), ggn.gradient, x0, t)
    for rhs in (None, ggn.gradient.clone()):  # the factor form g = Bᵀw, and a plain vector
        process = OUProcess(ggn, rhs, damping, method=method, tolerance=1e-13)
        # expm itself loses digits as ‖A‖t grows; a plain rhs at tiny λ cancels like (g − …)/λ
        bound = 1e-10 if damping > 1e-6 or t < 1e3 else 1e-8
        assert oracles.relative_error(process.mean(x0, t), expected) < bound


@pytest.mark.parametrize("t", TIMES)
def test_covariance_equals_the_matrix_exponential(t: float) -> None:
    ggn, dense, _ = batch()
    expected = oracles.ou_covariance(shifted(dense, 0.01), 0.3, t)
    assert oracles.relative_error(OUProcess(ggn, None, 0.01, 0.3).covariance(t), expected) < 1e-10


@pytest.mark.parametrize("t", TIMES)
def test_all_exact_transitions_draw_the_same_sample(t: float) -> None:
    ggn, _, x0 = batch()
    draws = [
        OUProcess(ggn, None, 0.01, 0.3, method=method, tolerance=1e-13).sample(
            x0, t, generator=torch.Generator().manual_seed(2)
        )
        for method in EXACT
    ]
    assert oracles.relative_error(draws[0], draws[1]) < 1e-10
    assert oracles.relative_error(draws[2], draws[1]) < 1e-10


def test_zero_damping_is_a_limit_and_not_a_special_case() -> None:
    ggn, _, x0 = batch()
    at_zero = OUProcess(ggn, None, 0.0, 0.1, method="gram")
    near = OUProcess(ggn, None, 1e-12, 0.1, method="gram")
    for t in (1.0, 100.0):
        draws = [p.sample(x0, t, generator=torch.Generator().manual_seed(2)) for p in (at_zero, near)]
        assert oracles.relative_error(draws[0], draws[1]) < 1e-8


@pytest.mark.parametrize(
    "count", [10_000, pytest.param(100_000, marks=pytest.mark.slow(reason="100,000 samples"))]
)
def test_samples_follow_their_exact_law(count: int) -> None:
    torch.manual_seed(3)
    factor = torch.randn(4, 3, dtype=torch.float64)
    matrix, rhs, x0 = factor @ factor.T, torch.randn(4).double(), torch.randn(4).double()
    process = OUProcess(matrix, rhs, 0.1, 0.2)
    generator = torch.Generator().manual_seed(4)
    draws = torch.stack([process.sample(x0, 0.7, generator=generator) for _ in range(count)]).numpy()
    a = shifted(matrix, 0.1)
    mean, covariance = oracles.ou_mean(a, rhs, x0, 0.7), oracles.ou_covariance(a, 0.2, 0.7)
    white = np.linalg.solve(np.linalg.cholesky(covariance), (draws - mean).T)
    for coordinate in white:
        assert scipy.stats.kstest(coordinate, "norm").pvalue > 1e-3
    assert scipy.stats.kstest((white**2).sum(0), scipy.stats.chi2(4).cdf).pvalue > 1e-3
    correlation = np.corrcoef(white)
    assert np.abs(correlation - np.eye(4)).max() < 4 / math.sqrt(count)


@given(t=st.floats(1e-3, 1e3), split=st.floats(0.05, 0.95), damping=st.floats(1e-3, 10.0))
@settings(max_examples=25, deadline=None)
def test_relaxing_in_two_stretches_is_relaxing_once(t: float, split: float, damping: float) -> None:
    ggn, _, x0 = batch()
    process = OUProcess(ggn, None, damping, method="gram")
    once = process.mean(x0, t)
    assert oracles.relative_error(process.mean(process.mean(x0, split * t), (1 - split) * t), once) < 1e-9


def test_zero_time_returns_the_start_bit_for_bit() -> None:
    ggn, _, x0 = batch()
    for method in [*EXACT, "euler-maruyama"]:
        process = OUProcess(ggn, None, 0.01, 0.5, method=method)
        assert torch.equal(process.sample(x0, 0.0, generator=torch.Generator()), x0)


def test_the_error_falls_with_time_in_expectation() -> None:
    """Over batches and noise: E‖x(t) − x*‖² falls from any start farther off than the noise left at equilibrium."""
    times = (0.0, 0.1, 1.0, 10.0, 100.0, 1000.0)
    squares = dict.fromkeys(times, 0.0)
    generator = torch.Generator().manual_seed(0)
    for seed in range(4):
        ggn, dense, _ = batch(seed=seed)
        solution = torch.linalg.solve(shifted(dense, 0.01), ggn.gradient)
        process = OUProcess(ggn, None, 0.01, 1e-7)
        for start in (ggn.gradient, torch.zeros_like(ggn.gradient), torch.full_like(ggn.gradient, 0.1)):
            for t in times:
                samples = [process.sample(start, t, generator=generator) for _ in range(8)]
                squares[t] += sum(float((sample - solution).square().sum()) for sample in samples)
    errors = list(squares.values())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-4 * errors[0]


def test_float32_follows_float64() -> None:
    double, _, x0 = batch()
    expected = OUProcess(double, None, 0.01, method="gram").mean(x0, 50.0)
    single, _, x0_single = batch(torch.float32)
    for damping_case in (0.01, 1e-6):
        expected = OUProcess(batch()[0], None, damping_case, method="gram").mean(x0, 50.0)
        actual = OUProcess(single, None, damping_case, method="gram").mean(x0_single, 50.0)
        assert oracles.relative_error(actual.double(), expected) < 2e-4


def test_krylov_meets_its_tolerance_with_few_products() -> None:
    ggn, _, x0 = batch()
    exact = OUProcess(ggn, ggn.gradient, 0.01, method="dense").mean(x0, 5.0)
    for tolerance in (1e-2, 1e-5, 1e-8):
        process = OUProcess(ggn, ggn.gradient, 0.01, method="krylov", tolerance=tolerance)
        error = float((process.mean(x0, 5.0) - exact).norm() / exact.norm())
        assert error < tolerance


def test_euler_maruyama_converges_at_first_order_in_the_mean() -> None:
    ggn, _, x0 = batch()
    exact = OUProcess(ggn, None, 0.01).mean(x0, 2.0)
    errors = [
        float((OUProcess(ggn, None, 0.01, method="euler-maruyama", step=step).mean(x0, 2.0) - exact).norm())
        for step in (0.04, 0.02, 0.01)
    ]
    assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.25)
    assert errors[1] / errors[2] == pytest.approx(2.0, abs=0.15)


def test_euler_maruyama_overestimates_the_stationary_variance_as_known() -> None:
    curvature, step, samples = 1.0, 0.8, 20_000
    ones = curvature * torch.ones(1, samples, dtype=torch.float64)
    # one mode, many copies: each coordinate is a draw
    operator = torch.sparse.spdiags(ones, torch.zeros(1, dtype=torch.long), (samples, samples))
    process = OUProcess(operator, torch.zeros(samples).double(), 0.0, 0.5, method="euler-maruyama", step=step)
    final = process.sample(torch.zeros(samples).double(), 40.0, generator=torch.Generator().manual_seed(5))
    expected = 0.5 / curvature * 2.0 / (2.0 - step * curvature)
    assert float(final.var()) == pytest.approx(expected, rel=5 * math.sqrt(2 / samples))


def test_an_unstable_step_is_refused_with_its_bound() -> None:
    matrix = torch.diag(torch.tensor([10.0, 1.0], dtype=torch.float64))
    process = OUProcess(matrix, torch.ones(2).double(), 0.0, method="euler-maruyama", step=0.25)
    with pytest.raises(ValueError, match=r"step must be < 2/\(λ_max \+ λ\) = 0\.2"):
        process.mean(torch.zeros(2).double(), 1.0)


def test_auto_says_what_it_picked() -> None:
    ggn, dense, _ = batch()
    assert OUProcess(ggn).method == "gram"
    assert OUProcess(dense, ggn.gradient).method == "dense"


@pytest.mark.parametrize("method", ["gram", "dense", "krylov"])
def test_a_path_has_the_joint_law_of_its_times(method: str) -> None:
    """Cov(x(s), x(t)) = Σ(s) e^{−A(t−s)}: for one mode a, κ/a (1 − e^{−2as}) e^{−a(t−s)}."""
    copies, a, kappa = 20_000, 0.7, 0.4
    operator = ExplicitFactor(torch.zeros(1, copies, dtype=torch.float64))
    if method == "dense":
        copies = 600
        process = OUProcess(torch.zeros(copies, copies).double(), torch.zeros(copies).double(), a, kappa)
    else:
        process = OUProcess(operator, torch.zeros(copies).double(), a, kappa, method=method)  # type: ignore[arg-type]
    times = [0.5, 0.5, 1.2]
    generator = torch.Generator().manual_seed(0)
    states = process.path(torch.zeros(copies).double(), times, generator)
    assert states.shape == (3, copies)
    assert torch.equal(states[0], states[1])
    for i, j in ((0, 0), (2, 2), (0, 2)):
        early, late = times[i], times[j]
        variances = [kappa / a * (1 - math.exp(-2 * a * t)) for t in (early, late)]
        expected = variances[0] * math.exp(-a * (late - early))
        error = math.sqrt((variances[0] * variances[1] + expected**2) / copies)
        assert float((states[i] * states[j]).mean()) == pytest.approx(expected, abs=4 * error)


def test_a_path_without_noise_is_the_means_and_its_times_must_increase() -> None:
    ggn, _, x0 = batch()
    process = OUProcess(ggn, None, 0.01)
    path = process.path(x0, [0.5, 3.0, 50.0])
    for state, t in zip(path, (0.5, 3.0, 50.0), strict=True):
        assert oracles.relative_error(state, process.mean(x0, t)) < 1e-12
    for times in ([], [2.0, 1.0]):
        with pytest.raises(ValueError, match="times must be increasing"):
            process.path(x0, times)


def test_auto_takes_the_cheaper_of_gram_and_krylov_and_says_why() -> None:
    class Rows:
        size, gradient = 10**6, torch.zeros(1)

        def __init__(self, rows: int) -> None:
            self.rows = rows

    assert OUProcess(Rows(640)).method == "gram"
    large = OUProcess(Rows(20_000))
    assert large.method == "krylov"
    assert re.match(r"m = 20000: gram about 1\.\de\+14 flops, krylov \d\.\de\+12", large.reason)
    for tolerance in (1e-3, 1e-9):
        gram, krylov = relaxation_operations(2000, 10**6, None, tolerance)
        assert OUProcess(Rows(2000), tolerance=tolerance).method == ("gram" if gram <= krylov else "krylov")
    least = [relaxation_operations(500, 10**6, None, tolerance)[1] for tolerance in (1e-9, 1e-3)]
    assert least[0] > least[1]


def test_krylov_answers_the_batch_gradient_in_row_space() -> None:
    """Only `gram_matvec` is called while the space grows; one Bᵀ product ends it."""
    ggn, _, _ = batch()
    calls: list[str] = []

    class Counting:
        size, rows, gradient_weights, gradient = ggn.size, ggn.rows, ggn.gradient_weights, ggn.gradient
        matrix_free = False

        def __getattr__(self, name: str) -> object:
            calls.append(name)
            return getattr(ggn, name)

    process = OUProcess(Counting(), None, 0.01, method="krylov", tolerance=1e-10)
    x = process.mean(torch.zeros(ggn.size).double(), 20.0)
    expected = OUProcess(ggn, None, 0.01, method="gram").mean(torch.zeros(ggn.size).double(), 20.0)
    assert oracles.relative_error(x, expected) < 1e-9
    assert process.products > 3
    assert set(calls) <= {"gram_matvec", "factor_rmatvec"}
    assert calls.count("factor_rmatvec") == 1


def test_bad_arguments_are_refused_by_name() -> None:
    ggn, dense, x0 = batch()
    with pytest.raises(ValueError, match="rhs must be given with a dense matrix"):
        OUProcess(dense)
    with pytest.raises(ValueError, match="needs a factored operator"):
        OUProcess(dense, ggn.gradient, method="gram")
    with pytest.raises(ValueError, match="method must be one of"):
        OUProcess(ggn, method="exact")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="noise_variance must be a finite number >= 0"):
        OUProcess(ggn, noise_variance=-1.0)
    with pytest.raises(ValueError, match=r"x0 must be a vector \(74,\)"):
        OUProcess(ggn).mean(torch.zeros(3).double(), 1.0)
    with pytest.raises(ValueError, match="t must be a finite number >= 0"):
        OUProcess(ggn).mean(x0, -1.0)
