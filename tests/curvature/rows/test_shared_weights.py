"""Layers used at many positions: their pairwise, sliced and explicit forms, and losses over positions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests import oracles
from tests.curvature.architectures import CLASSES, Sequence
from tngd_bench.curvature import GGN
from tngd_bench.curvature.rows.blocks import Slot
from tngd_bench.curvature.rows.shared_weights import PositionalBlock, explicit_rows


@pytest.mark.parametrize("trained", [("weight", "bias"), ("weight",), ("bias",)])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5, 7, 2), (3, 2, 9, 1, 2, 1), (4, 2, 2, 6, 5, 3)])
def test_positional_pairs_slices_and_rows_are_the_same_block(
    trained: tuple[str, ...], shape: tuple[int, ...]
) -> None:
    r, b, d_in, d_out, positions, groups = shape
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(b, groups, d_in, positions, generator=generator, dtype=torch.float64)
    g = torch.randn(r, b, groups, d_out, positions, generator=generator, dtype=torch.float64)
    size = groups * d_out * d_in if "weight" in trained else 0
    weight = Slot(0, torch.Size([groups * d_out, d_in])) if "weight" in trained else None
    bias = Slot(size, torch.Size([groups * d_out])) if "bias" in trained else None
    width = size + (groups * d_out if bias else 0)
    explicit = explicit_rows(a, g, weight=weight, bias=bias)
    v = torch.randn(2, width, generator=generator, dtype=torch.float64)
    u = torch.randn(2, r * b, generator=generator, dtype=torch.float64)
    for memory in (1, 2_000, 10**9):
        block = PositionalBlock(weight, bias, a, g, memory)
        for add in (block.add_gram, block._add_pairs):
            panel = torch.zeros(r - 1, b, 1, b, dtype=torch.float64)
            add(panel, 1, 2)
            wanted = explicit.matrix[b:] @ explicit.matrix[b : 2 * b].T
            assert oracles.relative_error(panel.view(-1, b), wanted) < 1e-12
        out = torch.zeros_like(v)
        block.rmatvec(u, out)
        assert oracles.relative_error(out, u @ explicit.matrix) < 1e-12
        assert oracles.relative_error(block.matvec(v), v @ explicit.matrix.T) < 1e-12
        assert oracles.relative_error(block.gram_matvec(u), explicit.gram_matvec(u)) < 1e-12


class Transposed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


@pytest.mark.parametrize("last", [True, False])
def test_cross_entropy_over_positions_with_classes_in_either_place(last: bool) -> None:
    torch.manual_seed(0)
    model = Sequence().double()
    inputs, targets = torch.rand(3, 5, 6, dtype=torch.float64), torch.randint(0, CLASSES, (3, 5))
    targets[0, 2] = -100
    flat_loss = nn.CrossEntropyLoss()

    def value(outputs: Tensor, wanted: Tensor) -> Tensor:
        return flat_loss(outputs.reshape(-1, CLASSES), wanted.reshape(-1))

    expected = oracles.ggn(model, value, inputs, targets)
    network = model if last else nn.Sequential(model, Transposed())
    ggn = GGN(network, nn.CrossEntropyLoss(), inputs, targets)
    assert ggn.rows == 3 * 5 * CLASSES
    assert oracles.relative_error(ggn.dense(), expected) < 1e-10
    factor = ggn.factor()
    assert oracles.relative_error(ggn.gram(), factor @ factor.T) < 1e-10
    assert ggn.loss.item() == pytest.approx(value(model(inputs), targets).item(), rel=1e-12)
