"""The layers of any model in the sizes that predictions take, from one call of it."""

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

    Every matrix of a module that is no table of embeddings is a layer. Parameters of none (norms, scales) stand
    together as one, before the last, that is used once.
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
    called = [*positions, *(module for module in with_own if module not in positions)]
    layers, tables = [], 0
    for module in called:
        own = list(module.parameters(recurse=False))
        if isinstance(module, nn.Embedding):
            tables += sum(p.numel() for p in own if p.requires_grad)
            continue
        bias = any(p.dim() == 1 and p.requires_grad for p in own)
        layers += [
            Layer(p[0].numel(), p.shape[0], max(1, positions[module]), p.requires_grad, bias)
            for p in own
            if p.dim() > 1
        ]
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    rest = trained - tables - sum(layer.parameters for layer in layers)
    if rest > 1:
        layers.insert(max(0, len(layers) - 1), Layer(rest - 1, 1))
    # Derivatives by the inputs inside `forward` use the weights more often than the layers are called.
    times = int(counter.get_total_flops() // max(1.0, sum(layer.forward(len(outputs)) for layer in layers)))
    if times > 1:
        layers = [layer._replace(positions=times * layer.positions) for layer in layers]
    return tuple(layers), math.prod(outputs.shape[1:])
