"""Reverse passes through a model's graph: one, or a batch of them at once."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from tngd_bench.curvature.capture import dense


def reverse_pass(
    outputs: Tensor, tensors: Sequence[Any], cotangent: Tensor | None = None
) -> list[Tensor | None]:
    """Gradients of ⟨outputs, cotangent⟩ at tensors or graph edges, the graph kept; None where one has no part in it.

    Raises ValueError where the model cannot be differentiated.
    """
    if not outputs.requires_grad:
        raise ValueError(
            "the model's output must depend on its trainable parameters through autograd; it requires no grad "
            "(torch.no_grad or detach inside forward?)"
        )
    try:
        pieces = torch.autograd.grad(outputs, tensors, cotangent, retain_graph=True, allow_unused=True)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise ValueError(f"the model cannot be differentiated by its parameters: {error}") from error
    return [None if piece is None else dense(piece) for piece in pieces]


def reverse_gradients(
    outputs: Tensor, targets: Sequence[Any], cotangent: Tensor | None = None
) -> list[Tensor]:
    """As `reverse_pass`, zeros where a tensor or an edge has no part in the outputs."""
    pieces = reverse_pass(outputs, targets, cotangent)
    return [_zeros(t) if piece is None else piece for t, piece in zip(targets, pieces, strict=True)]


def batched_pass(outputs: Tensor, targets: Sequence[Any], cotangents: Tensor) -> list[Tensor]:
    """Gradients at tensors or graph edges for k cotangents (k, b, …), each (k, …), in one pass where that can be."""
    try:
        return list(
            torch.autograd.grad(outputs, targets, cotangents, retain_graph=True, is_grads_batched=True)
        )
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        # sparse gradients and custom functions have no batched backward pass; errors of their own show again here
        single = [reverse_gradients(outputs, targets, cotangent) for cotangent in cotangents]
        return [torch.stack(rows) for rows in zip(*single, strict=True)]


def _zeros(target: Tensor | GradientEdge) -> Tensor:
    if isinstance(target, Tensor):
        return torch.zeros_like(target)
    of = target.node._input_metadata[target.output_nr]
    return torch.zeros(of.shape, dtype=of.dtype, device=of.device)
