"""The GGN of a batch against full Jacobians and Hessians in float64, over architectures of many kinds."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests import oracles
from tngd_bench.curvature import GGN, PerSampleLoss
from tngd_bench.curvature.blocks import ExplicitBlock, OuterProductBlock, Slot
from tngd_bench.curvature.positions import PositionalBlock, explicit_rows
from tngd_bench.solvers import CG, Gram

CLASSES = 4


class CalledTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(6, 6)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.shared(torch.relu(self.shared(x)))))


class RawParameter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.rand(6) + 0.5)
        self.unused = nn.Parameter(torch.rand(3))
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(x * self.gain))


class TiedWeights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Linear(6, 5, bias=False)
        self.up = nn.Linear(5, 6, bias=False)
        self.head = nn.Linear(6, CLASSES)
        self.up.weight = nn.Parameter(torch.rand(6, 5) - 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.up(torch.tanh(x @ self.up.weight + self.down(x)))))


class LowRankAdapter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(6, 6)
        self.base.requires_grad_(False)
        self.a = nn.Linear(6, 2, bias=False)
        self.b = nn.Linear(2, 6, bias=False)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.base(x) + self.b(self.a(x))))


class SequenceFirst(nn.Module):
    """A layer that sees the batch as its second dimension, as sequence-first models do."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(6, 6)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.mix(x.transpose(0, 1))).transpose(0, 1).mean(1))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.RNNCell(6, 5)
        self.head = nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(x.shape[0], 5)
        for position in range(x.shape[1]):
            state = self.cell(x[:, position], state)
        return self.head(state)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(6, 18)
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        weights = torch.softmax(q @ k.transpose(1, 2) / 6**0.5, -1)
        return self.head((x + weights @ v).mean(1))


class Embedded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 6, padding_idx=2)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.table((x.abs() * 6.999).long() % 7)).mean((1, 2)))


class Sequence(nn.Module):
    """A small transformer block with one output per position, (b, T, C) or (b, C, T)."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(6)
        self.up = nn.Linear(6, 9)
        self.down = nn.Linear(9, 6, bias=False)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        mixed = x + torch.softmax(x @ x.transpose(1, 2), -1) @ x
        return self.head(mixed + self.down(torch.tanh(self.up(self.norm(mixed)))))


def flat(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(CLASSES))


def pooled(channels: int, filters: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(channels, filters, 2), nn.ReLU(), nn.MaxPool2d(2)


ARCHITECTURES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Sequential(nn.Linear(6, CLASSES)), (6,)),
    "mlp": (lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, CLASSES)), (6,)),
    "mlp, in-place relu": (lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(inplace=True), nn.Linear(5, CLASSES)), (6,)),
    "no bias": (lambda: nn.Sequential(nn.Linear(6, 5, bias=False), nn.Tanh(), nn.Linear(5, CLASSES, bias=False)), (6,)),
    "frozen weight": (lambda: _frozen("0.weight"), (6,)),
    "frozen bias": (lambda: _frozen("0.bias"), (6,)),
    "frozen layer": (lambda: _frozen("0.weight", "0.bias"), (6,)),
    "positions": (lambda: flat(nn.Linear(6, 5), nn.Tanh()), (3, 6)),
    "conv1d": (lambda: flat(nn.Conv1d(3, 4, 3, padding=1), nn.ReLU()), (3, 8)),
    "conv2d": (lambda: flat(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2)), (2, 8, 8)),
    "conv2d, dilation": (lambda: flat(nn.Conv2d(2, 4, (3, 2), stride=2, padding=(1, 2), dilation=2)), (2, 9, 8)),
    "conv2d, groups": (lambda: flat(nn.Conv2d(4, 6, 3, groups=2), nn.Tanh()), (4, 6, 6)),
    "conv2d, same": (lambda: flat(nn.Conv2d(2, 3, 4, padding="same"), nn.Tanh()), (2, 5, 5)),
    "conv2d, reflect": (lambda: flat(nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect")), (2, 5, 5)),
    "pooled conv": (lambda: flat(*pooled(1, 3)), (1, 6, 6)),
    "conv, pool, relu": (lambda: flat(nn.Conv2d(1, 3, 2, bias=False), nn.MaxPool2d(3, stride=2), nn.ReLU()), (1, 8, 8)),
    "conv, pool": (lambda: flat(nn.Conv2d(1, 3, 2), nn.MaxPool2d(2, padding=1)), (1, 6, 6)),
    "two pooled convs": (lambda: flat(*pooled(1, 3), *pooled(3, 2)), (1, 9, 9)),
    "pooled twice": (lambda: flat(*pooled(1, 3), nn.MaxPool2d(2)), (1, 9, 9)),
    "conv3d": (lambda: flat(nn.Conv3d(1, 2, 2), nn.Tanh()), (1, 4, 4, 4)),
    "depthwise conv": (lambda: flat(nn.Conv2d(3, 3, 3, groups=3, bias=False), nn.Tanh()), (3, 6, 6)),
    "transposed conv": (lambda: flat(nn.ConvTranspose2d(2, 3, 2, stride=2)), (2, 3, 3)),
    "layer norm": (lambda: flat(nn.Linear(6, 5), nn.LayerNorm(5)), (6,)),
    "group norm": (lambda: flat(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4)), (2, 6, 6)),
    "batch norm, evaluating": (lambda: flat(nn.Linear(6, 5), nn.BatchNorm1d(5).eval()), (6,)),
    "prelu": (lambda: flat(nn.Linear(6, 5), nn.PReLU()), (6,)),
    "called twice": (CalledTwice, (6,)),
    "raw parameter": (RawParameter, (6,)),
    "tied weights": (TiedWeights, (6,)),
    "adapter": (LowRankAdapter, (6,)),
    "sequence first": (SequenceFirst, (3, 6)),
    "sequence as long as the batch": (SequenceFirst, (5, 6)),
    "recurrent": (Recurrent, (3, 6)),
    "attention": (Attention, (3, 6)),
    "embedding": (Embedded, (3, 2)),
}  # fmt: skip

LOSSES = {
    "cross-entropy": nn.CrossEntropyLoss(label_smoothing=0.1),
    "squared error": nn.MSELoss(),
    "binary": nn.BCEWithLogitsLoss(),
}


def _frozen(*names: str) -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, CLASSES))
    for name, p in model.named_parameters():
        p.requires_grad_(name not in names)
    return model


def case(
    architecture: str, loss: str, batch: int = 5, seed: int = 0
) -> tuple[nn.Module, nn.Module, Tensor, Tensor]:
    build, shape = ARCHITECTURES[architecture]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build().double()
        inputs = torch.rand(batch, *shape, dtype=torch.float64) - 0.3
        model(inputs)
        targets = (
            torch.randint(0, CLASSES, (batch,))
            if loss == "cross-entropy"
            else torch.rand(batch, CLASSES).double()
        )
    return model, LOSSES[loss], inputs, targets


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
    expected = oracles.ggn(model, loss_module, inputs, targets)
    ggn = GGN(model, loss_module, inputs, targets)
    factor = ggn.factor()
    v = torch.rand(ggn.size, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) - 0.5
    u = torch.rand(ggn.rows, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) - 0.5
    weights, rest = ggn.gradient_weights
    assert rest is None
    assert torch.equal(ggn.gradient, oracles.gradient(model, loss_module, inputs, targets))
    assert torch.equal(ggn.loss, loss_module(model(inputs), targets).detach())
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
@settings(max_examples=40, deadline=None)
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
@settings(max_examples=30, deadline=None)
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
    expected = oracles.ggn(model, loss, inputs, targets)
    ggn = GGN(model, loss, inputs, targets, memory_budget_bytes=budget)
    factor = ggn.factor()
    assert oracles.relative_error(factor.T @ factor, expected) < 1e-10
    assert oracles.relative_error(ggn.gram(), factor @ factor.T) < 1e-10


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


class Transposed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


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
    monkeypatch.setattr("tngd_bench.curvature.ggn.LARGEST_STRUCTURED", 1)
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


def test_bfloat16_models_get_float32_curvature() -> None:
    model, loss, inputs, targets = case("mlp", "cross-entropy")
    model.bfloat16()
    expected = oracles.ggn(copy.deepcopy(model).double(), loss, inputs.bfloat16().double(), targets)
    ggn = GGN(model, loss, inputs.bfloat16(), targets)
    assert ggn.gram().dtype == ggn.gradient.dtype == ggn.matvec(ggn.gradient).dtype == torch.float32
    assert oracles.relative_error(ggn.dense(), expected) < 0.03  # the forward pass itself has 8 bits
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
