"""Modelled latency of one iteration on a device: arithmetic, the same on every machine."""

from tngd_bench.spu import Device

ROWS = 640
ANALOG_TIME = 50.0


class Latency:
    """Seconds the device of arXiv 2405.13817 needs; any change is a change of the model."""

    params = ([10_000, 1_000_000], ["write", "relax", "read", "total"])
    param_names = ("parameters", "item")
    version = "1"
    unit = "seconds"

    def track_latency(self, parameters: int, item: str) -> float:
        ledger = Device.preset("paper").latency(parameters=parameters, rows=ROWS, analog_time=ANALOG_TIME)
        return float(getattr(ledger, item))
