"""K-FAC as a practitioner would run it: running averages, π-damping, refresh intervals, momentum."""

from __future__ import annotations

import dataclasses
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tngd_bench import arguments
from tngd_bench.curvature.capture import LayerCall, recording
from tngd_bench.curvature.graph import AutogradGraph
from tngd_bench.curvature.kronecker.batch_statistics import (
    constant_statistics,
    recording_statistics,
    uses_batch_statistics,
)
from tngd_bench.curvature.kronecker.factors import (
    Fisher,
    Inverse,
    KroneckerFactors,
    Sharing,
    factor_estimates,
    fisher_cotangents,
    joined,
)
from tngd_bench.curvature.kronecker.linear_maps import MAP_KINDS, LinearMap, layer_map, product_maps
from tngd_bench.curvature.losses import Loss, evaluate, output_curvature
from tngd_bench.curvature.model_call import Inputs, run_model
from tngd_bench.curvature.reverse import batched_pass, reverse_gradients, reverse_pass
from tngd_bench.curvature.rows.layer_rules import trained_parameters
from tngd_bench.curvature.verification import FallbackWarning, Reference, signature
from tngd_bench.optimizers.natural import DivergedError, NaturalOptimizer, restore_generator

FISHERS = ("mc", "exact", "empirical")
INVERSES = ("cholesky", "eigen")
SHARINGS = ("expand", "reduce")


class AssumptionWarning(UserWarning):
    """K-FAC takes part of the model in a way that is usual, and an approximation of its own."""


@dataclass(frozen=True)
class _MapPass:
    """What a step needs of one linear map: its input rows use by use, and the loss's gradients at its outputs.

    `inputs` (k, d_in [+1 for the bias]) and `cotangents` (k, d_out) join the rows of all uses.
    """

    map: LinearMap
    rows: tuple[Tensor, ...]
    inputs: Tensor
    cotangents: Tensor

    @classmethod
    def of(cls, used: LinearMap, gradients: Sequence[Tensor], dtype: torch.dtype) -> _MapPass:
        """Make it from the gradients at the outputs of all uses."""
        rows = tuple(use.rows(dtype) for use in used.uses)
        shaped = [use.cotangent_rows(g) for use, g in zip(used.uses, gradients, strict=True)]
        return cls(used, rows, joined(rows), joined(shaped).to(dtype))


@dataclass(frozen=True)
class _Forward:
    """One forward pass: the maps with a rule, outputs, loss, and the normalisations by batch statistics in it."""

    maps: list[LinearMap]
    outputs: Tensor
    loss: Tensor
    statistics: list[Any]


class KFAC(NaturalOptimizer):
    """Kronecker-factored natural gradient for weights used as linear maps; other parameters get the plain gradient.

    Linear maps are linear layers, ungrouped convolutions, and every product of a batch with a weight matrix: the gates
    of recurrent layers (shared over time steps) and the projections of attention. Batch normalisation may train: its
    statistics are constants in the factors, and the gradient passes through them.

    Parameters
    ----------
    factor_interval, inverse_interval : iterations between refreshes of the factors and of their inverses. Early on
        both are refreshed more often (factors at each of the first `factor_interval` iterations, inverses at
        iterations 0, 1, 2, 4, 8, …), since an average over few batches preconditions badly.
    factor_decay : weight of the past in the factors' running average.
    fisher : "mc" (one random-sign draw through S per sample), "exact" (all d_z columns) or "empirical".
    inverse : "cholesky" (damped inverses of both factors, π-damping) or "eigen" (both factors diagonalised, so that λ
        damps their product itself; dearer to apply).
    sharing : for weights used at many positions, "expand" (positions as samples of their own) or "reduce" (inputs
        averaged and output gradients summed over positions first; Eschenhagen et al. 2023).
    kl_clip : bound on lr²·xᵀ∇ℓ, which scales x down (Ba, Grosse, Martens 2017); None: no clipping. Without
        it the default rate and momentum diverge on MNIST in the first epoch.
    generator : of the draws of "mc", kept in `state_dict` and in copies; None: one of its own with the seed of torch's
        default one, which it leaves alone.

    A weight that is used in a way its rule does not cover (tied weights, pruning, derivatives inside forward) gets the
    plain gradient too: its gradient by rows is held against autograd. `excluded` lists all such modules with the
    reason, and a `FallbackWarning` names each once; an `AssumptionWarning` names shared gates and batch statistics.
    Source: Martens and Grosse 2015; Grosse and Martens 2016.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        lr: float = 0.01,
        damping: float = 0.01,
        momentum: float = 0.9,
        *,
        factor_interval: int = 10,
        inverse_interval: int = 100,
        factor_decay: float = 0.95,
        fisher: Fisher = "mc",
        inverse: Inverse = "cholesky",
        sharing: Sharing = "expand",
        kl_clip: float | None = 1e-3,
        generator: torch.Generator | None = None,
    ) -> None:
        arguments.real("damping", damping, above=0.0)
        arguments.integer("factor_interval", factor_interval, minimum=1)
        arguments.integer("inverse_interval", inverse_interval, minimum=1)
        arguments.real("factor_decay", factor_decay, minimum=0.0, below=1.0)
        arguments.choice("fisher", fisher, FISHERS)
        arguments.choice("inverse", inverse, INVERSES)
        arguments.choice("sharing", sharing, SHARINGS)
        if kl_clip is not None:
            arguments.real("kl_clip", kl_clip, above=0.0)
        super().__init__(model, loss, lr=lr, damping=damping, momentum=momentum)
        self.factor_interval = factor_interval
        self.inverse_interval = inverse_interval
        self.factor_decay = factor_decay
        self.fisher: Fisher = fisher
        self.inverse: Inverse = inverse
        self.sharing: Sharing = sharing
        self.kl_clip = kl_clip
        if generator is None:
            generator = torch.Generator(self.parameters.device).manual_seed(torch.initial_seed())
        self.generator = generator
        self.factors: dict[str, KroneckerFactors] = {}
        self.excluded: dict[str, str] = {}
        self._noted = 0
        self._assumed: set[str] = set()

    @property
    def cycle(self) -> int:
        """Iterations after which the pattern of refreshes repeats: what a cost per iteration is averaged over."""
        return max(self.factor_interval, self.inverse_interval)

    @property
    def phases(self) -> tuple[tuple[int, int], ...]:
        """The kinds of step in a cycle past the first: an `iteration` of each, and how many are like it."""
        kinds: dict[tuple[bool, bool], list[int]] = defaultdict(list)
        for iteration in range(self.inverse_interval * self.cycle, (self.inverse_interval + 1) * self.cycle):
            kinds[self._refreshes_at(iteration), self._inverts_at(iteration)].append(iteration)
        return tuple((alike[0], len(alike)) for alike in kinds.values())

    def _direction(self, inputs: Inputs, targets: Tensor) -> tuple[float, Tensor]:
        forward = self._forward(inputs, targets)
        passes, rest = self._passes(forward.maps, forward.loss)
        self._note_excluded(rest)
        fresh = any(one.map.names[0] not in self.factors for one in passes)
        if fresh or self._refreshes_at(self.iteration):
            self._refresh_factors(passes, forward, targets)
        inverts = self._inverts_at(self.iteration)
        for factors in self.factors.values():
            if inverts or factors.left is None:
                factors.invert(self.settings["damping"], self.inverse)
        return float(forward.loss.detach()), self._assemble(passes, rest)

    def _check_curvature(self, inputs: Inputs, targets: Tensor) -> None:
        self._forward(inputs, targets)

    def _forward(self, inputs: Inputs, targets: Tensor) -> _Forward:
        """Run the model, and find its linear maps, verified where due."""
        with (
            torch.enable_grad(),
            recording(self.model, MAP_KINDS) as calls,
            recording_statistics(self.model) as statistics,
        ):
            outputs = run_model(self.model, inputs)
            loss = evaluate(self.loss, outputs, targets)
        self._check_loss(float(loss.detach()))
        for call in calls:
            call.check_untouched()
        graph = AutogradGraph(outputs)
        maps = self._maps(calls, graph)
        if self.verification.due(signature(self.model, calls, graph), reorders=False):
            maps = self._verified(maps, loss)
            self._note_assumptions(maps, coupled=bool(statistics))
        return _Forward(maps, outputs, loss, statistics)

    def _maps(self, calls: Sequence[LayerCall], graph: AutogradGraph) -> list[LinearMap]:
        """The maps of layers by their calls, and of the other weights by the graph, but for those that have failed."""
        trained = {id(p) for p in self.parameters.tensors}
        grouped: dict[int, list[LayerCall]] = defaultdict(list)
        for call in calls:
            own = trained_parameters(call.module, trained)
            if own is not None and len(own) == len(list(call.module.parameters(recurse=False))):
                grouped[id(call.module)].append(call)
        maps = [found for group in grouped.values() if (found := layer_map(group)) is not None]
        covered = {id(p) for one in maps for p in one.parameters}
        failed = self.verification.failed
        others = [
            p
            for p, name in zip(self.parameters.tensors, self.parameters.names, strict=True)
            if id(p) not in covered and p.dim() <= 2 and not failed([name])
        ]
        if any(p.dim() == 2 for p in others):
            maps += product_maps(others, graph)
        names = self._names
        named = [dataclasses.replace(one, names=tuple(names[id(p)] for p in one.parameters)) for one in maps]
        return [one for one in named if not failed(one.names)]

    def _passes(
        self, maps: Sequence[LinearMap], loss: Tensor
    ) -> tuple[list[_MapPass], list[tuple[nn.Parameter, Tensor]]]:
        """Inputs and output gradients of the maps that take part in the loss, and the gradients of all others."""
        edges = [use.edge for one in maps for use in one.uses]
        covered = {id(p) for one in maps for p in one.parameters}
        others = [p for p in self.parameters.tensors if id(p) not in covered]
        gradients = iter(reverse_pass(loss, [*edges, *others]))
        passes: list[_MapPass] = []
        aside: list[nn.Parameter] = []
        for one in maps:
            found = [(use, next(gradients)) for use in one.uses]
            used = [(use, gradient) for use, gradient in found if gradient is not None]
            if used:
                kept = dataclasses.replace(one, uses=tuple(use for use, _ in used))
                passes.append(_MapPass.of(kept, [g for _, g in used], self.parameters.curvature_dtype))
            else:  # the output has no part in the loss; the weight may, in derivatives inside forward
                aside += one.parameters
        plain = [*zip(others, gradients, strict=True)]
        if aside:
            plain += zip(aside, reverse_pass(loss, aside), strict=True)
        return passes, [(p, gradient) for p, gradient in plain if gradient is not None]

    def _verified(self, maps: list[LinearMap], loss: Tensor) -> list[LinearMap]:
        """The maps whose gradient by rows is autograd's; the others are noted, and get the plain gradient."""
        tensors = self.parameters.tensors
        reference = Reference(
            lambda scale: reverse_gradients(loss, tensors, torch.full_like(loss, scale)),
            loss.dtype if loss.dtype.itemsize < 4 else self.parameters.dtype,
        )
        if not reference.is_finite:
            return maps
        position = {id(p): i for i, p in enumerate(tensors)}
        passes, _ = self._passes(maps, loss)
        failed: dict[str, tuple[list[str], float]] = {}
        for one in passes:
            pieces = one.map.pieces(one.cotangents.T @ one.inputs)
            error = reference.error([position[id(p)] for p in one.map.parameters], pieces)
            if error:
                owner = one.map.names[0].rpartition(".")[0]
                earlier, worst = failed.get(owner, ([], 0.0))
                failed[owner] = ([*earlier, *one.map.names], max(worst, error))
        if failed:
            self.verification.refute_layers(failed, "K-FAC leaves them to the plain gradient")
        return [one for one in maps if not self.verification.failed(one.names)]

    def _note_assumptions(self, maps: Sequence[LinearMap], *, coupled: bool) -> None:
        """Say once what the factors of this model assume beyond those of plain layers."""
        modules = dict(self.model.named_modules())
        shared = {
            one.names[0].rpartition(".")[0] for one in maps if one.samples is None and len(one.uses) > 1
        }
        found = {}
        if shared:
            found["weights used at several steps are linear maps shared over them"] = sorted(shared)
        if coupled:
            found["mean and variance of the batch are constants"] = [
                name for name, module in modules.items() if uses_batch_statistics(module)
            ]
        for said, names in found.items():
            if said not in self._assumed:
                self._assumed.add(said)
                named = ", ".join(f"{name!r} ({type(modules[name]).__name__})" for name in names)
                warnings.warn(f"in K-FAC's factors {said}: {named}", AssumptionWarning, stacklevel=2)

    def _note_excluded(self, rest: Sequence[tuple[nn.Parameter, Tensor]]) -> None:
        """List the modules whose parameters get the plain gradient, and name new ones in one warning."""
        if len(rest) == self._noted:
            return
        self._noted = len(rest)
        names = self._names
        modules = dict(self.model.named_modules())
        new: list[str] = []
        for p, _ in rest:
            owner = names[id(p)].rpartition(".")[0]
            if owner in self.excluded:
                continue
            found = self.verification.fallbacks.get(names[id(p)])
            kind = type(modules[owner]).__name__
            self.excluded[owner] = found.reason if found else f"no rule for how it uses {kind}'s parameters"
            if found is None:
                new.append(f"{owner!r} ({kind})")
        if new:
            share = sum(p.numel() for p, _ in rest) / self.parameters.count
            warnings.warn(
                f"K-FAC has no rule for {share:.0%} of the parameters, which get the plain gradient: {', '.join(new)}",
                FallbackWarning,
                stacklevel=2,
            )

    @property
    def _names(self) -> dict[int, str]:
        return {id(p): name for p, name in zip(self.parameters.tensors, self.parameters.names, strict=True)}

    def _refreshes_at(self, iteration: int) -> bool:
        return iteration < self.factor_interval or iteration % self.factor_interval == 0

    def _inverts_at(self, iteration: int) -> bool:
        warming_up = iteration < self.inverse_interval and iteration & (iteration - 1) == 0
        return warming_up or iteration % self.inverse_interval == 0

    def _refresh_factors(self, passes: Sequence[_MapPass], forward: _Forward, targets: Tensor) -> None:
        outputs = forward.outputs
        plain = outputs.detach().to(self.parameters.curvature_dtype)
        curvature = output_curvature(self.loss, plain, targets)
        cotangents = fisher_cotangents(curvature, plain, self.fisher, self.generator).to(outputs.dtype)
        edges = [use.edge for one in passes for use in one.map.uses]
        if not edges:
            return
        with constant_statistics(forward.statistics):
            if len(cotangents) == 1:
                single = torch.autograd.grad(outputs, edges, cotangents[0])
                gradients = [g.unsqueeze(0) for g in single]
            else:
                gradients = batched_pass(outputs, edges, cotangents)
        first = 0
        for one in passes:
            last = first + len(one.map.uses)
            new_inputs, new_outputs = factor_estimates(one.map, one.rows, gradients[first:last], self.sharing)
            first = last
            name = one.map.names[0]
            if name not in self.factors:
                self.factors[name] = KroneckerFactors(new_inputs, new_outputs)
                continue
            factors, decay = self.factors[name], self.factor_decay
            factors.inputs.mul_(decay).add_(new_inputs, alpha=1.0 - decay)
            factors.outputs.mul_(decay).add_(new_outputs, alpha=1.0 - decay)

    def _assemble(self, passes: Sequence[_MapPass], rest: Sequence[tuple[nn.Parameter, Tensor]]) -> Tensor:
        slots = {id(p): s for p, s in zip(self.parameters.tensors, self.parameters.slots, strict=True)}
        direction = self.parameters.zeros()
        flat = direction.unsqueeze(0)
        slope = 0.0
        for one in passes:
            x, along = self.factors[one.map.names[0]].precondition(one.inputs, one.cotangents)
            if self.kl_clip is not None:
                slope += float(along)
            for p, piece in zip(one.map.parameters, one.map.pieces(x), strict=True):
                slots[id(p)].of(flat).view(piece.shape).copy_(piece)
        for p, gradient in rest:
            slots[id(p)].of(flat).copy_(gradient.reshape(1, -1))
            slope += float((gradient * gradient).sum()) if self.kl_clip is not None else 0.0
        if self.kl_clip is not None:
            if not slope == slope:
                raise DivergedError("the gradient", self.iteration)
            lr = float(self.settings["lr"])
            direction.mul_(min(1.0, (self.kl_clip / max(lr * lr * slope, 1e-30)) ** 0.5))
        return direction

    def _carried(self) -> dict[str, Any]:
        return {
            **super()._carried(),
            "factors": {key: f.state() for key, f in self.factors.items()},
            "generator": self.generator.get_state(),
        }

    def _restore(self, carried: Mapping[str, Any]) -> None:
        super()._restore(carried)
        if not carried["factors"].keys() <= set(self.parameters.names):
            raise ValueError(
                f"state_dict must hold factors by the names of weights, not {sorted(map(str, carried['factors']))}: it "
                "comes from another model or an earlier version"
            )
        self.factors = {key: KroneckerFactors.from_state(state) for key, state in carried["factors"].items()}
        restore_generator(self.generator, carried["generator"])
