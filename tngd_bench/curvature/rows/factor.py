"""Blocks of the factor B from one recorded forward pass, each compared with autograd.

A parameter's rows come from the fastest source that passes the check: its layer's rule, the matrix products that use
it, batched reverse mode, which assumes nothing.
"""

import time
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from tngd_bench.curvature import losses
from tngd_bench.curvature.capture import LayerCall
from tngd_bench.curvature.graph import AutogradGraph
from tngd_bench.curvature.linearization import Linearization
from tngd_bench.curvature.parameters import TrainableParameters
from tngd_bench.curvature.reverse import batched_pass, reverse_gradients
from tngd_bench.curvature.rows.blocks import Block, ExplicitBlock, Slot
from tngd_bench.curvature.rows.layer_rules import layer_block, plan_layer, structured_layers
from tngd_bench.curvature.rows.matrix_products import product_uses
from tngd_bench.curvature.verification import BlockCheck, Reference, Verification, coarsest, signature
from tngd_bench.resources import available_memory_bytes

MEMORY_FRACTION = 0.5
"""Part of the free memory that curvature may take when no budget is given."""

CHECKED_COLUMNS = 64
"""Columns of S that are mixed at a time into the cotangent of a check."""


@dataclass(frozen=True, eq=False)
class FactorSource:
    """Makes blocks of B from the recorded `calls` of the layers and from the graph under the `outputs`."""

    model: nn.Module
    parameters: TrainableParameters
    calls: Sequence[LayerCall]
    outputs: Tensor
    curvature: losses.OutputCurvature
    verification: Verification | None
    memory_budget_bytes: int | None

    def blocks(self, first: int, last: int) -> list[Block]:
        """The blocks for columns `first`…`last` of S alone: a part of B at a time, where all of it is too large."""
        for call in self.calls:
            call.check_untouched()
        used = [p for p in self.parameters.tensors if p.numel() and self._graph.users(p)]
        check = self._block_check(first, last) if self.verifying else None
        blocks = self._layer_blocks(first, last, check)
        blocks |= self._product_blocks(_uncovered(used, blocks), first, last, check)
        if check is not None:
            self._conclude(check, blocks.values())
        rest = _uncovered(used, blocks)
        for p, rows in zip(rest, self._reverse_rows(rest, first, last), strict=True):
            blocks[id(p)] = ExplicitBlock.joined({self._slots[id(p)]: rows})
            if check is not None and check.error(blocks[id(p)]):
                raise ValueError(
                    f"two reverse passes disagree for parameter {self._names[id(p)]!r}: the model's backward pass must "
                    "be deterministic and linear in the outputs' gradients"
                )
        # a layer's stands under the keys of its weight and of its bias
        return list({id(block): block for block in blocks.values()}.values())

    def _layer_blocks(self, first: int, last: int, check: BlockCheck | None) -> dict[int, Block]:
        """Blocks by the layers' own rules, each under the ids of its parameters, without those that fail the check."""
        dtype = self.parameters.curvature_dtype
        layers = [
            group
            for group in structured_layers(self.calls, self._slots, self._graph, len(self.outputs))
            if self.verification is None or not self.verification.failed(self._parameter_names(group))
        ]
        plans = [plan_layer(calls, self._graph, last - first, dtype) for calls in layers]
        edges = [edge for plan in plans for edge in plan.edges]
        kept = [values for plan in plans for values in plan.kept_values]
        cotangents = iter(self._cotangents(edges, kept, first, last))
        blocks = [
            layer_block(plan, [next(cotangents) for _ in plan.edges], self._slots, self.work_bytes)
            for plan in plans
        ]
        errors = [0.0 if check is None else check.error(block) for block in blocks]
        self._refute([(group, error) for group, error in zip(layers, errors, strict=True) if error])
        return {
            key: block
            for group, block, error in zip(layers, blocks, errors, strict=True)
            if not error
            for key in self._own(group)
        }

    def _product_blocks(
        self, parameters: Sequence[nn.Parameter], first: int, last: int, check: BlockCheck | None
    ) -> dict[int, Block]:
        """Blocks by the matrix products in the graph; without a check only of what passed one before."""
        blocks: dict[int, Block] = {}
        if self.verification is None:
            return blocks
        tried = [p for p in parameters if not self.verification.products_failed(self._names[id(p)])]
        found = [(p, product_uses(p, self._graph, len(self.outputs))) for p in tried]
        by_product = [(p, uses) for p, uses in found if uses is not None]
        flat = [use for _, uses in by_product for use in uses]
        cotangents = iter(
            self._cotangents([use.edge for use in flat], [use.values for use in flat], first, last)
        )
        for p, uses in by_product:
            rows = sum(use.rows(next(cotangents)) for use in uses)
            assert isinstance(rows, Tensor)
            block = ExplicitBlock.joined({self._slots[id(p)]: rows})
            if check is not None and check.error(block):
                self.verification.refute_products([self._names[id(p)]])
            else:
                blocks[id(p)] = block
        return blocks

    def _block_check(self, first: int, last: int) -> BlockCheck | None:
        """Bᵀu for a Gaussian u over columns `first`…`last` of S, by one reverse pass; None where the model diverged."""
        assert self.verification is not None
        u = self.verification.probe((last - first, len(self.outputs)), self._plain)
        # by the very columns that the blocks use: where S nearly vanishes, its rounding is then the same in both
        cotangent = torch.zeros_like(self._plain)
        for start in range(0, last - first, CHECKED_COLUMNS):
            part = u[start : start + CHECKED_COLUMNS]
            columns = losses.factor_columns(
                self.curvature, self._plain, first + start, first + start + len(part)
            )
            cotangent += torch.einsum("rb,rbx->bx", part, columns.flatten(2)).view(cotangent.shape)
        cotangent = cotangent.to(self.outputs.dtype)
        reference = Reference(
            lambda scale: reverse_gradients(self.outputs, self.parameters.tensors, scale * cotangent),
            coarsest(self.outputs.dtype, self.parameters.dtype),
        )
        if not reference.is_finite:
            return None
        return BlockCheck(u.reshape(-1), reference, self.parameters.slots)

    def _conclude(self, check: BlockCheck, by_rule: Iterable[Block]) -> None:
        """Note the check of these blocks, which rest on rules; what autograd gave itself needs none."""
        assert self.verification is not None
        hidden = {self.parameters.names[i] for block in by_rule for i in check.hidden(block)}
        self.verification.conclude(self._signature, hidden)

    def _refute(self, failures: Sequence[tuple[list[LayerCall], float]]) -> None:
        if not failures:
            return
        assert self.verification is not None
        modules = {id(module): name for name, module in self.model.named_modules()}
        self.verification.refute_layers(
            {
                modules[id(group[0].module)]: (self._parameter_names(group), error)
                for group, error in failures
            },
            "their rows come from autograd, which is right and slower",
        )

    def _own(self, group: Sequence[LayerCall]) -> list[int]:
        """Ids of a layer's trained parameters."""
        return [id(p) for p in group[0].module.parameters(recurse=False) if id(p) in self._slots]

    def _parameter_names(self, group: Sequence[LayerCall]) -> list[str]:
        return [self._names[key] for key in self._own(group)]

    @cached_property
    def _plain(self) -> Tensor:
        return self.outputs.detach().to(self.parameters.curvature_dtype)

    @cached_property
    def _graph(self) -> AutogradGraph:
        return AutogradGraph(self.outputs)

    @cached_property
    def verifying(self) -> bool:
        """Whether this batch's factor is checked."""
        if self.verification is None:
            return False
        return self.verification.due(self._signature, reorders=self._graph.reorders)

    def check_products(self, linearization: Linearization) -> None:
        """Hold products through the model against its backward pass, when that is due."""
        if self.verification is None:
            return
        key = (self._signature, "products")  # which say nothing of rules
        if self.verification.due(key, reorders=self._graph.reorders):
            linearization.check_adjoint(self.verification)
            self.verification.conclude(key, set())

    @cached_property
    def _signature(self) -> Hashable:
        return signature(self.model, self.calls, self._graph)

    @cached_property
    def _slots(self) -> dict[int, Slot]:
        slots = zip(self.parameters.tensors, self.parameters.slots, strict=True)
        return {id(p): slot for p, slot in slots if slot.size}

    @cached_property
    def _names(self) -> dict[int, str]:
        return self.parameters.name_of

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
                f"the factor's cotangents need {kept / 1e9:.1f} GB for {r * len(self.outputs)} rows and "
                f"{self._free_bytes / 1e9:.1f} GB are free: use a smaller batch"
            )
        # a pass holds each cotangent twice, before and after the operation that makes it
        chunk = max(1, min(r, r * self.work_bytes // max(2 * kept, 1)))
        found: list[Tensor] = []
        for first in range(0, r, chunk):
            last = min(first + chunk, r)
            columns = losses.factor_columns(self.curvature, self._plain, start + first, start + last)
            pieces = batched_pass(self.outputs, edges, columns.to(self.outputs.dtype))
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
        r, b, dtype = stop - start, len(self.outputs), self.parameters.curvature_dtype
        device = self.parameters.device
        columns = losses.factor_columns(self.curvature, self._plain, start, stop).to(self.outputs.dtype)
        activations = self.outputs.numel() + sum(call.output_shape.numel() for call in self.calls)
        per_row = (2 * activations + 2 * sum(p.numel() for p in parameters)) * columns.element_size()
        chunk = max(1, min(r * b, self.work_bytes // per_row))
        rows = [torch.empty(r * b, p.numel(), dtype=dtype, device=device) for p in parameters]
        for first in range(0, r * b, chunk):
            index = torch.arange(first, min(first + chunk, r * b), device=device)
            column, sample = index // b, index % b
            single = torch.zeros(len(index), *self.outputs.shape, dtype=columns.dtype, device=device)
            single[torch.arange(len(index), device=device), sample] = columns[column, sample]
            gradients = batched_pass(self.outputs, parameters, single)
            for whole, gradient in zip(rows, gradients, strict=True):
                whole[first : first + len(index)] = gradient.reshape(len(index), -1)
        return rows

    @cached_property
    def _free_bytes(self) -> int:
        device = self.parameters.device
        if device.type == "cuda":
            return int(torch.cuda.mem_get_info(device)[0])
        return _available_memory_bytes(int(time.monotonic()))

    @cached_property
    def work_bytes(self) -> int:
        """What one piece of work may take."""
        given = self.memory_budget_bytes
        return int(MEMORY_FRACTION * self._free_bytes) if given is None else given


@lru_cache(maxsize=1)
def _available_memory_bytes(second: int) -> int:
    """What is free, read once a `second`: a reading takes as long as several layers' rows."""
    return available_memory_bytes()


def _uncovered(parameters: Sequence[nn.Parameter], blocks: dict[int, Block]) -> list[nn.Parameter]:
    return [p for p in parameters if id(p) not in blocks]
