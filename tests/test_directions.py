"""The script that compares TNGD's direction with that of exact NGD with memory."""

import math

import pytest
import torch
from torch import nn

from benchmarks import directions
from tests import oracles
from tngd_bench.datasets.splits import take
from tngd_bench.problems import registry as problems


def test_its_first_two_iterations_are_those_of_dense_algebra() -> None:
    """The first starts at the gradient and has no memory; the second has both, at weights moved by TNGD's step."""
    t, damping, parameters, batch = 3.0, 0.1, *directions.SIZES["digits-mlp"][:2]
    found = list(directions.along("digits-mlp", t, damping, 0, steps=2))
    entry = problems.get("digits-mlp")
    data = entry.load(train_size=directions.SIZES["digits-mlp"][2])
    model, loss = entry.model(entry.widths(parameters), seed=0).double(), nn.CrossEntropyLoss()
    generator, state, kept = torch.Generator().manual_seed(0), None, None
    for distance, cosine in found:
        taken = torch.randperm(len(data.train_targets), generator=generator)[:batch]
        inputs, targets = take(data.train_inputs, taken).double(), data.train_targets[taken]
        dense = oracles.ggn(model, loss, inputs, targets)
        shifted = dense + damping * torch.eye(len(dense), dtype=torch.float64)
        gradient = oracles.gradient(model, loss, inputs, targets)
        x = torch.from_numpy(oracles.ou_mean(shifted, gradient, gradient if state is None else state, t))
        moved = gradient if kept is None else gradient + damping * math.exp(-damping * t) * kept
        y = torch.linalg.solve(shifted, moved)
        assert distance == pytest.approx(float((x - y).norm() / y.norm()), rel=1e-3)
        assert cosine == pytest.approx(float(x @ y / (x.norm() * y.norm())), abs=1e-4)
        state, kept, first = x, y, 0
        with torch.no_grad():
            for p in model.parameters():
                p.sub_(directions.LR * x[first : first + p.numel()].view_as(p))
                first += p.numel()


def test_a_claim_is_judged_by_every_place_that_it_speaks_of() -> None:
    near, far, mixed = [(0.01, 1.0)] * 5, [(0.9, 0.5)] * 5, [(0.01, 1.0)] * 4 + [(0.9, 0.5)]
    four = {(5.0, 1.0): near, (20.0, 1.0): near, (50.0, 1.0): near, (50.0, 0.1): near, (50.0, 1e-2): near}
    said = [list(directions.verdicts(four | {(50.0, 1.0): seeds})) for seeds in (near, far, mixed)]
    assert [lines[0].partition(":")[0] for lines in said] == ["confirmed"] * 3
    assert [lines[1].partition(":")[0] for lines in said] == ["confirmed", "the contrary", "not decided"]
