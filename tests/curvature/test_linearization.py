"""Products by double backward, for batches with more outputs than rows could serve."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests import oracles
from tests.curvature.architectures import case
from tests.curvature.test_verification import dense_oracle
from tngd_bench.curvature import GGN
from tngd_bench.solvers import CG, Gram


@pytest.mark.parametrize(
    "architecture", ["mlp", "raw parameter", "attention", "recurrent", "embedding", "conv2d"]
)
def test_products_by_linearization_equal_the_structured_ones(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, loss, inputs, targets = case(architecture, "cross-entropy")
    structured = GGN(model, loss, inputs, targets)
    v = torch.rand(structured.size, 2, dtype=torch.float64)
    u = torch.rand(structured.rows, 2, dtype=torch.float64)
    monkeypatch.setattr("tngd_bench.curvature.route.LARGEST_STRUCTURED", 1)
    linearized = GGN(model, loss, inputs, targets)
    for name, vector in (("matvec", v), ("factor_matvec", v), ("factor_rmatvec", u), ("gram_matvec", u)):
        for argument in (vector, vector[:, 0]):
            wanted = getattr(structured, name)(argument)
            assert oracles.relative_error(getattr(linearized, name)(argument), wanted) < 1e-10
    assert "blocks" not in vars(linearized)
    assert oracles.relative_error(linearized.gram(), structured.gram()) < 1e-12


def test_many_outputs_are_solved_without_a_row_for_each() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(300, 8), nn.Flatten(), nn.Linear(16, 300)).double()
    inputs, targets = torch.randint(0, 300, (4, 2)), torch.randint(0, 300, (4,))
    ggn = GGN(model, nn.CrossEntropyLoss(), inputs, targets)
    solution = CG(rtol=1e-10).solve(ggn, damping=0.1).solution
    assert "blocks" not in vars(ggn)
    exact = Gram().solve(GGN(model, nn.CrossEntropyLoss(), inputs, targets), damping=0.1).solution
    assert oracles.relative_error(solution, exact) < 1e-6


@pytest.mark.parametrize("verify", [True, False])
def test_a_masked_slope_that_is_infinite_is_right_by_rows_and_refused_by_products(verify: bool) -> None:
    """The root of a sum of squares at zero: torch's backward pass masks it, and a second differentiation does not."""

    def model(outputs: int) -> nn.Module:
        torch.manual_seed(0)
        layers = nn.Conv2d(1, 2, 3), nn.ReLU(), nn.LPPool2d(2, 2), nn.Flatten(), nn.Linear(8, outputs)
        return nn.Sequential(*layers).double()

    inputs = torch.randn(3, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    targets = torch.tensor([0, 1, 2])
    few = model(3)
    assert bool((few[:3](inputs) == 0).any())
    _, wanted = dense_oracle(few, nn.CrossEntropyLoss(), inputs, targets)
    ggn = GGN(few, nn.CrossEntropyLoss(), inputs, targets, verify=verify)
    assert oracles.relative_error(ggn.dense(), wanted) < 1e-10
    many = GGN(model(300), nn.CrossEntropyLoss(), inputs, targets, verify=verify)
    assert many.matrix_free
    with pytest.raises(ValueError, match=r"are not finite, and the backward pass is.*LPPool2d"):
        many.matvec(torch.ones(many.size, dtype=torch.float64))
