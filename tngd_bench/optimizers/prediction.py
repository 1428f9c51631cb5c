"""One iteration at any size, by formula: the device's bill, the digital optimizers, and the link rate between them.

Nothing is run and nothing is measured. The model is taken as a multilayer perceptron of equal square layers; digital
times are a roofline at rated speed, which favours the digital side: no real run is shorter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tngd_bench import arguments
from tngd_bench.optimizers import costs
from tngd_bench.optimizers.costs import PredictedCost, predicted_cost
from tngd_bench.spu.billing import Layer, Workload, break_even_link_rate, energy, latency, link_bits
from tngd_bench.spu.device import Device
from tngd_bench.spu.ledger import Ledger
from tngd_bench.spu.processor import Processor

DIGITAL = ("sgd", "adam", "kfac", "ngd-gram", "ngd-cg", "ngd-woodbury", "ngd")


@dataclass(frozen=True)
class Alternative:
    """A digital optimizer's iteration; `break_even_bits_per_s` is the link rate at which the device is as fast.

    Seconds, joules and rate are None without a processor; the rate also when the device loses at any rate. It is a
    lower bound where an item of the device's bill is not stated.
    """

    name: str
    cost: PredictedCost
    seconds: float | None
    joules: float | None
    break_even_bits_per_s: float | None


@dataclass(frozen=True)
class Prediction:
    """The modelled iteration: the device's `seconds` and `joules`, its host's time, and the digital alternatives."""

    device: Device
    processor: Processor | None
    work: Workload
    seconds: Ledger
    joules: Ledger
    link_bits: int
    host: PredictedCost
    host_seconds: float | None
    alternatives: tuple[Alternative, ...]

    @property
    def iteration_seconds(self) -> float | None:
        """Host and device together, overlapping by the delay; None without a processor or with an item not stated."""
        return None if self.host_seconds is None else self.seconds.elapsed(self.host_seconds)

    @property
    def iteration_at_least_seconds(self) -> float | None:
        """A lower bound of `iteration_seconds` from the items that are stated; None without a processor."""
        return None if self.host_seconds is None else self.seconds.elapsed_at_least(self.host_seconds)


def predict(
    device: Device,
    *,
    parameters: int,
    batch_size: int,
    outputs: int,
    analog_time: float = 50.0,
    delay: float = 0.0,
    samples: int = 1,
    spacing: float = 1.0,
    ensemble: int = 1,
    depth: int = 4,
    processor: Processor | None = None,
) -> Prediction:
    """Predict one iteration for N `parameters` in `depth` square layers, `batch_size` b and d_z `outputs`."""
    for name, value in (
        ("parameters", parameters),
        ("batch_size", batch_size),
        ("outputs", outputs),
        ("depth", depth),
    ):
        arguments.integer(name, value, minimum=1)
    layers = square_layers(parameters, depth)
    rows = batch_size * outputs
    work = Workload(
        parameters,
        rows,
        analog_time,
        samples=samples,
        spacing=spacing,
        programmings=ensemble,
        delay=delay,
        layers=layers,
        batch_size=batch_size,
        carried=True,  # as `TNGD` starts where nothing else is asked for
    )
    host = host_cost(work, outputs, device.upload)
    host_seconds = None if processor is None else processor.seconds(host.flops, host.bytes)
    alternatives = []
    for name in DIGITAL:
        cost = predicted_cost(
            name, parameters=parameters, rows=rows, batch_size=batch_size, outputs=outputs, layers=layers
        )
        seconds = None if processor is None else processor.seconds(cost.flops, cost.bytes)
        joules = None if processor is None or seconds is None else seconds * processor.power_watt
        rate = None
        if seconds is not None and host_seconds is not None:
            rate = break_even_link_rate(device, work, seconds, host_seconds)
        alternatives.append(Alternative(name, cost, seconds, joules, rate))
    return Prediction(
        device,
        processor,
        work,
        latency(device, work),
        energy(device, work),
        link_bits(device, work),
        host,
        host_seconds,
        tuple(alternatives),
    )


def square_layers(parameters: int, depth: int) -> tuple[Layer, ...]:
    """`depth` layers of width √(N/depth), each weight used once per sample."""
    width = max(1, round(math.sqrt(parameters / depth)))
    return ((width, width, 1),) * depth


def host_cost(work: Workload, outputs: int, upload: str, itemsize: int = 4) -> PredictedCost:
    """Return operations of `costs.host_cost`, and the bytes that are moved: parameters, both ends of layers, J."""
    assert work.layers is not None
    assert work.batch_size is not None
    b = float(work.batch_size)
    counted = costs.host_cost(
        parameters=work.parameters,
        rows=work.rows,
        batch_size=work.batch_size,
        outputs=outputs,
        layers=work.layers,
        upload=upload,
    )
    ends = sum(b * (d_in + outputs * d_out) * positions for d_in, d_out, positions in work.layers)
    whole = float(work.rows) * work.parameters if upload == "full" else 0.0
    return PredictedCost(counted.flops, itemsize * (2.0 * work.parameters + ends + whole))
