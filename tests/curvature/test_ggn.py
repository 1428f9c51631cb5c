"""The GGN of a batch against full Jacobians and Hessians in float64, over architectures of many kinds."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests import oracles
from tests.curvature.architectures import ARCHITECTURES, CLASSES, LOSSES, case, dense_case
from tngd_bench.curvature import GGN, PerSampleLoss
from tngd_bench.curvature.route import Route
from tngd_bench.curvature.rows.blocks import ExplicitBlock, OuterProductBlock


@pytest.mark.parametrize(
    "architecture", ["mlp", "frozen weight", "conv2d", "positions", "attention", "embedding"]
)
@pytest.mark.parametrize("values", [1, 40, 10**6])
def test_streaming_gives_every_value_of_the_factor_once(
    architecture: str, values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tngd_bench.curvature.ggn.STREAMED_VALUES", values)
    ggn = GGN(*case(architecture, "cross-entropy"), memory_budget_bytes=1)
    streamed = torch.cat([piece.reshape(-1).clone() for piece in ggn.stream_factor()])
    wanted = ggn.factor()
    assert streamed.numel() == wanted.numel()
    assert torch.allclose(streamed.sort().values, wanted.reshape(-1).sort().values, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_everything_equals_brute_force(architecture: str, loss: str) -> None:
    model, loss_module, inputs, targets = case(architecture, loss)
    expected = dense_case(architecture, loss)
    ggn = GGN(model, loss_module, inputs, targets)
    factor = ggn.factor()
    v = torch.rand(ggn.size, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) - 0.5
    u = torch.rand(ggn.rows, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) - 0.5
    weights, rest = ggn.gradient_weights
    assert rest is None
    assert torch.equal(ggn.gradient, oracles.gradient(model, loss_module, inputs, targets))
    assert torch.equal(ggn.loss, loss_module(model(inputs), targets).detach())
    assert ggn.largest() == pytest.approx(float(factor.abs().max()), rel=1e-9)
    for actual, wanted in (
        (ggn.dense(), expected),
        (ggn.gram(), factor @ factor.T),
        (ggn.gram_matvec(u), factor @ (factor.T @ u)),
        (ggn.gram_matvec(u[:, 0]), factor @ (factor.T @ u[:, 0])),
        (ggn.matvec(v), expected @ v),
        (ggn.matvec(v[:, 0]), expected @ v[:, 0]),
        (ggn.factor_matvec(v), factor @ v),
        (ggn.factor_matvec(v[:, 0]), factor @ v[:, 0]),
        (ggn.factor_rmatvec(u), factor.T @ u),
        (ggn.factor_rmatvec(u[:, 0]), factor.T @ u[:, 0]),
        (factor.T @ weights, ggn.gradient),
    ):
        assert actual.shape == wanted.shape
        assert oracles.relative_error(actual, wanted) < 1e-9


@pytest.mark.parametrize("architecture", ["mlp", "conv2d", "attention"])
def test_factor_rows_are_sample_first(architecture: str) -> None:
    model, loss, inputs, targets = case(architecture, "squared error")
    jacobian = oracles.jacobian(model, inputs)
    scale = (2.0 / (len(inputs) * CLASSES)) ** 0.5
    assert oracles.relative_error(GGN(model, loss, inputs, targets).factor(), scale * jacobian) < 1e-12


@given(
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    groups=st.integers(1, 2),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    size=st.tuples(st.integers(5, 9), st.integers(5, 9)),
    batch=st.integers(1, 4),
    bias=st.booleans(),
)
@settings(max_examples=40)
def test_convolutions_of_any_shape(
    channels: tuple[int, int],
    groups: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    size: tuple[int, int],
    batch: int,
    bias: bool,
) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(
        groups * channels[0],
        groups * channels[1],
        kernel,
        stride,
        padding,
        dilation,
        groups=groups,
        bias=bias,
    )
    model = nn.Sequential(conv, nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten()).double()
    inputs = torch.rand(batch, groups * channels[0], *size, dtype=torch.float64)
    targets = torch.zeros(batch, 4 * groups * channels[1], dtype=torch.float64)
    expected = oracles.ggn(model, nn.MSELoss(), inputs, targets)
    assert oracles.relative_error(GGN(model, nn.MSELoss(), inputs, targets).dense(), expected) < 1e-10


@given(
    widths=st.lists(st.integers(1, 7), min_size=2, max_size=4),
    batch=st.integers(1, 6),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=30)
def test_gram_is_positive_semidefinite_and_shares_its_spectrum_with_the_ggn(
    widths: list[int], batch: int, seed: int
) -> None:
    torch.manual_seed(seed)
    layers = [m for d_in, d_out in pairwise(widths) for m in (nn.Linear(d_in, d_out), nn.Tanh())]
    model = nn.Sequential(*layers).double()
    inputs, targets = torch.randn(batch, widths[0]).double(), torch.randn(batch, widths[-1]).double()
    ggn = GGN(model, nn.MSELoss(), inputs, targets)
    gram = torch.linalg.eigvalsh(ggn.gram())
    dense = torch.linalg.eigvalsh(ggn.dense())
    count = min(len(gram), len(dense))
    assert gram.min() > -1e-12 * gram.max()
    assert torch.allclose(gram[-count:], dense[-count:], atol=1e-12 * float(gram.max()), rtol=0)


def test_gram_of_many_rows_is_formed_in_panels_all_the_same() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 9), nn.LayerNorm(9), nn.Tanh(), nn.Linear(9, 11)).double()
    ggn = GGN(model, nn.MSELoss(), torch.randn(30, 6).double(), torch.randn(30, 11).double())
    factor = ggn.factor()
    assert len(factor) == 330
    assert oracles.relative_error(ggn.gram(), factor @ factor.T) < 1e-12


@pytest.mark.parametrize("budget", [1, 10_000, None])
@pytest.mark.parametrize(
    "architecture", ["mlp", "conv2d", "pooled conv", "positions", "attention", "embedding", "recurrent"]
)
def test_a_memory_budget_cuts_the_work_and_changes_nothing(architecture: str, budget: int | None) -> None:
    model, loss, inputs, targets = case(architecture, "cross-entropy")
    expected = dense_case(architecture, "cross-entropy")
    ggn = GGN(model, loss, inputs, targets, memory_budget_bytes=budget)
    factor = ggn.factor()
    assert oracles.relative_error(factor.T @ factor, expected) < 1e-10
    assert oracles.relative_error(ggn.gram(), factor @ factor.T) < 1e-10


def test_empirical_fisher_is_the_second_moment_of_per_sample_gradients() -> None:
    model, loss, inputs, targets = case("conv2d", "cross-entropy")
    rows = [oracles.gradient(model, loss, inputs[n : n + 1], targets[n : n + 1]) for n in range(len(inputs))]
    stacked = torch.stack(rows)
    ggn = GGN(model, loss, inputs, targets, empirical=True)
    assert ggn.rows == len(inputs)
    assert oracles.relative_error(ggn.dense(), stacked.T @ stacked / len(inputs)) < 1e-10
    weights, rest = ggn.gradient_weights
    assert rest is None
    assert oracles.relative_error(ggn.factor_rmatvec(weights), stacked.mean(0)) < 1e-10


def test_any_convex_per_sample_function_is_a_loss() -> None:
    model, _, inputs, _ = case("mlp", "squared error")
    targets = torch.rand(5, CLASSES, dtype=torch.float64)
    loss = PerSampleLoss(lambda z, y: torch.log(torch.cosh(z - y)).sum() + 0.5 * (z.sum() - 1.0) ** 2)
    ggn = GGN(model, loss, inputs, targets)
    assert oracles.relative_error(ggn.dense(), oracles.ggn(model, loss, inputs, targets)) < 1e-10
    weights, rest = ggn.gradient_weights
    rebuilt = ggn.factor_rmatvec(weights) + (0.0 if rest is None else rest)
    assert oracles.relative_error(rebuilt, ggn.gradient) < 1e-8


def test_a_loss_that_is_not_convex_is_refused_with_the_sample() -> None:
    model, _, inputs, _ = case("mlp", "squared error")
    with pytest.raises(
        ValueError, match=r"must be convex in the outputs: sample \d has the Hessian eigenvalue -"
    ):
        GGN(model, PerSampleLoss(lambda z, y: torch.cos(z).sum()), inputs, torch.zeros(5).double())


class Cast(nn.Module):
    """Outputs in another precision than that of the layers, as language models give their logits."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return x.to(self.dtype)


@pytest.mark.filterwarnings("error::tngd_bench.curvature.FallbackWarning")
@pytest.mark.parametrize("outputs", [torch.bfloat16, torch.float32, torch.float64])
def test_bfloat16_models_get_float32_curvature(outputs: torch.dtype) -> None:
    """The forward pass itself has 8 bits, in whatever precision its outputs come."""
    model, loss, inputs, targets = case("mlp", "cross-entropy")
    model = nn.Sequential(model.bfloat16(), Cast(outputs))
    expected = oracles.ggn(copy.deepcopy(model[0]).double(), loss, inputs.bfloat16().double(), targets)
    ggn, products = (GGN(model, loss, inputs.bfloat16(), targets) for _ in range(2))
    products.route = Route("model", "asked for")
    g = ggn.gradient
    assert ggn.gram().dtype == g.dtype == ggn.matvec(g).dtype == products.matvec(g).dtype == torch.float32
    assert oracles.relative_error(ggn.dense(), expected) < 0.03
    assert oracles.relative_error(products.matvec(g), expected @ g.double()) < 0.03
    assert oracles.relative_error(ggn.dense(), ggn.dense().T) == 0.0


def test_float32_is_within_1e_4() -> None:
    model, loss, inputs, targets = case("conv2d", "cross-entropy")
    expected = GGN(model, loss, inputs, targets).gram()
    actual = GGN(model.float(), loss, inputs.float(), targets).gram()
    assert actual.dtype == torch.float32
    assert oracles.relative_error(actual, expected) < 1e-5


def test_layers_with_a_rule_use_it_and_others_fall_back() -> None:
    kinds = {
        name: [type(block) for block in GGN(*case(name, "cross-entropy")).blocks]
        for name in ("mlp", "raw parameter", "tied weights", "sequence as long as the batch")
    }
    assert kinds["mlp"] == [OuterProductBlock, OuterProductBlock]
    assert kinds["raw parameter"] == [OuterProductBlock, ExplicitBlock]  # the unused parameter has no block
    assert (
        kinds["tied weights"].count(OuterProductBlock) == 2
    )  # `up` is also used outside its layer: explicit
    assert (
        ExplicitBlock in kinds["sequence as long as the batch"]
    )  # which dimension is the batch is ambiguous


def test_dropout_is_drawn_once_for_all_products() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 20), nn.Dropout(0.5), nn.Linear(20, CLASSES)).double().train()
    inputs, targets = torch.rand(5, 6, dtype=torch.float64), torch.randint(0, CLASSES, (5,))
    ggn = GGN(model, nn.CrossEntropyLoss(), inputs, targets)
    weights, _ = ggn.gradient_weights
    assert oracles.relative_error(ggn.factor_rmatvec(weights), ggn.gradient) < 1e-12


def test_mapping_inputs_are_passed_by_name() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, CLASSES)

        def forward(self, *, values: Tensor, scale: float) -> Tensor:
            return self.layer(values * scale)

    model = Named().double()
    inputs, targets = torch.rand(5, 6, dtype=torch.float64), torch.randint(0, CLASSES, (5,))
    ggn = GGN(model, nn.CrossEntropyLoss(), {"values": inputs, "scale": 2.0}, targets)
    expected = oracles.ggn(nn.Sequential(model.layer), nn.CrossEntropyLoss(), 2.0 * inputs, targets)
    assert oracles.relative_error(ggn.dense(), expected) < 1e-12


def test_batch_norm_in_training_mode_is_refused_with_a_way_out() -> None:
    model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, CLASSES))
    with pytest.raises(ValueError, match=r"BatchNorm1d '1' normalises over the batch.*\.eval\(\).*GroupNorm"):
        GGN(model, nn.CrossEntropyLoss(), torch.rand(5, 6), torch.zeros(5, dtype=torch.long))


def test_an_input_changed_in_place_after_use_is_noticed() -> None:
    class Overwriting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            hidden = x * 1.0
            out = self.layer(hidden)
            hidden.zero_()
            return out

    ggn = GGN(Overwriting(), nn.MSELoss(), torch.rand(5, 6), torch.rand(5, CLASSES))
    with pytest.raises(RuntimeError, match="input of Linear was changed in place"):
        ggn.gram()


def test_bad_shapes_and_models_are_refused() -> None:
    model, loss, inputs, targets = case("mlp", "cross-entropy")
    ggn = GGN(model, loss, inputs, targets)
    with pytest.raises(ValueError, match=r"expected a vector \(59,\) or \(59, k\), not \(58,\)"):
        ggn.matvec(torch.zeros(58, dtype=torch.float64))
    with pytest.raises(ValueError, match="no trainable parameter"):
        GGN(model.requires_grad_(False), loss, inputs, targets)
    scalar = nn.Sequential(nn.Linear(6, 1), nn.Flatten(0)).double()
    with pytest.raises(ValueError, match=r"must return \(b, …\)"):
        GGN(scalar, nn.MSELoss(), inputs, torch.zeros(5).double())
