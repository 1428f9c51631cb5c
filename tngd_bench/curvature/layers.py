"""Rules that turn what a layer saw into its block of the factor B: Linear and convolutions.

Everything else goes through batched reverse mode (`tngd_bench.curvature.ggn`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge
from torch.nn import functional

from tngd_bench.curvature.blocks import Block, OuterProductBlock, Slot, channel_rows, positional_rows
from tngd_bench.curvature.capture import LayerCall
from tngd_bench.curvature.graph import AutogradGraph
from tngd_bench.curvature.tails import PooledTail, pooled_tail, selected_patches, worth_pooling

LAYER_KINDS: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def supports(call: LayerCall, batch_size: int) -> bool:
    """Whether a rule applies to this call: samples along the first dimension, nothing exotic in the layer."""
    if not call.input.dim() or call.input.shape[0] != batch_size or call.output_shape[0] != batch_size:
        return False
    if isinstance(call.module, nn.Linear):
        # a middle dimension of the batch's size could be the batch itself (sequence-first layouts)
        return call.input.dim() == 2 or call.input.shape[1] != batch_size
    module = call.module
    assert isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    return module.padding_mode == "zeros" and call.input.dim() == len(module.kernel_size) + 2


@dataclass(frozen=True)
class LayerPlan:
    """How one layer's block will be made: its calls, the edges whose cotangents it needs, prepared inputs."""

    calls: tuple[LayerCall, ...]
    edges: tuple[GradientEdge, ...]
    patches: tuple[Tensor, ...]
    tail: PooledTail | None


def plan_layer(calls: Sequence[LayerCall], graph: AutogradGraph, columns: int) -> LayerPlan:
    """Choose where to take cotangents for a layer: at its outputs, or behind the pooling that follows."""
    module = calls[0].module
    edges = tuple(call.edge for call in calls)
    if isinstance(module, nn.Linear):
        return LayerPlan(tuple(calls), edges, (), None)
    assert isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    patches = tuple(convolution_patches(module, call.input) for call in calls)
    if len(calls) == 1 and isinstance(module, nn.Conv2d) and module.groups == 1:
        tail = pooled_tail(calls[0], graph)
        if tail is not None and worth_pooling(tail, patches[0], columns):
            return LayerPlan(tuple(calls), (tail.exit,), patches, tail)
    return LayerPlan(tuple(calls), edges, patches, None)


def layer_block(plan: LayerPlan, cotangents: Sequence[Tensor], slots: Mapping[int, Slot]) -> Block:
    """Block of one layer; `cotangents` (r, b, *shape) belong to the plan's edges."""
    calls = plan.calls
    module = calls[0].module
    weight = slots.get(id(module.weight))
    bias = slots.get(id(module.bias)) if module.bias is not None else None
    if isinstance(module, nn.Linear):
        if len(calls) == 1 and calls[0].input.dim() == 2:
            return OuterProductBlock(weight, bias, calls[0].input, cotangents[0])
        inputs = torch.cat([_channels_first(call.input) for call in calls], -1)
        outputs = torch.cat([_channels_first_batched(g) for g in cotangents], -1)
        return positional_rows(inputs, outputs, weight=weight, bias=bias)
    assert isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    if plan.tail is not None:
        selected = selected_patches(plan.tail, plan.patches[0])
        pooled = cotangents[0].flatten(3)
        return channel_rows(selected, pooled, weight=weight, bias=bias, factor=plan.tail.factor)
    patches = torch.cat(plan.patches, -1)
    outputs = torch.cat([g.flatten(3) for g in cotangents], -1)
    return positional_rows(patches, outputs, weight=weight, bias=bias, groups=module.groups)


def convolution_patches(module: nn.Conv1d | nn.Conv2d | nn.Conv3d, inputs: Tensor) -> Tensor:
    """What each output position of a convolution sees: (b, channels·kernel size, positions)."""
    dims = len(module.kernel_size)
    stride, dilation = _per_dimension(module.stride, dims), _per_dimension(module.dilation, dims)
    kernel = _per_dimension(module.kernel_size, dims)
    padded = functional.pad(inputs, _padding(module, kernel, dilation))
    for axis in range(dims):
        padded = padded.unfold(2 + axis, dilation[axis] * (kernel[axis] - 1) + 1, stride[axis])
        padded = padded[..., :: dilation[axis]]
    # (b, channels, *positions, *kernel) → (b, channels·kernel, positions)
    order = (0, 1, *range(2 + dims, 2 + 2 * dims), *range(2, 2 + dims))
    return padded.permute(order).flatten(2 + dims).flatten(1, 1 + dims)


def _padding(
    module: nn.Conv1d | nn.Conv2d | nn.Conv3d, kernel: tuple[int, ...], dilation: tuple[int, ...]
) -> list[int]:
    if module.padding == "valid":
        amounts = [(0, 0) for _ in kernel]
    elif module.padding == "same":
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        amounts = [(total // 2, total - total // 2) for total in totals]
    else:
        assert not isinstance(module.padding, str)
        amounts = [(p, p) for p in _per_dimension(module.padding, len(kernel))]
    return [side for pair in reversed(amounts) for side in pair]


def _per_dimension(value: int | tuple[int, ...], dims: int) -> tuple[int, ...]:
    return (value,) * dims if isinstance(value, int) else tuple(value)


def _channels_first(inputs: Tensor) -> Tensor:
    """(b, …, d) → (b, d, positions)."""
    return inputs.reshape(inputs.shape[0], -1, inputs.shape[-1]).transpose(1, 2)


def _channels_first_batched(cotangents: Tensor) -> Tensor:
    """(r, b, …, d) → (r, b, d, positions)."""
    r, b, d = cotangents.shape[0], cotangents.shape[1], cotangents.shape[-1]
    return cotangents.reshape(r, b, -1, d).transpose(2, 3)
