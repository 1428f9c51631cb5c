"""Expected iterations of conjugate gradients, against solves."""

import math

import pytest
import torch

from tngd_bench.curvature import GGN
from tngd_bench.optimizers import NGD
from tngd_bench.problems import registry as problems
from tngd_bench.solvers import CG
from tngd_bench.solvers.cg_iterations import SPREAD, CGIterations


def solved(problem, parameters, batch_size, outputs, damping, rtol=1e-6):
    """Iterations of a solve on random data, which are not those that the fit is of."""
    entry = problems.get(problem)
    generator = torch.Generator().manual_seed(1)
    shape = (64,) if problem == "digits-mlp" else (1, 28, 28)
    inputs = torch.rand(batch_size, *shape, generator=generator)
    targets = torch.randint(0, 10, (batch_size,), generator=generator)
    model = entry.model(entry.widths(parameters, outputs), 3)
    return CG(rtol=rtol).solve(GGN(model, entry.loss(), inputs, targets), damping=damping).iterations


@pytest.mark.parametrize(("batch_size", "outputs", "damping"), [(1, 10, 1e-3), (2, 10, 1e-2), (4, 10, 1e-3)])
def test_few_rows_are_solved_in_as_many_iterations(batch_size, outputs, damping):
    rows = batch_size * outputs
    counted = solved("digits-mlp", 5_000, batch_size, outputs, damping)
    expected = CGIterations(damping=damping).at(5_000, batch_size, outputs)
    assert expected == rows
    assert abs(math.log(counted / expected)) < SPREAD
    measured = CGIterations(damping=damping, counted=((5_000, batch_size, outputs, counted),))
    assert measured.at(5_000, batch_size, outputs) == pytest.approx(counted)
    assert CGIterations(damping=damping, rtol=0.0, limit=90).at(5_000, batch_size, outputs) == 90


@pytest.mark.parametrize("damping", [1e-3, 1e-1])
@pytest.mark.parametrize(
    ("problem", "batch_size", "outputs"), [("digits-mlp", 64, 10), ("mnist-cnn", 16, 20)]
)
def test_solves_lie_within_three_spreads_of_the_fit(problem, batch_size, outputs, damping):
    counted = solved(problem, 5_000, batch_size, outputs, damping)
    expected = CGIterations(damping).beforehand(outputs, shared=problem == "mnist-cnn")
    assert abs(math.log(counted / expected)) < 3 * SPREAD


def test_the_limit_is_expected_only_where_no_tolerance_stops_earlier():
    assert CGIterations(rtol=0.0, limit=20).beforehand(10) == 20
    assert CGIterations(damping=0.0).beforehand(10) == 200
    assert CGIterations(limit=200).beforehand(10) < 60
    assert CGIterations(limit=5).beforehand(10) == 5


def test_less_damping_and_a_finer_tolerance_take_more():
    assert CGIterations(1e-4).beforehand(10) > CGIterations(1e-2).beforehand(10)
    assert CGIterations(rtol=1e-8).beforehand(10) > CGIterations(rtol=1e-4).beforehand(10)


def test_counted_solves_replace_the_fit_where_they_are_and_move_it_between():
    counted = ((1e3, 32, 10, 100), (1e6, 32, 10, 20))
    cg = CGIterations(counted=counted)
    for n, b, d_z, iterations in counted:
        assert cg.at(n, b, round(d_z)) == pytest.approx(iterations, rel=0.01)
    assert 20 < cg.at(3e4, 32, 10) < 100
    assert cg.at(1e3, 32, 100) < cg.at(1e3, 32, 10), "as the fit goes with the outputs"


def test_settings_of_a_study_are_taken():
    cg = CGIterations.of({"damping": 0.1, "cg_rtol": 0, "cg_iterations": 7})
    assert (cg.damping, cg.rtol, cg.limit, cg.at(1e5, 32, 10)) == (0.1, 0.0, 7, 7.0)


def trained(parameters, damping, steps):
    """Mean iterations over the steps of a training, at settings that the stated rise is not of."""
    entry = problems.get("digits-mlp")
    data = entry.load(1_000, 100)
    optimizer = NGD(
        entry.model(entry.widths(parameters, 10), 1), entry.loss(), lr=0.05, damping=damping, solver="cg"
    )
    order, counts = torch.randperm(1_000, generator=torch.Generator().manual_seed(1)), []
    for number in range(steps):
        chosen = order[16 * number : 16 * number + 16]
        optimizer.step(data.train_inputs[chosen], data.train_targets[chosen])
        counts.append(optimizer.iterations)
    return sum(counts) / steps


@pytest.mark.parametrize(("parameters", "damping"), [(2_000, 0.03), (4_000, 0.3)])
def test_a_training_takes_more_iterations_than_its_start(parameters, damping):
    steps = 50
    expected = CGIterations(damping, steps=steps, lr=0.05).at(parameters, 16, 10)
    assert abs(math.log(trained(parameters, damping, steps) / expected)) < math.log(1.4)


def test_the_rise_ends_and_the_limit_holds():
    mean = [CGIterations(0.1, steps=steps).at(5_000, 32, 10) for steps in (0, 1, 10, 100, 10_000)]
    assert mean == sorted(mean)
    assert mean[-1] == pytest.approx(3 * mean[0], rel=0.01)
    assert CGIterations(1e-3, steps=100).at(5_000, 32, 10) <= 200
    assert CGIterations(rtol=0.0, limit=20, steps=100).at(5_000, 32, 10) == 20
