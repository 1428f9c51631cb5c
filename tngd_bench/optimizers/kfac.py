"""K-FAC as a practitioner would run it: running averages, π-damping, refresh intervals, momentum."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tngd_bench import arguments
from tngd_bench.curvature.capture import LayerCall, recording, refuse_mixed_samples, run_model
from tngd_bench.curvature.kronecker import (
    KRONECKER_KINDS,
    Fisher,
    Inverse,
    KroneckerFactors,
    Sharing,
    cotangent_rows,
    factor_estimates,
    fisher_cotangents,
    joined,
    layer_rows,
)
from tngd_bench.curvature.losses import evaluate, output_curvature
from tngd_bench.optimizers.natural import DivergedError, NaturalOptimizer, restore_generator

FISHERS = ("mc", "exact", "empirical")
INVERSES = ("cholesky", "eigen")
SHARINGS = ("expand", "reduce")


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

    Source: Martens and Grosse 2015; Grosse and Martens 2016.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
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
        self.generator = generator
        self.factors: dict[int, KroneckerFactors] = {}
        self._order = {id(module): index for index, module in enumerate(model.modules())}

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

    def _direction(self, inputs: Tensor | Mapping[str, Any], targets: Tensor) -> tuple[float, Tensor]:
        with torch.enable_grad(), recording(self.model, KRONECKER_KINDS) as calls:
            outputs = run_model(self.model, inputs)
            loss = evaluate(self.loss, outputs, targets)
        value = float(loss.detach())
        self._check_loss(value)
        layers = self._layers(calls)
        flat = [call for group in layers.values() for call in group]
        covered = {id(p) for call in flat for p in call.module.parameters(recurse=False)}
        others = [p for p in self.parameters.tensors if id(p) not in covered]
        refresh = self._refreshes_at(self.iteration)
        wanted: list[Any] = [*[call.edge for call in flat], *others]
        gradients = torch.autograd.grad(loss, wanted, retain_graph=refresh, allow_unused=True)
        dtype = self.parameters.curvature_dtype
        rows = [layer_rows(call, dtype) for call in flat]
        if refresh:
            self._refresh_factors(layers, flat, rows, outputs, targets)
        if self._inverts_at(self.iteration):
            for factors in self.factors.values():
                factors.invert(self.settings["damping"], self.inverse)
        return value, self._assemble(layers, rows, gradients, others)

    def _layers(self, calls: list[LayerCall]) -> dict[int, list[LayerCall]]:
        grouped: dict[int, list[LayerCall]] = defaultdict(list)
        for call in calls:
            module = call.module
            trained = all(p.requires_grad for p in module.parameters(recurse=False))
            if trained and (not isinstance(module, nn.Conv2d) or module.groups == 1):
                grouped[self._order[id(module)]].append(call)
        return grouped

    def _refreshes_at(self, iteration: int) -> bool:
        return iteration < self.factor_interval or iteration % self.factor_interval == 0

    def _inverts_at(self, iteration: int) -> bool:
        warming_up = iteration < self.inverse_interval and iteration & (iteration - 1) == 0
        return warming_up or iteration % self.inverse_interval == 0

    def _refresh_factors(
        self,
        layers: Mapping[int, list[LayerCall]],
        flat: list[LayerCall],
        rows: list[Tensor],
        outputs: Tensor,
        targets: Tensor,
    ) -> None:
        plain = outputs.detach().to(self.parameters.curvature_dtype)
        curvature = output_curvature(self.loss, plain, targets)
        cotangents = fisher_cotangents(curvature, plain, self.fisher, self.generator).to(outputs.dtype)
        if len(cotangents) == 1:
            single = torch.autograd.grad(outputs, [call.edge for call in flat], cotangents[0])
            gradients = [g.unsqueeze(0) for g in single]
        else:
            gradients = list(
                torch.autograd.grad(outputs, [call.edge for call in flat], cotangents, is_grads_batched=True)
            )
        first = 0
        for key, group in layers.items():
            last = first + len(group)
            new_inputs, new_outputs = factor_estimates(
                group, rows[first:last], gradients[first:last], self.sharing
            )
            first = last
            if key not in self.factors:
                # the inverses are made before first use: iteration 0 always inverts
                self.factors[key] = KroneckerFactors(new_inputs, new_outputs)
                continue
            factors, decay = self.factors[key], self.factor_decay
            factors.inputs.mul_(decay).add_(new_inputs, alpha=1.0 - decay)
            factors.outputs.mul_(decay).add_(new_outputs, alpha=1.0 - decay)

    def _assemble(
        self,
        layers: Mapping[int, list[LayerCall]],
        rows: list[Tensor],
        gradients: tuple[Tensor, ...],
        others: list[nn.Parameter],
    ) -> Tensor:
        slots = {id(p): s for p, s in zip(self.parameters.tensors, self.parameters.slots, strict=True)}
        direction = torch.zeros(
            self.parameters.count, dtype=self.parameters.curvature_dtype, device=self.parameters.device
        )
        slope = 0.0
        first = 0
        for key, group in layers.items():
            last = first + len(group)
            a = joined(rows[first:last])
            g = joined([cotangent_rows(c, d) for c, d in zip(group, gradients[first:last], strict=True)]).to(
                a.dtype
            )
            first = last
            module = group[0].module
            x, along = self.factors[key].precondition(a, g)
            if self.kl_clip is not None:
                slope += float(along)
            width = slots[id(module.weight)].size // len(x)
            weight = slots[id(module.weight)]
            direction[weight.offset : weight.offset + weight.size].view(len(x), width).copy_(x[:, :width])
            if module.bias is not None:
                bias = slots[id(module.bias)]
                direction[bias.offset : bias.offset + bias.size].copy_(x[:, width])
        for p, gradient in zip(others, gradients[first:], strict=True):
            if gradient is not None:
                slot = slots[id(p)]
                direction[slot.offset : slot.offset + slot.size].copy_(gradient.reshape(-1))
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
            "generator": None if self.generator is None else self.generator.get_state(),
        }

    def _restore(self, carried: Mapping[str, Any]) -> None:
        super()._restore(carried)
        self.factors = {key: KroneckerFactors.from_state(state) for key, state in carried["factors"].items()}
        restore_generator(self.generator, carried["generator"])
