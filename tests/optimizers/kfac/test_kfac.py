"""What a step of K-FAC does, and how often."""

from collections import Counter

import pytest
import torch
from torch import nn

from tngd_bench.curvature.kronecker.factors import KroneckerFactors
from tngd_bench.optimizers import KFAC


@pytest.mark.parametrize(("factor_interval", "inverse_interval"), [(10, 100), (1, 1), (5, 20), (20, 5)])
def test_phases_are_the_kinds_of_step_that_a_cycle_has(factor_interval, inverse_interval):
    model = torch.nn.Linear(3, 2)
    optimizer = KFAC(
        model,
        torch.nn.CrossEntropyLoss(),
        lr=1e-3,
        factor_interval=factor_interval,
        inverse_interval=inverse_interval,
    )
    made = []
    optimizer._refresh_factors = record_then(optimizer._refresh_factors, made, "refresh")
    inputs, targets = torch.randn(4, 3), torch.tensor([0, 1, 0, 1])
    optimizer.step(inputs, targets)
    (factors,) = optimizer.factors.values()
    factors.invert = record_then(factors.invert, made, "invert")

    def kinds(iterations):
        for iteration in iterations:
            optimizer.iteration = iteration
            made.clear()
            optimizer.step(inputs, targets)
            yield tuple(made)

    cycle = range(3 * optimizer.cycle, 4 * optimizer.cycle)
    expected = Counter(kinds(cycle))
    representatives, counts = zip(*optimizer.phases, strict=True)
    assert dict(zip(kinds(representatives), counts, strict=True)) == expected
    assert sum(counts) == optimizer.cycle


def record_then(function, log, what):
    def recorded(*arguments):
        log.append(what)
        return function(*arguments)

    return recorded


@pytest.mark.parametrize("inverse", ["cholesky", "eigen"])
@pytest.mark.parametrize("bias", [True, False])
def test_between_refreshes_a_finished_gradient_gives_the_direction_of_the_rows(inverse, bias):
    """A convolution has far more rows than its gradient has values, the linear layer fewer."""
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 2, 3, bias=bias), nn.Tanh(), nn.Flatten(), nn.Linear(32, 30, bias=bias)
    model = nn.Sequential(*layers).double()
    x, y = torch.rand(4, 1, 6, 6).double(), torch.randint(0, 30, (4,))
    optimizer = KFAC(model, nn.CrossEntropyLoss(), inverse=inverse)
    optimizer.step(x, y)
    forward = optimizer._forward(x, y)
    in_rows, rest = optimizer._tracer.passes(forward.maps, forward.loss)
    mixed, others = optimizer._tracer.passes(forward.maps, forward.loss, optimizer.factors)
    assert rest == others == []
    assert {one.map.names[0]: one.rows is None for one in mixed} == {"0.weight": True, "3.weight": False}
    wanted = {one.map.names[0]: one for one in in_rows}
    for one in mixed:
        name = one.map.names[0]
        torch.testing.assert_close(one.gradient, wanted[name].gradient)
        (x, slope), (other, its) = (
            each.preconditioned(optimizer.factors[name]) for each in (one, wanted[name])
        )
        torch.testing.assert_close(x.matrix, other.matrix)
        torch.testing.assert_close(slope, its)
        written = [torch.empty_like(p) for p in one.map.parameters]
        one.map.write(x, 0.5, written)
        for piece, place in zip(one.map.pieces(0.5 * x.matrix), written, strict=True):
            torch.testing.assert_close(place, piece)


def test_a_running_average_is_what_it_says() -> None:
    generator = torch.Generator().manual_seed(0)
    batches = [
        [torch.randn(k, n, generator=generator, dtype=torch.float64) for k, n in ((6, 3), (8, 2))]
        for _ in range(2)
    ]
    factors = KroneckerFactors.of(*batches[0])
    factors.average(*batches[1], 0.9)
    first, second = ([a.T @ a / 6, g.T @ g] for a, g in batches)
    torch.testing.assert_close(factors.inputs, 0.9 * first[0] + 0.1 * second[0])
    torch.testing.assert_close(factors.outputs, 0.9 * first[1] + 0.1 * second[1])
