"""K-FAC as a practitioner would run it: running averages, π-damping, refresh intervals, momentum."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tngd_bench.curvature.kronecker.batch_statistics import constant_statistics
from tngd_bench.curvature.kronecker.factors import (
    Fisher,
    Inverse,
    KroneckerFactors,
    Sharing,
    factor_rows,
    fisher_cotangents,
)
from tngd_bench.curvature.kronecker.linear_maps import RowProduct
from tngd_bench.curvature.losses import Loss, output_curvature
from tngd_bench.curvature.model_call import Inputs
from tngd_bench.curvature.reverse import batched_pass
from tngd_bench.optimizers.kfac.entry import SETTINGS
from tngd_bench.optimizers.kfac.map_tracer import Forward, MapPass, MapTracer
from tngd_bench.optimizers.kfac.notices import Notices
from tngd_bench.optimizers.natural import DivergedError, NaturalOptimizer, restore_generator
from tngd_bench.optimizers.settings import check_settings


class KFAC(NaturalOptimizer):
    """Kronecker-factored natural gradient for weights used as linear maps; other parameters get the plain gradient.

    Linear maps are linear layers, ungrouped convolutions, and every product of a batch with a weight matrix: the gates
    of recurrent layers (shared over time steps) and the projections of attention. Batch normalisation may train: its
    statistics are constants in the factors, and the gradient passes through them.

    Parameters
    ----------
    factor_interval, inverse_interval : int
        Iterations between refreshes of the factors and of their inverses. Early on both are refreshed more often
        (factors at each of the first `factor_interval` iterations, inverses at iterations 0, 1, 2, 4, 8, …), since an
        average over few batches preconditions badly.
    factor_decay : float
        Weight of the past in the factors' running average.
    fisher : str
        "mc" (one random-sign draw through S per sample), "exact" (all d_z columns; refused where a model mixes the
        samples of a batch) or "empirical".
    inverse : str
        "cholesky" (damped inverses of both factors, π-damping) or "eigen" (both factors diagonalised, so that λ
        damps their product itself; more operations to apply).
    sharing : str
        For weights used at many positions, "expand" (positions as samples of their own) or "reduce" (inputs
        averaged and output gradients summed over positions first; Eschenhagen et al. 2023).
    kl_clip : float, optional
        Bound on lr²·xᵀ∇ℓ, which scales x down (Ba, Grosse, Martens 2017); None: no clipping. Without it the default
        rate and momentum diverge on MNIST in the first epoch.
    generator : Generator, optional
        Source of the draws of "mc", kept in `state_dict` and in copies; None: one of its own with the seed of torch's
        default one, which it leaves alone.

    Notes
    -----
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
        check_settings(
            SETTINGS,
            damping=damping,
            factor_interval=factor_interval,
            inverse_interval=inverse_interval,
            factor_decay=factor_decay,
            fisher=fisher,
            inverse=inverse,
            sharing=sharing,
            kl_clip=kl_clip,
        )
        super().__init__(model, loss, lr=lr, damping=damping, momentum=momentum, fused=True)
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
        self._notices = Notices(model, self.parameters)

    @property
    def excluded(self) -> dict[str, str]:
        """Modules whose parameters get the plain gradient, with the reason."""
        return self._notices.excluded

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
        value, passes, rest = self._gradients(inputs, targets)
        inverts = self._inverts_at(self.iteration)
        for name, factors in self.factors.items():
            if inverts or factors.left is None:
                self._invert(name, factors)
        return value, self._assemble(passes, rest)

    def _gradients(
        self, inputs: Inputs, targets: Tensor
    ) -> tuple[float, list[MapPass], list[tuple[nn.Parameter, Tensor]]]:
        """The loss, and the gradients of the maps and of other parameters; the factors are refreshed where due."""
        forward = self._forward(inputs, targets)
        refreshes = self._refreshes_at(self.iteration)
        passes, rest = self._tracer.passes(forward.maps, forward.loss, () if refreshes else self.factors)
        if not refreshes and any(one.map.names[0] not in self.factors for one in passes):
            refreshes = True  # a map is new, and a refresh takes all in rows
            passes, rest = self._tracer.passes(forward.maps, forward.loss)
        self._notices.exclude(rest, self.verification.fallbacks)
        if refreshes and passes:
            self._refresh_factors(passes, forward, targets)
        return float(forward.loss.detach()), passes, rest

    def _check_curvature(self, inputs: Inputs, targets: Tensor) -> None:
        self._forward(inputs, targets)

    @property
    def _tracer(self) -> MapTracer:
        return MapTracer(self.model, self.loss, self.parameters, self.verification)

    def _forward(self, inputs: Inputs, targets: Tensor) -> Forward:
        forward = self._tracer.run(inputs, targets, self._check_loss)
        if forward.verified:
            self._notices.assume(forward.maps, coupled=bool(forward.statistics))
        return forward

    def _refreshes_at(self, iteration: int) -> bool:
        return iteration < self.factor_interval or iteration % self.factor_interval == 0

    def _inverts_at(self, iteration: int) -> bool:
        warming_up = iteration < self.inverse_interval and iteration & (iteration - 1) == 0
        return warming_up or iteration % self.inverse_interval == 0

    def _refresh_factors(self, passes: Sequence[MapPass], forward: Forward, targets: Tensor) -> None:
        outputs = forward.outputs
        if self.fisher == "exact" and forward.verified:
            forward.refuse_mixed_samples()
        plain = outputs.detach().to(self.parameters.curvature_dtype)
        curvature = output_curvature(self.loss, plain, targets, value=forward.loss)
        cotangents = fisher_cotangents(curvature, plain, self.fisher, self.generator).to(outputs.dtype)
        edges = [use.edge for one in passes for use in one.map.uses]
        with constant_statistics(forward.statistics):
            if len(cotangents) == 1:
                single = torch.autograd.grad(outputs, edges, cotangents[0])
                gradients = [g.unsqueeze(0) for g in single]
            else:
                gradients = batched_pass(outputs, edges, cotangents)
        self._check_rows(passes, gradients)  # before any average takes them in, for good
        first = 0
        for one in passes:
            last = first + len(one.map.uses)
            assert one.rows is not None  # a refresh takes all maps in rows
            rows = torch.split(one.rows[0], [use.count for use in one.map.uses])
            found = factor_rows(one.map, rows, gradients[first:last], self.sharing)
            first, name = last, one.map.names[0]
            if name in self.factors:
                self.factors[name].average(*found, self.factor_decay)
            else:
                self.factors[name] = KroneckerFactors.of(*found)

    def _check_rows(self, passes: Sequence[MapPass], gradients: Sequence[Tensor]) -> None:
        """Raise DivergedError that names the weights whose inputs or gradients are not finite.

        Values are looked at once for all layers: an accelerator has to be waited for each time.
        """
        owners = [one.map.names[0] for one in passes for _ in one.map.uses]
        owners += [one.map.names[0] for one in passes if one.rows is not None]
        rows = [one.rows[0] for one in passes if one.rows is not None]
        norms = torch.stack([torch.linalg.vector_norm(each) for each in (*gradients, *rows)])
        bad = [name for name, fine in zip(owners, norms.isfinite().tolist(), strict=True) if not fine]
        if bad:
            named = [repr(name) for name in dict.fromkeys(bad)]
            listed = ", ".join(named[:3]) + " …" * (len(named) > 3)
            raise DivergedError(f"the curvature of {listed}", self.iteration)

    def _invert(self, name: str, factors: KroneckerFactors) -> None:
        """Refresh the inverse of the factors of the weight `name`."""
        factors.invert(self.settings["damping"], self.inverse)

    def _preconditioned(self, one: MapPass) -> tuple[RowProduct, Tensor]:
        """The direction x of one map, and x·∇ℓ."""
        return one.preconditioned(self.factors[one.map.names[0]])

    def _assemble(self, passes: Sequence[MapPass], rest: Sequence[tuple[nn.Parameter, Tensor]]) -> Tensor:
        found = [self._preconditioned(one) for one in passes]
        scale = 1.0
        if self.kl_clip is not None:
            slope = self._slope([along for _, along in found], [gradient for _, gradient in rest])
            if not slope == slope:
                raise DivergedError("the gradient", self.iteration)
            lr = float(self.settings["lr"])
            scale = min(1.0, (self.kl_clip / max(lr * lr * abs(slope), 1e-30)) ** 0.5)
        direction = self.parameters.blank()
        tensors, views = self.parameters.tensors, self.parameters.views(direction)
        places = {id(p): view for p, view in zip(tensors, views, strict=True)}
        for one, (x, _) in zip(passes, found, strict=True):
            one.map.write(x, scale, [places[id(p)] for p in one.map.parameters])
        for p, gradient in rest:
            torch.mul(gradient.to(direction.dtype), scale, out=places[id(p)])
        written = {id(p) for one in passes for p in one.map.parameters} | {id(p) for p, _ in rest}
        for key in places.keys() - written:
            places[key].zero_()
        return direction

    def _slope(self, along: Sequence[Tensor], plain: Sequence[Tensor]) -> float:
        """x·∇ℓ from that of each map and from plain gradients, in one look at values."""
        dtype = self.parameters.curvature_dtype
        squares = [(gradient * gradient).sum().to(dtype) for gradient in plain]
        if not (along or squares):
            return 0.0
        values = torch.stack([*along, *squares]).tolist()
        return float(sum(values[: len(along)]) + sum(values[len(along) :]))

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
        self.factors = {
            key: KroneckerFactors(**{name: self.parameters.adopted(part) for name, part in state.items()})  # type: ignore[arg-type]
            for key, state in carried["factors"].items()
        }
        restore_generator(self.generator, carried["generator"])
