"""Shapes of a model's trained layers as one batch uses them, whose two ends a factored upload sends."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from tngd_bench.curvature.capture import layer_of
from tngd_bench.curvature.rows.layer_rules import CONVOLUTIONS
from tngd_bench.layers import Layer


@contextmanager
def recorded_layers(model: nn.Module) -> Iterator[list[Layer]]:
    """Collect (inputs per position incl. the kernel, outputs, positions) of each trained layer that runs meanwhile.

    ValueError at entry for a trained layer that is neither linear nor a convolution: it has no such factors.
    """
    layers: list[Layer] = []

    def note(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        layer = layer_of(module, output.shape)
        assert isinstance(layer, Layer)
        layers.append(layer)

    trained = [m for m in model.modules() if any(p.requires_grad for p in m.parameters(recurse=False))]
    for module in trained:
        if not isinstance(module, (nn.Linear, *CONVOLUTIONS)):
            raise ValueError(
                f"upload='factored' prices linear and convolution layers; the model trains a {type(module).__name__}"
            )
    handles = [module.register_forward_hook(note) for module in trained]
    try:
        yield layers
    finally:
        for handle in handles:
            handle.remove()
