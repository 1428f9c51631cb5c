"""A device as preconditioner of conjugate gradients: dense oracles, products saved, its bill."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse.linalg
import torch
from torch import Tensor, nn

from tests import oracles
from tngd_bench.curvature import GGN
from tngd_bench.optimizers import DivergedError, registry
from tngd_bench.optimizers.costs import cost_of, host_cost, host_cost_of
from tngd_bench.optimizers.device_cg.optimizer import DeviceCG
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.solvers import CG, Gram, Thermodynamic
from tngd_bench.spu import Device
from tngd_bench.spu.billing import Workload, latency
from tngd_bench.spu.dynamics.route import drawn_in_law

IDEAL = Device.ideal()
DAMPING, T = 0.01, 30.0
LOSS = nn.CrossEntropyLoss()


def batch(seed: int = 0, size: int = 12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(size, 6, dtype=torch.float64, generator=generator), torch.arange(size) % 4


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 4)).double()


@pytest.fixture(scope="module")
def ggn() -> GGN:
    return GGN(model(), LOSS, *batch())


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def analog(device: Device, **settings: Any) -> Thermodynamic:
    return Thermodynamic(T, start="zero", device=device, generator=seeded(), **settings)


def dense(ggn: GGN) -> np.ndarray:
    return (ggn.dense() + DAMPING * torch.eye(ggn.size, dtype=torch.float64)).numpy()


def test_standard_conjugate_gradients_are_those_of_scipy_under_the_dense_map(ggn: GGN) -> None:
    """φ(A) = (I − e^(−At)) A⁻¹ is the ideal device's map: fixed, symmetric, positive definite."""
    a, g = dense(ggn), ggn.gradient.numpy()
    answers = analog(IDEAL).preconditioner(ggn, DAMPING)
    assert answers.is_linear
    phi = np.linalg.solve(a, np.eye(len(a)) - scipy.linalg.expm(-T * a))
    for rounds in (1, 2, 4):
        iterates: list[np.ndarray] = []
        scipy.sparse.linalg.cg(a, g, rtol=0.0, maxiter=rounds, M=phi, callback=iterates.append)
        found = CG(max_iterations=rounds, rtol=0.0, preconditioner=answers).solve(ggn, damping=DAMPING)
        assert oracles.relative_error(found.solution, iterates[-1]) < 1e-9
        assert found.iterations == rounds
    assert answers.applications == 1 + 2 + 4  # one for each product


IMPERFECT = {
    "noise": (IDEAL, {"noise_variance": 1e-6}),
    "converters": (IDEAL.override(adc_bits=10, dac_bits=10), {}),
    "arrays that err apart": (IDEAL.override(programming_error=0.005), {}),
}


@pytest.mark.parametrize("name", IMPERFECT)
def test_flexible_conjugate_gradients_solve_exactly_whatever_the_answers(ggn: GGN, name: str) -> None:
    device, settings = IMPERFECT[name]
    answers = analog(device, **settings).preconditioner(ggn, DAMPING)
    assert not answers.is_linear
    found = CG(rtol=1e-10, preconditioner=answers, flexible=True).solve(ggn, damping=DAMPING)
    assert found.history[-1] <= 1e-10
    exact = np.linalg.solve(dense(ggn), ggn.gradient.numpy())
    assert oracles.relative_error(found.solution, exact) < 1e-7
    plain = CG(rtol=1e-10, space="parameters").solve(ggn, damping=DAMPING)
    assert found.iterations < plain.iterations


def test_flexible_and_standard_are_one_where_the_map_is_fixed_and_symmetric(ggn: GGN) -> None:
    for device in (
        IDEAL,
        IDEAL.override(array_bits=6, shared_array=True),
        IDEAL.override(capacitor_mismatch=0.1),
    ):
        found = []
        for flexible in (False, True):
            answers = analog(device).preconditioner(ggn, DAMPING)
            assert answers.is_linear
            found.append(CG(8, 1e-9, answers, flexible=flexible).solve(ggn, damping=DAMPING))
        first, second = found
        torch.testing.assert_close(first.solution, second.solution, rtol=1e-7, atol=1e-10)


def test_an_array_drawn_in_law_answers_as_a_fixed_symmetric_matrix() -> None:
    """Of whose cells only what products show is drawn, whenever they are made."""
    torch.manual_seed(0)
    wide = nn.Sequential(nn.Linear(64, 60), nn.Tanh(), nn.Linear(60, 10)).double()
    ggn = GGN(wide, LOSS, torch.rand(4, 64, dtype=torch.float64), torch.arange(4))
    device = IDEAL.override(programming_error=0.01, shared_array=True, hessian_array=False)
    assert drawn_in_law(device, ggn.rows, ggn.size)
    answers = analog(device).preconditioner(ggn, DAMPING)
    assert answers.is_linear
    first, second = torch.randn(2, ggn.size, generator=seeded(), dtype=torch.float64)
    one, two = answers(first), answers(second)
    assert float(one @ second) == pytest.approx(float(two @ first), rel=1e-9)
    torch.testing.assert_close(answers(first), one, rtol=1e-10, atol=1e-12)


def test_without_preconditioner_flexible_changes_nothing(ggn: GGN) -> None:
    plain, flexible = (CG(6, 0.0, space="parameters", flexible=each).solve(ggn) for each in (False, True))
    torch.testing.assert_close(plain.solution, flexible.solution, rtol=1e-9, atol=1e-12)


def made(device: Device | str = IDEAL, **settings: Any) -> DeviceCG:
    return DeviceCG(model(), LOSS, 0.1, DAMPING, device=device, generator=seeded(), **settings)


def test_the_step_is_exact_to_its_tolerance_with_fewer_products_than_without() -> None:
    optimizer = made(IDEAL.override(programming_error=0.005, adc_bits=8), cg_rtol=1e-8, analog_time=200.0)
    optimizer.step(*batch())
    ggn = GGN(model(), LOSS, *batch())
    exact = Gram().solve(ggn, damping=DAMPING).solution
    assert optimizer.natural_gradient is not None
    assert optimizer.iterations is not None
    assert oracles.relative_error(optimizer.natural_gradient, exact) < 1e-6
    assert optimizer.residual is not None
    assert optimizer.residual <= 1e-8
    plain = CG(rtol=1e-8, space="parameters").solve(ggn, damping=DAMPING)
    assert 0 < optimizer.iterations < plain.iterations


def test_the_bill_is_the_arrays_once_and_a_run_for_each_application() -> None:
    device = Device.preset("paper")
    optimizer = made(device)
    assert optimizer.ledger is None
    assert optimizer.host_products is None
    optimizer.step(*batch())
    assert optimizer.ledger is not None
    n, rows, k = optimizer.parameters.count, 12 * 4, optimizer.applications
    assert k == optimizer.iterations == optimizer.host_products
    once = latency(device, Workload.of(n, rows, 50.0, start="zero")).items
    found = optimizer.ledger.items
    for name in ("write_gradient", "relax", "read"):
        assert found[name] == pytest.approx(k * once[name], rel=1e-12)  # type: ignore[operator]
    assert found["write_arrays"] == once["write_arrays"]


def test_a_gradient_of_zero_needs_no_relaxation() -> None:
    """The arrays are written before the right-hand side is looked at; nothing is sent to them, and nothing read."""
    tiles = {"tile_rows": 8, "tile_columns": 8, "partial_sums_per_tau": 1.0, "partial_sum_time_s": 1e-9}
    device = Device.preset("paper").override(dac_rate_hz=1e6, adc_rate_hz=1e6, **tiles)
    own, (inputs, _) = model(), batch()
    optimizer = DeviceCG(own, nn.MSELoss(), 0.1, DAMPING, device=device, samples=2)
    optimizer.step(inputs, own(inputs).detach())
    assert optimizer.applications == optimizer.iterations == 0
    assert optimizer.ledger is not None
    billed = {name for name, seconds in optimizer.ledger.items.items() if seconds}
    assert billed == {"write_arrays"}


def test_an_unstable_device_ends_the_step_and_leaves_the_parameters() -> None:
    optimizer = made(IDEAL.override(programming_error=0.5))
    before = [p.detach().clone() for p in optimizer.parameters.tensors]
    with pytest.raises(DivergedError, match="unstable"):
        optimizer.step(*batch())
    assert all(torch.equal(p, kept) for p, kept in zip(optimizer.parameters.tensors, before, strict=True))


def test_a_resumed_run_gives_the_same_bits() -> None:
    device = IDEAL.override(programming_error=0.003, adc_noise_volts=1e-4)
    optimizer = made(device, memory=0.5, noise_variance=1e-8)
    optimizer.step(*batch(1))
    state = copy.deepcopy(optimizer.state_dict())
    resumed = made(device, memory=0.5, noise_variance=1e-8)
    resumed.model.load_state_dict(optimizer.model.state_dict())
    resumed.load_state_dict(state)
    for each in (optimizer, resumed):
        each.step(*batch(2))
    assert torch.equal(optimizer.natural_gradient, resumed.natural_gradient)  # type: ignore[arg-type]


def test_a_study_sets_it_like_any_optimizer() -> None:
    entry = registry.get("ngd-cg-device")
    settings = {"device": "rram", "programming_error": 0.001, "cg_rtol": 1e-3, "cg_iterations": 7}
    optimizer = entry.create(model(), LOSS, settings, seeded())
    assert isinstance(optimizer, DeviceCG)
    assert (optimizer.device.name, optimizer.device.programming_error) == ("rram", 0.001)
    with pytest.raises(ValueError, match="cg_rtol must be"):
        entry.check_complete({"cg_rtol": 1.0})
    with pytest.raises(TypeError, match="device must be a preset's name or a Device"):
        DeviceCG(model(), LOSS, device=3)  # type: ignore[arg-type]
    assert entry.device_billed_alone({}) is None  # only a step says how often the device is used


def test_predictions_take_as_many_products_as_without_a_device() -> None:
    it = Iteration(100_000, 320, 32, 10, ((784, 120, 1), (120, 10, 1)))
    plain = host_cost(it).flops
    found = host_cost_of("ngd-cg-device", it).flops
    assert found == pytest.approx(plain + it.iterations_of_cg * it.product(by_model=False), rel=1e-12)
    assert cost_of("ngd-cg-device", it).flops > cost_of("tngd", it).flops


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_device_that_answers_with_zero_ends_the_step_and_leaves_the_parameters(bits: int) -> None:
    """The least level of a converter of a fixed range of ±1 MV is far above the readout; one bit has none for zero."""
    own = model()
    before = [p.detach().clone() for p in own.parameters()]
    optimizer = DeviceCG(
        own, LOSS, device=IDEAL.override(adc_range_volts=1e6, adc_bits=bits), damping=DAMPING
    )
    with pytest.raises(DivergedError, match="answers a residual with zero after 0 products"):
        optimizer.step(*batch())
    assert all(torch.equal(p, was) for p, was in zip(own.parameters(), before, strict=True))


def test_without_a_relaxation_there_is_no_answer() -> None:
    with pytest.raises(ValueError, match="analog_time must be a finite number > 0"):
        DeviceCG(model(), LOSS, device=IDEAL, analog_time=0.0)


@pytest.mark.parametrize("answer", ["a fixed vector", "signs", "one bit"])
def test_answers_without_a_new_direction_cost_products_and_not_the_solution(ggn: GGN, answer: str) -> None:
    """A fixed vector is the last direction again, to which the residual is orthogonal."""
    fixed = torch.ones_like(ggn.gradient)
    known: dict[str, Callable[[Tensor], Tensor]] = {
        "a fixed vector": lambda _residual: fixed,
        "signs": torch.sign,
        "one bit": analog(IDEAL.override(dac_bits=1)).preconditioner(ggn, DAMPING),
    }
    found = CG(max_iterations=2000, rtol=1e-6, preconditioner=known[answer], flexible=True).solve(
        ggn, damping=DAMPING
    )
    assert found.history[-1] <= 1e-6
    exact = np.linalg.solve(dense(ggn), ggn.gradient.numpy())
    assert oracles.relative_error(found.solution, exact) < 1e-3


def test_a_gradient_whose_square_is_below_the_least_number_ends_without_an_error() -> None:
    torch.manual_seed(0)
    ggn = GGN(nn.Linear(3, 2), nn.MSELoss(), torch.rand(4, 3), torch.rand(4, 2))
    for size in 10.0 ** np.arange(-23.3, -22.0, 0.05):
        found = CG(space="parameters").solve(ggn, float(size) * ggn.gradient, DAMPING).solution
        assert bool(found.isfinite().all())
