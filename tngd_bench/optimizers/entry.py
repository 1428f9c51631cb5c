"""What an optimizer must be for a study: an entry with its settings, and an object with `step`; imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from tngd_bench import arguments

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tngd_bench.layers import Layer
    from tngd_bench.spu.device import Device
    from tngd_bench.spu.ledger import Ledger

Family = Literal["first-order", "kfac", "natural-gradient", "thermodynamic", "torch"]
"""Of search spaces and charts; "torch" for optimizers named by their class."""


class Stepper(Protocol):
    """What a study asks of an optimizer: one iteration on one batch."""

    def step(self, inputs: Any, targets: Any) -> float:
        """Update the parameters; return the loss before the update."""


@runtime_checkable
class Phased(Stepper, Protocol):
    """An optimizer whose steps differ by the `iteration` it counts, and that says which kinds there are."""

    iteration: int

    @property
    def phases(self) -> Sequence[tuple[int, int]]:
        """For each kind of step in a cycle, an `iteration` that makes one, and how many are like it."""


@runtime_checkable
class Billed(Stepper, Protocol):
    """An optimizer on a device that says what an iteration costs there without making one."""

    def bill(self, rows: int, batch_size: int, layers: tuple[Layer, ...] | None = None) -> Ledger:
        """Return the device's modelled seconds on m `rows`; `layers` are those of a factored upload."""


@dataclass(frozen=True)
class Setting:
    """One setting of an optimizer: its default and the check that a value must pass."""

    default: object
    check: Callable[[str, object], object]


@dataclass(frozen=True)
class OptimizerEntry:
    """A registered optimizer.

    `factory` is "module:attribute" of a callable `(model, loss, generator, **settings)`; it is imported when
    the first instance is made.
    """

    name: str
    title: str
    summary: str
    family: Family
    factory: str
    settings: Mapping[str, Setting]
    fixed: Mapping[str, object] = field(default_factory=dict)
    simulated: bool = False
    together: Callable[[Mapping[str, object]], None] | None = None
    """Check of the complete settings: ValueError or TypeError where some do not go together."""
    device: Callable[[Mapping[str, object]], Device] | None = None
    """The device that complete settings describe; None for an optimizer without one."""
    cost: Callable[..., tuple[float, float]] | None = None
    """Of an outside optimizer: operations of an iteration and numbers held, for the keyword arguments `parameters`,
    `rows`, `batch_size`, `outputs` and `layers` of `optimizers.costs.predicted_cost`; without it nothing is predicted.
    """

    @property
    def defaults(self) -> Mapping[str, object]:
        """All settings with their default values."""
        return {name: setting.default for name, setting in self.settings.items()}

    def check(self, settings: Mapping[str, object]) -> None:
        """Raise ValueError or TypeError for an unknown setting or a value out of range."""
        for name, value in settings.items():
            if name not in self.settings:
                hint = arguments.suggestion(name, self.settings)
                accepted = ", ".join(self.settings)
                raise ValueError(f"{self.name} has no setting {name!r}{hint} (it has: {accepted})")
            self.settings[name].check(name, value)

    def check_complete(self, settings: Mapping[str, object]) -> None:
        """Raise ValueError or TypeError where `settings`, over the defaults, are refused alone or together."""
        self.check(settings)
        if self.together is not None:
            self.together({**self.defaults, **settings})

    def device_billed_alone(self, settings: Mapping[str, object]) -> Device | None:
        """Return the device whose iterations are priced without simulating them; None where a step has to be made.

        The bill of a device with a conductance range depends on the scale that its arrays take, which a simulation
        finds.
        """
        if not self.simulated or self.device is None:
            return None
        device = self.device({**self.defaults, **settings})
        return None if device.bill_needs_simulation else device

    def create(
        self,
        model: nn.Module,
        loss: nn.Module,
        settings: Mapping[str, object] | None = None,
        generator: torch.Generator | None = None,
    ) -> Stepper:
        """Make the optimizer for `model`; `settings` override the defaults."""
        given = dict(settings or {})
        self.check_complete(given)
        module, attribute = self.factory.split(":")
        make: Callable[..., Stepper] = getattr(import_module(module), attribute)
        return make(model, loss, generator=generator, **{**self.defaults, **self.fixed, **given})
