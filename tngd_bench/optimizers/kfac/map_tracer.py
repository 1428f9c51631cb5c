"""Linear maps of one forward pass, found and verified, with the gradients at their outputs."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Container, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tngd_bench.curvature import TrainableParameters
from tngd_bench.curvature.capture import LayerCall, recording
from tngd_bench.curvature.graph import AutogradGraph, refuse_other_paths
from tngd_bench.curvature.kronecker.batch_statistics import (
    constant_statistics,
    refusing_other_statistics,
    statistics_nodes,
)
from tngd_bench.curvature.kronecker.factors import KroneckerFactors, joined
from tngd_bench.curvature.kronecker.linear_maps import (
    MAP_KINDS,
    LinearMap,
    MapUse,
    RowProduct,
    layer_map,
    product_maps,
)
from tngd_bench.curvature.losses import Loss, evaluate
from tngd_bench.curvature.model_call import Inputs, check_outputs, run_model
from tngd_bench.curvature.reverse import reverse_gradients, reverse_pass
from tngd_bench.curvature.rows.layer_rules import trained_parameters
from tngd_bench.curvature.verification import Reference, Verification, coarsest, signature


@dataclass(frozen=True)
class MapPass:
    """The gradient of one linear map's matrix, (d_out, d_in [+1 for the bias]): finished, or as gᵀa of its rows.

    The rows of all uses are joined: a (k, d_in [+1]) are the inputs, g (k, d_out) the loss's gradients at the outputs.
    """

    map: LinearMap
    finished: Tensor | None
    rows: tuple[Tensor, Tensor] | None

    @classmethod
    def of_rows(cls, used: LinearMap, gradients: Sequence[Tensor], dtype: torch.dtype) -> MapPass:
        """Make it from the gradients at the outputs of all uses."""
        inputs = joined([use.rows(dtype) for use in used.uses])
        shaped = [use.cotangent_rows(g) for use, g in zip(used.uses, gradients, strict=True)]
        return cls(used, None, (inputs, joined(shaped).to(dtype)))

    @property
    def gradient(self) -> Tensor:
        """The gradient itself."""
        if self.rows is None:
            assert self.finished is not None
            return self.finished
        inputs, cotangents = self.rows
        return cotangents.T @ inputs

    def preconditioned(self, factors: KroneckerFactors) -> tuple[RowProduct, Tensor]:
        """The direction x, and x·gᵀa."""
        return factors.precondition(*self.rows) if self.rows else factors.precondition_gradient(self.gradient)


@dataclass(frozen=True)
class Forward:
    """One forward pass: the maps with a rule, outputs, loss, and the normalisations by batch statistics in it.

    `verified`: the maps were held against autograd at this pass.
    """

    maps: list[LinearMap]
    outputs: Tensor
    loss: Tensor
    statistics: list[Any]
    verified: bool

    def refuse_mixed_samples(self) -> None:
        """Raise ValueError where a row of a layer is used by the first or the last sample's outputs and by others'.

        Statistics of batch normalisations are constants in this.
        """
        edges = [use.edge for one in self.maps for use in one.uses]
        if not edges or len(self.outputs) < 2:
            return
        weights = torch.rand(self.outputs.shape, generator=torch.Generator().manual_seed(0)).to(self.outputs)
        for sample in (0, len(self.outputs) - 1):
            own = torch.zeros_like(weights)
            own[sample] = weights[sample]
            with constant_statistics(self.statistics):
                by_own, by_others = (
                    iter(reverse_gradients(self.outputs, edges, part)) for part in (own, weights - own)
                )
            for one in self.maps:
                shared = [_reached(use, next(by_own)) & _reached(use, next(by_others)) for use in one.uses]
                if any(bool(rows.any()) for rows in shared):
                    raise ValueError(
                        f"outputs of several samples depend on one row of {one.names[0]!r}, so that all columns "
                        "of S at once give no exact factors; accepted with such a model: fisher 'mc' or 'empirical'"
                    )


def _reached(use: MapUse, gradient: Tensor) -> Tensor:
    """Which rows of a use have a gradient that is not zero, (k,)."""
    return (use.cotangent_rows(gradient).abs() > 0).any(1)


@dataclass(frozen=True)
class MapTracer:
    """Runs a model and finds the linear maps that K-FAC has a rule for."""

    model: nn.Module
    loss: Loss
    parameters: TrainableParameters
    verification: Verification

    def run(self, inputs: Inputs, targets: Tensor, check_loss: Callable[[float], None]) -> Forward:
        """Run the model, have its loss checked, and find its linear maps, verified where due."""
        with (
            torch.enable_grad(),
            recording(self.model, MAP_KINDS) as calls,
            refusing_other_statistics(self.model),
        ):
            outputs = run_model(self.model, inputs)
            check_outputs(outputs)
            loss = evaluate(self.loss, outputs, targets)
        refuse_other_paths(loss, outputs, self.parameters)
        check_loss(float(loss.detach()))
        for call in calls:
            call.check_untouched()
        graph = AutogradGraph(outputs)
        maps = self._maps(calls, graph, len(outputs))
        key = signature(self.model, calls, graph)
        due = self.verification.due(key, reorders=False)
        if due:
            maps = self._verified(maps, loss, key)
        return Forward(maps, outputs, loss, statistics_nodes(graph), due)

    def passes(
        self, maps: Sequence[LinearMap], loss: Tensor, known: Container[str] = ()
    ) -> tuple[list[MapPass], list[tuple[nn.Parameter, Tensor]]]:
        """The gradients of the maps that take part in the loss, and those of all other parameters.

        A map comes in rows, unless its weight is `known` to take part and the finished gradient is cheaper to use.
        """
        dtype = self.parameters.curvature_dtype
        by_rows: list[LinearMap] = []
        finished: list[LinearMap] = []
        for one in maps:
            (finished if one.names[0] in known and one.gradient_is_cheaper else by_rows).append(one)
        edges = [use.edge for one in by_rows for use in one.uses]
        covered = {id(p) for one in maps for p in one.parameters}
        others = [p for p in self.parameters.tensors if id(p) not in covered]
        whole = [p for one in finished for p in one.parameters]
        gradients = iter(reverse_pass(loss, [*edges, *whole, *others]))
        passes: list[MapPass] = []
        aside: list[nn.Parameter] = []
        for one in by_rows:
            found = [(use, next(gradients)) for use in one.uses]
            used = [(use, gradient) for use, gradient in found if gradient is not None]
            if any(use.count for use, _ in used):  # of no rows, as of an expert without tokens, it is zero
                complete = len(used) == len(found)
                kept = one if complete else dataclasses.replace(one, uses=tuple(use for use, _ in used))
                passes.append(MapPass.of_rows(kept, [g for _, g in used], dtype))
            elif not used:
                # the output has no part in the loss; the weight may, in derivatives inside forward
                aside += one.parameters
        for one in finished:
            weight, bias = next(gradients), None if one.bias is None else next(gradients)
            if weight is not None:
                passes.append(MapPass(one, one.matrix(weight, bias).to(dtype), None))
        plain = [*zip(others, gradients, strict=True)]
        if aside:
            plain += zip(aside, reverse_pass(loss, aside), strict=True)
        return passes, [(p, gradient) for p, gradient in plain if gradient is not None]

    def _maps(self, calls: Sequence[LayerCall], graph: AutogradGraph, batch_size: int) -> list[LinearMap]:
        """The maps of layers by their calls, and of the other weights by the graph, but for those that have failed."""
        trained = {id(p) for p in self.parameters.tensors if p.numel()}
        grouped: dict[int, list[LayerCall]] = defaultdict(list)
        for call in calls:
            own = trained_parameters(call.module, trained)
            whole = sum(p is not None for p in call.module._parameters.values())
            if call.edge.node in graph and own is not None and len(own) == whole:
                grouped[id(call.module)].append(call)
        # a use beside the layer's own calls would be missing, and a check may find its gradient to be zero
        complete = [
            group
            for group in grouped.values()
            if all(len(graph.users(p)) == len(group) for p in group[0].module.parameters(recurse=False))
        ]
        maps = [found for group in complete if (found := layer_map(group, batch_size)) is not None]
        covered = {id(p) for one in maps for p in one.parameters}
        failed = self.verification.failed
        others = [
            p
            for p, name in zip(self.parameters.tensors, self.parameters.names, strict=True)
            if id(p) in trained - covered and p.dim() <= 2 and not failed([name])
        ]
        if any(p.dim() == 2 for p in others):
            maps += product_maps(others, graph)
        names = self.parameters.name_of
        named = [dataclasses.replace(one, names=tuple(names[id(p)] for p in one.parameters)) for one in maps]
        return [one for one in named if not failed(one.names)]

    def _verified(self, maps: list[LinearMap], loss: Tensor, key: Hashable) -> list[LinearMap]:
        """The maps whose gradient by rows is autograd's; the others are noted, and get the plain gradient."""
        tensors = self.parameters.tensors
        reference = Reference(
            lambda scale: reverse_gradients(loss, tensors, torch.full_like(loss, scale)),
            coarsest(loss.dtype, self.parameters.dtype),
        )
        if not reference.is_finite:
            return maps
        position = {id(p): i for i, p in enumerate(tensors)}
        passes, _ = self.passes(maps, loss)
        failed: dict[str, tuple[list[str], float]] = {}
        for one in passes:
            pieces = one.map.pieces(one.gradient)
            error = reference.error([position[id(p)] for p in one.map.parameters], pieces)
            if error:
                owner = one.map.names[0].rpartition(".")[0]
                earlier, worst = failed.get(owner, ([], 0.0))
                failed[owner] = ([*earlier, *one.map.names], max(worst, error))
        if failed:
            self.verification.refute_layers(failed, "K-FAC leaves them to the plain gradient")
        kept = [one for one in maps if not self.verification.failed(one.names)]
        groups = [[position[id(p)] for p in one.parameters] for one in kept]
        hidden = {self.parameters.names[i] for group in groups for i in reference.hidden(group)}
        self.verification.conclude(key, hidden)
        return kept
