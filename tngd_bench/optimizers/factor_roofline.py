"""Thermodynamic K-FAC beside digital K-FAC at any size, by formula: for which copies, links and widths it is ahead.

Our reconstruction of what the abstract of arXiv 2502.08603 describes. Nothing is run; times of a processor are lower
bounds at its rated speed, for host and competitor alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tngd_bench.layers import Layer
from tngd_bench.optimizers import registry
from tngd_bench.optimizers.costs import PredictedCost, cost_of, host_cost_of
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.optimizers.roofline import Prediction
from tngd_bench.spu.analog_settings import BILLED_FIELDS, AnalogSettings
from tngd_bench.spu.device import Device
from tngd_bench.spu.kronecker import billing
from tngd_bench.spu.kronecker.billing import FactorShape, KroneckerWorkload
from tngd_bench.spu.ledger import Ledger
from tngd_bench.spu.processor import Processor

RECONSTRUCTION = "our reconstruction of arXiv 2502.08603, of which only the abstract was read"
DIGITAL, ON_DEVICE = "kfac", "tkfac"
COPIES = (1, 16, 256, 4096)
WIDTHS = tuple(2**power for power in range(6, 18))
"""Orders of square layers that are tried for the break-even width: 64 to 131,072."""


@dataclass(frozen=True)
class FactorRow:
    """One iteration with so many `copies` of each array; rates and widths are None where none is enough.

    `break_even_width` is the least of `WIDTHS` at which as many square layers as have factors are ahead.
    """

    copies: int
    seconds: Ledger
    joules: Ledger
    iteration_seconds: float | None
    break_even_bits_per_s: float | None
    break_even_width: int | None


@dataclass(frozen=True)
class FactorPrediction:
    """The rows for several numbers of copies; digital seconds are lower bounds, None without a processor."""

    refresh_interval: int
    host_seconds: float | None
    digital_seconds: float | None
    break_even_copies: int | None
    rows: tuple[FactorRow, ...]
    host_joules: float | None = None
    digital_joules: float | None = None


def factors_of(p: Prediction) -> FactorPrediction | None:
    """Return what `p` is for Kronecker factors in place of the rows of J; None where none are there or t = 0."""
    analog, batch = p.work.analog, p.work.batch_size
    if analog.analog_time == 0.0 or batch is None:
        return None
    if not any(Layer(*layer).factored for layer in p.model.layers):
        return None
    question = FactorQuestion(
        p.device, p.processor, batch, p.outputs, analog.analog_time, analog.refinements, p.host_processor
    )
    return question.predict(p.model.layers, parameters=p.model.parameters)


def settings_not_applied(p: Prediction) -> tuple[str, ...]:
    """Return the settings of `p` that Kronecker factors do not have, where they are not left at their defaults."""
    known, usual = registry.get(ON_DEVICE).defaults, AnalogSettings()
    changed = (name for name in BILLED_FIELDS if getattr(p.work.analog, name) != getattr(usual, name))
    return (*(name for name in changed if name not in known), *(("overlap",) if p.overlap else ()))


def fields_not_applied(p: Prediction) -> tuple[str, ...]:
    """Return the fields of the device of `p` that Kronecker factors do not have, likewise."""
    return tuple(
        name for name in billing.NOT_BILLED if getattr(p.device, name) != getattr(type(p.device), name)
    )


@dataclass(frozen=True)
class FactorQuestion:
    """A device and a processor, the batch and its outputs, t in units of τ, and rounds of refinement."""

    device: Device
    processor: Processor | None
    batch_size: int
    outputs: int
    analog_time: float
    refinements: int = 0
    host_processor: Processor | None = None
    """The processor at the precision of the host's passes, where that is another."""

    def predict(
        self, layers: Sequence[Layer], copies: Sequence[int] = COPIES, parameters: int | None = None
    ) -> FactorPrediction:
        """Return the prediction for a network of `layers`, of N `parameters` where tables are not among the layers."""
        host, digital = self._host_and_digital(layers, parameters)
        fewest = None
        if host is not None and digital is not None:
            fewest = billing.break_even_copies(self.device, self._work(layers, 1), digital, host)
        rows = tuple(self._row(layers, count, host, digital) for count in copies)
        joules = _joules(host, self.host_processor or self.processor), _joules(digital, self.processor)
        return FactorPrediction(self._settings["inverse_interval"], host, digital, fewest, rows, *joules)

    def break_even_width(self, depth: int, copies: int) -> int | None:
        """Return the least of `WIDTHS` at which `depth` square layers are ahead of digital K-FAC; None: none is."""
        return next((width for width in WIDTHS if self._is_ahead(depth, width, copies)), None)

    @property
    def _settings(self) -> Mapping[str, int]:
        return registry.get(ON_DEVICE).defaults  # type: ignore[return-value]

    def _work(self, layers: Sequence[Layer], copies: int) -> KroneckerWorkload:
        interval = self._settings["inverse_interval"]
        shapes = FactorShape.of(layers)
        return KroneckerWorkload(shapes, self.analog_time, copies, interval, refinements=self.refinements)

    def _row(
        self, layers: Sequence[Layer], copies: int, host: float | None, digital: float | None
    ) -> FactorRow:
        work = self._work(layers, copies)
        seconds = billing.latency(self.device, work)
        rate = width = None
        if host is not None and digital is not None:
            rate = billing.break_even_link_rate(self.device, work, digital, host)
            width = self.break_even_width(len(work.factors), copies)
        taken = None if host is None else seconds.elapsed_at_least(host)
        return FactorRow(copies, seconds, billing.energy(self.device, work), taken, rate, width)

    def _is_ahead(self, depth: int, width: int, copies: int) -> bool:
        layers = (Layer(width, width),) * depth
        host, digital = self._host_and_digital(layers)
        if host is None or digital is None:
            return False
        taken = billing.latency(self.device, self._work(layers, copies)).elapsed_at_least(host)
        return taken is not None and taken < digital

    def _host_and_digital(
        self, layers: Sequence[Layer], parameters: int | None = None
    ) -> tuple[float | None, float | None]:
        """The seconds of the host and of digital K-FAC; None where the processor has too little memory."""
        every = tuple(Layer(*layer) for layer in layers)
        rows = self.batch_size * self.outputs
        it = Iteration(
            parameters or sum(layer.parameters for layer in every), rows, self.batch_size, self.outputs, every
        )

        def host(itemsize: int) -> PredictedCost:
            precise = replace(it, double=itemsize > 4)
            return host_cost_of(
                ON_DEVICE, precise, itemsize=itemsize, settings={"refinements": self.refinements}
            )

        def digital(itemsize: int) -> PredictedCost:
            return cost_of(DIGITAL, replace(it, double=itemsize > 4), itemsize)

        return _seconds(self.host_processor or self.processor, host), _seconds(self.processor, digital)


def _joules(seconds: float | None, processor: Processor | None) -> float | None:
    return None if seconds is None or processor is None else seconds * processor.power_watt


def _seconds(processor: Processor | None, cost: Callable[[int], PredictedCost]) -> float | None:
    if processor is None:
        return None
    found = cost(processor.itemsize)
    return None if processor.missing_bytes(found.bytes) else processor.seconds(found.flops, found.bytes)
