"""Warnings of K-FAC: parameters that get the plain gradient, and assumptions beyond those of plain layers."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from tngd_bench.curvature import TrainableParameters
from tngd_bench.curvature.kronecker.batch_statistics import uses_batch_statistics
from tngd_bench.curvature.kronecker.linear_maps import LinearMap
from tngd_bench.curvature.verification import Fallback, FallbackWarning


class AssumptionWarning(UserWarning):
    """K-FAC takes part of the model in a way that is usual, and an approximation of its own."""


@dataclass
class Notices:
    """What has been said of a model, each thing once; `excluded` are modules without a rule, with the reason."""

    model: nn.Module
    parameters: TrainableParameters
    excluded: dict[str, str] = field(default_factory=dict)
    assumed: set[str] = field(default_factory=set)
    listed: int = 0

    def assume(self, maps: Sequence[LinearMap], *, coupled: bool) -> None:
        """Say once what the factors of this model assume beyond those of plain layers."""
        modules = dict(self.model.named_modules())
        shared = {
            one.names[0].rpartition(".")[0] for one in maps if one.samples is None and len(one.uses) > 1
        }
        found = {}
        if shared:
            found["weights used at several steps are linear maps shared over them"] = sorted(shared)
        if coupled:
            normalising = [name for name, module in modules.items() if uses_batch_statistics(module)]
            found["mean and variance of the batch are constants"] = normalising or [""]
        for said, names in found.items():
            if said not in self.assumed:
                self.assumed.add(said)
                named = ", ".join(f"{name!r} ({type(modules[name]).__name__})" for name in names)
                warnings.warn(f"in K-FAC's factors {said}: {named}", AssumptionWarning, stacklevel=2)

    def exclude(self, rest: Sequence[tuple[nn.Parameter, Tensor]], fallbacks: Mapping[str, Fallback]) -> None:
        """List the modules whose parameters get the plain gradient, and name new ones in one warning."""
        if len(rest) == self.listed:
            return
        self.listed = len(rest)
        names = self.parameters.name_of
        modules = dict(self.model.named_modules())
        new: list[str] = []
        for p, _ in rest:
            owner = names[id(p)].rpartition(".")[0]
            if owner in self.excluded:
                continue
            found = fallbacks.get(names[id(p)])
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
