"""Predicted seconds of a step."""

import pytest

from tngd_bench.optimizers.costs import host_cost, predicted_cost
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.problems import registry as problems
from tngd_bench.solvers.cg_iterations import CGIterations

HOST = "host"
# seconds of a step on one core of an AMD EPYC at 1.14e11 FLOP/s; (problem, N, b, d_z, optimizer)
TIMED = {
    ("mnist-cnn", 100_000, 1024, 20, "ngd-cg"): 0.361,
    ("mnist-cnn", 100_000, 1024, 20, HOST): 0.630,
    ("mnist-cnn", 1_000_000, 32, 20, "ngd-gram"): 0.0257,
    ("digits-mlp", 300_000, 128, 10, "ngd-cg"): 0.0433,
    ("digits-mlp", 20_000, 512, 10, "ngd-gram"): 1.167,
    ("digits-mlp", 100_000, 32, 20, "ngd-woodbury"): 0.753,
    ("digits-mlp", 1_000_000, 32, 20, HOST): 0.151,
}
TWENTY = CGIterations(rtol=0.0, limit=20)


TIMED_RATE = 1.14e11
"""Of products, while those times were taken on a machine that was busy."""


def seconds(problem, parameters, batch, outputs, name, rate=TIMED_RATE):
    widths = problems.get(problem).widths(parameters, outputs)
    size = {
        "parameters": widths.parameters,
        "rows": batch * outputs,
        "batch_size": batch,
        "outputs": outputs,
        "layers": [tuple(layer) for layer in widths.layers],
    }
    counted = host_cost(Iteration(**size)) if name == HOST else predicted_cost(name, **size, cg=TWENTY)
    return counted.seconds(rate)


@pytest.mark.parametrize("place", TIMED, ids=str)
def test_times_are_those_that_were_measured_within_a_half(place):
    assert 1 / 1.5 < seconds(*place) / TIMED[place] < 1.5


def test_a_machine_twice_as_fast_takes_half_the_time():
    place = ("mnist-cnn", 100_000, 1024, 20, "ngd-cg")
    assert seconds(*place, rate=2 * TIMED_RATE) == pytest.approx(seconds(*place) / 2)
