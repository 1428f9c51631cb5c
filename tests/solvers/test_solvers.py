"""All solvers against numpy on the brute-force GGN, ill-conditioned cases included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests import oracles
from tngd_bench.curvature import GGN
from tngd_bench.curvature.operator import Shifted
from tngd_bench.solvers import CG, Dense, Gram, Solver, Thermodynamic, Woodbury
from tngd_bench.solvers.system import solve_shifted
from tngd_bench.spu import Device

EXACT: dict[str, Solver] = {
    "dense": Dense(),
    "woodbury": Woodbury(),
    "gram": Gram(),
    "cg": CG(rtol=1e-13),
    "cg in N": CG(rtol=1e-13, space="parameters"),
}


def batch(
    samples: int = 6, *, repeat: bool = False, dtype: torch.dtype = torch.float64
) -> tuple[GGN, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4)).to(torch.float64)
    inputs, targets = torch.rand(samples, 5, dtype=torch.float64), torch.arange(samples) % 4
    if repeat:
        inputs, targets = inputs[:1].expand(samples, 5).clone(), targets[:1].expand(samples).clone()
    dense = oracles.ggn(model, nn.CrossEntropyLoss(), inputs, targets)
    return GGN(model.to(dtype), nn.CrossEntropyLoss(), inputs.to(dtype), targets), dense


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("damping", [1.0, 1e-2, 1e-5])
def test_solutions_equal_numpy_for_the_gradient_and_for_any_vector(name: str, damping: float) -> None:
    ggn, dense = batch()
    other = torch.rand(ggn.size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    shifted = dense.numpy() + damping * np.eye(ggn.size)
    for rhs in (None, ggn.gradient, other):
        wanted = np.linalg.solve(shifted, (ggn.gradient if rhs is None else rhs).numpy())
        result = EXACT[name].solve(ggn, rhs, damping=damping)
        assert oracles.relative_error(result.solution, wanted) < 1e-8
        assert result.residual_norm < 1e-8 * np.linalg.norm(wanted)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("repeat", [False, True])
def test_zero_damping_gives_the_minimum_norm_solution(name: str, repeat: bool) -> None:
    ggn, dense = batch(repeat=repeat)
    wanted = np.linalg.pinv(dense.numpy(), rcond=1e-11) @ ggn.gradient.numpy()
    result = EXACT[name].solve(ggn, damping=0.0)
    assert oracles.relative_error(result.solution, wanted) < 1e-6


@pytest.mark.parametrize("name", ["dense", "woodbury", "gram"])
def test_damping_lost_in_rounding_still_gives_the_minimum_norm_solution(name: str) -> None:
    ggn, dense = batch(repeat=True, dtype=torch.float32)
    wanted = np.linalg.pinv(dense.numpy(), rcond=1e-6) @ ggn.gradient.double().numpy()
    result = EXACT[name].solve(ggn, damping=1e-12)
    assert oracles.relative_error(result.solution.double(), wanted) < 1e-2


def test_float32_gram_is_within_1e_4_at_the_paper_damping() -> None:
    double, dense = batch()
    wanted = np.linalg.solve(dense.numpy() + 0.01 * np.eye(double.size), double.gradient.numpy())
    single, _ = batch(dtype=torch.float32)
    assert oracles.relative_error(Gram().solve(single, damping=0.01).solution.double(), wanted) < 1e-4


def test_a_confidently_wrong_sample_is_solved_in_float32() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3)).double()
    with torch.no_grad():
        model[0].weight.copy_(40.0 * torch.eye(3))
    inputs, targets = torch.eye(3, dtype=torch.float64), torch.tensor([1, 1, 2])  # sample 0: p_y = e⁻⁴⁰
    dense = oracles.ggn(model, nn.CrossEntropyLoss(), inputs, targets).numpy()
    slope = oracles.gradient(model, nn.CrossEntropyLoss(), inputs, targets).numpy()
    wanted = np.linalg.solve(dense + 0.01 * np.eye(len(dense)), slope)
    single = GGN(model.float(), nn.CrossEntropyLoss(), inputs.float(), targets)
    assert oracles.relative_error(Gram().solve(single, damping=0.01).solution.double(), wanted) < 1e-5


def test_cg_reports_what_it_did() -> None:
    ggn, _ = batch()
    result = CG(max_iterations=200, rtol=1e-6).solve(ggn, damping=0.01)
    assert 1 < result.iterations == len(result.history) < 60
    assert result.history[-1] <= 1e-6 < result.history[-2]
    norm = float(torch.linalg.vector_norm(ggn.gradient))
    assert result.residual_norm == pytest.approx(result.history[-1] * norm, rel=1e-6)
    assert CG(max_iterations=3).solve(ggn, damping=0.01).iterations == 3


def test_cg_on_rows_makes_the_same_iterates_as_on_parameters() -> None:
    ggn, _ = batch()
    for count in (1, 2, 5, 10):
        rows = CG(max_iterations=count, rtol=0.0, space="rows").solve(ggn, damping=0.01)
        parameters = CG(max_iterations=count, rtol=0.0, space="parameters").solve(ggn, damping=0.01)
        assert (
            oracles.relative_error(rows.solution, parameters.solution) < 1e-6
        )  # rounding grows with the iterations
        assert rows.history == pytest.approx(parameters.history, rel=1e-4)
    other = torch.rand(ggn.size, dtype=torch.float64)
    with pytest.raises(ValueError, match="space='rows' needs rhs to be the batch gradient"):
        CG(space="rows").solve(ggn, other)


def test_a_good_preconditioner_saves_iterations() -> None:
    ggn, dense = batch()
    inverse = torch.linalg.inv(dense + 0.01 * torch.eye(ggn.size, dtype=torch.float64))
    assert CG(preconditioner=lambda r: inverse @ r).solve(ggn, damping=0.01).iterations <= 2


def test_cg_without_damping_refuses_what_has_no_solution() -> None:
    ggn, _ = batch()
    outside = torch.rand(ggn.size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with pytest.raises(ValueError, match="damping must be > 0 for this rhs"):
        CG(rtol=1e-12).solve(ggn, outside, damping=0.0)


def test_zero_right_hand_side_is_solved_by_zero() -> None:
    ggn, _ = batch()
    zero = torch.zeros(ggn.size, dtype=torch.float64)
    for solver in EXACT.values():
        assert not solver.solve(ggn, zero, damping=0.1).solution.any()


@pytest.mark.parametrize("solver", [*EXACT.values(), Thermodynamic()])
def test_bad_arguments_are_refused_by_name(solver: Solver) -> None:
    ggn, _ = batch()
    with pytest.raises(ValueError, match=r"damping must be a finite number >= 0, not -0\.1"):
        solver.solve(ggn, damping=-0.1)
    with pytest.raises(ValueError, match=r"rhs must be a vector \(74,\), not \(3,\)"):
        solver.solve(ggn, torch.zeros(3, dtype=torch.float64), damping=0.1)


def test_device_relaxed_long_enough_is_an_exact_solver() -> None:
    ggn, _ = batch()
    exact = Gram().solve(ggn, damping=0.01).solution
    for start in ("gradient", "zero"):
        relaxed = Thermodynamic(analog_time=1e6, start=start).solve(ggn, damping=0.01).solution
        assert oracles.relative_error(relaxed, exact) < 1e-8


def test_converters_act_on_both_sides_and_more_bits_do_better() -> None:
    ggn, _ = batch()
    ideal = Thermodynamic(analog_time=20.0).solve(ggn, damping=0.1).solution
    for side in ("dac_bits", "adc_bits"):
        errors = []
        for bits in (3, 6, 12):
            device = Device(**{side: bits})  # type: ignore[arg-type]
            solution = Thermodynamic(analog_time=20.0, device=device).solve(ggn, damping=0.1).solution
            errors.append(oracles.relative_error(solution, ideal))
        assert errors[0] > errors[1] > errors[2] > 0


def test_device_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="delay must be <= analog_time = 5, not 6"):
        Thermodynamic(analog_time=5.0, delay=6.0, start="previous")
    with pytest.raises(ValueError, match="delay > 0 needs start = 'previous', not 'gradient'"):
        Thermodynamic(analog_time=5.0, delay=1.0, start="gradient")
    with pytest.raises(
        ValueError, match="start must be one of: previous, gradient, zero; not 'previos'; did you mean"
    ):
        Thermodynamic(start="previos")


@pytest.mark.parametrize("order", [511, 512, 640])
@pytest.mark.parametrize("power", [1, 2])
def test_a_system_of_any_order_is_solved_alike(order: int, power: int) -> None:
    """Orders that crowd the cache are solved with a row more."""
    generator = torch.Generator().manual_seed(order)
    root, right = (torch.randn(order, n, dtype=torch.float64, generator=generator) for n in (40, 1))
    matrix, rhs = root @ root.T, right[:, 0]
    found = solve_shifted(Shifted(matrix.tril(), 0.3), rhs, in_range=False, power=power)
    wanted = np.linalg.matrix_power(np.linalg.inv(matrix.numpy() + 0.3 * np.eye(order)), power) @ rhs.numpy()
    assert found.shape == rhs.shape
    assert float((found - torch.from_numpy(wanted)).norm()) < 1e-10 * float(np.linalg.norm(wanted))
