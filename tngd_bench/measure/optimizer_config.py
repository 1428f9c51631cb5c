"""One optimizer with its settings, as a study names it; no torch needed to describe it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tngd_bench.optimizers import registry as optimizers


@dataclass(frozen=True)
class OptimizerConfig:
    """An optimizer in a study: `label` as written, `method` registered, complete `settings`.

    `simulated`: the wall time of its step contains the simulation of a device.
    """

    label: str
    method: str
    settings: Mapping[str, object]
    simulated: bool = False

    @classmethod
    def of(cls, method: str, label: str = "", **settings: object) -> OptimizerConfig:
        """Return a registered optimizer with its defaults, but for `settings`; it is labelled by its name."""
        entry = optimizers.get(method)
        return cls(label or method, method, {**entry.defaults, **settings}, entry.simulated)

    @property
    def device(self) -> str | None:
        """The name of the device, where the optimizer has one: a shipped one's, or that of the study's own."""
        device = self.settings.get("device")
        return str(device["name"]) if isinstance(device, Mapping) else None if device is None else str(device)
