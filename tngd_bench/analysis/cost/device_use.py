"""A device and how an iteration uses it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tngd_bench import arguments
from tngd_bench.analysis.cost.recorded_devices import recorded_device
from tngd_bench.layers import Layer
from tngd_bench.optimizers.costs import host_cost_of
from tngd_bench.optimizers.factor_roofline import ON_DEVICE
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.optimizers.roofline import rated_host_seconds, seconds_of
from tngd_bench.solvers.cg_iterations import CGIterations
from tngd_bench.spu.analog_settings import AnalogSettings
from tngd_bench.spu.billing import Workload, energy, latency, parts_of, words_on_link
from tngd_bench.spu.device import Device
from tngd_bench.spu.kronecker import billing as kronecker
from tngd_bench.spu.ledger import Ledger
from tngd_bench.spu.parts import Parts
from tngd_bench.spu.processor import Processor


@dataclass(frozen=True)
class DeviceUse:
    """A device and how an iteration uses it."""

    device: Device
    analog: AnalogSettings = field(default_factory=AnalogSettings)

    def work(self, parameters: int, batch_size: int, outputs: int, layers: tuple[Layer, ...]) -> Workload:
        """Return the workload of one iteration."""
        return Workload(parameters, batch_size * outputs, self.analog, layers=layers, batch_size=batch_size)

    def bill(self, *size: Any) -> Ledger:
        """Return the modelled seconds of one iteration at (N, b, d_z, layers)."""
        return latency(self.device, self.work(*size))

    def joules(self, *size: Any) -> Ledger:
        """Return its modelled joules."""
        return energy(self.device, self.work(*size))

    def parts(self, *size: Any) -> Parts:
        """Return the parts of the device."""
        return parts_of(self.device, self.work(*size))

    def words(self, *size: Any) -> float:
        """Return the numbers over the link, both directions."""
        return words_on_link(self.device, self.work(*size))

    def rated_host_seconds(self, it: Iteration, processor: Processor, upload: str) -> float | None:
        """Return the least seconds of its host in the iteration `it`; None where memory is short."""
        return rated_host_seconds(it, upload, processor, self.analog)

    @property
    def overlapped_s(self) -> float:
        """Seconds of the relaxation that run beside the host's work: the delay."""
        return self.analog.delay * self.device.time_constant_s

    @property
    def not_stated(self) -> tuple[str, ...]:
        """The items of the bill for which the device states no time at some size; its times are lower bounds.

        Sums of tiles are there where an array is larger than a tile.
        """
        rows, columns = ((most or 0) + 1 for most in (self.device.tile_rows, self.device.tile_columns))
        return self.bill(columns, rows, 1, (Layer(columns, rows, bias=False),)).not_stated


@dataclass(frozen=True)
class FactorUse(DeviceUse):
    """A device that holds Kronecker factors in `copies`, written once in `refresh_interval` iterations."""

    copies: int = 1
    refresh_interval: int = 1

    def bill(self, *size: Any) -> Ledger:
        """Return the modelled seconds of one iteration at (N, b, d_z, layers)."""
        return kronecker.latency(self.device, self._factors(size))

    def joules(self, *size: Any) -> Ledger:
        """Return its modelled joules."""
        return kronecker.energy(self.device, self._factors(size))

    def parts(self, *size: Any) -> Parts:
        """Return the parts of the device."""
        return kronecker.parts_of(self.device, self._factors(size))

    def words(self, *size: Any) -> float:
        """Return the numbers over the link, both directions."""
        return kronecker.words_on_link(self._factors(size))

    def rated_host_seconds(self, it: Iteration, processor: Processor, upload: str) -> float | None:
        """Return the least seconds of its host in the iteration `it`; None where memory is short."""
        settings = {"inverse_interval": self.refresh_interval, "refinements": self.analog.refinements}
        cost = host_cost_of(ON_DEVICE, it, itemsize=processor.itemsize, settings=settings)
        return seconds_of(cost, processor)

    def _factors(self, size: tuple[Any, ...]) -> kronecker.KroneckerWorkload:
        shapes = kronecker.FactorShape.of(size[3])
        return kronecker.KroneckerWorkload(
            shapes,
            self.analog.analog_time,
            self.copies,
            self.refresh_interval,
            refinements=self.analog.refinements,
        )


@dataclass(frozen=True)
class PreconditionerUse(DeviceUse):
    """A device that answers the residuals of conjugate gradients, as many as without it: an upper bound."""

    cg: CGIterations = field(default_factory=CGIterations)

    def rated_host_seconds(self, it: Iteration, processor: Processor, upload: str) -> float | None:
        """Return the least seconds of its host in the iteration `it`; None where memory is short."""
        stopped = replace(it, cg=self.cg)
        return seconds_of(host_cost_of("ngd-cg-device", stopped, upload, processor.itemsize), processor)

    def work(self, parameters: int, batch_size: int, outputs: int, layers: tuple[Layer, ...]) -> Workload:
        """Return the workload of one iteration."""
        it = Iteration(parameters, batch_size * outputs, batch_size, outputs, layers, self.cg)
        rounds = max(round(it.iterations_of_cg), 1) - 1
        analog = replace(self.analog, start="zero", refinements=rounds)
        return Workload(parameters, batch_size * outputs, analog, layers=layers, batch_size=batch_size)


def device_use(name: str | None, settings: Mapping[str, object]) -> DeviceUse | None:
    """Return the device called `name` under an optimizer's `settings`; None where it cannot be made here."""
    device = None if name is None else recorded_device(name, settings)
    if device is None:
        return None
    analog = AnalogSettings.of(settings)
    if "cg_rtol" in settings:
        return PreconditionerUse(device, analog, CGIterations.of(settings))
    if "copies" not in settings:
        return DeviceUse(device, analog)
    copies, interval = (
        arguments.integer(key, settings[key], minimum=1) for key in ("copies", "inverse_interval")
    )
    return FactorUse(device, analog, copies, interval)
