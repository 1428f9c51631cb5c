"""A prediction as plain data, with the assumptions that its figures rest on in words."""

import dataclasses
import math
from typing import Any

from tngd_bench.optimizers.factor_roofline import (
    RECONSTRUCTION,
    FactorPrediction,
    factors_of,
    fields_not_applied,
    settings_not_applied,
)
from tngd_bench.optimizers.roofline import Prediction
from tngd_bench.solvers.cg_iterations import SPREAD, outside_fit
from tngd_bench.spu.ledger import Ledger
from tngd_bench.spu.processor import Processor


def as_table(p: Prediction) -> dict[str, Any]:
    """Return the prediction as JSON can hold it; what is not known or not stated is None."""
    return {
        "modelled": True,
        "parameters": p.work.parameters,
        "batch_size": p.work.batch_size,
        "outputs": p.outputs,
        "rows": p.work.rows,
        "analog_time": p.work.analog.analog_time,
        "model": p.model.text,
        "layers": [list(map(int, layer[:3])) for layer in p.model.layers],
        "forward_flops_per_sample": p.forward_flops,
        "cg_iterations": p.iterations,
        "assumptions": [*assumptions(p), *factor_assumptions(p)],
        "device": {
            "name": p.device.name,
            "sources": {name: dataclasses.asdict(source) for name, source in p.device.sources.items()},
            "seconds": _totals(p.seconds),
            "joules": _totals(p.joules),
            "link_bits": p.link_bits,
            "parts": dataclasses.asdict(p.parts),
            "host_flops": p.host.flops,
            "host_seconds": p.host_seconds,
            "host_lower_bound": True,
            "host_missing_bytes": p.host_missing_bytes,
            "iteration_seconds": p.iteration_seconds,
            "iteration_at_least_seconds": p.iteration_at_least_seconds,
            "overlap": p.overlap,
            "overlap_saves_seconds": p.saved_seconds,
            "host_joules": p.host_joules,
            "iteration_joules": p.iteration_joules,
            "iteration_at_least_joules": p.iteration_at_least_joules,
        },
        "best_rival": None if p.best_rival is None else p.best_rival.name,
        "processor": None if p.processor is None else _processor(p.processor),
        "digital": [
            {
                "name": a.name,
                "flops": a.cost.flops if a.cost.known else None,
                "bytes": a.cost.bytes if a.cost.known else None,
                "missing_bytes": a.missing_bytes,
                "seconds": a.seconds,
                "lower_bound": True,
                "limit": a.limit,
                "joules": a.joules,
                "break_even_link_bits_per_s": None if p.seconds.not_stated else a.break_even_bits_per_s,
                "break_even_link_at_least_bits_per_s": a.break_even_bits_per_s,
            }
            for a in p.alternatives
        ],
        "tkfac": _of_factors(factors_of(p)),
    }


def _of_factors(found: FactorPrediction | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "reconstruction": RECONSTRUCTION,
        "refresh_interval": found.refresh_interval,
        "host_seconds": found.host_seconds,
        "kfac_seconds": found.digital_seconds,
        "host_joules": found.host_joules,
        "kfac_joules": found.digital_joules,
        "lower_bound": True,
        "break_even_copies": found.break_even_copies,
        "by_copies": [
            {
                "copies": row.copies,
                "seconds": _totals(row.seconds),
                "joules": _totals(row.joules),
                "iteration_at_least_seconds": row.iteration_seconds,
                "break_even_link_at_least_bits_per_s": row.break_even_bits_per_s,
                "break_even_width": row.break_even_width,
            }
            for row in found.rows
        ],
    }


def _processor(processor: Processor) -> dict[str, Any]:
    return {
        "name": processor.name,
        "title": processor.title,
        "precision": processor.precision,
        "flops_per_s": processor.flops_per_s,
        "rates": dict(processor.rates),
        "bytes_per_s": processor.bytes_per_s,
        "memory_bytes": processor.memory_bytes,
        "launch_s": processor.launch_s,
        "power_watt": processor.power_watt,
        "sources": {name: dataclasses.asdict(source) for name, source in processor.sources.items()},
    }


def _totals(ledger: Ledger) -> dict[str, float | None]:
    return {**ledger.items, "total": ledger.total, "at_least": ledger.at_least}


def assumptions(p: Prediction) -> tuple[str, ...]:
    """Return what the figures of the prediction assume, a sentence or two each."""
    said = [_model(p), _iterations(p)]
    if p.model.batch_statistics:
        said.append(
            "Batch normalisation: fixed statistics are assumed, as in evaluation mode. In training they couple the "
            "samples, and TNGD and NGD, which need a row of J for each sample, refuse the model; K-FAC does not."
        )
    if "relax_slowdown" in p.seconds.items:
        said.append(
            "Relaxation: a conductance range makes it 1/s times as long; the scale s <= 1 depends on the values of J "
            "and is not known without data. s = 1 is counted, a lower bound."
        )
    volts, siemens = p.device.cell_volts, p.device.cell_siemens
    if p.device.relax_power_watt is None and not volts is siemens is None:
        lacking = "cell_volts" if volts is None else "cell_siemens" if siemens is None else None
        said.append(
            f"Energy of the relaxation: computed, V²G of {p.parts.cells:,} cells at V = {volts:g} V and "
            f"G = {siemens:g} S."
            if lacking is None
            else f"Energy of the relaxation: not stated; V²G of the cells needs {lacking} too."
        )
    bytes_alone = (
        f"Memory: {p.itemsize} bytes a number; without a processor nothing is marked as not fitting."
    )
    return (*said, *((bytes_alone,) if p.processor is None else _rated(p.processor)))


def factor_assumptions(p: Prediction) -> tuple[str, ...]:
    """Return what the figures of thermodynamic K-FAC beside those of `p` assume and leave out."""
    if not p.work.analog.analog_time or not any(each.factored for each in p.model.layers):
        return ()
    said = []
    if p.device.cell_write_time_s:
        said.append(
            "Thermodynamic K-FAC: copies of an array are written together, in the time of one; arrays take turns."
        )
    unused = (*settings_not_applied(p), *fields_not_applied(p))
    if unused:
        said.append(
            f"Thermodynamic K-FAC has no rows of J, so that these do not change it: {', '.join(unused)}."
        )
    return tuple(said)


def _model(p: Prediction) -> str:
    text = f"Model: {p.model.text}; a forward pass takes {p.forward_flops:.3g} FLOP a sample."
    if p.model.from_size:
        text += (
            " The first needs no gradient of its inputs; the last is as wide as the others, whatever the outputs. "
            "Attention, normalisation and other operations without weights are left out."
        )
        values = p.model.layers[-1].values
        if p.outputs > values:
            text += (
                f" Its last layer gives {values:,} values a sample, fewer than the {p.outputs:,} outputs: "
                "the weights of an output layer are missing, and outputs at several tokens or pixels need positions."
            )
    return text


def _iterations(p: Prediction) -> str:
    if p.cg.rtol == 0.0:
        return f"NGD-CG: {p.cg.limit:,} iterations, as given."
    text = (
        f"NGD-CG: {p.iterations:.3g} iterations expected at λ = {p.cg.damping:g}, rtol = {p.cg.rtol:g}, from a fit to "
        f"counted ones (two of three lie within a factor of {math.exp(SPREAD):.2g})."
    )
    assert p.work.batch_size is not None
    beyond = outside_fit(p.work.parameters, p.work.batch_size, p.outputs, p.cg.damping)
    if beyond:
        text += f" {', '.join(beyond)} outside the sizes of the fit: an extrapolation."
    return text


def _rated(processor: Processor) -> tuple[str, ...]:
    """Return what the times of a processor assume."""

    def origin(name: str) -> str:
        source = processor.sources.get(name)
        return "given" if source is None else source.words

    others = ", ".join(
        f"{name.upper()} {rate / 1e12:g}"
        for name, rate in processor.rates.items()
        if name != processor.precision
    )
    rates = (
        f"Processor: {processor.precision.upper()}, {processor.flops_per_s / 1e12:g} TFLOP/s "
        f"({origin(processor.precision)}), {processor.itemsize} bytes a number"
    )
    rates += f"; its other rates: {others} TFLOP/s." if others else "."
    memory = f"Memory: {processor.bytes_per_s / 1e12:g} TB/s ({origin('bytes_per_s')})"
    if processor.memory_bytes is None:
        memory += "; its capacity is not stated, so that nothing is marked as not fitting."
    else:
        memory += (
            f", {processor.memory_bytes / 1e9:g} GB ({origin('memory_bytes')}); what needs more gets no time."
        )
    launch = (
        "no launch or latency is counted, none being stated"
        if processor.launch_s is None
        else f"one launch of {processor.launch_s * 1e6:g} µs ({origin('launch_s')})"
    )
    bound = (
        "Digital and host times are lower bounds for the operations and the memory of this package's routes: the "
        f"longest of its matrix products at that rate, each byte moved once, and {launch}. Elementwise work, further "
        "launches and Python are left out, and every operation, factorisations too, counts at the same rate. "
        "Break-even link rates are computed from these bounds. Whether training works at this precision is not "
        "considered."
    )
    energy = f"Energy: those times at {processor.power_watt:g} W ({origin('power_watt')})."
    return rates, memory, bound, energy
