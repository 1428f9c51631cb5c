"""The data of the what-if panel: from them the page recomputes the map, and what a target needs."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from tngd_bench.analysis import quantities
from tngd_bench.analysis.arrays import Array
from tngd_bench.analysis.cost.calibration import Calibrations
from tngd_bench.analysis.cost.device_use import DeviceUse, FactorUse
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.map.cost_map import cheapest
from tngd_bench.analysis.map.plane import Plane
from tngd_bench.analysis.statistics.discrepancy import VOUCHED_FACTOR
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.optimizers.roofline import (
    hosted,
    making_flops,
    making_seconds,
    rated_seconds,
)
from tngd_bench.report.map.map_drawing import NOT_CONFIRMED, UNSTATED
from tngd_bench.spu.billing import array_words
from tngd_bench.spu.processor import Processor
from tngd_bench.studies.store import columns as c

NOWHERE = 1e9
"""The factor where sizes are far from measured ones, which nothing is vouched for within."""


def explorer(
    calibrations: Calibrations, batch: Plane, use: DeviceUse, infos: Infos, exact: Sequence[str]
) -> dict[str, object]:
    """Return the data from which the page recomputes the map when link, τ, bits, t, upload or processor change.

    Seconds of every digital optimizer and of the host, measured with the factors that they are vouched for within, and
    rated; relaxations; words on the link, seconds that neither link nor τ decides and what overlap needs, per upload;
    who has a confirmed lead, among exact solvers and among all; items without a stated time. Lists in row-major order
    of the plane, None where there is no model, or no memory.
    """
    device = calibrations.device_label
    assert device is not None
    labels = (*calibrations.digital, device)
    uploads = ("full",) if isinstance(use, FactorUse) else ("full", "factored")

    def factor(label: str) -> Array:
        logs = calibrations.half_width(label, batch.distances[label])
        return np.where(batch.measured, np.exp(np.minimum(logs, 20.0)), NOWHERE)

    rate = use.device.link_rate_bits_per_s
    return {
        "sizes": list(batch.sizes),
        "values": list(batch.values),
        c.OUTPUTS: batch.fixed,
        "digital": {label: _flat(batch.digital[label][0]) for label in calibrations.digital},
        "rated": {
            name: _rated(Processor.named(name), batch, infos, use, uploads) for name in Processor.names()
        },
        "tiles": _flat(batch.at_each(lambda *size: float(use.parts(*size).tiles))[0])
        if use.device.is_tiled
        else None,
        "cells": _flat(batch.at_each(lambda *size: float(use.parts(*size).cells))[0]),
        "methods": {label: infos[label].method for label in labels},
        "titles": {label: infos[label].title for label in labels},
        "exact": list(exact),
        c.DEVICE: device,
        **_modelled(batch, use, uploads),
        "host": {upload: _flat(batch.host[upload][0]) for upload in uploads},
        c.NOT_STATED: [quantities.items([name]) for name in use.not_stated],
        "factors": {label: _flat(factor(label)) for label in labels},
        "vouched_factor": VOUCHED_FACTOR,
        "confirmed": {
            "exact": _confirmed(batch, use, [label for label in calibrations.digital if label not in exact]),
            "all": _confirmed(batch, use, ()),
        },
        "shading": {"faint": NOT_CONFIRMED, "dotted": UNSTATED},
        "start": {
            "rate": 14.5 if rate is None else float(np.log10(rate)),
            "tau": float(np.log10(use.device.time_constant_s)),
            "bits": use.device.word_bits,
            "time": use.analog.analog_time + (use.analog.samples - 1) * use.analog.spacing,
            "upload": use.device.upload if use.device.upload in uploads else uploads[0],
            "processor": "",
            "size": _nearest(batch.sizes, calibrations.main[c.PARAMETERS]),
            "batch": _nearest(batch.values, calibrations.main[c.BATCH_SIZE]),
            "target": 1,
        },
    }


def _confirmed(batch: Plane, use: DeviceUse, without: Sequence[str]) -> list[str | None]:
    """Return who has a confirmed lead at each cell of the study's map; None where nobody has."""
    found = cheapest(batch, use, without)
    leads = zip(found.winner.ravel(), found.confirmed.ravel(), strict=True)
    return [found.labels[place] if sure else None for place, sure in leads]


def _modelled(batch: Plane, use: DeviceUse, uploads: Sequence[str]) -> dict[str, object]:
    """Return the relaxations of an iteration and, per upload, words, seconds beside link and τ, and what overlaps."""

    def seconds(changed: DeviceUse, time: float) -> Array:
        analog = replace(use.analog, analog_time=time, samples=1, delay=0.0)
        return batch.device_seconds(replace(changed, analog=analog))

    unlinked = {
        upload: replace(use, device=use.device.override(upload=upload, link_rate_bits_per_s=None))
        for upload in uploads
    }
    relaxing = seconds(unlinked["full"], 2.0) - seconds(unlinked["full"], 1.0)  # linear in t
    return {
        "runs": _flat(relaxing / use.device.time_constant_s),
        "words": {upload: _flat(batch.link_words(changed)) for upload, changed in unlinked.items()},
        "streamed": {upload: _streamed(batch, changed) for upload, changed in unlinked.items()},
        "fixed": {upload: _flat(seconds(changed, 1.0) - relaxing) for upload, changed in unlinked.items()},
    }


def _streamed(batch: Plane, unlinked: DeviceUse) -> dict[str, list[float | None]]:
    """Return the words written while the host makes the rows, the seconds, and the share of operations that makes rows.

    Nothing for Kronecker factors, which need no rows.
    """
    device = unlinked.device
    if isinstance(unlinked, FactorUse):
        nothing = _flat(batch.at_each(lambda *_: 0.0)[0])
        return dict.fromkeys(("words", "seconds", "making"), nothing)

    def share(it: Iteration) -> float:
        flops = hosted(it, device.upload, unlinked.analog, None, 4)[0].flops
        return making_flops(it, device.upload) / max(1.0, flops)

    return {
        "words": _flat(batch.at_each(lambda *size: float(array_words(device, unlinked.work(*size))))[0]),
        "seconds": _flat(batch.at_each(lambda *size: unlinked.bill(*size).streamed)[0]),
        "making": _flat(batch.rated(share)),
    }


def _rated(
    processor: Processor, batch: Plane, infos: Infos, use: DeviceUse, uploads: Sequence[str]
) -> dict[str, object]:
    """Return the seconds of the digital optimizers and of the host on a processor at its rated speed."""
    digital = {
        label: partial(rated_seconds, infos[label].method, processor=processor) for label in batch.digital
    }
    host = {each: partial(use.rated_host_seconds, upload=each, processor=processor) for each in uploads}
    making = {each: partial(making_seconds, upload=each, processor=processor) for each in uploads}
    return {
        "title": processor.title,
        "watts": processor.power_watt,
        "digital": {label: _flat(batch.rated(seconds)) for label, seconds in digital.items()},
        "host": {upload: _flat(batch.rated(seconds)) for upload, seconds in host.items()},
        "making": {upload: _flat(batch.rated(seconds)) for upload, seconds in making.items()},
    }


def _nearest(values: Sequence[int], value: int) -> int:
    """Return the place of the value nearest in ratio."""
    return int(np.argmin(np.abs(np.log(np.array(values) / value))))


def _flat(values: Array) -> list[float | None]:
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in values.ravel()]
