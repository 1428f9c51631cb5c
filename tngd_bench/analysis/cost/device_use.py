"""A device and how an iteration uses it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tngd_bench.analysis.cost.recorded_devices import recorded_device
from tngd_bench.layers import Layer
from tngd_bench.spu.analog_settings import AnalogSettings
from tngd_bench.spu.billing import Workload, latency
from tngd_bench.spu.device import Device


@dataclass(frozen=True)
class DeviceUse:
    """A device and how an iteration uses it."""

    device: Device
    analog: AnalogSettings = field(default_factory=AnalogSettings)

    def work(self, parameters: int, batch_size: int, outputs: int, layers: tuple[Layer, ...]) -> Workload:
        """Return the workload of one iteration."""
        return Workload(parameters, batch_size * outputs, self.analog, layers=layers, batch_size=batch_size)

    @property
    def not_stated(self) -> tuple[str, ...]:
        """The items of the bill for which the device states no time, whatever the size; its times are lower bounds."""
        return latency(self.device, self.work(1, 1, 1, (Layer(1, 1),))).not_stated


def device_use(name: str | None, settings: Mapping[str, object]) -> DeviceUse | None:
    """Return the device called `name` under an optimizer's `settings`; None where it cannot be made here."""
    device = None if name is None else recorded_device(name, settings)
    return None if device is None else DeviceUse(device, AnalogSettings.of(settings))
