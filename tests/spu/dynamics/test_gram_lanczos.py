"""The single-precision route on a formed K against float64, and when it steps aside."""

from __future__ import annotations

import math
from functools import cache

import pytest
import scipy.stats
import torch
from torch import Tensor

from tngd_bench.curvature.operator import ExplicitFactor, Shifted
from tngd_bench.curvature.route import TOLERANCE, Route
from tngd_bench.spu.dynamics import gram_lanczos
from tngd_bench.spu.dynamics.gram_lanczos import GramLanczosTransition
from tngd_bench.spu.dynamics.spectral import Decay, Response, Spread
from tngd_bench.spu.dynamics.transitions import DenseTransition, GramTransition

ROWS, SIZE = 512, 700


@cache
def operator(dtype: torch.dtype = torch.float32) -> ExplicitFactor:
    generator = torch.Generator().manual_seed(0)
    left, _ = torch.linalg.qr(torch.randn(ROWS, ROWS, dtype=torch.float64, generator=generator))
    right, _ = torch.linalg.qr(torch.randn(SIZE, ROWS, dtype=torch.float64, generator=generator))
    values = torch.logspace(-6.0, 1.1, ROWS, dtype=torch.float64)
    return ExplicitFactor((left @ torch.diag(values.sqrt()) @ right.T).to(dtype))


@cache
def dense(damping: float) -> DenseTransition:
    return DenseTransition(Shifted(operator(torch.float64), damping))


def vectors() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x0, noise = torch.randn(2, SIZE, dtype=torch.float64, generator=generator)
    return x0, noise, torch.randn(ROWS, dtype=torch.float64, generator=generator)


@pytest.fixture
def decompositions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Applications that took the eigenvectors."""
    seen: list[int] = []
    whole = GramTransition.apply

    def counted(self: GramTransition, *arguments: object) -> Tensor:
        seen.append(1)
        return whole(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(GramTransition, "apply", counted)
    return seen


@pytest.mark.parametrize("t", [0.1, 5.0, 50.0])
@pytest.mark.parametrize("damping", [0.01, 0.1, 1.0])
def test_single_precision_is_as_close_as_its_eigenvectors(
    t: float, damping: float, decompositions: list[int]
) -> None:
    x0, noise, w = vectors()
    exact = dense(damping).apply(
        [(Decay(t), x0), (Spread(t, 0.1), noise), (Response(t), operator(torch.float64).factor_rmatvec(w))]
    )
    terms = [(Decay(t), x0.float()), (Spread(t, 0.1), noise.float())], [(Response(t), w.float())]

    def error(transition: GramTransition | GramLanczosTransition) -> float:
        return float((transition.apply(*terms).double() - exact).norm() / exact.norm())

    by_lanczos = error(GramLanczosTransition(Shifted(operator(), damping)))
    assert not decompositions
    assert by_lanczos < 1.2 * error(GramTransition(Shifted(operator(), damping))) + 2 * TOLERANCE
    assert by_lanczos < 5e-5


@pytest.mark.parametrize("t", [0.1, 5.0, 50.0])
@pytest.mark.parametrize("damping", [0.0, 1e-5, 1e-4])
def test_damping_near_the_rounding_of_k_is_taken_in_double_and_as_close_as_eigenvectors(
    t: float, damping: float, decompositions: list[int]
) -> None:
    """Against functions of K as it was formed, which in single precision is all there is."""
    x0, noise, w = vectors()
    single = operator()
    terms = [(Decay(t), x0.float()), (Spread(t, 0.1), noise.float())], [(Response(t), w.float())]
    by_eigenvectors = GramTransition(Shifted(single, damping)).apply(*terms)
    decompositions.clear()
    transition = GramLanczosTransition(Shifted(single, damping))
    found = transition.apply(*terms)
    assert not decompositions
    assert transition._exact.needs_double
    assert float((found - by_eigenvectors).norm() / by_eigenvectors.norm()) < 3 * TOLERANCE


@pytest.mark.parametrize("damping", [0.0, 1e-4])
def test_a_plain_right_hand_side_near_the_rounding_of_k_is_as_close_as_by_eigenvectors(
    damping: float, decompositions: list[int]
) -> None:
    wide = operator(torch.float64)
    rhs = wide.factor_rmatvec(vectors()[2])
    exact = DenseTransition(Shifted(wide, damping)).apply([(Response(5.0), rhs)])

    def error(transition: GramTransition | GramLanczosTransition) -> float:
        found = transition.apply([(Response(5.0), rhs.float())])
        return float((found.double() - exact).norm() / exact.norm())

    by_lanczos = error(GramLanczosTransition(Shifted(operator(), damping)))
    assert not decompositions
    assert by_lanczos < 1.2 * error(GramTransition(Shifted(operator(), damping))) + 2 * TOLERANCE


def test_in_double_too_eigenvectors_are_taken_where_lanczos_fails(
    decompositions: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    w, damping = vectors()[2].float(), 1e-4
    exact = GramTransition(Shifted(operator(), damping)).apply([], [(Response(5.0), w)])
    decompositions.clear()
    monkeypatch.setattr(gram_lanczos, "TOLERANCE", 1e-30)  # out of reach
    monkeypatch.setattr(gram_lanczos, "gram_function_route", lambda *given, **named: Route("lanczos", ""))
    found = GramLanczosTransition(Shifted(operator(), damping)).apply([], [(Response(5.0), w)])
    assert len(decompositions) == 1
    assert torch.equal(found, exact)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_k_that_is_not_finite_gives_no_number(broken: float) -> None:
    """As of a diverged network; the step then says that it diverged."""
    factor = operator().factor.clone()
    factor[3, 5] = broken
    found = GramLanczosTransition(Shifted(ExplicitFactor(factor), 1e-4)).apply(
        [], [(Response(5.0), vectors()[2].float())]
    )
    assert not found.isfinite().any()


@pytest.mark.parametrize("t", [0.1, 5.0, 50.0])
def test_a_plain_right_hand_side_is_as_close_as_by_eigenvectors(t: float, decompositions: list[int]) -> None:
    """One in the range of Bᵀ, as a gradient is: f(λ) g is then far larger than the answer."""
    wide, damping = operator(torch.float64), 0.01
    rhs = wide.factor_rmatvec(vectors()[2])
    exact = DenseTransition(Shifted(wide, damping)).apply([(Response(t), rhs)])

    def error(transition: GramTransition | GramLanczosTransition) -> float:
        return float((transition.apply([(Response(t), rhs.float())]).double() - exact).norm() / exact.norm())

    by_lanczos = error(GramLanczosTransition(Shifted(operator(), damping)))
    assert not decompositions
    assert by_lanczos < 1.2 * error(GramTransition(Shifted(operator(), damping))) + 2 * TOLERANCE


def test_the_third_application_takes_eigenvectors(decompositions: list[int]) -> None:
    x0 = vectors()[0].float()
    transition = GramLanczosTransition(Shifted(operator(), 0.1))
    results = [transition.apply([(Decay(2.0), x0)]) for _ in range(4)]
    assert len(decompositions) == 2
    for result in results[1:]:
        assert float((result - results[0]).norm() / results[0].norm()) < 2e-6


def test_it_steps_aside_where_lanczos_is_not_the_better_way(
    decompositions: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    x0 = vectors()[0]
    GramLanczosTransition(Shifted(operator(torch.float64), 0.1)).apply([(Decay(2.0), x0)])  # double precision
    GramLanczosTransition(Shifted(operator(), 1e-4)).apply(
        [(Decay(1e6), x0.float())]
    )  # until modes of 10⁻⁴ beside those of 10 have settled
    assert len(decompositions) == 2
    monkeypatch.setattr(gram_lanczos, "TOLERANCE", 1e-30)  # out of reach
    reached = GramLanczosTransition(Shifted(operator(), 0.1)).apply([(Decay(2.0), x0.float())])
    assert len(decompositions) == 3
    exact = dense(0.1).apply([(Decay(2.0), x0)])
    assert float((reached.double() - exact).norm() / exact.norm()) < 2e-5


@pytest.mark.parametrize("rows", [200, ROWS])
@pytest.mark.parametrize("damping", [0.01, 0.1])
def test_long_times_in_single_precision_are_the_exact_solution(rows: int, damping: float) -> None:
    """x(∞) = Bᵀ (K + λI)⁻¹ w to 10⁻⁵ for K as it was formed, by eigenvectors and by Lanczos.

    λ = 0.01 amplifies rounding a hundredfold: in single precision throughout the error would be some 10⁻⁴.
    """
    factor = operator().factor[:rows]
    x0, _, w = vectors()
    wide = factor.double()
    shifted = ExplicitFactor(factor).gram().double() + damping * torch.eye(rows, dtype=torch.float64)
    exact = wide.T @ torch.linalg.solve(shifted, w[:rows])
    found = GramLanczosTransition(Shifted(ExplicitFactor(factor), damping)).apply(
        [(Decay(1e6), x0.float())], [(Response(1e6), w[:rows].float())]
    )
    assert float((found.double() - exact).norm() / exact.norm()) < 1e-5


@pytest.mark.parametrize(
    "draws",
    [
        30,
        pytest.param(143, marks=pytest.mark.slow(reason="143 draws, five times those of the default suite")),
    ],
)
@pytest.mark.parametrize("t", [0.5, 50.0])
def test_noise_of_the_lanczos_route_follows_its_exact_law(
    t: float, draws: int, decompositions: list[int]
) -> None:
    """Noise, whitened by (κ₀ A⁻¹(I − e^{−2At}))^{−1/2}: 143 draws of 700 modes are 10⁵ standard normal values."""
    damping, kappa = 0.02, 0.3
    values, modes = torch.linalg.eigh(operator(torch.float64).dense())
    deviation = Spread(t, kappa)(values.clamp_min(0.0) + damping)
    generator = torch.Generator().manual_seed(7)
    single = operator()
    gram = single.gram()
    white = []
    for _ in range(draws):
        transition = GramLanczosTransition(Shifted(single, damping))
        transition._formed.__dict__["matrix"] = gram  # formed once for all draws
        noise = transition.apply([(Spread(t, kappa), torch.randn(SIZE, generator=generator))])
        white.append((modes.T @ noise.double()) / deviation)
    drawn = torch.stack(white).numpy()
    assert not decompositions
    assert scipy.stats.kstest(drawn.ravel(), "norm").pvalue > 1e-3
    squares = (drawn**2).sum(1)
    assert scipy.stats.kstest(squares, scipy.stats.chi2(SIZE).cdf).pvalue > 1e-3
    # each mode by itself: a wrong spectrum would average out in the test of all values
    of_modes = (drawn**2).sum(0)
    assert scipy.stats.kstest(of_modes, scipy.stats.chi2(draws).cdf).pvalue > 1e-3
