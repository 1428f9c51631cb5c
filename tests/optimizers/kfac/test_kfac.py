"""What a step of K-FAC does, and how often."""

from collections import Counter

import pytest
import torch

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
