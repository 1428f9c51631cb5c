"""Reverse passes through a model's graph: one, or a batch of them at once."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from tngd_bench.curvature.parameters import dense


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
    outputs: Tensor, tensors: Sequence[Tensor], cotangent: Tensor | None = None
) -> list[Tensor]:
    """As `reverse_pass`, zeros where a tensor has no part in the outputs."""
    pieces = reverse_pass(outputs, tensors, cotangent)
    return [torch.zeros_like(t) if piece is None else piece for t, piece in zip(tensors, pieces, strict=True)]


def batched_pass(
    outputs: Tensor, targets: Sequence[Tensor] | Sequence[GradientEdge], cotangents: Tensor
) -> list[Tensor]:
    """Gradients at tensors or graph edges for k cotangents (k, b, …) in one batched pass, each (k, …)."""
    return list(torch.autograd.grad(outputs, targets, cotangents, retain_graph=True, is_grads_batched=True))


def row_gradients(outputs: Tensor, parameters: Sequence[Tensor], cotangents: Tensor) -> list[Tensor]:
    """Gradients of parameters for k cotangents (k, b, …), (k, size) each; one by one where a batch cannot be taken."""
    try:
        pieces = batched_pass(outputs, parameters, cotangents)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        # sparse gradients and custom functions have no batched backward pass; errors of their own show again here
        single = [reverse_pass(outputs, parameters, cotangent) for cotangent in cotangents]
        return [
            torch.stack([torch.zeros_like(p) if row is None else row for row in rows]).flatten(1)
            for p, rows in zip(parameters, zip(*single, strict=True), strict=True)
        ]
    return [piece.flatten(1) for piece in pieces]
