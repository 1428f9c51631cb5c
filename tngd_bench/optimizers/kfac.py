"""K-FAC as a practitioner would run it: running averages, π-damping, refresh intervals, momentum."""

from __future__ import annotations

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
from tngd_bench.curvature.kronecker import (
    KRONECKER_KINDS,
    Fisher,
    Inverse,
    KroneckerFactors,
    Sharing,
    cotangent_rows,
    factor_estimates,
    fisher_cotangents,
    has_kronecker_rule,
    joined,
    layer_rows,
)
from tngd_bench.curvature.layers import trained_parameters
from tngd_bench.curvature.losses import Loss, evaluate, output_curvature
from tngd_bench.curvature.model_call import Inputs, refuse_mixed_samples, run_model
from tngd_bench.curvature.reverse import batched_pass, reverse_gradients, reverse_pass
from tngd_bench.curvature.verification import FallbackWarning, Reference, signature
from tngd_bench.optimizers.natural import DivergedError, NaturalOptimizer, restore_generator

FISHERS = ("mc", "exact", "empirical")
INVERSES = ("cholesky", "eigen")
SHARINGS = ("expand", "reduce")


@dataclass(frozen=True)
class _LayerPass:
    """What a step needs of one layer: its calls, their input rows, and the loss's gradients at their outputs.

    `inputs` (k, d_in [+1 for the bias]) and `cotangents` (k, d_out) join the rows of all calls; `key` is the layer's
    number in `model.modules()`.
    """

    key: int
    calls: tuple[LayerCall, ...]
    rows: tuple[Tensor, ...]
    inputs: Tensor
    cotangents: Tensor

    @classmethod
    def of(cls, key: int, used: Sequence[tuple[LayerCall, Tensor]], dtype: torch.dtype) -> _LayerPass:
        """Make it from calls and the gradients at their outputs."""
        rows = tuple(layer_rows(call, dtype) for call, _ in used)
        cotangents = joined([cotangent_rows(call, g) for call, g in used]).to(dtype)
        return cls(key, tuple(call for call, _ in used), rows, joined(rows), cotangents)

    @property
    def module(self) -> nn.Module:
        """The layer."""
        return self.calls[0].module

    def split(self, matrix: Tensor) -> tuple[Tensor, Tensor | None]:
        """A (d_out, d_in [+1]) matrix as weight and bias."""
        if self.module.bias is None:
            return matrix, None
        return matrix[:, :-1], matrix[:, -1]


class KFAC(NaturalOptimizer):
    """Kronecker-factored natural gradient for Linear and Conv2d layers; other parameters get the plain gradient.

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

    A layer that is used in a way its rule does not cover (tied weights, pruning, derivatives inside forward) gets the
    plain gradient too: its gradient by rows is held against autograd. `excluded` lists all such modules with the
    reason, and a `FallbackWarning` names each once. Source: Martens and Grosse 2015; Grosse and Martens 2016.
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
        refuse_mixed_samples(model)
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
        self.factors: dict[int, KroneckerFactors] = {}
        self.excluded: dict[str, str] = {}
        self._noted = 0

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
        groups, outputs, loss = self._forward(inputs, targets)
        layers, rest = self._passes(groups, loss)
        self._note_excluded(rest)
        fresh = any(layer.key not in self.factors for layer in layers)
        if fresh or self._refreshes_at(self.iteration):
            self._refresh_factors(layers, outputs, targets)
        inverts = self._inverts_at(self.iteration)
        for factors in self.factors.values():
            if inverts or factors.left is None:
                factors.invert(self.settings["damping"], self.inverse)
        return float(loss.detach()), self._assemble(layers, rest)

    def _check_curvature(self, inputs: Inputs, targets: Tensor) -> None:
        self._forward(inputs, targets)

    def _forward(self, inputs: Inputs, targets: Tensor) -> tuple[list[list[LayerCall]], Tensor, Tensor]:
        """Run the model; return the layers' calls by layer, verified where due, the outputs and the loss."""
        with torch.enable_grad(), recording(self.model, KRONECKER_KINDS) as calls:
            outputs = run_model(self.model, inputs)
            loss = evaluate(self.loss, outputs, targets)
        self._check_loss(float(loss.detach()))
        for call in calls:
            call.check_untouched()
        groups = self._grouped(calls)
        if self.verification.due(signature(self.model, calls, AutogradGraph(outputs)), reorders=False):
            groups = self._verified(groups, loss)
        return groups, outputs, loss

    def _grouped(self, calls: Sequence[LayerCall]) -> list[list[LayerCall]]:
        """Calls of one layer together, for layers that have a rule which has not failed."""
        trained = {id(p) for p in self.parameters.tensors}
        grouped: dict[int, list[LayerCall]] = defaultdict(list)
        for call in calls:
            if has_kronecker_rule(call) and not self.verification.failed(self._names_of(call.module)):
                own = trained_parameters(call.module, trained)
                if own is not None and len(own) == len(list(call.module.parameters(recurse=False))):
                    grouped[id(call.module)].append(call)
        return list(grouped.values())

    def _passes(
        self, groups: Sequence[Sequence[LayerCall]], loss: Tensor
    ) -> tuple[list[_LayerPass], list[tuple[nn.Parameter, Tensor]]]:
        """Inputs and output gradients of the layers that take part in the loss, and the gradients of all others."""
        flat = [call for group in groups for call in group]
        covered = {id(p) for call in flat for p in call.module.parameters(recurse=False)}
        others = [p for p in self.parameters.tensors if id(p) not in covered]
        gradients = iter(reverse_pass(loss, [*[call.edge for call in flat], *others]))
        layers: list[_LayerPass] = []
        order = {id(module): index for index, module in enumerate(self.model.modules())}
        aside: list[nn.Parameter] = []
        for group in groups:
            found = [(call, next(gradients)) for call in group]
            used = [(call, gradient) for call, gradient in found if gradient is not None]
            if used:
                key = order[id(group[0].module)]
                layers.append(_LayerPass.of(key, used, self.parameters.curvature_dtype))
            else:  # the layer's output has no part in the loss; its weight may, in derivatives inside forward
                aside += group[0].module.parameters(recurse=False)
        plain = [*zip(others, gradients, strict=True)]
        if aside:
            plain += zip(aside, reverse_pass(loss, aside), strict=True)
        return layers, [(p, gradient) for p, gradient in plain if gradient is not None]

    def _verified(self, groups: list[list[LayerCall]], loss: Tensor) -> list[list[LayerCall]]:
        """The groups whose gradient by rows is autograd's; the others are noted, and get the plain gradient."""
        tensors = self.parameters.tensors
        reference = Reference(
            lambda scale: reverse_gradients(loss, tensors, torch.full_like(loss, scale)),
            loss.dtype if loss.dtype.itemsize < 4 else self.parameters.dtype,
        )
        if not reference.is_finite:
            return groups
        position = {id(p): i for i, p in enumerate(tensors)}
        layers, _ = self._passes(groups, loss)
        names = [name for name, _ in self.model.named_modules()]
        failed: dict[str, tuple[list[str], float]] = {}
        for layer in layers:
            weight, bias = layer.split(layer.cotangents.T @ layer.inputs)
            pairs = [(layer.module.weight, weight), (layer.module.bias, bias)]
            kept = [(p, piece) for p, piece in pairs if p is not None and piece is not None]
            error = reference.error([position[id(p)] for p, _ in kept], [piece for _, piece in kept])
            if error:
                failed[names[layer.key]] = (self._names_of(layer.module), error)
        if failed:
            self.verification.refute_layers(failed, "K-FAC leaves them to the plain gradient")
        return [group for group in groups if not self.verification.failed(self._names_of(group[0].module))]

    def _note_excluded(self, rest: Sequence[tuple[nn.Parameter, Tensor]]) -> None:
        """List the modules whose parameters get the plain gradient, and name new ones in one warning."""
        if len(rest) == self._noted:
            return
        self._noted = len(rest)
        names = {id(p): name for p, name in zip(self.parameters.tensors, self.parameters.names, strict=True)}
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

    def _names_of(self, module: nn.Module) -> list[str]:
        names = {id(p): name for p, name in zip(self.parameters.tensors, self.parameters.names, strict=True)}
        return [names[id(p)] for p in module.parameters(recurse=False) if id(p) in names]

    def _refreshes_at(self, iteration: int) -> bool:
        return iteration < self.factor_interval or iteration % self.factor_interval == 0

    def _inverts_at(self, iteration: int) -> bool:
        warming_up = iteration < self.inverse_interval and iteration & (iteration - 1) == 0
        return warming_up or iteration % self.inverse_interval == 0

    def _refresh_factors(self, layers: Sequence[_LayerPass], outputs: Tensor, targets: Tensor) -> None:
        plain = outputs.detach().to(self.parameters.curvature_dtype)
        curvature = output_curvature(self.loss, plain, targets)
        cotangents = fisher_cotangents(curvature, plain, self.fisher, self.generator).to(outputs.dtype)
        edges = [call.edge for layer in layers for call in layer.calls]
        if not edges:
            return
        if len(cotangents) == 1:
            single = torch.autograd.grad(outputs, edges, cotangents[0])
            gradients = [g.unsqueeze(0) for g in single]
        else:
            gradients = batched_pass(outputs, edges, cotangents)
        first = 0
        for layer in layers:
            last = first + len(layer.calls)
            new_inputs, new_outputs = factor_estimates(
                layer.calls, layer.rows, gradients[first:last], self.sharing
            )
            first = last
            if layer.key not in self.factors:
                self.factors[layer.key] = KroneckerFactors(new_inputs, new_outputs)
                continue
            factors, decay = self.factors[layer.key], self.factor_decay
            factors.inputs.mul_(decay).add_(new_inputs, alpha=1.0 - decay)
            factors.outputs.mul_(decay).add_(new_outputs, alpha=1.0 - decay)

    def _assemble(self, layers: Sequence[_LayerPass], rest: Sequence[tuple[nn.Parameter, Tensor]]) -> Tensor:
        slots = {id(p): s for p, s in zip(self.parameters.tensors, self.parameters.slots, strict=True)}
        direction = torch.zeros(
            self.parameters.count, dtype=self.parameters.curvature_dtype, device=self.parameters.device
        )
        flat = direction.unsqueeze(0)
        slope = 0.0
        for layer in layers:
            x, along = self.factors[layer.key].precondition(layer.inputs, layer.cotangents)
            if self.kl_clip is not None:
                slope += float(along)
            weight, bias = layer.split(x)
            slot = slots[id(layer.module.weight)]
            slot.of(flat).view(weight.shape).copy_(weight)
            if bias is not None:
                slots[id(layer.module.bias)].of(flat).view(bias.shape).copy_(bias)
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
        self.factors = {key: KroneckerFactors.from_state(state) for key, state in carried["factors"].items()}
        restore_generator(self.generator, carried["generator"])
