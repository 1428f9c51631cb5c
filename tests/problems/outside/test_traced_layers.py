"""The layers of a model as one call of it tells them: operations, positions, parameters, biases."""

import pytest
import torch
from torch import nn

from tngd_bench.curvature.flop_counter import flop_counter
from tngd_bench.measure.operations import count_operations
from tngd_bench.problems.outside.traced_layers import traced_layers

NETWORKS = {
    "convolutions": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4)
        ),
        torch.rand(2, 3, 6, 6),
    ),
    "grouped": (lambda: nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.Flatten()), torch.rand(2, 4, 6, 6)),
    "used twice": (lambda: Twice(), torch.rand(2, 5)),
    "sequence": (lambda: nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)), torch.rand(2, 9, 5)),
}


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(5, 5)

    def forward(self, x):
        return self.linear(self.linear(x))


@pytest.mark.parametrize("name", NETWORKS)
def test_traced_layers_say_the_operations_of_a_forward_pass(name):
    make, inputs = NETWORKS[name]
    model = make()
    layers, outputs = traced_layers(model, inputs)
    counted = count_operations(lambda: model(inputs)).flops
    stated = sum(layer.forward(2) for layer in layers)
    assert stated == pytest.approx(counted, rel=0.01)
    assert outputs == model(inputs)[0].numel()
    assert model.training


class Last(nn.Module):
    def __init__(self, parts):
        super().__init__()
        self.parts = parts

    def forward(self, tokens):
        return self.parts[1](self.parts[0](tokens))[0][:, -1]


def test_traced_layers_cover_all_parameters_but_tables():
    model = nn.Sequential(nn.Embedding(11, 4), nn.LSTM(4, 6))
    layers, _ = traced_layers(Last(model), torch.randint(0, 11, (2, 7)))
    assert [(each.d_in, each.d_out) for each in layers if each.positions > 1] == [(4, 24), (6, 24)]
    assert sum((each.d_in + 1) * each.d_out for each in layers) == sum(
        p.numel() for p in model[1].parameters()
    )


def test_traced_layers_of_a_model_with_frozen_ones_say_which():
    """An operation of a frozen layer is stated like any other; its parameters are not among those trained."""
    model = nn.Sequential(
        nn.Linear(6, 5),
        nn.ReLU(),
        nn.Linear(5, 9, bias=False),
        nn.LayerNorm(9),
        nn.Linear(9, 4),
        nn.Linear(4, 3),
    )
    model[0].requires_grad_(False)
    model[4].bias.requires_grad_(False)
    inputs = torch.randn(2, 6)
    layers, _ = traced_layers(model, inputs)
    norm = (0, 2 * 9, 1, True, True)
    assert [layer[:5] for layer in layers] == [
        (6, 5, 1, False, False),
        (5, 9, 1, True, False),
        (9, 4, 1, True, False),
        norm,
        (4, 3, 1, True, True),
    ]
    assert sum(layer.parameters for layer in layers) == sum(
        p.numel() for p in model.parameters() if p.requires_grad
    )
    assert sum(layer.forward(2) for layer in layers) == count_operations(lambda: model(inputs)).flops


class Sequences(nn.Module):
    """A layer of sequences, called on `arguments` of the inputs, and a head on what it gives first."""

    def __init__(self, layer, width, arguments=lambda x: (x,)):
        super().__init__()
        self.layer, self.head, self.arguments = layer, nn.Linear(width, 3), arguments

    def forward(self, x):
        found = self.layer(*self.arguments(x))
        return self.head(found[0].mean(1) if isinstance(found, tuple) else found)


class Unused(nn.Linear):
    def __init__(self):
        super().__init__(8, 4)
        self.beside = nn.Linear(100, 100)


class OnGraph(nn.Linear):
    """A layer behind a sparse matrix, which has no storage."""

    def forward(self, x):
        return super().forward((torch.eye(4).to_sparse() @ x.T).T)


def attended(**keys):
    return nn.MultiheadAttention(16, 2, batch_first=True, **keys)


PIXELS, TOKENS, VALUES = torch.rand(2, 8, 10, 10), torch.randint(0, 100, (4, 5)), torch.rand(4, 7, 16)
KINDS = {
    "transposed": (lambda: nn.ConvTranspose2d(8, 4, 2, stride=2), PIXELS, 25_600),
    "transposed, 1 axis": (lambda: nn.ConvTranspose1d(8, 4, 3, stride=2), torch.rand(2, 8, 10), 1_920),
    "transposed, 3 axes": (lambda: nn.ConvTranspose3d(8, 4, 3, stride=2), torch.rand(2, 8, 3, 4, 5), 103_680),
    "transposed in groups": (
        lambda: nn.ConvTranspose2d(8, 4, 3, stride=2, groups=2, dilation=2, output_padding=1),
        PIXELS,
        2 * 100 * 8 * 2 * 9,
    ),
    "dilated in groups": (
        lambda: nn.Conv2d(8, 16, 3, stride=2, groups=4, dilation=2),
        PIXELS,
        2 * 9 * 16 * 18,
    ),
    "each channel": (lambda: nn.Conv2d(8, 8, 3, groups=8, padding=1), PIXELS, 2 * 100 * 8 * 9),
    "bag": (lambda: nn.Sequential(nn.EmbeddingBag(100, 8), nn.Linear(8, 3)), TOKENS, 48),
    "unused": (Unused, torch.rand(4, 8), 64),
    "attention": (lambda: Sequences(attended(), 16, lambda x: (x, x, x)), VALUES, 17_568),
    "cross-attention": (
        lambda: Sequences(attended(), 16, lambda x: (x, x[:, :3], x[:, :3])),
        VALUES,
        2 * 16 * 16 * (7 + 3 + 3 + 7) + 2 * 2 * 16 * 7 * 3 + 96,
    ),
    "keys of another width": (
        lambda: Sequences(attended(kdim=5, vdim=4), 16, lambda x: (x, x[..., :5], x[..., :4])),
        VALUES,
        2 * 7 * 16 * (16 + 5 + 4 + 16) + 2 * 2 * 16 * 7 * 7 + 96,
    ),
    "attention in one kernel": (
        lambda: Sequences(nn.TransformerEncoderLayer(16, 2, 8, dropout=0.0, batch_first=True), 16),
        VALUES,
        2 * 7 * 16 * (3 * 16 + 16 + 8 + 8 + 3) + 2 * 2 * 16 * 7 * 7,
    ),
    "LSTM, batch first": (
        lambda: Sequences(nn.LSTM(16, 5, batch_first=True), 5),
        VALUES,
        2 * 7 * 20 * 21 + 30,
    ),
    "both ways": (
        lambda: Sequences(nn.GRU(16, 5, batch_first=True, bidirectional=True), 10),
        VALUES,
        2 * 2 * 7 * 15 * 21 + 60,
    ),
    "on a graph": (lambda: OnGraph(4, 3), torch.rand(4, 4), 2 * 4 * 4 + 2 * 4 * 3),
    "bilinear": (lambda: nn.Bilinear(4, 5, 3), (torch.rand(2, 4), torch.rand(2, 5)), 120),
    "normalised weight": (
        lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 4, 3)),
        PIXELS,
        2 * 64 * 72 * 4,
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_forward_pass_of_any_kind_of_layer_has_the_operations_of_torch_s_counter_and_by_hand(name):
    make, inputs, by_hand = KINDS[name]
    model = make()
    layers, _ = traced_layers(model, inputs)
    stated = sum(layer.forward(1) for layer in layers)
    assert stated == by_hand
    with flop_counter() as counter:
        outputs = model(*inputs) if isinstance(inputs, tuple) else model(inputs)
    assert stated * len(outputs) == counter.get_total_flops()
    tables = sum(
        p.numel() for each in model.modules() if isinstance(each, nn.EmbeddingBag) for p in each.parameters()
    )
    assert sum(layer.parameters for layer in layers) == sum(p.numel() for p in model.parameters()) - tables


class Bent(nn.Module):
    """Second derivatives of a network by its inputs, inside `forward`."""

    def __init__(self, width):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, points):
        def value(point):
            return self.net(point)[0]

        curved = torch.func.vmap(lambda point: torch.func.hessian(value)(point).trace())(points)
        return curved.unsqueeze(1) if self.training else torch.stack([curved, self.net(points)[:, 0]], 1)


def test_derivatives_inside_forward_are_stated_at_the_weights_that_they_use():
    """The outputs are those in training: this model gives more in evaluation mode."""
    inputs = torch.randn(2, 3)
    model = Bent(50)
    layers, outputs = traced_layers(model, inputs)
    assert outputs == 1
    assert sum(layer.forward(2) for layer in layers) == count_operations(lambda: model(inputs)).flops
    assert all(layer.positions > 1 for layer in layers if layer.factored)


class Recurrent(nn.Module):
    """A recurrent layer, and a classifier of its last step."""

    def __init__(self, layer, width):
        super().__init__()
        self.layer, self.last = layer, nn.Linear(width, 3)

    def forward(self, x):
        return self.last(self.layer(x)[0][:, -1])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(
    ("kind", "proj_size"), [(nn.LSTM, 0), (nn.LSTM, 1), (nn.LSTM, 2), (nn.LSTM, 3), (nn.GRU, 0)]
)
def test_traced_layers_count_every_parameter_once(kind, bidirectional, proj_size, bias):
    """A projection has no bias, though the gates' have a multiple of its rows."""
    more = {"proj_size": proj_size} if proj_size else {}
    layer = kind(5, 6, 2, bidirectional=bidirectional, bias=bias, batch_first=True, **more)
    model = Recurrent(layer, (proj_size or 6) * (1 + bidirectional))
    layers, _ = traced_layers(model, torch.randn(2, 4, 5))
    assert sum(each.parameters for each in layers) == sum(p.numel() for p in model.parameters())
    biased = sum(each.d_out for each in layers if each.bias and each.d_in)
    assert biased == sum(p.numel() for p in model.parameters() if p.dim() == 1)


@pytest.mark.parametrize(
    "options",
    [{}, {"kdim": 3, "vdim": 2}, {"add_bias_kv": True}, {"kdim": 3, "add_bias_kv": True}, {"bias": False}],
)
def test_traced_layers_of_attention_count_every_parameter_once(options):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True, **options)

        def forward(self, query, key, value):
            return self.attention(query, key, value)[0]

    model, widths = Model(), (4, options.get("kdim", 4), options.get("vdim", 4))
    layers, _ = traced_layers(model, tuple(torch.randn(2, 5, width) for width in widths))
    assert sum(each.parameters for each in layers) == sum(p.numel() for p in model.parameters())
