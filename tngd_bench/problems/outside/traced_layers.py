"""The layers of any model in the sizes that predictions take, from one call of it, on torch's meta device too."""

import math
from collections import Counter

from torch import Tensor, nn

from tngd_bench.curvature.flop_counter import flop_counter
from tngd_bench.curvature.model_call import Inputs, run_model
from tngd_bench.layers import Layer

_CHANNELS = ("out_features", "out_channels", "hidden_size")
"""Attributes by which torch's modules say how many outputs they have at each position."""


def traced_layers(model: nn.Module, inputs: Inputs) -> tuple[tuple[Layer, ...], int]:
    """Return the layers that `model` calls on a batch, in order, and its outputs per sample, in the mode that it is in.

    Every matrix of a module is a layer, but for tables of embeddings; one that is a table and a layer too is the layer.
    Parameters of none (norms, scales) stand together, before the last. So do the products of two values, as in
    attention: torch's count of the call beyond that of the layers.
    """
    positions: Counter[nn.Module] = Counter()

    def note(module: nn.Module, args: object, output: object) -> None:
        found = output[0] if isinstance(output, tuple) else output
        channels = next((getattr(module, name) for name in _CHANNELS if hasattr(module, name)), None)
        if isinstance(found, Tensor) and channels:
            channels *= 1 + bool(getattr(module, "bidirectional", False))
            positions[module] += max(1, found.numel() // (found.shape[0] * channels))

    with_own = [module for module in model.modules() if any(True for _ in module.parameters(recurse=False))]
    hooks = [module.register_forward_hook(note) for module in with_own]
    try:
        with flop_counter() as counter:  # with gradients: a model may differentiate inside `forward`
            outputs = run_model(model, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    layers = _matrices([*positions, *(module for module in with_own if module not in positions)], positions)
    tables = {
        p for each in with_own if isinstance(each, nn.Embedding) for p in each.parameters(recurse=False)
    }
    outside = tables - {p for each in positions for p in each.parameters(recurse=False)}
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad and p not in outside)
    rest = trained - sum(layer.parameters for layer in layers)
    if rest > 0:
        layers.insert(max(0, len(layers) - 1), Layer(0, rest))
    return _counted(layers, counter.get_total_flops() / len(outputs)), math.prod(outputs.shape[1:])


def _matrices(modules: list[nn.Module], positions: Counter[nn.Module]) -> list[Layer]:
    """Return the layers of the modules that are no tables."""
    layers = []
    for module in modules:
        own = list(module.parameters(recurse=False))
        bias = any(p.dim() == 1 and p.requires_grad for p in own)
        layers += [
            Layer(p[0].numel(), p.shape[0], max(1, positions[module]), p.requires_grad, bias)
            for p in own
            if p.dim() > 1 and not isinstance(module, nn.Embedding)
        ]
    return layers


def _counted(layers: list[Layer], flops: float) -> tuple[Layer, ...]:
    """Return the layers, and one for products of values, so that a forward pass of one sample takes `flops`.

    Twice the operations of the layers or more are derivatives by the inputs inside `forward`, which use the weights
    more often than the layers are called.
    """
    own = sum(layer.forward(1) for layer in layers)
    times = int(flops // max(1.0, own))
    if times > 1:
        return tuple(layer._replace(positions=times * layer.positions) for layer in layers)
    places = max((layer.positions for layer in layers), default=1)
    width = round(math.sqrt(max(0.0, flops - own) / (2.0 * places)))
    return (*layers[:-1], *([Layer(width, width, places, False, False, True)] if width else []), *layers[-1:])
