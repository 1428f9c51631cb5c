"""Models as people have them, whose use of a layer no layer rule can assume; and random ones."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune

F64 = torch.float64


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Module(nn.Module):
    """A module whose forward is a function of itself and the inputs."""

    def __init__(self, forward, **layers: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self._forward = forward
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self._forward(self, x)


class Residual(nn.Module):
    """u_t − u_xx + u of a network: derivatives by the inputs inside forward."""

    def __init__(self, width: int = 5) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )

    def forward(self, points: Tensor) -> Tensor:
        points = points.detach().clone().requires_grad_(True)
        u = self.net(points)
        slope = torch.autograd.grad(u.sum(), points, create_graph=True)[0]
        bend = torch.autograd.grad(slope[:, 0].sum(), points, create_graph=True)[0][:, :1]
        return slope[:, 1:] - bend + u


def forces(self, x: Tensor) -> Tensor:
    """Minus the gradient of a learned energy by the positions."""
    x = x.detach().clone().requires_grad_(True)
    return -torch.autograd.grad(self.last(torch.tanh(self.first(x))).sum(), x, create_graph=True)[0]


def sorted_inside(self, x: Tensor) -> Tensor:
    order = x[:, 0].argsort()
    return self.last(torch.tanh(self.first(x[order])))[order.argsort()]


def rolled(self, x: Tensor) -> Tensor:
    return self.last(torch.tanh(self.first(x)).roll(1, 0))


def experts(self, x: Tensor) -> Tensor:
    flat, mixed = x.reshape(-1, 4), torch.zeros_like(x.reshape(-1, 4))
    for number, expert in enumerate((self.first, self.second)):
        chosen = (flat[:, 0] > flat[:, 0].median()) == bool(number)
        mixed = mixed.index_put((chosen.nonzero()[:, 0],), torch.tanh(expert(flat[chosen])))
    return self.last(mixed.view(x.shape).mean(1))


def learned_queries(self, x: Tensor) -> Tensor:
    keys = self.first(x)
    queries = self.second(self.queries)  # (b, 4) by coincidence: no samples
    scores = torch.softmax(torch.einsum("qd,btd->bqt", queries, keys), -1)
    return self.last(torch.einsum("bqt,btd->bqd", scores, keys).mean(1))


def tied_by_function(self, x: Tensor) -> Tensor:
    return functional.linear(torch.tanh(self.first(x)), self.first.weight.T) @ self.head


class Cube(torch.autograd.Function):
    """x³, its derivative by numpy, as of a simulator that torch does not know."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return torch.from_numpy(3 * g.numpy() * x.detach().numpy() ** 2)


class Stopped(torch.autograd.Function):
    """x, and no gradient."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx, g: Tensor) -> None:
        return None


def in_place_noise(model: nn.Module) -> nn.Module:
    noise = 1 + 0.3 * torch.randn(1, 5, dtype=F64)
    model[0].register_forward_hook(lambda module, inputs, output: output * noise)
    return model


def replaced_forward(model: nn.Module) -> nn.Module:
    layer = model[0]
    layer.forward = lambda x: functional.linear(x, layer.weight * 2, layer.bias)
    return model


def pruned(model: nn.Module) -> nn.Module:
    prune.l1_unstructured(model[0], "weight", amount=0.4)
    return model


def masked_gradient(model: nn.Module) -> nn.Module:
    mask = torch.tensor([1.0, 0.0, 1.0, 1.0], dtype=F64)
    model[0].weight.register_hook(lambda gradient: gradient * mask)
    return model


class Packed(nn.Module):
    """A GRU over sequences that packing sorts by length."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.last = nn.GRU(4, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        lengths = torch.tensor([1, 2, 1, 2])
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return self.last(self.rnn(packed)[1][-1])


def perceptron() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def linear() -> nn.Linear:
    return nn.Linear(4, 4)


def wild() -> dict[str, tuple[nn.Module, Tensor]]:
    """Name → (model, inputs) in float64, b = 4."""
    flat, pairs, points = (
        torch.randn(*shape, dtype=F64, generator=seeded(1)) for shape in ((4, 4), (4, 2, 4), (4, 2))
    )
    tokens = torch.randint(7, (4, 4), generator=seeded(2))
    shared = nn.Linear(4, 4)
    found: dict[str, tuple[nn.Module, Tensor]] = {
        "positions without a batch": (
            Module(
                lambda m, t: m.last(torch.tanh(m.token(t) + m.position(torch.arange(t.shape[1]))).mean(1)),
                token=nn.Embedding(7, 5),
                position=nn.Embedding(4, 5),
                last=nn.Linear(5, 3),
            ),
            tokens,
        ),
        "learned queries": (
            Module(
                learned_queries,
                first=linear(),
                second=linear(),
                last=nn.Linear(4, 3),
                queries=nn.Parameter(torch.randn(4, 4)),
            ),
            pairs,
        ),
        "sorted inside": (Module(sorted_inside, first=linear(), last=nn.Linear(4, 3)), flat),
        "rolled by a sample": (Module(rolled, first=linear(), last=nn.Linear(4, 3)), flat),
        "experts": (Module(experts, first=linear(), second=linear(), last=nn.Linear(4, 3)), pairs),
        "residual of a differential equation": (Residual(), points),
        "forces of an energy": (Module(forces, first=linear(), last=nn.Linear(4, 1)), flat),
        "tied by function": (
            Module(tied_by_function, first=nn.Linear(4, 5), head=nn.Parameter(torch.randn(4, 3))),
            flat,
        ),
        "tied modules": (
            Module(
                lambda m, x: m.last(torch.tanh(m.a(torch.tanh(m.b(x))))),
                a=shared,
                b=linear(),
                last=nn.Linear(4, 3),
            ),
            flat,
        ),
        "a hook changes the output": (in_place_noise(perceptron().double()), flat),
        "a replaced forward": (replaced_forward(perceptron()), flat),
        "pruned": (pruned(perceptron()), flat),
        "weight_norm as a hook": (
            nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 5)), nn.Tanh(), nn.Linear(5, 3)),
            flat,
        ),
        "weight_norm parametrized": (
            nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 5)), nn.Tanh(), nn.Linear(5, 3)),
            flat,
        ),
        "called by keyword": (
            Module(
                lambda m, x: m.last(input=torch.tanh(m.first(input=x))), first=linear(), last=nn.Linear(4, 3)
            ),
            flat,
        ),
        "sparse embedding": (
            Module(
                lambda m, t: m.last(torch.tanh(m.token(t)).mean(1)),
                token=nn.Embedding(7, 4, sparse=True),
                last=nn.Linear(4, 3),
            ),
            tokens,
        ),
        "an unused head": (
            Module(
                lambda m, x: (m.other(x), m.last(torch.tanh(m.first(x))))[1],
                first=linear(),
                last=nn.Linear(4, 3),
                other=linear(),
            ),
            flat,
        ),
        "a loop over samples": (
            Module(
                lambda m, x: torch.stack([m.last(torch.tanh(m.first(row))) for row in x]),
                first=linear(),
                last=nn.Linear(4, 3),
            ),
            flat,
        ),
        "vmap over samples": (
            Module(
                lambda m, x: torch.vmap(lambda row: m.last(torch.tanh(m.first(row))))(x),
                first=linear(),
                last=nn.Linear(4, 3),
            ),
            flat,
        ),
        "a functional derivative": (
            Module(
                lambda m, x: torch.vmap(torch.func.grad(lambda row: m.last(torch.tanh(m.first(row))).sum()))(
                    x
                ),
                first=linear(),
                last=nn.Linear(4, 1),
            ),
            flat,
        ),
        "statistics of the batch": (
            Module(
                lambda m, x: m.last(torch.tanh(m.first(x) - m.first(x).mean(0))),
                first=linear(),
                last=nn.Linear(4, 3),
            ),
            flat,
        ),
        "packed sequences": (Packed(), pairs),
        "a hook on a weight": (masked_gradient(perceptron()), flat),
        "a derivative in numpy": (
            Module(lambda m, x: m.last(Cube.apply(m.first(x))), first=linear(), last=nn.Linear(4, 3)),
            flat,
        ),
        "a stopped branch": (
            Module(
                lambda m, x: m.last(torch.tanh(m.first(x)) + Stopped.apply(m.other(x))),
                first=linear(),
                other=linear(),
                last=nn.Linear(4, 3),
            ),
            flat,
        ),
        "layers of no width": (
            Module(
                lambda m, x: m.last(torch.cat([m.none(x), torch.tanh(m.first(x)) + m.bias(m.none(x))], 1)),
                none=nn.Linear(4, 0),
                bias=nn.Linear(0, 4),
                first=linear(),
                last=nn.Linear(4, 3),
            ),
            flat,
        ),
        "an empty part of a sequence": (
            Module(
                lambda m, x: m.last(torch.cat([torch.tanh(m.first(x)), m.second(x[:, :0])], 1).mean(1)),
                first=linear(),
                second=linear(),
                last=nn.Linear(4, 3),
            ),
            pairs,
        ),
        "a product of frequencies": (
            Module(
                lambda m, x: m.last(
                    torch.fft.irfft(torch.fft.rfft(m.first(x)) * torch.view_as_complex(m.gains), n=4)
                ),
                gains=nn.Parameter(torch.randn(3, 2)),
                first=linear(),
                last=nn.Linear(4, 3),
            ),
            flat,
        ),
        "group norm of vectors": (
            nn.Sequential(nn.Linear(4, 6), nn.GroupNorm(2, 6), nn.Tanh(), nn.Linear(6, 3)),
            flat,
        ),
    }
    found["tied modules"][0].b.weight = shared.weight
    return {name: (model.double(), inputs) for name, (model, inputs) in found.items()}


class RandomGraph(nn.Module):
    """A few layers applied in random order, with reuse, transposes, reordered samples, hooks and functional uses.

    Each is a step (b, 4) → (b, 4); b = 4, so that every dimension could be the batch.
    """

    KINDS = (
        "call",
        "call",
        "reuse",
        "functional",
        "transposed",
        "reorder",
        "scale",
        "input derivative",
        "sequence",
    )

    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = random.Random(seed)
        generator = seeded(seed)
        self.layers = nn.ModuleList(nn.Linear(4, 4, bias=draw.random() < 0.7) for _ in range(3))
        self.norm = nn.LayerNorm(4) if draw.random() < 0.3 else nn.Identity()
        self.last = nn.Linear(4, 2)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(0.7 * torch.randn(p.shape, generator=generator))
        self.steps = [(draw.choice(self.KINDS), draw.randrange(3), draw.random()) for _ in range(4)]
        if draw.random() < 0.3:
            self.layers[draw.randrange(3)].register_forward_hook(lambda module, inputs, output: 1.5 * output)

    def forward(self, x: Tensor) -> Tensor:
        for kind, which, share in self.steps:
            layer = self.layers[which]
            if kind in ("call", "reuse"):
                x = torch.tanh(layer(x))
            elif kind == "functional":
                x = torch.tanh(functional.linear(x, layer.weight, layer.bias))
            elif kind == "transposed":
                x = torch.tanh(layer(x.T).T) if share < 0.5 else torch.tanh(x @ layer.weight)
            elif kind == "reorder":
                x = x.flip(0) if share < 0.5 else x[x[:, 0].argsort()]
            elif kind == "scale":
                x = x * layer.weight.diagonal()
            elif kind == "input derivative":
                z = x.detach().requires_grad_(True) + 0.0 * x
                x = x + torch.autograd.grad(torch.tanh(layer(z)).sum(), z, create_graph=True)[0]
            else:
                x = torch.tanh(layer(torch.stack([x, -x], 1))).mean(1)
        return self.last(self.norm(x))
