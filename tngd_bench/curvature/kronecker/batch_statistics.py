"""Batch normalisation in training mode: its statistics couple the samples, which per-sample factors take as constants.

The gradient of the loss passes through the statistics as always. Where the second moments of per-sample gradients are
wanted (K-FAC's Γ), a sample's gradient behind the layer is its gradient before it, times weight / σ, as if mean and σ
of the batch had been given: what one sample adds to the others' through the statistics is left out.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tngd_bench.curvature.graph import AutogradGraph

Node = Any
OPERATIONS = ("NativeBatchNormBackward", "CudnnBatchNormBackward")
"""torch's batch normalisations, by the start of their names in a graph."""


def uses_batch_statistics(module: nn.Module) -> bool:
    """Whether the module normalises by the mean and variance of the present batch."""
    return isinstance(module, _BatchNorm) and (module.training or not module.track_running_stats)


def statistics_nodes(graph: AutogradGraph) -> list[Node]:
    """Return the graph's normalisations by statistics of several samples, of modules and of `functional.batch_norm`.

    Torch's instance normalisation is a batch normalisation of one sample, which has the channels of all: its statistics
    couple no samples.
    """
    return [node for node in graph.nodes if _normalises(node) and len(node._saved_input) > 1]


@contextmanager
def refusing_other_statistics(model: nn.Module) -> Iterator[None]:
    """Raise ValueError for a forward pass of a batch normalisation, inside the block, without torch's own operation."""

    def check(
        name: str, module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any
    ) -> None:
        if not uses_batch_statistics(module) or not isinstance(output, Tensor) or output.grad_fn is None:
            return
        before = {each.grad_fn for each in (*inputs, *named.values()) if isinstance(each, Tensor)}
        if not any(map(_normalises, AutogradGraph(output, before).nodes)):
            raise ValueError(
                f"{type(module).__name__} {name!r} takes the statistics of the batch in operations of its own, which "
                "K-FAC cannot take as constants; accepted: functional.batch_norm or super().forward inside its "
                "forward, .eval() on that layer, or another normalisation"
            )

    with ExitStack() as stack:
        for name, module in model.named_modules():
            if isinstance(module, _BatchNorm):
                hook = partial(check, name)
                stack.callback(module.register_forward_hook(hook, prepend=True, with_kwargs=True).remove)
        yield


@contextmanager
def constant_statistics(nodes: list[Node]) -> Iterator[None]:
    """In backward passes inside the block take the statistics of these nodes as constants."""
    with ExitStack() as stack:
        for node in nodes:
            stack.callback(node.register_hook(_Scaled(node)).remove)
        yield


def _normalises(node: Node) -> bool:
    return node.name().startswith(OPERATIONS) and bool(node._saved_training)


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
