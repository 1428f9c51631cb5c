"""The data of the what-if panel, from which the page recomputes the map when somebody moves a slider."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost.calibration import Calibrations
from tngd_bench.analysis.cost.device_use import DeviceUse
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.map.plane import Plane
from tngd_bench.analysis.statistics.discrepancy import VOUCHED_FACTOR
from tngd_bench.studies.store import columns as c

NOWHERE = 1e9
"""The factor where sizes are far from measured ones, which nothing is vouched for within."""


def explorer(
    calibrations: Calibrations, batch: Plane, use: DeviceUse, infos: Infos, exact: Sequence[str]
) -> dict[str, object]:
    """Return the data from which the page recomputes the map when link, τ, bits, t or upload change.

    Seconds of every digital optimizer and of the host and the factors that these are vouched for within, words on the
    link per upload, and the device's seconds that neither the link nor τ decides, and the items for which none are
    stated; lists in row-major order of the plane, None where there is no model.
    """
    device = calibrations.device_label
    assert device is not None
    words, fixed = {}, {}
    for upload in ("full", "factored"):
        changed = replace(use, device=use.device.override(upload=upload, link_rate_bits_per_s=None))
        words[upload] = _flat(batch.link_words(changed))
        still = replace(changed, analog=replace(use.analog, analog_time=0.0, samples=1, delay=0.0))
        fixed[upload] = _flat(batch.device_seconds(still))
    rate = use.device.link_rate_bits_per_s
    return {
        "sizes": list(batch.sizes),
        "values": list(batch.values),
        c.OUTPUTS: batch.fixed,
        "digital": {label: _flat(batch.digital[label][0]) for label in calibrations.digital},
        "methods": {label: infos[label].method for label in (*calibrations.digital, device)},
        "titles": {label: infos[label].title for label in (*calibrations.digital, device)},
        "exact": list(exact),
        c.DEVICE: device,
        "ensemble": use.analog.ensemble,
        "host": {upload: _flat(batch.host[upload][0]) for upload in words},
        "words": words,
        "fixed": fixed,
        c.NOT_STATED: [quantities.items([name]) for name in use.not_stated],
        "factors": {
            label: _flat(
                np.where(
                    batch.measured,
                    np.exp(np.minimum(calibrations.half_width(label, batch.distances[label]), 20.0)),
                    NOWHERE,
                )
            )
            for label in (*calibrations.digital, device)
        },
        "vouched_factor": VOUCHED_FACTOR,
        "near": [bool(value) for value in batch.measured.ravel()],
        "start": {
            "rate": 14.5 if rate is None else float(np.log10(rate)),
            "tau": float(np.log10(use.device.time_constant_s)),
            "bits": use.device.word_bits,
            "time": use.analog.analog_time + (use.analog.samples - 1) * use.analog.spacing,
            "upload": use.device.upload,
        },
    }


def _flat(values: npt.NDArray[np.float64]) -> list[float | None]:
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in values.ravel()]
