"""Rectifier and max-pooling behind a convolution, moved into the input patches of the convolution.

Cotangents of a convolution's output are r copies of a full feature map, three quarters of them zeros behind a 2×2
max-pooling. Pooling and rectifier act within a channel and are the same linear map for all r cotangents, so the map is
applied once to the input patches instead: rows come from the pooled cotangents and the selected patches.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from tngd_bench.curvature.capture import LayerCall
from tngd_bench.curvature.graph import AutogradGraph
from tngd_bench.layers import Layer, pooling_is_fused


@dataclass(frozen=True)
class PooledTail:
    """out[n, c, u] = factor[n, c, u] · in[n, c, index[n, c, u]], in and out flat over positions.

    `exit` is the edge of out, where cotangents are taken; `factor` is None for a pooling without a rectifier.
    """

    exit: GradientEdge
    index: Tensor
    factor: Tensor | None


def pooled_tail(call: LayerCall, graph: AutogradGraph) -> PooledTail | None:
    """Follow rectifiers and one 2-d max-pooling behind a convolution; None where there is no pooling to gain from."""
    node: Any = call.edge.node
    index: Tensor | None = None
    factor: Tensor | None = None
    last = None
    while (node := graph.only_consumer(node)) is not None:
        if node.name() == "ReluBackward0" and hasattr(node, "_saved_result"):
            passed = (node._saved_result > 0).to(call.input.dtype).flatten(2)
            factor = passed if factor is None else factor * passed
        elif (
            node.name() == "MaxPool2DWithIndicesBackward0"
            and hasattr(node, "_saved_result1")
            and index is None
        ):
            index = node._saved_result1.flatten(2)
            factor = None if factor is None else torch.gather(factor, 2, index)
        else:
            break
        last = node
    if index is None or last is None:
        return None
    return PooledTail(GradientEdge(last, 0), index, factor)


def worth_pooling(tail: PooledTail, patches: Tensor, columns: int) -> bool:
    """Whether selecting patches per channel moves less data than `columns` full-size cotangents would."""
    channels, passed = tail.index.shape[1:]
    return pooling_is_fused(Layer(patches.shape[1], channels, patches.shape[2]), passed, columns)


def selected_patches(tail: PooledTail, patches: Tensor) -> Tensor:
    """Patches (b, k, T) as each output channel's selected ones, (b, C, k, U), rectifier applied."""
    b, channels, outputs = tail.index.shape
    width = patches.shape[1]
    chosen = torch.gather(
        patches.unsqueeze(1).expand(b, channels, width, patches.shape[2]),
        3,
        tail.index.unsqueeze(2).expand(b, channels, width, outputs),
    )
    return chosen if tail.factor is None else chosen.mul_(tail.factor.unsqueeze(2))
