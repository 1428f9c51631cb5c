"""Weights in the products of a graph: every use is found, and its rows give the gradient and the factors by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests import oracles
from tngd_bench.curvature.graph import AutogradGraph
from tngd_bench.curvature.kronecker.factors import KroneckerFactors, factor_rows
from tngd_bench.curvature.kronecker.linear_maps import LinearMap, product_maps
from tngd_bench.curvature.model_call import run_model

F64 = torch.float64
RECURRENT = {
    "lstm": lambda: nn.LSTM(4, 3, num_layers=2, batch_first=True),
    "lstm, projected": lambda: nn.LSTM(4, 3, proj_size=2, bidirectional=True),
    "gru": lambda: nn.GRU(4, 3, bidirectional=True),
    "rnn": lambda: nn.RNN(4, 3, bias=False),
    "cell": lambda: nn.LSTMCell(4, 3),
    "attention": lambda: nn.TransformerEncoderLayer(4, 2, 5, dropout=0.0),
}


class First(nn.Module):
    """The first output of a module."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        found = self.module(x)
        return found if isinstance(found, Tensor) else found[0]


def maps_of(model: nn.Module, x: Tensor) -> tuple[list[LinearMap], Tensor]:
    outputs = run_model(model, x)
    return product_maps(list(model.parameters()), AutogradGraph(outputs)), outputs


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("kind", RECURRENT)
def test_rows_of_every_weight_and_bias_give_its_gradient(kind: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = First(RECURRENT[kind]()).to(dtype)
    x = torch.randn(*(() if kind == "cell" else (5,)), 6, 4, dtype=dtype)
    maps, outputs = maps_of(model, x)
    wanted = {
        id(p)
        for name, p in model.named_parameters()
        if "norm" not in name  # of the attention layer: no product
    }
    assert {id(p) for one in maps for p in one.parameters} == wanted
    cotangent = torch.randn_like(outputs)
    for one in maps:
        edges = [use.edge for use in one.uses]
        gradients = torch.autograd.grad(outputs, edges, cotangent, retain_graph=True)
        rows = [use.cotangent_rows(g).T @ use.rows(dtype) for use, g in zip(one.uses, gradients, strict=True)]
        expected = torch.autograd.grad(outputs, one.parameters, cotangent, retain_graph=True)
        for found, true in zip(one.pieces(sum(rows[1:], rows[0])), expected, strict=True):
            error = float((found - true).abs().max())
            assert error <= (1e-12 if dtype == F64 else 1e-5) * float(true.abs().max())


def test_factors_of_a_shared_gate_are_those_over_all_time_steps() -> None:
    """A Jordan-Elman network written by hand: h' = tanh(U x + c + W h), of which W is used at every step."""
    torch.manual_seed(0)
    layer, x = nn.RNN(2, 3).double(), torch.randn(4, 5, 2, dtype=F64)
    maps, outputs = maps_of(First(layer), x)
    (one,) = [found for found in maps if found.weight is layer.weight_hh_l0]
    assert len(one.uses) == 4
    cotangent = torch.randn(1, *outputs.shape, dtype=F64)
    gradients = torch.autograd.grad(outputs, [use.edge for use in one.uses], cotangent[0])
    rows = [use.rows(F64) for use in one.uses]
    pair = KroneckerFactors.of(*factor_rows(one, rows, [c.unsqueeze(0) for c in gradients]))

    h, states, sums = torch.zeros(5, 3, dtype=F64), [], []
    for t in range(4):
        states.append(torch.cat([h, torch.ones(5, 1, dtype=F64)], 1).detach())
        sums.append(
            functional.linear(h, layer.weight_hh_l0.detach(), layer.bias_hh_l0.detach()).requires_grad_()
        )
        h = torch.tanh(functional.linear(x[t], layer.weight_ih_l0, layer.bias_ih_l0) + sums[-1])
    # with the true gradient at each step's pre-activation, through the later steps
    slopes = _slopes(layer, x, cotangent[0])
    wanted_a = sum(s.T @ s for s in states) / 20
    wanted_g = sum(s.T @ s for s in slopes)
    assert oracles.relative_error(pair.inputs, wanted_a) < 1e-12
    assert oracles.relative_error(pair.outputs, wanted_g) < 1e-12


def _slopes(layer: nn.RNN, x: Tensor, cotangent: Tensor) -> list[Tensor]:
    shifts = torch.zeros(4, 5, 3, dtype=F64, requires_grad=True)
    h, outputs = torch.zeros(5, 3, dtype=F64), []
    for t in range(4):
        recurrent = h @ layer.weight_hh_l0.T + layer.bias_hh_l0 + shifts[t]
        h = torch.tanh(x[t] @ layer.weight_ih_l0.T + layer.bias_ih_l0 + recurrent)
        outputs.append(h)
    (found,) = torch.autograd.grad(torch.stack(outputs), shifts, cotangent)
    return list(found)


def test_a_weight_used_both_ways_round_or_outside_products_is_left_out() -> None:
    torch.manual_seed(0)
    weight, other = nn.Parameter(torch.randn(3, 3, dtype=F64)), nn.Parameter(torch.randn(3, 3, dtype=F64))
    x = torch.randn(5, 3, dtype=F64)
    outputs = torch.tanh(x @ weight) @ weight.T + x @ (other * 2.0)
    assert not product_maps([weight, other], AutogradGraph(outputs))


@pytest.mark.parametrize(
    "turned",
    [Tensor.t, lambda w: w.T, lambda w: w.mT, lambda w: w.permute(-1, -2), lambda w: w.permute(1, 0)],
)
def test_a_transpose_is_one_however_it_is_written(turned) -> None:
    weight, x = nn.Parameter(torch.randn(3, 5, dtype=F64)), torch.randn(4, 5, dtype=F64)
    outputs = torch.tanh(x @ turned(weight))
    (one,) = product_maps([weight], AutogradGraph(outputs))
    assert not one.transposed
    (slope,) = torch.autograd.grad(outputs.sum(), [one.uses[0].edge], retain_graph=True)
    (wanted,) = torch.autograd.grad(outputs.sum(), weight)
    assert oracles.relative_error(one.uses[0].cotangent_rows(slope).T @ one.uses[0].rows(F64), wanted) < 1e-12


def test_a_vector_added_elsewhere_too_is_no_bias() -> None:
    torch.manual_seed(0)
    weight, bias = nn.Parameter(torch.randn(3, 3)), nn.Parameter(torch.randn(3))
    outputs = functional.linear(torch.randn(5, 3), weight, bias) + bias
    (one,) = product_maps([weight, bias], AutogradGraph(outputs))
    assert one.parameters == (weight,)
