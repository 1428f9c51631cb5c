"""The rule for extrapolated host seconds against what the curvature itself decides."""

import pytest
import torch

from tngd_bench.analysis.cost.caveats import host_extrapolated
from tngd_bench.curvature import GGN
from tngd_bench.layers import Layer


@pytest.mark.parametrize(("outputs", "hidden"), [(10, 8), (32, 8), (33, 8), (33, 64), (200, 1), (257, 64)])
def test_the_rule_is_that_of_the_curvature(monkeypatch, outputs, hidden):
    model = torch.nn.Sequential(torch.nn.Linear(4, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, outputs))
    parameters = sum(p.numel() for p in model.parameters())
    ggn = GGN(model, torch.nn.CrossEntropyLoss(), torch.zeros(2, 4), torch.zeros(2, dtype=torch.long))

    class Widths:
        layers = (Layer(4, hidden), Layer(hidden, outputs))

    class Entry:
        @staticmethod
        def widths(parameters, outputs):
            return Widths

    host_extrapolated.cache_clear()
    monkeypatch.setattr("tngd_bench.analysis.cost.caveats.problems.names", lambda: ("stand-in",))
    monkeypatch.setattr("tngd_bench.analysis.cost.caveats.problems.get", lambda name: Entry)
    assert host_extrapolated("stand-in", parameters, outputs) is ggn.matrix_free
    host_extrapolated.cache_clear()


def test_what_is_not_known_is_taken_as_extrapolated():
    assert host_extrapolated("nowhere-installed", 10**9, 100)
    assert not host_extrapolated("nowhere-installed", 10**9, 16)
