"""The generalized Gauss-Newton matrix of one batch, G = Jᵀ H J = Bᵀ B with B = Sᵀ J, without ever forming J.

One forward pass records what each layer saw; r batched backward passes to the layers' *outputs* give everything else
(the factor and its use: arXiv 2405.13817 §3); no weight gradient is formed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from tngd_bench.curvature import losses
from tngd_bench.curvature.blocks import Block, ExplicitBlock, total_width
from tngd_bench.curvature.capture import batch_size_of, recording, refuse_mixed_samples, run_model
from tngd_bench.curvature.graph import AutogradGraph
from tngd_bench.curvature.layers import LAYER_KINDS, layer_block, plan_layer, structured_layers
from tngd_bench.curvature.linearization import Linearization
from tngd_bench.curvature.parameters import TrainableParameters
from tngd_bench.curvature.routes import layer_shape, model_is_cheaper
from tngd_bench.resources import available_memory_bytes

MEMORY_FRACTION = 0.5
"""Part of the free memory that curvature may take when no budget is given."""
STREAMED_VALUES = 2**18
"""Values in one piece of a streamed factor: 1 MB in float32."""
LARGEST_STRUCTURED = 256
"""Outputs per sample up to which r batched backward passes are cheaper than the two passes of every product."""
LARGEST_UNROLLED = 32
"""The same where layers have more output values per sample than there are parameters, as adapters in a sequence model:
a row per output then keeps more than B itself has."""
PANELS = 4
"""Panels in which a symmetric K or G is formed: (1 + 1/4)/2 of the products."""
SMALLEST_PANELLED = 256
"""Order below which one product is quicker than four."""


class GGN:
    """Generalized Gauss-Newton matrix G of `loss(model(inputs), targets)` on one batch, N×N, never formed.

    Parameters
    ----------
    model : module whose output is one tensor (b, …), each sample's output depending on that sample alone.
    loss : mean-reduced `CrossEntropyLoss`, `MSELoss`, `BCEWithLogitsLoss`, or `PerSampleLoss` of a convex function.
    inputs : tensor (b, …), or a mapping passed as `model(**inputs)`.
    targets : what `loss` takes; for a cross-entropy, outputs may be (b, C), (b, C, T) or (b, T, C).
    empirical : rows are per-sample gradients over √b (empirical Fisher) instead of those of the loss Hessian.
    memory_budget_bytes : what one piece of work may take beyond what is kept; work is cut to it. Default: half of
        what is free now.

    Vectors are flat, (N,), over the trainable parameters in `model.parameters()` order, in the model's dtype (float32
    for half-precision models). With r rows per sample the factor B has m = b·r rows, sample first: row n·r + i is
    column i of sample n. Model randomness (dropout) is drawn once, in the forward pass of the constructor, and shared
    by all that follows.

    Raises ValueError where the batch has no per-sample rows (BatchNorm in training mode) or shapes disagree, and
    MemoryError where what must be kept exceeds the free memory.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        inputs: Tensor | Mapping[str, Any],
        targets: Tensor,
        *,
        empirical: bool = False,
        memory_budget_bytes: int | None = None,
    ) -> None:
        refuse_mixed_samples(model)
        if memory_budget_bytes is not None and memory_budget_bytes < 1:
            raise ValueError(
                f"memory_budget_bytes must be >= 1, not {memory_budget_bytes!r}; None: half of what is free"
            )
        self.parameters = TrainableParameters(model)
        self.batch_size = batch_size_of(inputs)
        with torch.enable_grad(), recording(model, LAYER_KINDS) as calls:
            self._outputs = run_model(model, inputs)
            if self._outputs.dim() < 2 or self._outputs.shape[0] != self.batch_size:
                raise ValueError(
                    f"the model must return (b, …) with b = {self.batch_size}, not {tuple(self._outputs.shape)}"
                )
            self._loss = losses.evaluate(loss, self._outputs, targets)
        self._calls = calls
        self._memory_budget_bytes = memory_budget_bytes
        self._few_products = False
        self.loss: Tensor = self._loss.detach()
        self._curvature = losses.output_curvature(
            loss, self._outputs.detach().to(self.parameters.curvature_dtype), targets, empirical=empirical
        )

    @property
    def size(self) -> int:
        """Number of trainable parameters N."""
        return self.parameters.count

    @property
    def rows_per_sample(self) -> int:
        """Rows of the factor per sample, r: the outputs, or 1 for the empirical Fisher."""
        return self._curvature.rows_per_sample

    @property
    def rows(self) -> int:
        """Rows of the factor, m = b·r."""
        return self.batch_size * self.rows_per_sample

    @cached_property
    def matrix_free(self) -> bool:
        """Whether a row per output would cost more than products by J and Jᵀ do: many outputs, or wide layers."""
        held = sum(call.output_shape[1:].numel() for call in self._calls)
        largest = LARGEST_STRUCTURED if held <= self.size else LARGEST_UNROLLED
        return self.rows_per_sample > largest

    def expect_products(self, count: int) -> None:
        """Say that `count` products are asked for at most: where rows would cost more, products go by J and Jᵀ."""
        shapes = [layer_shape(call) for call in self._calls]
        self._few_products = model_is_cheaper(shapes, self.rows_per_sample, self.batch_size, count)

    @cached_property
    def gradient(self) -> Tensor:
        """∇ℓ, (N,): what `loss.backward()` computes, bit for bit."""
        return self.parameters.flatten(
            torch.autograd.grad(self._loss, self.parameters.tensors, retain_graph=True, allow_unused=True)
        )

    @cached_property
    def gradient_weights(self) -> tuple[Tensor, Tensor | None]:
        """(w, q): ∇ℓ = Bᵀ w + q, w (m,), q (N,) or None when the factor's range holds the whole gradient.

        q is there when a sample's target has a vanishing probability: its curvature is nil, its slope is not.
        """
        w, rest = self._curvature.gradient_weights()
        if rest is None:
            return w.reshape(-1), None
        pieces = torch.autograd.grad(
            self._outputs,
            self.parameters.tensors,
            rest.to(self._outputs.dtype),
            retain_graph=True,
            allow_unused=True,
        )
        return w.reshape(-1), self.parameters.flatten(pieces)

    @cached_property
    def blocks(self) -> list[Block]:
        """The factor's blocks, one per layer or parameter; rows column first (see `blocks.py`)."""
        return self.column_blocks(0, self.rows_per_sample)

    def column_blocks(self, first: int, last: int) -> list[Block]:
        """The blocks for columns `first`…`last` of S alone: a part of B at a time, where all of it is too large."""
        slots = {id(p): s for p, s in zip(self.parameters.tensors, self.parameters.slots, strict=True)}
        graph = AutogradGraph(self._outputs)
        layers, covered = structured_layers(self._calls, slots, graph.uses, self.batch_size)
        for call in self._calls:
            call.check_untouched()
        dtype = self.parameters.curvature_dtype
        plans = [plan_layer(calls, graph, last - first, dtype) for calls in layers]
        edges = [edge for plan in plans for edge in plan.edges]
        kept = [values for plan in plans for values in plan.kept_values]
        cotangents = iter(self._cotangents(edges, kept, first, last))
        blocks: list[Block] = [
            layer_block(plan, [next(cotangents) for _ in plan.edges], slots, self._work_bytes)
            for plan in plans
        ]
        others = [p for p in self.parameters.tensors if id(p) not in covered and graph.uses[id(p)]]
        blocks += [
            ExplicitBlock((slots[id(p)],), rows)
            for p, rows in zip(others, self._reverse_rows(others, first, last), strict=True)
        ]
        return blocks

    def matvec(self, v: Tensor) -> Tensor:
        """G v for v (N,) or (N, k)."""
        return self._shaped(self._from_rows(self._to_rows(self._flat(v, self.size))), v.dim())

    def factor_matvec(self, v: Tensor) -> Tensor:
        """B v, (m,) for v (N,) or (m, k) for v (N, k)."""
        return self._shaped(self._sample_first(self._to_rows(self._flat(v, self.size))), v.dim())

    def factor_rmatvec(self, u: Tensor) -> Tensor:
        """Bᵀ u, (N,) for u (m,) or (N, k) for u (m, k)."""
        return self._shaped(self._from_rows(self._column_first(self._flat(u, self.rows))), u.dim())

    def gram_matvec(self, u: Tensor) -> Tensor:
        """K u = B Bᵀ u, (m,) for u (m,) or (m, k) for u (m, k); never touches a vector of length N."""
        rows = self._column_first(self._flat(u, self.rows))
        if self._by_linearization:
            return self._shaped(self._sample_first(self._to_rows(self._from_rows(rows))), u.dim())
        products = torch.zeros_like(rows)
        for block in self.blocks:
            products += block.gram_matvec(rows)
        return self._shaped(self._sample_first(products), u.dim())

    def gram(self) -> Tensor:
        """K = B Bᵀ, (m, m)."""
        r, b = self.rows_per_sample, self.batch_size
        gram = torch.zeros(r, b, r, b, dtype=self.parameters.curvature_dtype, device=self.parameters.device)
        # K is symmetric: only panels on and below the diagonal are multiplied out, the rest is mirrored
        width = r if self.rows < SMALLEST_PANELLED else math.ceil(r / PANELS)
        for first in range(0, r, width):
            last = min(first + width, r)
            panel = gram[first:, :, first:last]
            for block in self.blocks:
                block.add_gram(panel, first, last)
            gram[first:last, :, last:] = gram[last:, :, first:last].permute(2, 3, 0, 1)
        return gram.permute(1, 0, 3, 2).reshape(self.rows, self.rows)

    def factor(self) -> Tensor:
        """B itself, (m, N); for small problems and for methods that need it."""
        factor = torch.zeros(
            self.rows, self.size, dtype=self.parameters.curvature_dtype, device=self.parameters.device
        )
        target = factor.view(self.batch_size, self.rows_per_sample, self.size)
        for block in self.blocks:
            block.write_rows(target)
        return factor

    def stream_factor(self) -> Iterator[Tensor]:
        """Every value of B once, in cache-sized pieces, for sending on: a piece is overwritten by the next."""
        for block in self.blocks:
            yield from block.stream(STREAMED_VALUES)

    def dense(self) -> Tensor:
        """G, (N, N)."""
        factor = self.factor()
        dense = factor.new_empty(self.size, self.size)
        width = self.size if self.size < SMALLEST_PANELLED else math.ceil(self.size / PANELS)
        for first in range(0, self.size, width):
            last = min(first + width, self.size)
            panel = factor[:, first:].T @ factor[:, first:last]
            dense[first:, first:last] = panel
            dense[first:last, last:] = panel[last - first :].T
        return dense

    def _cotangents(
        self, edges: list[GradientEdge], values_per_row: list[int], start: int, stop: int
    ) -> list[Tensor]:
        """Gradients of r = stop − start columns at each edge, (r, b, …), in as few batched passes as memory allows."""
        if not edges:
            return []
        r, dtype = stop - start, self.parameters.curvature_dtype
        kept = r * sum(values_per_row) * torch.finfo(dtype).bits // 8
        if kept > self._free_bytes:
            raise MemoryError(
                f"the factor's cotangents need {kept / 1e9:.1f} GB for {r * self.batch_size} rows and "
                f"{self._free_bytes / 1e9:.1f} GB are free: use a smaller batch"
            )
        # a pass holds each cotangent twice, before and after the operation that makes it
        chunk = max(1, min(r, r * self._work_bytes // max(2 * kept, 1)))
        found: list[Tensor] = []
        for first in range(0, r, chunk):
            last = min(first + chunk, r)
            columns = losses.factor_columns(
                self._curvature, self._curvature_outputs, start + first, start + last
            )
            pieces = torch.autograd.grad(
                self._outputs,
                edges,
                columns.to(self._outputs.dtype),
                retain_graph=True,
                is_grads_batched=True,
            )
            if chunk >= r:
                return [piece.to(dtype) for piece in pieces]
            if not found:
                found = [
                    torch.empty(r, *piece.shape[1:], dtype=dtype, device=piece.device) for piece in pieces
                ]
            for whole, piece in zip(found, pieces, strict=True):
                whole[first:last] = piece
        return found

    def _reverse_rows(self, parameters: list[nn.Parameter], start: int, stop: int) -> list[Tensor]:
        """Rows of B for parameters without a rule, one cotangent per row, in chunks: (b·(stop − start), size) each."""
        if not parameters:
            return []
        r, b, dtype = stop - start, self.batch_size, self.parameters.curvature_dtype
        device = self.parameters.device
        columns = losses.factor_columns(self._curvature, self._curvature_outputs, start, stop).to(
            self._outputs.dtype
        )
        activations = self._outputs.numel() + sum(call.output_shape.numel() for call in self._calls)
        per_row = (2 * activations + 2 * sum(p.numel() for p in parameters)) * columns.element_size()
        chunk = max(1, min(r * b, self._work_bytes // per_row))
        rows = [torch.empty(r * b, p.numel(), dtype=dtype, device=device) for p in parameters]
        for first in range(0, r * b, chunk):
            index = torch.arange(first, min(first + chunk, r * b), device=device)
            column, sample = index // b, index % b
            single = torch.zeros(len(index), *self._outputs.shape, dtype=columns.dtype, device=device)
            single[torch.arange(len(index), device=device), sample] = columns[column, sample]
            gradients = torch.autograd.grad(
                self._outputs, parameters, single, retain_graph=True, is_grads_batched=True
            )
            for whole, gradient in zip(rows, gradients, strict=True):
                whole[first : first + len(index)] = gradient.reshape(len(index), -1)
        return rows

    @property
    def _curvature_outputs(self) -> Tensor:
        return self._outputs.detach().to(self.parameters.curvature_dtype)

    @cached_property
    def _free_bytes(self) -> int:
        device = self.parameters.device
        if device.type == "cuda":
            return int(torch.cuda.mem_get_info(device)[0])
        return available_memory_bytes()

    @cached_property
    def _work_bytes(self) -> int:
        given = self._memory_budget_bytes
        return int(MEMORY_FRACTION * self._free_bytes) if given is None else given

    def _flat(self, vector: Tensor, length: int) -> Tensor:
        """(length,) or (length, k) → (k, length), refusing anything else."""
        if vector.dim() not in (1, 2) or vector.shape[0] != length:
            raise ValueError(f"expected a vector ({length},) or ({length}, k), not {tuple(vector.shape)}")
        return vector.unsqueeze(0) if vector.dim() == 1 else vector.T.contiguous()

    def _shaped(self, result: Tensor, dims: int) -> Tensor:
        return result[0] if dims == 1 else result.T

    @property
    def _by_linearization(self) -> bool:
        """Products go through J and Jᵀ where a row per output would cost more than they do.

        Once the blocks are there (K or the factor were asked for) they serve the products as well.
        """
        return (self.matrix_free or self._few_products) and "blocks" not in self.__dict__

    @cached_property
    def _linearization(self) -> Linearization:
        return Linearization(self._outputs, self.parameters)

    def _to_rows(self, v: Tensor) -> Tensor:
        """B v for (k, N): (k, m), column first."""
        if self._by_linearization:
            dtype = self.parameters.curvature_dtype
            images = [
                self._curvature.factor_matvec(self._linearization.matvec(single).to(dtype)) for single in v
            ]
            return self._column_first(torch.stack(images).flatten(1))
        products = v.new_zeros(v.shape[0], self.rows)
        for block in self.blocks:
            products += block.matvec(v)
        return products

    def _from_rows(self, u: Tensor) -> Tensor:
        """Bᵀ u for (k, m), column first: (k, N)."""
        if self._by_linearization:
            shaped = self._sample_first(u).view(len(u), self.batch_size, -1)
            return torch.stack(
                [self._linearization.rmatvec(self._curvature.factor_rmatvec(single)) for single in shaped]
            )
        out = u.new_empty(u.shape[0], self.size)
        if total_width(self.blocks) < self.size:
            out.zero_()
        for block in self.blocks:
            block.rmatvec(u, out)
        return out

    def _sample_first(self, u: Tensor) -> Tensor:
        return (
            u.view(-1, self.rows_per_sample, self.batch_size).transpose(1, 2).reshape(u.shape[0], self.rows)
        )

    def _column_first(self, u: Tensor) -> Tensor:
        return (
            u.view(-1, self.batch_size, self.rows_per_sample).transpose(1, 2).reshape(u.shape[0], self.rows)
        )
