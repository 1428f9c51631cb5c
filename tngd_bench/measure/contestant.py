"""One optimizer with its settings, as a study names it; no torch needed to describe it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tngd_bench.optimizers import registry


@dataclass(frozen=True)
class Contestant:
    """An optimizer in a study: `label` as written, `method` registered, complete `settings`."""

    label: str
    method: str
    settings: Mapping[str, object]

    @property
    def simulated(self) -> bool:
        """Whether the wall time of a step contains the simulation of a device."""
        return registry.get(self.method).simulated
