"""Record of one forward pass: the calls of a model's layers, their inputs and sizes."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from tngd_bench.layers import Layer, PointwiseLayer


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

    @property
    def layer(self) -> Layer | PointwiseLayer:
        """Its sizes, for the rules of costs and routes."""
        return layer_of(self.module, self.output_shape)

    def check_untouched(self) -> None:
        """Raise RuntimeError when the layer's input was changed in place after the call."""
        if self.input._version != self.version:
            raise RuntimeError(
                f"the input of {type(self.module).__name__} was changed in place after the layer used it; "
                "curvature needs it as it was: use the out-of-place operation"
            )


def dense(piece: Tensor) -> Tensor:
    """The tensor with its zeros written out: sparse inputs and gradients of sparse embeddings come without them."""
    return piece if piece.layout is torch.strided else piece.to_dense()


def kind_of(tensor: Tensor) -> str:
    """Shape, dtype and device, for messages."""
    return f"{tuple(tensor.shape)} {tensor.dtype} on {tensor.device}"


def layer_of(module: nn.Module, output_shape: Sequence[int]) -> Layer | PointwiseLayer:
    """Return the sizes of a layer that returns (b, …): matrix, convolution, table or normalisation."""
    values = math.prod(output_shape[1:])
    if isinstance(module, nn.Embedding):
        return PointwiseLayer(values, values)
    weight = module.weight
    assert isinstance(weight, Tensor)
    if not isinstance(module, nn.Linear) and weight.dim() < 3:
        return PointwiseLayer(values, 2 * weight.numel())
    trained = any(p.requires_grad for p in module.parameters(recurse=False))
    bias = isinstance(module.bias, Tensor) and module.bias.requires_grad
    return Layer(weight.numel() // len(weight), len(weight), values // len(weight), trained, bias)


def all_modules(model: nn.Module) -> list[nn.Module]:
    """Return the modules of `model.modules()`, in its order and in a fifth of its time: it makes their names too."""
    found: dict[nn.Module, None] = {}

    def visit(module: nn.Module) -> None:
        if module not in found:
            found[module] = None
            for child in module._modules.values():
                if child is not None:
                    visit(child)

    visit(model)
    return list(found)


@contextmanager
def recording(model: nn.Module, kinds: tuple[type[nn.Module], ...]) -> Iterator[list[LayerCall]]:
    """Record every call, inside the block, of a layer whose exact type is in `kinds` and that is trained."""
    calls: list[LayerCall] = []

    def record(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        given = (*args, *kwargs.values())
        if (
            len(given) == 1
            and isinstance(given[0], Tensor)
            and isinstance(output, Tensor)
            and isinstance(module.weight, Tensor)  # which a normalisation may lack beside its bias
            and output.requires_grad
        ):
            seen = given[0]
            if output.dtype != module.weight.dtype:
                raise ValueError(
                    f"{type(module).__name__} returns {output.dtype} from a weight of {module.weight.dtype} "
                    "(torch.autocast inside the model?): curvature needs the parameters' own precision"
                )
            kept = dense(seen.detach())
            calls.append(LayerCall(module, kept, kept._version, get_gradient_edge(output), output.shape))

    # before all other hooks: a hook of the user's may replace the output
    handles = [
        module.register_forward_hook(record, prepend=True, with_kwargs=True)
        for module in all_modules(model)
        if type(module) in kinds
        and any(p is not None and p.requires_grad and p.numel() for p in module._parameters.values())
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()
