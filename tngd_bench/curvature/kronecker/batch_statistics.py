"""Batch normalisation in training mode: its statistics couple the samples, which per-sample factors take as constants.

The gradient of the loss passes through the statistics as always. Where the second moments of per-sample gradients are
wanted (K-FAC's Γ), a sample's gradient behind the layer is its gradient before it, times weight / σ, as if mean and σ
of the batch had been given: what one sample adds to the others' through the statistics is left out.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tngd_bench.curvature.capture import all_modules

Node = Any


def uses_batch_statistics(module: nn.Module) -> bool:
    """Whether the module normalises by the mean and variance of the present batch."""
    return isinstance(module, _BatchNorm) and (module.training or not module.track_running_stats)


@contextmanager
def recording_statistics(model: nn.Module) -> Iterator[list[Node]]:
    """Record the graph nodes of all normalisations by batch statistics in a forward pass inside the block."""
    nodes: list[Node] = []

    def record(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if uses_batch_statistics(module) and isinstance(output, Tensor) and output.grad_fn is not None:
            nodes.append(output.grad_fn)

    with ExitStack() as stack:
        for module in all_modules(model):
            if isinstance(module, _BatchNorm):
                stack.callback(module.register_forward_hook(record, prepend=True).remove)
        yield nodes


@contextmanager
def constant_statistics(nodes: list[Node]) -> Iterator[None]:
    """In backward passes inside the block take the statistics of these nodes as constants.

    Raises NotImplementedError for a normalisation by an operation that is not known here.
    """
    with ExitStack() as stack:
        for node in nodes:
            if not node.name().startswith(("NativeBatchNormBackward", "CudnnBatchNormBackward")):
                raise NotImplementedError(f"batch statistics of {node.name()} cannot be taken as constants")
            stack.callback(node.register_hook(_Scaled(node)).remove)
        yield


class _Scaled:
    """Replaces the gradient at the input by the one at the output times weight / σ of each channel."""

    def __init__(self, node: Node) -> None:
        # now: a backward pass frees what the node has saved
        scale, weight = node._saved_result2.detach(), node._saved_weight
        trailing = node._saved_input.dim() - 2
        self._scale = (scale if weight is None else scale * weight.detach()).reshape(-1, *(1,) * trailing)

    def __call__(
        self, at_input: tuple[Tensor | None, ...], at_output: tuple[Tensor | None, ...]
    ) -> tuple[Tensor | None, ...]:
        g = at_output[0]
        if g is None or at_input[0] is None:
            return at_input
        return (g * self._scale.to(g.dtype), *at_input[1:])
