"""Requirements of the device: the m from which on it is ahead, the link rate, τ and word length at which it is.

All on predicted times (`calibration`, `cost_map`), with intervals from the calibration's draws: the middle 95 %.
A device that states no time for an item of its bill is known from below only, and so is what it needs: the crossover is
not before that m, the link rate not below that rate, and where it is behind at any rate it stays behind.
A crossover is the m = b·d_z, b growing at fixed N and d_z, above which the device's iteration stays shorter than the
rival's, interpolated in log m between two batch sizes; ∞ where it is behind at the largest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.arrays import Array, Mask
from tngd_bench.analysis.cost.calibration import DRAWS, SLOTS, Calibrations
from tngd_bench.analysis.cost.device_use import DeviceUse
from tngd_bench.analysis.families import Infos
from tngd_bench.layers import Layer
from tngd_bench.optimizers.registry import exact_natural
from tngd_bench.studies.store import columns as c

BATCH_SIZES = tuple(sorted({round(2 ** (power / 2)) for power in range(33)}))
LINK_RATES = tuple(10 ** (9 + step / 4) for step in range(21))
TIME_CONSTANTS = tuple(10 ** (-9 + step / 4) for step in range(25))
WORD_BITS = (2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32)
SWEPT = {"link_rate_bits_per_s": LINK_RATES, "time_constant_s": TIME_CONSTANTS, "word_bits": WORD_BITS}


@dataclass(frozen=True)
class Line:
    """Varied times along one line of sizes: (draws + 1, points), the first row without variation.

    `sizes` are (N, b, d_z, layers) of the points, `rows_m` their m. `host` and `rivals` are digital seconds, `unlinked`
    the device's seconds on an unlimited link, `bits` those on it, (points,); `overlapped` the part of `unlinked` that
    runs beside the host. `near` (points,) is where digital seconds lie between measured sizes; elsewhere they are
    extrapolated. With items `not_stated`, `unlinked` is a lower bound.
    """

    sizes: Sequence[tuple[int, int, int, tuple[Layer, ...]]]
    rows_m: Array
    parameters: int
    outputs: int
    host: Array
    rivals: Mapping[str, Array]
    unlinked: Array
    bits: Array
    overlapped: float
    near: Mask
    not_stated: tuple[str, ...] = ()

    def on(self, use: DeviceUse) -> "Line":
        """Return the line with another device that takes its rows in the same form."""
        return replace(self, **_billed(use, self.sizes))

    def device(self, rate: float | None) -> Array:
        """Return the device's iteration at a link `rate` in bits/s (None: unlimited): (draws + 1, points)."""
        link = 0.0 if rate is None else self.bits / rate
        return self.unlinked + link - self.overlapped + np.maximum(self.host, self.overlapped)

    def fastest(self, labels: Sequence[str]) -> Array:
        """Return the shortest of the rivals' times, draw by draw."""
        return np.asarray(np.min([self.rivals[label] for label in labels], axis=0))


def line(
    calibrations: Calibrations,
    use: DeviceUse,
    parameters: int,
    outputs: int,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    draws: int = DRAWS,
) -> Line | None:
    """Predict along `batch_sizes` at N `parameters` and d_z `outputs`; None without such a model or a device."""
    layers, device = calibrations.counts.layers(parameters, outputs), calibrations.device_label
    if layers is None or device is None:
        return None
    labels = [*calibrations.digital, device]
    base = np.empty((len(labels), SLOTS, len(batch_sizes)))
    for row, label in enumerate(labels):
        for place, b in enumerate(batch_sizes):
            base[row, :, place] = calibrations.seconds(
                label, (parameters, b, outputs), layers, use.device.upload
            )
    sizes = [(parameters, b, outputs, layers) for b in batch_sizes]
    times = np.empty((len(labels), draws + 1, len(batch_sizes)))
    times[:, 0] = base[:, 0]
    size = np.array(float(parameters)), np.array(batch_sizes, float), np.array(float(outputs))
    away = np.stack([calibrations.distances(label, *size) for label in labels])
    for draw, (factors, readings) in enumerate(calibrations.variations(labels, away, draws), start=1):
        times[:, draw] = base[np.arange(len(labels)), readings] * factors
    return Line(
        sizes,
        rows_m=np.array(batch_sizes, float) * outputs,
        parameters=parameters,
        outputs=outputs,
        host=times[-1],
        rivals=dict(zip(calibrations.digital, times[:-1], strict=True)),
        near=calibrations.covers(*size),
        **_billed(use, sizes),
    )


def _billed(use: DeviceUse, sizes: Sequence[tuple[int, int, int, tuple[Layer, ...]]]) -> dict[str, Any]:
    """Return the fields of a `Line` that the device decides."""
    free = replace(use, device=use.device.override(link_rate_bits_per_s=None))
    return {
        "unlinked": np.array([free.bill(*at).at_least for at in sizes]),
        "bits": np.array([use.device.word_bits * use.words(*at) for at in sizes], float),
        "overlapped": use.overlapped_s,
        c.NOT_STATED: use.not_stated,
    }


def exact_labels(calibrations: Calibrations) -> tuple[str, ...]:
    """Return the digital solvers of the very system that the device solves."""
    exact = exact_natural()
    return tuple(label for label in calibrations.digital if calibrations.infos[label].method in exact)


@dataclass(frozen=True)
class BreakEven:
    """The m above which the device stays ahead of `rival`; ∞: behind at `largest`, the end of the range.

    `below`: it is ahead up to this m as well, counted from `smallest`; 0 if it is not. Bounds are the middle 95 % of
    the draws. `extrapolated`: digital seconds there (∞: somewhere in the range) are beyond measured sizes. With items
    `not_stated` in the device's bill it is ahead above a larger m, if at all.
    """

    rival: str
    parameters: int
    outputs: int
    link_rate: float | None
    rows_m: float
    low: float
    high: float
    below: float
    smallest: float
    largest: float
    extrapolated: bool = False
    not_stated: tuple[str, ...] = ()

    @property
    def undetermined(self) -> bool:
        """Whether the interval of a crossing holds every m of the range, and none; a bound is what it is."""
        crossing = np.isfinite(self.rows_m) and not self.not_stated
        return bool(crossing and self.low <= self.smallest * (1 + 1e-9) and np.isinf(self.high))

    def text(self, infos: Infos, device: str) -> str:
        """Return the statement with its conditions."""
        if not self.not_stated:
            return self._text(infos, device)
        lost = np.isinf(self.rows_m) and not self.below
        counted = f"with none counted for {quantities.items(self.not_stated)}, whose time is not stated"
        return f"{self._text(infos, device)}. {'Even' if lost else 'At best,'} {counted}"

    def _text(self, infos: Infos, device: str) -> str:
        where = (
            "on an unlimited link" if self.link_rate is None else f"at {quantities.bit_rate(self.link_rate)}"
        )
        where += f" (N = {quantities.count(self.parameters)}, d_z = {self.outputs}, b varied)"
        where += ". Digital seconds are extrapolated" if self.extrapolated else ""
        name, rival = infos[device].title, infos[self.rival].title
        span = f"m = {quantities.count(self.smallest)} to {quantities.count(self.largest)}"
        bounds = f"[{self._bound(self.low)}, {self._bound(self.high)}]"
        early = f". It is ahead below m ≈ {_rounded(self.below)} too" if self.below else ""
        if self.undetermined:
            untold = "within its error the prediction does not tell whether they cross"
            return f"{name} against {rival}: {untold} ({span}) {where}"
        if np.isinf(self.rows_m):
            doubt = (
                ""
                if np.isinf(self.low)
                else f". Within its error the prediction may cross from m ≈ {_rounded(self.low)} on"
            )
            only = f". {name} is ahead below m ≈ {_rounded(self.below)} only" if self.below else ""
            return f"{name} against {rival}: no crossover in range ({span}) {where}{only}{doubt}"
        if self.rows_m <= self.smallest * (1 + 1e-9):
            doubt = f"Crossover within the prediction's error: {bounds}"
            return f"{name} is ahead of {rival} at every m in range ({span}) {where}. {doubt}"
        return f"{name} overtakes {rival} above m ≈ {_rounded(self.rows_m)} {bounds} {where}{early}"

    def _bound(self, value: float) -> str:
        if np.isinf(value):
            return "beyond the range"
        return f"≤ {_rounded(value)}" if value <= self.smallest * (1 + 1e-9) else _rounded(value)


def _rounded(value: float) -> str:
    return quantities.count(float(f"{value:.1e}"))


def crossovers(found: Line, use: DeviceUse) -> tuple[BreakEven, ...]:
    """Return the crossover against every rival along `found`."""
    device = found.device(use.device.link_rate_bits_per_s)
    return tuple(_crossover(label, times, device, found, use) for label, times in found.rivals.items())


def _crossover(label: str, rival: Array, device: Array, found: Line, use: DeviceUse) -> BreakEven:
    gap = np.log(device) - np.log(rival)
    m = np.log(found.rows_m)
    lasting = np.array([_lasting(row, m) for row in gap])
    low, high = np.percentile(lasting[1:], [2.5, 97.5], method="nearest")
    behind = np.flatnonzero(gap[0] >= 0)
    ahead_first = len(behind) > 0 and behind[0] > 0
    return BreakEven(
        label,
        found.parameters,
        found.outputs,
        use.device.link_rate_bits_per_s,
        float(lasting[0]),
        float(low),
        float(high),
        float(np.exp(_zero(gap[0], m, int(behind[0])))) if ahead_first else 0.0,
        float(found.rows_m[0]),
        float(found.rows_m[-1]),
        _beyond(float(lasting[0]), found),
        found.not_stated,
    )


def _beyond(crossing: float, found: Line) -> bool:
    """Whether the digital seconds on either side of a crossing were extrapolated; anywhere if there is none."""
    if np.isinf(crossing):
        return not bool(found.near.all())
    above = int(np.searchsorted(found.rows_m, crossing * (1 - 1e-9)))
    return not bool(found.near[max(above - 1, 0) : above + 1].all())


def _lasting(gap: Array, m: Array) -> float:
    """Return the m after which `gap` stays negative, interpolated; ∞ if it ends positive."""
    behind = np.flatnonzero(gap >= 0)
    if not len(behind):
        return float(np.exp(m[0]))
    last = int(behind[-1])
    return float("inf") if last == len(gap) - 1 else float(np.exp(_zero(gap, m, last + 1)))


def _zero(gap: Array, m: Array, place: int) -> float:
    before, after = gap[place - 1], gap[place]
    return float(m[place - 1] + (m[place] - m[place - 1]) * before / (before - after))


def break_even_rates(found: Line, rivals: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Return the link rate at which the device is as fast as the fastest of each named group of `rivals`.

    One row per rival and m: rival, parameters, outputs, rows, `rate_bits_per_s` (∞: no rate is enough), `low`,
    `high`, `reachable` (share of the draws in which some rate is enough), `near` (measured sizes), and `not_stated`
    where there are items of the bill without which the rate is a lower bound.
    """
    frames = []
    for name, labels in ((name, labels) for name, labels in rivals.items() if labels):
        left = found.fastest(labels) - found.device(None)
        rates = np.where(left > 0, found.bits / np.where(left > 0, left, 1.0), np.inf)
        low, high = np.percentile(rates[1:], [2.5, 97.5], axis=0, method="nearest")
        size = {c.PARAMETERS: found.parameters, c.OUTPUTS: found.outputs, c.ROWS: found.rows_m}
        frame = pd.DataFrame({"rival": name, **size, "rate_bits_per_s": rates[0], "low": low, "high": high})
        frame["reachable"] = np.isfinite(rates[1:]).mean(axis=0)
        if found.not_stated:
            frame[c.NOT_STATED] = " ".join(found.not_stated)
        frames.append(frame.assign(near=found.near))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def sweep_device(use: DeviceUse, parameter: str, value: float) -> DeviceUse:
    """Return `use` with one figure of the device changed: link rate, time constant (through R) or word bits."""
    device = use.device
    match parameter:
        case "link_rate_bits_per_s":
            changed = device.override(link_rate_bits_per_s=value)
        case "time_constant_s":
            changed = device.override(resistance_ohm=value / device.capacitance_farad)
        case "word_bits":
            changed = device.override(word_bits=int(value))
        case _:
            raise ValueError(f"parameter must be one of {', '.join(SWEPT)}, not {parameter!r}")
    return replace(use, device=changed)


def sensitivities(found: Line, use: DeviceUse, rivals: Sequence[str]) -> pd.DataFrame:
    """Return the device's time along `found` relative to the fastest of `rivals` as one figure of `use` is swept.

    One row per swept figure, value and b: parameter, value, parameters, batch_size, rows, `ratio`, `low`, `high`,
    `near` (measured sizes).
    """
    n, b, d_z = (np.array(sizes) for sizes in list(zip(*found.sizes, strict=True))[:3])
    size = {c.PARAMETERS: n, c.BATCH_SIZE: b, c.OUTPUTS: d_z, c.ROWS: b * d_z}
    fastest = found.fastest(rivals)
    frames = []
    for parameter, value in ((parameter, value) for parameter, values in SWEPT.items() for value in values):
        changed = sweep_device(use, parameter, value)
        ratio = found.on(changed).device(changed.device.link_rate_bits_per_s) / fastest
        low, high = np.percentile(ratio[1:], [2.5, 97.5], axis=0)
        frame = pd.DataFrame({"parameter": parameter, "value": value, **size, "near": found.near})
        frames.append(frame.assign(ratio=ratio[0], low=low, high=high))
    return pd.concat(frames, ignore_index=True)
