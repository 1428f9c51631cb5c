"""Description of an optimizer: one torch-free entry that planning, tuning, reports and training all read.

An optimizer is a folder of two files: `entry.py`, which makes an `OptimizerEntry`, and `optimizer.py` with the class
that the entry's `factory` names. An outside package has the same two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from tngd_bench import arguments, plugins
from tngd_bench.optimizers.cost_model import CostModel, Counts
from tngd_bench.optimizers.iteration import Iteration

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tngd_bench.layers import Layer
    from tngd_bench.spu.device import Device
    from tngd_bench.spu.ledger import Ledger

Family = Literal[
    "first-order",
    "kfac",
    "natural-gradient",
    "thermodynamic",
    "thermodynamic-kfac",
    "preconditioned",
    "torch",
]
"""See `optimizers.families`; "torch" is for optimizers named by their class."""


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


@runtime_checkable
class Hosted(Phased, Protocol):
    """An optimizer on a device whose digital part is its own; `phases` say at which iterations it differs."""

    @property
    def cycle(self) -> int:
        """Iterations that `phases` count."""

    def host_pass(self, inputs: Any, targets: Any) -> None:
        """Do the digital part of the iteration that `iteration` counts, for timing and counting."""


@dataclass(frozen=True)
class SearchRange:
    """The range of a setting that `tngd-bench tune` searches; draws are uniform on `scale`.

    "log": in log x. "log-complement": in log(1 − x), for momenta and decays, where 0.9 and 0.99 are a decade apart.
    """

    low: float
    high: float
    reason: str
    scale: Literal["log", "log-complement", "linear"] = "log"

    def __post_init__(self) -> None:
        check_range(self.low, self.high, self.scale)


def check_range(low: float, high: float, scale: str) -> None:
    """Raise ValueError for an empty range, and for one that its scale does not have."""
    if not low < high:
        raise ValueError(f"low must be < high, not {low:g} and {high:g}")
    if scale == "log" and low <= 0:
        raise ValueError(f"low must be > 0 on a log scale, not {low:g}")
    if scale == "log-complement" and high >= 1:
        raise ValueError(f"high must be < 1 on a log-complement scale, not {high:g}")


@dataclass(frozen=True)
class Setting:
    """One setting of an optimizer: its default and the check that a value must pass.

    `search` is its range in a search, over that of the optimizer's family; what neither names is not tuned. `title` is
    its name in words where the key is none; one optimizer that gives it is enough.
    """

    default: object
    check: Callable[[str, object], object]
    search: SearchRange | None = None
    title: str = ""


@dataclass(frozen=True)
class Style:
    """How charts and tables draw an optimizer: colours on `light` and `dark` ground, a marker, `emphasised` or not."""

    light: str
    dark: str
    marker: str
    emphasised: bool = False

    def __post_init__(self) -> None:
        for name in ("light", "dark"):
            if not re.fullmatch("#[0-9a-f]{6}", str(getattr(self, name))):
                raise ValueError(f"{name} must be a colour such as #0f62cf, not {getattr(self, name)!r}")
        arguments.choice("marker", self.marker, tuple(".ov^<>12348spP*hH+xXDd|_"))


@contextmanager
def _own_code(of: str) -> Iterator[None]:
    """Raise ValueError for an error of another kind, which an outside description may have."""
    try:
        yield
    except (ValueError, TypeError):
        raise
    except Exception as error:
        raise ValueError(f"{of} fails ({plugins.said(error)})") from error


def _every_step(settings: Mapping[str, object]) -> int:
    return 1


@dataclass(frozen=True)
class OptimizerEntry:
    """A registered optimizer of a `family` with its `settings`; only the first six fields are needed."""

    name: str
    title: str
    summary: str
    family: Family
    factory: str
    """"module:attribute" of a callable `(model, loss, generator, **settings)`, imported for the first instance."""
    settings: Mapping[str, Setting]
    fixed: Mapping[str, object] = field(default_factory=dict)
    """Further arguments of the factory, which a study cannot set."""
    simulated: bool = False
    """Whether a step simulates a device, so that its wall time is not that of the device."""
    together: Callable[[Mapping[str, object]], None] | None = None
    """Check of the complete settings: ValueError or TypeError where some do not go together."""
    device: Callable[[Mapping[str, object]], Device] | None = None
    """The device that complete settings describe; None for an optimizer without one."""
    cost: CostModel | Callable[..., Counts] | None = None
    """Cost of one iteration; without it nothing is predicted, and maps leave the optimizer out.

    A function gets `parameters`, `rows`, `batch_size`, `outputs` and `layers` by name and returns operations and
    numbers held.
    """
    host: CostModel | None = None
    """Cost of the digital part of an iteration on a device; None: the rows of J are made (`costs.host_cost`)."""
    products: Callable[[Iteration, Mapping[str, Any]], float] | None = None
    """Curvature products that the host of a device makes in an iteration, of complete settings; None: none."""
    bill_needs_step: bool = False
    """Whether only a step tells how often a device is used."""
    cycle: Callable[[Mapping[str, object]], int] = _every_step
    """Steps after which the cost of a step repeats, of complete settings."""
    style: Style | None = None
    """None: a spare colour and marker."""
    exact: int = 0
    """Place among the optimizers that solve for the exact natural gradient, the cheapest first; 0: does not."""
    break_even: bool = True
    """Whether a report says at which link rate the device catches up with this optimizer, where it is digital."""

    @property
    def defaults(self) -> Mapping[str, object]:
        """All settings with their default values."""
        return {name: setting.default for name, setting in self.settings.items()}

    def check(self, settings: Mapping[str, object]) -> None:
        """Raise ValueError or TypeError for an unknown setting or a value out of range."""
        for name, value in settings.items():
            if name not in self.settings:
                hint = arguments.suggestion(name, self.settings)
                accepted = arguments.accepted(name, self.settings, f"tngd-bench list optimizers {self.name}")
                raise ValueError(f"{self.name} has no setting {name!r}{hint} (it has: {accepted})")
            with _own_code(f"{self.name}: the check of {name} = {value!r}"):
                self.settings[name].check(name, value)

    def check_complete(self, settings: Mapping[str, object]) -> None:
        """Raise ValueError or TypeError where `settings`, over the defaults, are refused alone or together."""
        self.check(settings)
        complete = {**self.defaults, **settings}
        if self.together is not None:
            with _own_code(f"{self.name}: the check of all settings together"):
                self.together(complete)
        with _own_code(f"{self.name}: its cycle"):
            arguments.integer("cycle", self.cycle(complete), minimum=1)

    def device_billed_alone(self, settings: Mapping[str, object]) -> Device | None:
        """Return the device whose iterations are priced without simulating them; None where a step has to be made.

        The bill of a device with a conductance range depends on the scale that its arrays take, which a simulation
        finds.
        """
        if not self.simulated or self.device is None or self.bill_needs_step:
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
