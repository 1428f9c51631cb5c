"""A device and its host as a design: the seconds of an iteration as its figures and words are changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from tngd_bench import arguments
from tngd_bench.optimizers import registry
from tngd_bench.optimizers.costs import host_cost_of
from tngd_bench.optimizers.factor_roofline import ON_DEVICE, settings_not_applied
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.optimizers.roofline import Prediction, hosted, making_seconds, processor_at
from tngd_bench.spu.billing import latency
from tngd_bench.spu.device import Device
from tngd_bench.spu.kronecker import billing as kronecker
from tngd_bench.spu.ledger import Ledger

OPTIMIZERS = ("tngd", ON_DEVICE)


def not_applied(names: Sequence[str]) -> str:
    """Return the message for settings or fields that Kronecker factors do not have."""
    return (
        f"{', '.join(names)} cannot be given for {ON_DEVICE}, which has no rows of J; accepted: the default"
    )


@dataclass(frozen=True)
class Machine:
    """A device and its host, as far as changes of them can help; `copies` are of the arrays of Kronecker factors."""

    device: Device
    precision: str
    overlap: bool = False
    copies: int = 1

    def on(self, /, **fields: Any) -> Machine:
        """Return the machine with other values of its device's fields."""
        return replace(self, device=self.device.override(**fields))


@dataclass(frozen=True)
class _Host:
    """The host's seconds, those of them in which it makes rows, and the memory that it lacks."""

    seconds: float
    making: float
    missing_bytes: float


@dataclass(frozen=True)
class Design:
    """The device of a prediction as a design that can be changed; `optimizer` is one of `OPTIMIZERS`."""

    prediction: Prediction
    optimizer: str = "tngd"
    copies: int = 1
    _hosts: dict[tuple[str, str], _Host] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        arguments.choice("optimizer", self.optimizer, OPTIMIZERS)
        arguments.integer("copies", self.copies, minimum=1)
        if self.prediction.processor is None or self.prediction.host_processor is None:
            raise ValueError("what is required needs a processor, for the host and the rival")
        if self.optimizer == ON_DEVICE and not self.prediction.work.analog.analog_time:
            raise ValueError(f"analog_time must be > 0 for {ON_DEVICE}")
        if self.optimizer == ON_DEVICE and (unused := settings_not_applied(self.prediction)):
            raise ValueError(not_applied(unused))

    @property
    def now(self) -> Machine:
        """The machine of the prediction."""
        p = self.prediction
        assert p.host_processor is not None
        return Machine(p.device, p.host_processor.precision, p.overlap, self.copies)

    @cached_property
    def _iteration(self) -> Iteration:
        p = self.prediction
        batch = p.work.batch_size or 1
        return Iteration(p.model.parameters, p.work.rows, batch, p.outputs, p.model.layers, p.cg)

    def host_seconds(self, machine: Machine) -> float:
        """Return the seconds of the host's passes, a lower bound, whether or not they fit the memory."""
        return self._host(machine).seconds

    @property
    def host_watts(self) -> float:
        """The power of the host's processor."""
        assert self.prediction.processor is not None
        return self.prediction.processor.power_watt

    @property
    def host_missing_bytes(self) -> float:
        """The memory that the host lacks, as it is."""
        return self._host(self.now).missing_bytes

    def _host(self, machine: Machine) -> _Host:
        key = machine.device.upload, machine.precision
        if key not in self._hosts:
            processor, it = processor_at(self.prediction.processor, machine.precision), self._iteration
            assert processor is not None
            analog = self.prediction.work.analog
            if self.optimizer == ON_DEVICE:
                settings = {"refinements": analog.refinements}
                moved = host_cost_of(ON_DEVICE, it, itemsize=processor.itemsize, settings=settings)
                making, missing = 0.0, processor.missing_bytes(moved.bytes)
            else:
                upload = machine.device.upload
                moved, missing = hosted(it, upload, analog, processor, processor.itemsize)
                making = making_seconds(it, upload, processor)
            self._hosts[key] = _Host(processor.seconds(moved.flops, moved.bytes), making, missing)
        return self._hosts[key]

    def bill(self, machine: Machine) -> Ledger:
        """Return the device's seconds, item by item."""
        p = self.prediction
        if self.optimizer != ON_DEVICE:
            return latency(machine.device, p.work)
        interval = int(str(registry.get(ON_DEVICE).defaults["inverse_interval"]))
        factors, analog = kronecker.FactorShape.of(p.model.layers), p.work.analog
        work = kronecker.KroneckerWorkload(
            factors, analog.analog_time, machine.copies, interval, refinements=analog.refinements
        )
        return kronecker.latency(machine.device, work)

    def seconds(self, machine: Machine) -> float:
        """Return the seconds of an iteration, a lower bound."""
        host, bill = self._host(machine), self.bill(machine)
        taken = bill.elapsed_at_least(host.seconds)
        assert taken is not None  # link and relaxation always have a figure
        return taken - machine.overlap * bill.saved(host.making, self.prediction.outputs)
