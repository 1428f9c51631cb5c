"""One iteration at any size, by formula: the device's bill, the digital optimizers, and the link rate between them.

Nothing is run and nothing is measured. Times of a processor are those of its rated speed, for matrix products alone:
lower bounds at the precision that is named. `roofline_table.assumptions` says in words what a prediction assumes.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from tngd_bench import arguments
from tngd_bench.layers import Layer
from tngd_bench.optimizers import costs, registry
from tngd_bench.optimizers.costs import PredictedCost, cost_of
from tngd_bench.optimizers.families import FAMILIES
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.optimizers.network_size import Model, square_model
from tngd_bench.solvers.cg_iterations import DAMPING, CGIterations
from tngd_bench.spu.analog_settings import AnalogSettings
from tngd_bench.spu.billing import Workload, break_even_link_rate, energy, latency, link_bits, parts_of
from tngd_bench.spu.device import Device
from tngd_bench.spu.ledger import Ledger
from tngd_bench.spu.parts import Parts
from tngd_bench.spu.processor import DEFAULT_PRECISION, NUMBER_BYTES, Processor


@dataclass(frozen=True)
class Alternative:
    """A digital optimizer's iteration; `break_even_bits_per_s` is the link rate at which the device is as fast.

    `seconds` is a lower bound, `limit` what sets it: "arithmetic", "memory" or "launch". Seconds, joules and rate are
    None without a processor, and where `missing_bytes` > 0: so much more memory is needed than the processor has. The
    rate is also None when the device loses at any rate, and a lower bound where an item of its bill is not stated.
    """

    name: str
    cost: PredictedCost
    seconds: float | None
    joules: float | None
    break_even_bits_per_s: float | None
    limit: str | None = None
    missing_bytes: float = 0.0


@dataclass(frozen=True)
class Prediction:
    """The modelled iteration: the device's `seconds` and `joules`, its host's time, and the digital alternatives.

    `host_seconds` is a lower bound; None without a processor, or where the host lacks `host_missing_bytes` of memory.
    `host_processor` is the processor at the precision of the host's passes. `iterations` of conjugate gradients are
    expected by `cg`, or asked for. `overlap`: rows are sent while the host makes the next ones (`Ledger.saved`).
    """

    device: Device
    processor: Processor | None
    model: Model
    outputs: int
    cg: CGIterations
    iterations: float
    work: Workload
    seconds: Ledger
    joules: Ledger
    link_bits: int
    host: PredictedCost
    host_seconds: float | None
    host_missing_bytes: float
    alternatives: tuple[Alternative, ...]
    host_processor: Processor | None = None
    itemsize: int = NUMBER_BYTES[DEFAULT_PRECISION]
    """Bytes of a number in the memory of digital optimizers."""
    making_seconds: float = 0.0
    """Those of `host_seconds` in which the rows are made."""
    overlap: bool = False

    @property
    def saved_seconds(self) -> float:
        """What sending rows while the host makes the next ones saves.

        0 without a host's time, for one output, or with a delay, beside which the host's passes run already.
        """
        return 0.0 if self.work.analog.delay else self.seconds.saved(self.making_seconds, self.outputs)

    @property
    def iteration_seconds(self) -> float | None:
        """Host and device together, overlapping as asked for; None without a host's time or with an item not stated."""
        return self._elapsed(self.seconds.elapsed)

    @property
    def iteration_at_least_seconds(self) -> float | None:
        """A lower bound of `iteration_seconds` from the items that are stated; None without a host's time."""
        return self._elapsed(self.seconds.elapsed_at_least)

    def _elapsed(self, elapsed: Callable[[float], float | None]) -> float | None:
        whole = None if self.host_seconds is None else elapsed(self.host_seconds)
        return None if whole is None else whole - self.overlap * self.saved_seconds

    @property
    def host_joules(self) -> float | None:
        """The host's seconds at its processor's power, a lower bound; what it takes while it waits is not in it."""
        if self.host_seconds is None or self.host_processor is None:
            return None
        return self.host_seconds * self.host_processor.power_watt

    @property
    def iteration_joules(self) -> float | None:
        """Device and host together; None where one of them is not known, or an item has no price."""
        if self.host_joules is None or self.joules.total is None:
            return None
        return self.host_joules + self.joules.total

    @property
    def iteration_at_least_joules(self) -> float | None:
        """A lower bound of `iteration_joules` from what has a price; None where nothing has."""
        known = [each for each in (self.host_joules, self.joules.at_least) if each is not None]
        return sum(known) if known else None

    @property
    def best_rival(self) -> Alternative | None:
        """The second-order digital optimizer with the least seconds; None where none has any."""
        timed = [
            each
            for each in self.alternatives
            if each.seconds is not None and FAMILIES[registry.get(each.name).family].second_order
        ]
        return min(timed, key=lambda each: each.seconds or 0.0, default=None)

    @property
    def parts(self) -> Parts:
        """What the device is built of at this size."""
        return parts_of(self.device, self.work)

    @property
    def forward_flops(self) -> float:
        """Operations of the forward pass of one sample."""
        return sum(Layer(*layer).forward(1) for layer in self.model.layers)


def predict(
    device: Device,
    *,
    batch_size: int,
    outputs: int,
    parameters: int | None = None,
    model: Model | None = None,
    analog: AnalogSettings | None = None,
    depth: int = 4,
    positions: float = 1.0,
    processor: Processor | None = None,
    precision: str = DEFAULT_PRECISION,
    host_precision: str | None = None,
    overlap: bool = False,
    cg_iterations: int | None = None,
    damping: float = DAMPING,
) -> Prediction:
    """Predict one iteration on `batch_size` b samples with d_z `outputs` each.

    The network is `model`, or N `parameters` in `depth` square layers, each used at `positions` places of a sample.
    NGD-CG takes `cg_iterations`, or as many as are expected at λ = `damping`. `precision` sets the bytes of a number
    where there is no processor, which has its own. The host's passes are made at `host_precision`, where it is given.
    """
    for name, value in (("batch_size", batch_size), ("outputs", outputs)):
        arguments.integer(name, value, minimum=1)
    if model is None:
        model = square_model(parameters, depth, positions)
    cg = _stopping(cg_iterations, damping)
    use = analog or AnalogSettings()
    work = Workload(model.parameters, batch_size * outputs, use, layers=model.layers, batch_size=batch_size)
    itemsize = _itemsize(precision, processor)
    hosting = processor_at(processor, host_precision)
    it = Iteration(model.parameters, work.rows, batch_size, outputs, model.layers, cg)
    host, missing = hosted(it, device.upload, use, hosting, itemsize)
    host_seconds = _seconds(host, missing, hosting)
    making = 0.0 if hosting is None or missing else making_seconds(it, device.upload, hosting)
    _check_overlap(overlap, use, hosting)
    return Prediction(
        device,
        processor,
        model,
        outputs,
        cg,
        it.iterations_of_cg,
        work,
        latency(device, work),
        energy(device, work),
        link_bits(device, work),
        host,
        host_seconds,
        missing,
        tuple(
            _alternative(name, device, work, it, processor, (host_seconds, making * overlap), itemsize)
            for name in costs.predictable()
        ),
        hosting,
        itemsize,
        making,
        overlap,
    )


def _itemsize(precision: str, processor: Processor | None) -> int:
    given = NUMBER_BYTES[arguments.choice("precision", precision, NUMBER_BYTES)]
    return given if processor is None else processor.itemsize


def _check_overlap(overlap: bool, analog: AnalogSettings, host: Processor | None) -> None:
    if overlap and analog.delay:
        raise ValueError("overlap needs delay = 0: during the delay the device relaxes under the rows before")
    if overlap and host is None:
        raise ValueError("overlap needs a processor, whose time is overlapped")


def processor_at(processor: Processor | None, precision: str | None) -> Processor | None:
    """Return the processor at another `precision`; ValueError for one without a processor."""
    if precision is None:
        return processor
    if processor is None:
        raise ValueError("host_precision needs a processor")
    if arguments.choice("host_precision", precision, NUMBER_BYTES) not in processor.rates:
        known = ", ".join(processor.rates)
        raise ValueError(
            f"host_precision: no {precision} rate of {processor.title} is known; accepted: {known}"
        )
    return dataclasses.replace(processor, precision=precision)


def _stopping(cg_iterations: int | None, damping: float) -> CGIterations:
    """Return how NGD-CG is stopped: after `cg_iterations`, or by its tolerance at λ = `damping`."""
    arguments.real("damping", damping, above=0.0)
    if cg_iterations is None:
        return CGIterations(damping=damping)
    limit = arguments.integer("cg_iterations", cg_iterations, minimum=1)
    return CGIterations(damping=damping, rtol=0.0, limit=limit)


def hosted(
    it: Iteration, upload: str, analog: AnalogSettings, processor: Processor | None, itemsize: int
) -> tuple[PredictedCost, float]:
    """Return the host's operations and bytes moved, and the bytes of memory that it lacks.

    A processor has an item size of its own.
    """
    itemsize = itemsize if processor is None else processor.itemsize
    moved = host_cost(it, upload, itemsize, float(analog.ensemble * analog.refinements))
    held = costs.host_cost(it, upload, itemsize).bytes
    return moved, 0.0 if processor is None else processor.missing_bytes(held)


def making_flops(it: Iteration, upload: str) -> float:
    """Return the host's operations that make the rows: neither the gradient nor products by G."""
    return host_cost(it, upload).flops - it.gradient


def making_seconds(it: Iteration, upload: str, processor: Processor) -> float:
    """Return the seconds in which the host makes the rows: their own arithmetic and memory, no launch."""
    limits = processor.limits(making_flops(it, upload), processor.itemsize * _row_values(it, upload))
    return max(seconds for name, seconds in limits.items() if name != "launch")


def _seconds(moved: PredictedCost, missing: float, processor: Processor | None) -> float | None:
    return None if processor is None or missing else processor.seconds(moved.flops, moved.bytes)


def rated_seconds(name: str, it: Iteration, processor: Processor) -> float | None:
    """Return a digital optimizer's seconds at rated speed, a lower bound; None where they are unknown or do not fit."""
    return seconds_of(cost_of(name, it, processor.itemsize), processor)


def seconds_of(cost: PredictedCost, processor: Processor) -> float | None:
    """Return the seconds of a cost at rated speed, a lower bound; None where it is unknown or does not fit."""
    if not cost.known or processor.missing_bytes(cost.bytes):
        return None
    return processor.seconds(cost.flops, cost.bytes)


def rated_host_seconds(
    it: Iteration, upload: str, processor: Processor, analog: AnalogSettings | None = None
) -> float | None:
    """Return the seconds of a device's host likewise."""
    moved, missing = hosted(it, upload, analog or AnalogSettings(), processor, processor.itemsize)
    return _seconds(moved, missing, processor)


def _alternative(
    name: str,
    device: Device,
    work: Workload,
    it: Iteration,
    processor: Processor | None,
    host: tuple[float | None, float],
    itemsize: int,
) -> Alternative:
    """Return a digital optimizer; `host` are the host's seconds, and those in which rows are sent."""
    cost = cost_of(name, it, itemsize)
    if processor is None or not cost.known:
        return Alternative(name, cost, None, None, None)
    missing = processor.missing_bytes(cost.bytes)
    if missing:
        return Alternative(name, cost, None, None, None, missing_bytes=missing)
    limits = processor.limits(cost.flops, cost.bytes)
    limit = max(limits, key=lambda each: limits[each])
    seconds = limits[limit]
    rate = None
    if host[0] is not None:
        rate = break_even_link_rate(device, work, seconds, host[0], host[1])
    return Alternative(name, cost, seconds, seconds * processor.power_watt, rate, limit)


def host_cost(it: Iteration, upload: str, itemsize: int = 4, products: float = 0.0) -> PredictedCost:
    """Return operations of `costs.host_cost`, and the bytes that are moved: parameters, both ends of layers, J.

    Each of the `products` reads the ends of layers twice, and a vector in and out.
    """
    inputs = float(it.batch_size) * sum(layer.d_in * layer.positions for layer in it.trained)
    ends = inputs + _row_values(it, "factored")
    counted = costs.host_cost(it, upload, itemsize, products)
    moved = 2.0 * it.parameters + inputs + _row_values(it, upload)
    moved += products * 2.0 * (ends + it.parameters)
    return dataclasses.replace(counted, bytes=itemsize * moved)


def _row_values(it: Iteration, upload: str) -> float:
    """Numbers that making the rows moves: the output gradients of layers and, where it is sent whole, J."""
    gradients = float(it.batch_size) * it.outputs * sum(layer.values for layer in it.trained)
    return gradients + (float(it.rows) * it.parameters if upload == "full" else 0.0)
