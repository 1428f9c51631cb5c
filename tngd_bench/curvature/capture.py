"""What the layers of a model saw in one forward pass, and which parameters that accounts for in full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn.modules.batchnorm import _BatchNorm


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer: its input (b, …), and the place of its output in the autograd graph.

    The graph edge is taken when the layer returns, so that a later in-place operation on the output (ReLU with
    inplace=True) does not move it.
    """

    module: nn.Module
    input: Tensor
    version: int
    edge: GradientEdge
    output_shape: torch.Size

    def check_untouched(self) -> None:
        """Raise RuntimeError when the layer's input was changed in place after the call."""
        if self.input._version != self.version:
            raise RuntimeError(
                f"the input of {type(self.module).__name__} was changed in place after the layer used it; "
                "curvature needs it as it was: use the out-of-place operation"
            )


@contextmanager
def recording(model: nn.Module, kinds: tuple[type[nn.Module], ...]) -> Iterator[list[LayerCall]]:
    """Record every call, inside the block, of a layer whose exact type is in `kinds` and that is trained."""
    calls: list[LayerCall] = []

    def record(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if (
            len(args) == 1
            and isinstance(args[0], Tensor)
            and isinstance(output, Tensor)
            and output.requires_grad
        ):
            seen = args[0]
            calls.append(
                LayerCall(module, seen.detach(), seen._version, get_gradient_edge(output), output.shape)
            )

    handles = [
        module.register_forward_hook(record)
        for module in model.modules()
        if type(module) in kinds and any(p.requires_grad for p in module.parameters(recurse=False))
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def run_model(model: nn.Module, inputs: Tensor | Mapping[str, Any]) -> Tensor:
    """Call the model on one batch and return its output tensor (b, …)."""
    outputs = model(**inputs) if isinstance(inputs, Mapping) else model(inputs)
    if not isinstance(outputs, Tensor):
        raise TypeError(f"the model must return one tensor (b, …), not {type(outputs).__name__}")
    return outputs


def batch_size_of(inputs: Tensor | Mapping[str, Any]) -> int:
    """Size of the first dimension of the inputs (of the first tensor of a mapping)."""
    if isinstance(inputs, Tensor):
        return inputs.shape[0]
    for value in inputs.values():
        if isinstance(value, Tensor):
            return value.shape[0]
    raise TypeError("inputs must be a tensor or a mapping that holds at least one tensor")


def refuse_mixed_samples(model: nn.Module) -> None:
    """Raise ValueError when a layer mixes the samples of a batch: then no row of J belongs to one sample."""
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm) and (module.training or not module.track_running_stats):
            raise ValueError(
                f"{type(module).__name__} {name!r} normalises over the batch, so a sample's output depends on the "
                "other samples and the GGN has no per-sample rows: call .eval() on that layer, or use GroupNorm"
            )
