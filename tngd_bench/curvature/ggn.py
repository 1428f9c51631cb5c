"""The generalized Gauss-Newton matrix of one batch, G = Jᵀ H J = Bᵀ B with B = Sᵀ J, without ever forming J.

One forward pass records what each layer saw; d_z batched backward passes to the layers' *outputs* give everything
else (the factor and its use: arXiv 2405.13817 §3); no weight gradient is formed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from tngd_bench.curvature import losses
from tngd_bench.curvature.blocks import Block, ExplicitBlock, Slot, total_width
from tngd_bench.curvature.capture import (
    LayerCall,
    batch_size_of,
    recording,
    refuse_mixed_samples,
    run_model,
)
from tngd_bench.curvature.graph import AutogradGraph
from tngd_bench.curvature.layers import LAYER_KINDS, layer_block, plan_layer, supports

COTANGENT_BYTES = 256 * 2**20
"""Memory that one batched backward pass over explicit rows may take for its cotangents and gradients."""


PANELS = 4
"""Panels in which a symmetric K is formed: (1 + 1/4)/2 of the products."""
SMALLEST_PANELLED = 256
"""Rows below which one product is quicker than four."""


class TrainableParameters:
    """The trainable parameters of a model as one flat vector, in `model.parameters()` order.

    Raises ValueError when there is none, or when they differ in dtype or device.
    """

    def __init__(self, model: nn.Module) -> None:
        self.tensors: list[nn.Parameter] = [p for p in model.parameters() if p.requires_grad]
        if not self.tensors:
            raise ValueError("the model has no trainable parameter (requires_grad is False everywhere)")
        kinds = {(p.dtype, p.device) for p in self.tensors}
        if len(kinds) > 1:
            raise ValueError(
                f"trainable parameters must share one dtype and device, not {sorted(map(str, kinds))}"
            )
        self.slots: list[Slot] = []
        offset = 0
        for p in self.tensors:
            self.slots.append(Slot(offset, p.shape))
            offset += p.numel()
        self.count = offset

    @property
    def dtype(self) -> torch.dtype:
        """Common dtype."""
        return self.tensors[0].dtype

    @property
    def device(self) -> torch.device:
        """Common device."""
        return self.tensors[0].device

    def flatten(self, pieces: Sequence[Tensor]) -> Tensor:
        """Concatenate per-parameter tensors into a flat vector (N,)."""
        return torch.cat([piece.reshape(-1) for piece in pieces])

    def views(self, flat: Tensor) -> list[Tensor]:
        """Per-parameter views into a flat vector (N,)."""
        return [flat[s.offset : s.offset + s.size].view(s.shape) for s in self.slots]


class GGN:
    """Generalized Gauss-Newton matrix G of `loss(model(inputs), targets)` on one batch, N×N, never formed.

    Parameters
    ----------
    model : module whose output is one tensor (b, …), each sample's output depending on that sample alone.
    loss : mean-reduced `CrossEntropyLoss`, `MSELoss` or `BCEWithLogitsLoss`.
    inputs : tensor (b, …), or a mapping passed as `model(**inputs)`.
    targets : what `loss` takes.

    Vectors are flat, (N,), over the trainable parameters in `model.parameters()` order. With r outputs per sample
    the factor B has m = b·r rows, sample first: row n·r + i is column i of sample n. Model randomness (dropout) is
    drawn once, in the forward pass of the constructor, and shared by all that follows.

    Raises ValueError where the batch has no per-sample rows (BatchNorm in training mode) or shapes disagree.
    """

    def __init__(
        self, model: nn.Module, loss: nn.Module, inputs: Tensor | Mapping[str, Any], targets: Tensor
    ) -> None:
        refuse_mixed_samples(model)
        self.parameters = TrainableParameters(model)
        self.batch_size = batch_size_of(inputs)
        with torch.enable_grad(), recording(model, LAYER_KINDS) as calls:
            self._outputs = run_model(model, inputs)
            if self._outputs.dim() < 2 or self._outputs.shape[0] != self.batch_size:
                raise ValueError(
                    f"the model must return (b, …) with b = {self.batch_size}, not {tuple(self._outputs.shape)}"
                )
            self._loss = loss(self._outputs, targets)
        self._calls = calls
        self.loss: Tensor = self._loss.detach()
        self._curvature = losses.output_curvature(loss, self._outputs, targets)

    @property
    def size(self) -> int:
        """Number of trainable parameters N."""
        return self.parameters.count

    @property
    def rows_per_sample(self) -> int:
        """Outputs per sample, r."""
        return math.prod(self._outputs.shape[1:])

    @property
    def rows(self) -> int:
        """Rows of the factor, m = b·r."""
        return self.batch_size * self.rows_per_sample

    @cached_property
    def gradient(self) -> Tensor:
        """∇ℓ, (N,): what `loss.backward()` computes, bit for bit."""
        pieces = torch.autograd.grad(
            self._loss, self.parameters.tensors, retain_graph=True, allow_unused=True
        )
        return self.parameters.flatten(
            [
                torch.zeros_like(p) if g is None else g
                for p, g in zip(self.parameters.tensors, pieces, strict=True)
            ]
        )

    @cached_property
    def gradient_weights(self) -> tuple[Tensor, Tensor | None]:
        """(w, q): ∇ℓ = Bᵀ w + q, w (m,), q (N,) or None when the factor's range holds the whole gradient.

        q is there when a sample's target has a vanishing probability: its curvature is nil, its slope is not.
        """
        w, rest = self._curvature.gradient_weights()
        q = None
        if rest is not None:
            pieces = torch.autograd.grad(
                self._outputs, self.parameters.tensors, rest, retain_graph=True, allow_unused=True
            )
            q = self.parameters.flatten(
                [
                    torch.zeros_like(p) if g is None else g
                    for p, g in zip(self.parameters.tensors, pieces, strict=True)
                ]
            )
        return w.reshape(-1), q

    @cached_property
    def blocks(self) -> list[Block]:
        """The factor's blocks, one per layer or parameter; rows column first (see `blocks.py`)."""
        slots = {id(p): s for p, s in zip(self.parameters.tensors, self.parameters.slots, strict=True)}
        graph = AutogradGraph(self._outputs)
        layers, covered = self._structured_layers(slots, graph.uses)
        for call in self._calls:
            call.check_untouched()
        plans = [plan_layer(calls, graph, self.rows_per_sample) for calls in layers]
        columns = losses.factor_columns(self._curvature, self._outputs.detach(), 0, self.rows_per_sample)
        blocks: list[Block] = []
        if plans:
            cotangents = iter(
                torch.autograd.grad(
                    self._outputs,
                    [edge for plan in plans for edge in plan.edges],
                    columns,
                    retain_graph=True,
                    is_grads_batched=True,
                )
            )
            blocks += [layer_block(plan, [next(cotangents) for _ in plan.edges], slots) for plan in plans]
        blocks += [
            ExplicitBlock((slots[id(p)],), self._reverse_rows(p, columns))
            for p in self.parameters.tensors
            if id(p) not in covered and graph.uses[id(p)]
        ]
        return blocks

    def matvec(self, v: Tensor) -> Tensor:
        """G v for v (N,) or (N, k)."""
        return self._from_rows(self._to_rows(self._flat(v, self.size)), v.dim())

    def factor_matvec(self, v: Tensor) -> Tensor:
        """B v, (m,) for v (N,) or (m, k) for v (N, k)."""
        return self._shaped(self._sample_first(self._to_rows(self._flat(v, self.size))), v.dim())

    def factor_rmatvec(self, u: Tensor) -> Tensor:
        """Bᵀ u, (N,) for u (m,) or (N, k) for u (m, k)."""
        return self._from_rows(self._column_first(self._flat(u, self.rows)), u.dim())

    def gram_matvec(self, u: Tensor) -> Tensor:
        """K u = B Bᵀ u, (m,) for u (m,) or (m, k) for u (m, k); never touches a vector of length N."""
        rows = self._column_first(self._flat(u, self.rows))
        products = torch.zeros_like(rows)
        for block in self.blocks:
            products += block.gram_matvec(rows)
        return self._shaped(self._sample_first(products), u.dim())

    def gram(self) -> Tensor:
        """K = B Bᵀ, (m, m)."""
        r, b = self.rows_per_sample, self.batch_size
        gram = torch.zeros(r, b, r, b, dtype=self.parameters.dtype, device=self.parameters.device)
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
        factor = torch.zeros(self.rows, self.size, dtype=self.parameters.dtype, device=self.parameters.device)
        r, b = self.rows_per_sample, self.batch_size
        target = factor.view(b, r, self.size)
        for block in self.blocks:
            rows, first = block.rows().view(r, b, -1), 0
            for slot in block.slots:
                target[:, :, slot.offset : slot.offset + slot.size] = rows[
                    ..., first : first + slot.size
                ].transpose(0, 1)
                first += slot.size
        return factor

    def factor_blocks(self) -> Iterator[Tensor]:
        """B in pieces (m, width), one block after another, for callers that stream it."""
        for block in self.blocks:
            yield block.rows()

    def dense(self) -> Tensor:
        """G, (N, N)."""
        factor = self.factor()
        return factor.T @ factor

    def _structured_layers(
        self, slots: Mapping[int, Slot], uses: Mapping[int, int]
    ) -> tuple[list[list[LayerCall]], set[int]]:
        """Calls grouped by layer, for the layers whose rules account for every use of their parameters."""
        by_weight: dict[int, list[LayerCall]] = defaultdict(list)
        for call in self._calls:
            by_weight[id(call.module.weight)].append(call)
        layers: list[list[LayerCall]] = []
        covered: set[int] = set()
        for calls in by_weight.values():
            modules = {id(call.module): call.module for call in calls}
            trained = [
                id(p) for p in next(iter(modules.values())).parameters(recurse=False) if id(p) in slots
            ]
            complete = all(uses[key] == len(calls) for key in trained)
            if len(modules) == 1 and complete and all(supports(call, self.batch_size) for call in calls):
                layers.append(calls)
                covered.update(trained)
        return layers, covered

    def _reverse_rows(self, parameter: nn.Parameter, columns: Tensor) -> Tensor:
        """Rows of B for one parameter by batched reverse mode, one cotangent per row, in chunks: (m, size)."""
        r, b = self.rows_per_sample, self.batch_size
        per_row = (self._outputs.numel() + 2 * parameter.numel()) * parameter.element_size()
        chunk = max(1, min(self.rows, COTANGENT_BYTES // max(per_row, 1)))
        rows = torch.empty(self.rows, parameter.numel(), dtype=parameter.dtype, device=parameter.device)
        for first in range(0, r * b, chunk):
            index = torch.arange(first, min(first + chunk, r * b), device=parameter.device)
            column, sample = index // b, index % b
            single = torch.zeros(len(index), *self._outputs.shape, dtype=columns.dtype, device=columns.device)
            position = torch.arange(len(index), device=columns.device)
            single[position, sample] = columns[column, sample]
            (gradient,) = torch.autograd.grad(
                self._outputs, parameter, single, retain_graph=True, is_grads_batched=True
            )
            rows[first : first + len(index)] = gradient.reshape(len(index), -1)
        return rows

    def _flat(self, vector: Tensor, length: int) -> Tensor:
        """(length,) or (length, k) → (k, length), refusing anything else."""
        if vector.dim() not in (1, 2) or vector.shape[0] != length:
            raise ValueError(f"expected a vector ({length},) or ({length}, k), not {tuple(vector.shape)}")
        return vector.unsqueeze(0) if vector.dim() == 1 else vector.T.contiguous()

    def _shaped(self, result: Tensor, dims: int) -> Tensor:
        return result[0] if dims == 1 else result.T

    def _to_rows(self, v: Tensor) -> Tensor:
        products = v.new_zeros(v.shape[0], self.rows)
        for block in self.blocks:
            products += block.matvec(v)
        return products

    def _from_rows(self, u: Tensor, dims: int) -> Tensor:
        out = u.new_empty(u.shape[0], self.size)
        if total_width(self.blocks) < self.size:
            out.zero_()
        for block in self.blocks:
            block.rmatvec(u, out)
        return self._shaped(out, dims)

    def _sample_first(self, u: Tensor) -> Tensor:
        return (
            u.view(-1, self.rows_per_sample, self.batch_size).transpose(1, 2).reshape(u.shape[0], self.rows)
        )

    def _column_first(self, u: Tensor) -> Tensor:
        return (
            u.view(-1, self.batch_size, self.rows_per_sample).transpose(1, 2).reshape(u.shape[0], self.rows)
        )
