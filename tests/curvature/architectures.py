"""Small networks of many kinds, with a batch for each, that the tests of curvature share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from tests import oracles

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


@cache
def _jacobian(architecture: str, batch: int) -> Tensor:
    model, _, inputs, _ = case(architecture, "squared error", batch)
    return oracles.jacobian(model, inputs)


def dense_case(architecture: str, loss: str, batch: int = 5) -> Tensor:
    """`oracles.ggn` of a case; the Jacobian, which no loss changes, is made once for all tests of this process."""
    jacobian = _jacobian(architecture, batch)
    return jacobian.T @ oracles.loss_hessian(*case(architecture, loss, batch)) @ jacobian
