"""Rules that make a layer's block of the factor B from its inputs and output gradients.

Linear and convolutions (at one position or many), embeddings, layer and group normalisation. The rules assume how a
layer was used, and `verification.py` checks that. Everything else goes by the matrix products in the graph
(`matrix_products.py`) or by batched reverse mode (`curvature.reverse`).
"""

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge
from torch.nn import functional

from tngd_bench.curvature.capture import LayerCall
from tngd_bench.curvature.graph import AutogradGraph
from tngd_bench.curvature.rows.blocks import Block, ExplicitBlock, OuterProductBlock, Slot, channel_rows
from tngd_bench.curvature.rows.conv_pool_fusion import (
    PooledTail,
    pooled_tail,
    selected_patches,
    worth_pooling,
)
from tngd_bench.curvature.rows.embedding import EmbeddingBlock
from tngd_bench.curvature.rows.shared_weights import positional_block

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMALISATIONS = (nn.LayerNorm, nn.GroupNorm)
LAYER_KINDS: tuple[type[nn.Module], ...] = (nn.Linear, *CONVOLUTIONS, nn.Embedding, *NORMALISATIONS)


@dataclass(frozen=True)
class LayerPlan:
    """How one layer's block will be made: its calls, the edges whose cotangents it needs, prepared inputs."""

    calls: tuple[LayerCall, ...]
    edges: tuple[GradientEdge, ...]
    patches: tuple[Tensor, ...]
    tail: PooledTail | None

    @property
    def kept_values(self) -> list[int]:
        """Values that one column of S keeps at each edge."""
        if self.tail is not None:
            return [self.tail.index.numel()]
        return [call.output_shape.numel() for call in self.calls]


def structured_layers(
    calls: Sequence[LayerCall], trained: Container[int], graph: AutogradGraph, batch_size: int
) -> list[list[LayerCall]]:
    """Calls grouped by layer where a rule applies and they account for every use of the layer's parameters.

    `trained` holds the ids of the trainable parameters. A layer whose weight is computed (weight normalisation,
    pruning) has none of its own here.
    """
    by_weight: dict[int, list[LayerCall]] = defaultdict(list)
    for call in calls:
        by_weight[id(call.module.weight)].append(call)
    layers: list[list[LayerCall]] = []
    for group in by_weight.values():
        modules = {id(call.module): call.module for call in group}
        own = trained_parameters(group[0].module, trained)
        complete = own is not None and all(len(graph.users(p)) == len(group) for p in own.values())
        connected = all(call.edge.node in graph for call in group)
        if len(modules) == 1 and complete and connected and all(supports(c, batch_size) for c in group):
            layers.append(group)
    return layers


def trained_parameters(module: nn.Module, trained: Container[int]) -> dict[str, nn.Parameter] | None:
    """Return the layer's own trained weight and bias by name, or None where it trains anything else."""
    own = {name: p for name, p in module._parameters.items() if p is not None and id(p) in trained}
    plain = isinstance(module.weight, nn.Parameter) and own.keys() <= {"weight", "bias"}
    return own if plain and own else None


def supports(call: LayerCall, batch_size: int) -> bool:
    """Whether a rule applies to this call: b along the first dimension, nothing exotic in the layer."""
    module, shape = call.module, call.input.shape
    if not shape or shape[0] != batch_size or call.output_shape[0] != batch_size:
        return False
    if isinstance(module, CONVOLUTIONS):
        return len(shape) == len(module.kernel_size) + 2
    if isinstance(module, nn.Embedding):
        return module.max_norm is None and not module.scale_grad_by_freq
    if isinstance(module, nn.LayerNorm):
        return len(shape) > len(module.normalized_shape)
    return isinstance(module, nn.GroupNorm) or len(shape) > 1


def plan_layer(
    calls: Sequence[LayerCall], graph: AutogradGraph, columns: int, dtype: torch.dtype
) -> LayerPlan:
    """Choose where to take cotangents for a layer: at its outputs, or behind the pooling that follows."""
    module = calls[0].module
    edges = tuple(call.edge for call in calls)
    if not isinstance(module, CONVOLUTIONS):
        return LayerPlan(tuple(calls), edges, (), None)
    patches = tuple(convolution_patches(module, call.input.to(dtype)) for call in calls)
    if len(calls) == 1 and isinstance(module, nn.Conv2d) and module.groups == 1:
        tail = pooled_tail(calls[0], graph)
        if tail is not None and worth_pooling(tail, patches[0], columns):
            return LayerPlan(tuple(calls), (tail.exit,), patches, tail)
    return LayerPlan(tuple(calls), edges, patches, None)


def layer_block(
    plan: LayerPlan, cotangents: Sequence[Tensor], slots: Mapping[int, Slot], memory_bytes: int
) -> Block:
    """Block of one layer; `cotangents` (r, b, *shape) belong to the plan's edges."""
    calls, dtype = plan.calls, cotangents[0].dtype
    module = calls[0].module
    weight = slots.get(id(module.weight))
    bias = slots.get(id(module.bias)) if getattr(module, "bias", None) is not None else None
    if isinstance(module, nn.Linear):
        if len(calls) == 1 and calls[0].input.dim() == 2:
            return OuterProductBlock(weight, bias, calls[0].input.to(dtype), cotangents[0])
        inputs = torch.cat([_features_first(call.input.to(dtype)) for call in calls], -1)
        outputs = torch.cat([_cotangent_features_first(g) for g in cotangents], -1)
        return positional_block(
            inputs.unsqueeze(1), outputs.unsqueeze(2), weight=weight, bias=bias, memory_bytes=memory_bytes
        )
    if isinstance(module, nn.Embedding):
        assert weight is not None
        return _embedding_block(module, calls, cotangents, weight)
    if isinstance(module, NORMALISATIONS):
        return _normalisation_block(module, calls, cotangents, weight, bias)
    assert isinstance(module, CONVOLUTIONS)
    if plan.tail is not None:
        selected = selected_patches(plan.tail, plan.patches[0])
        pooled = cotangents[0].flatten(3)
        return channel_rows(selected, pooled, weight=weight, bias=bias, factor=plan.tail.factor)
    patches = torch.cat(plan.patches, -1)
    outputs = torch.cat([g.flatten(3) for g in cotangents], -1)
    r, b, groups = len(outputs), len(patches), module.groups
    return positional_block(
        patches.view(b, groups, -1, patches.shape[-1]),
        outputs.view(r, b, groups, -1, outputs.shape[-1]),
        weight=weight,
        bias=bias,
        memory_bytes=memory_bytes,
    )


def convolution_windows(module: nn.Conv1d | nn.Conv2d | nn.Conv3d, inputs: Tensor) -> Tensor:
    """What each output position of a convolution sees, as a view: (b, channels, *positions, *kernel)."""
    dims = len(module.kernel_size)
    stride, dilation = _per_dimension(module.stride, dims), _per_dimension(module.dilation, dims)
    kernel = _per_dimension(module.kernel_size, dims)
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    padded = functional.pad(inputs, _padding(module, kernel, dilation), mode=mode)
    for axis in range(dims):
        padded = padded.unfold(2 + axis, dilation[axis] * (kernel[axis] - 1) + 1, stride[axis])
        padded = padded[..., :: dilation[axis]]
    return padded


def convolution_patches(module: nn.Conv1d | nn.Conv2d | nn.Conv3d, inputs: Tensor) -> Tensor:
    """The same as (b, channels·kernel size, positions)."""
    dims = len(module.kernel_size)
    order = (0, 1, *range(2 + dims, 2 + 2 * dims), *range(2, 2 + dims))
    return convolution_windows(module, inputs).permute(order).flatten(2 + dims).flatten(1, 1 + dims)


def _embedding_block(
    module: nn.Embedding, calls: Sequence[LayerCall], cotangents: Sequence[Tensor], weight: Slot
) -> EmbeddingBlock:
    tokens = torch.cat([call.input.reshape(len(call.input), -1) for call in calls], 1)
    rows = torch.cat([g.reshape(*g.shape[:2], -1, g.shape[-1]) for g in cotangents], 2)
    if module.padding_idx is not None:
        rows = rows * (tokens != module.padding_idx).view(1, *tokens.shape, 1)
    return EmbeddingBlock(weight, tokens, rows)


def _normalisation_block(
    module: nn.LayerNorm | nn.GroupNorm,
    calls: Sequence[LayerCall],
    cotangents: Sequence[Tensor],
    weight: Slot | None,
    bias: Slot | None,
) -> ExplicitBlock:
    """The weight scales the normalised input, so its rows are Σ_t g ⊙ x̂ and the bias's Σ_t g."""
    rows: dict[Slot, Tensor] = {}
    for call, g in zip(calls, cotangents, strict=True):
        inputs = call.input.to(g.dtype)
        if isinstance(module, nn.LayerNorm):
            normalised = functional.layer_norm(inputs, module.normalized_shape, eps=module.eps)
            shape, positions = (*g.shape[:2], -1, module.weight.numel()), 2
        else:
            normalised = functional.group_norm(inputs, module.num_groups, eps=module.eps)
            shape, positions = (*g.shape[:3], -1), 3
        for slot, seen in ((weight, g * normalised), (bias, g)):
            if slot is not None:
                summed = seen.reshape(shape).sum(positions).flatten(0, 1)
                rows[slot] = rows[slot] + summed if slot in rows else summed
    return ExplicitBlock.joined(rows)


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


def _features_first(inputs: Tensor) -> Tensor:
    """(b, …, d) → (b, d, positions)."""
    return inputs.reshape(inputs.shape[0], -1, inputs.shape[-1]).transpose(1, 2)


def _cotangent_features_first(cotangents: Tensor) -> Tensor:
    """(r, b, …, d) → (r, b, d, positions)."""
    r, b, d = cotangents.shape[0], cotangents.shape[1], cotangents.shape[-1]
    return cotangents.reshape(r, b, -1, d).transpose(2, 3)
