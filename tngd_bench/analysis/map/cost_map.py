"""The map: over sizes that nobody ran, which second-order optimizer has the cheapest iteration.

Every time is predicted: closed-form operations at the rates calibrated on this machine (`calibration`), plus, for the
thermodynamic optimizer, the bill of a device (`spu.billing`). Uncertainty (`discrepancy`) is a factor per optimizer and
draw, the same at every measured size and growing smoothly away from them: it moves boundaries, it does not fray
them. No memory limit is applied.

A device that states no time for an item of its bill is known from below only. Where a digital optimizer is the cheapest
even so, it is; where the lower bound is the least, nobody is: the cell is open, and counts for no one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from tngd_bench.analysis.cost.calibration import SLOTS, Calibrations
from tngd_bench.analysis.cost.recorded_devices import recorded_device
from tngd_bench.analysis.statistics import discrepancy
from tngd_bench.layers import Layer
from tngd_bench.spu.billing import Workload, latency, words_on_link
from tngd_bench.spu.device import Device

Array = npt.NDArray[np.float64]
Axis = Literal["batch_size", "outputs"]
SIZES = tuple(round(10 ** (3 + step / 4)) for step in range(25))
BATCH_SIZES = tuple(2**power for power in range(15))
OUTPUTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
DRAWS = 400
CONFIRMED = 0.95


@dataclass(frozen=True)
class DeviceUse:
    """A device and how an iteration uses it: t in τ, readouts and spacing, programmings, delay in τ, carried start."""

    device: Device
    analog_time: float = 50.0
    samples: int = 1
    spacing: float = 1.0
    ensemble: int = 1
    delay: float = 0.0
    carried: bool = True

    def work(self, parameters: int, batch_size: int, outputs: int, layers: tuple[Layer, ...]) -> Workload:
        """Return the workload of one iteration."""
        return Workload(
            parameters,
            batch_size * outputs,
            self.analog_time,
            samples=self.samples,
            spacing=self.spacing,
            programmings=self.ensemble,
            delay=self.delay,
            layers=layers,
            batch_size=batch_size,
            carried=self.carried,
        )

    @property
    def not_stated(self) -> tuple[str, ...]:
        """The items of the bill for which the device states no time, whatever the size; its times are lower bounds."""
        return latency(self.device, self.work(1, 1, 1, (Layer(1, 1),))).not_stated


def study_use(calibrations: Calibrations) -> DeviceUse | None:
    """Return the device of the study as it was used; None where it cannot be made here."""
    return device_use(calibrations.device_name, calibrations.settings)


def device_use(name: str | None, settings: Mapping[str, object]) -> DeviceUse | None:
    """Return the device called `name` under an optimizer's `settings`; None where it cannot be made here."""
    device = None if name is None else recorded_device(name, settings)
    if device is None:
        return None

    def number(key: str, default: float) -> float:
        value = settings.get(key, default)
        return float(value) if isinstance(value, int | float) else default

    return DeviceUse(
        device,
        number("analog_time", 50.0),
        int(number("samples", 1)),
        number("spacing", 1.0),
        int(number("ensemble", 1)),
        number("delay", 0.0),
        settings.get("start", "previous") == "previous",
    )


@dataclass(frozen=True)
class Plane:
    """Predicted digital seconds over N (columns) and b or d_z (rows), the other one fixed.

    `digital` and `host` (by form of upload) are (SLOTS, rows, columns) per optimizer label, see `calibration`; NaN
    where the problem's family has no such model. `layers[i][j]` belongs to row i and column j. `points` are the
    measured sizes (parameters, batch_size, outputs), `measured` (rows, columns) what lies between them, `distances` how
    far each cell is from those of an optimizer (0 between them).
    """

    axis: Axis
    fixed: int
    sizes: tuple[int, ...]
    values: tuple[int, ...]
    calibrations: Calibrations
    digital: dict[str, Array]
    host: dict[str, Array]
    layers: tuple[tuple[tuple[Layer, ...] | None, ...], ...]
    measured: npt.NDArray[np.bool_]
    points: pd.DataFrame
    distances: Mapping[str, Array]

    def batch_and_outputs(self, row: int) -> tuple[int, int]:
        """Return (b, d_z) of a row."""
        value = self.values[row]
        return (value, self.fixed) if self.axis == "batch_size" else (self.fixed, value)

    @property
    def rows_m(self) -> Array:
        """m = b·d_z of every row of the plane."""
        return np.array([value * self.fixed for value in self.values], dtype=float)


def plane(
    calibrations: Calibrations,
    axis: Axis,
    fixed: int,
    sizes: Sequence[int] = SIZES,
    values: Sequence[int] | None = None,
) -> Plane:
    """Predict the digital times over `sizes` and `values` of `axis`, the other of b and d_z being `fixed`."""
    fewest = calibrations.counts.fewest_outputs
    outputs = tuple(value for value in OUTPUTS if value >= fewest)
    values = values if values is not None else (BATCH_SIZES if axis == "batch_size" else outputs)
    shape = (SLOTS, len(values), len(sizes))
    counts, device = calibrations.counts, calibrations.device_label
    digital = {label: np.full(shape, np.nan) for label in calibrations.digital}
    host = {upload: np.full(shape, np.nan) for upload in ("full", "factored") if device is not None}
    models: dict[tuple[int, int], tuple[Layer, ...] | None] = {}
    rows = []
    for i, value in enumerate(values):
        b, d_z = (value, fixed) if axis == "batch_size" else (fixed, value)
        row = []
        for j, n in enumerate(sizes):
            if (n, d_z) not in models:
                models[n, d_z] = counts.layers(n, d_z)
            layers = models[n, d_z]
            row.append(layers)
            if layers is None:
                continue
            for label in digital:
                calibration = calibrations.by_label[label]
                digital[label][:, i, j] = calibration.seconds(
                    counts.of(calibration.method, n, b, d_z, layers)
                )
            for upload in host:
                assert device is not None
                calibration = calibrations.by_label[device]
                cost = counts.of(calibration.method, n, b, d_z, layers, upload)
                host[upload][:, i, j] = calibration.seconds(cost)
        rows.append(tuple(row))
    n_grid, other = np.meshgrid(np.array(sizes, float), np.array(values, float))
    fixed_grid = np.full(shape[1:], float(fixed))
    b_grid, d_grid = (other, fixed_grid) if axis == "batch_size" else (fixed_grid, other)
    measured = calibrations.covers(n_grid, b_grid, d_grid)
    points = pd.concat([calibration.points for calibration in calibrations.by_label.values()])
    away = {label: calibrations.distances(label, n_grid, b_grid, d_grid) for label in calibrations.by_label}
    return Plane(
        axis,
        fixed,
        tuple(sizes),
        tuple(values),
        calibrations,
        digital,
        host,
        tuple(rows),
        measured,
        points,
        away,
    )


def device_seconds(area: Plane, use: DeviceUse) -> Array:
    """Return the modelled seconds of `use` over the plane, the delay not taken off: (rows, columns).

    With an item `not_stated` they are lower bounds.
    """
    found = np.full((len(area.values), len(area.sizes)), np.nan)
    for i, row in enumerate(area.layers):
        b, d_z = area.batch_and_outputs(i)
        for j, layers in enumerate(row):
            if layers is not None:
                found[i, j] = latency(use.device, use.work(area.sizes[j], b, d_z, layers)).at_least
    return found


def link_words(area: Plane, use: DeviceUse) -> Array:
    """Return the words over the link in one iteration, both directions: (rows, columns)."""
    found = np.full((len(area.values), len(area.sizes)), np.nan)
    for i, row in enumerate(area.layers):
        b, d_z = area.batch_and_outputs(i)
        for j, layers in enumerate(row):
            if layers is not None:
                work = use.work(area.sizes[j], b, d_z, layers)
                found[i, j] = words_on_link(use.device, work)
    return found


@dataclass(frozen=True)
class CheapestMap:
    """Who is cheapest per iteration over a plane, for one device.

    `seconds` (labels, rows, columns) · `winner` (rows, columns), an index into `labels`, −1 where no model exists ·
    `confidence`: in which share of the draws of the calibration's spread the winner stays the cheapest · `bounds`: the
    labels whose seconds are lower bounds, whose cells are `open` · `timed` (rows, columns): the winner itself was timed
    on both sides of this size. Elsewhere no cell is `confirmed`.
    `error`: the factor that the seconds of the cheapest and the runner-up are vouched for within, the larger of the two
    (`discrepancy`), ∞ beyond measured sizes; a map is blank where it is more than 1.5.
    """

    plane: Plane
    use: DeviceUse | None
    labels: tuple[str, ...]
    seconds: Array
    winner: npt.NDArray[np.int64]
    confidence: Array
    timed: npt.NDArray[np.bool_]
    bounds: frozenset[str] = frozenset()
    error: Array | None = None

    @property
    def vouched(self) -> npt.NDArray[np.bool_]:
        """Where the cheapest and the runner-up are vouched for within a factor of 1.5: (rows, columns)."""
        if self.error is None:
            return np.ones(self.winner.shape, dtype=bool)
        return np.asarray(self.error <= discrepancy.VOUCHED_FACTOR)

    @property
    def open(self) -> npt.NDArray[np.bool_]:
        """Where the least seconds are a lower bound, so that nobody is known to be the cheapest: (rows, columns)."""
        found = np.isin(self.winner, [self.labels.index(label) for label in self.bounds])
        return np.asarray(found & self.vouched)

    @property
    def confirmed(self) -> npt.NDArray[np.bool_]:
        """Where the winner leads in 95 % of the draws, between measured sizes and between its own, (rows, columns).

        Beyond them the draws rest on a formula that nobody has checked there: such a cell is modelled only.
        """
        return np.asarray(
            (self.confidence >= CONFIRMED) & self.plane.measured & self.timed & self.vouched & ~self.open
        )

    def table(self) -> pd.DataFrame:
        """Return one row per cell: sizes, cheapest optimizer, confidence, whether measured, seconds of each.

        A cell that is not vouched for has no `cheapest`; `error_factor` says within what its seconds are.
        With `bounds` an open cell has no `cheapest`, but the optimizer that is it `at_best`, and lower bounds are in
        columns `_at_least_s`.
        """
        rows = []
        for i in range(len(self.plane.values)):
            b, d_z = self.plane.batch_and_outputs(i)
            for j, n in enumerate(self.plane.sizes):
                vouched = bool(self.vouched[i, j])
                place = int(self.winner[i, j]) if vouched else -1
                row: dict[str, object] = {"parameters": n, "batch_size": b, "outputs": d_z, "rows": b * d_z}
                least = "" if place < 0 else self.labels[place]
                is_open = least in self.bounds
                row |= {"cheapest": "" if is_open else least}
                row |= {"at_best": least if is_open else ""} if self.bounds else {}
                row |= {"confidence": self.confidence[i, j]}
                row |= {"confirmed": bool(self.confirmed[i, j])}
                region = "between measured sizes" if self.plane.measured[i, j] else "modelled"
                row |= {"region": region if vouched else "not vouched for"}
                row |= {} if self.error is None else {"error_factor": self.error[i, j]}
                row |= {
                    f"{label}{'_at_least' if label in self.bounds else ''}_s": self.seconds[k, i, j]
                    for k, label in enumerate(self.labels)
                }
                rows.append(row)
        return pd.DataFrame(rows)

    def share(self, label: str, *, confirmed: bool = True) -> float:
        """Return the share of vouched cells that `label` wins, those that are not `confirmed` left out or counted.

        An optimizer of `bounds` wins none.
        """
        won = self._won(label) if label not in self.bounds else np.zeros_like(self.plane.measured)
        return self._share(won & self.confirmed if confirmed else won)

    def share_modelled(self, label: str) -> float:
        """Return the share of vouched cells that `label` wins beyond the measured sizes."""
        return self._share(self._won(label) & ~self.plane.measured) if label not in self.bounds else 0.0

    def share_at_best(self, label: str) -> float:
        """Return the share of vouched cells that are open because `label` might win them; 0 without `bounds`."""
        return self._share(self._won(label)) if label in self.bounds else 0.0

    def _won(self, label: str) -> npt.NDArray[np.bool_]:
        if label not in self.labels:
            return np.zeros_like(self.plane.measured)
        return np.asarray((self.winner == self.labels.index(label)) & self.vouched)

    def _share(self, cells: npt.NDArray[np.bool_]) -> float:
        exists = (self.winner >= 0) & self.vouched
        return float(cells.sum() / exists.sum()) if exists.any() else 0.0


def cheapest(
    area: Plane, use: DeviceUse | None, without: Sequence[str] = (), *, draws: int = DRAWS, seed: int = 0
) -> CheapestMap:
    """Return who is cheapest over `area` with the device `use` (None: digital only), leaving out `without`."""
    calibrations = area.calibrations
    labels = [label for label in calibrations.digital if label not in without]
    digital = [area.digital[label] for label in labels]
    added = [np.zeros(values.shape[1:]) for values in digital]
    device = calibrations.device_label
    bounds: set[str] = set()
    if use is not None and device is not None and device not in without:
        labels.append(device)
        bounds |= {device} if use.not_stated else set()
        digital.append(area.host[use.device.upload])
        added.append(device_seconds(area, use))
    own, modelled = np.stack(digital), np.stack(added)
    seconds = own[:, 0] + modelled
    exists = np.isfinite(seconds).any(axis=0)
    filled = np.where(np.isfinite(seconds), seconds, np.inf)
    winner = np.where(exists, filled.argmin(axis=0), -1)
    wins = np.zeros_like(winner, dtype=float)
    away = np.stack([area.distances[label] for label in labels])
    for factors, readings in residuals(calibrations, labels, away, draws, seed):
        varied = own[np.arange(len(labels)), readings] * factors + modelled
        wins += np.where(np.isfinite(varied), varied, np.inf).argmin(axis=0) == winner
    confidence = np.where(exists, wins / draws, np.nan)
    won = winner.astype(np.int64)
    timed = winner_timed(won, away)
    error = np.where(area.measured, vouched_factor(calibrations, labels, own[:, 0], modelled, away), np.inf)
    return CheapestMap(area, use, tuple(labels), seconds, won, confidence, timed, frozenset(bounds), error)


def winner_timed(winner: npt.NDArray[np.int64], distances: Array) -> npt.NDArray[np.bool_]:
    """Return where the `winner` (rows, columns) lies between its own measured sizes; `distances` by label."""
    own = np.take_along_axis(distances, np.maximum(winner, 0)[None], axis=0)[0]
    return np.asarray((own == 0.0) & (winner >= 0))


def vouched_factor(
    calibrations: Calibrations, labels: Sequence[str], digital: Array, modelled: Array, distances: Array
) -> Array:
    """Return the factor that the seconds of the two quickest are vouched for within, the larger one: (rows, columns).

    Only the digital part is uncertain; `digital`, `modelled` and `distances` are (labels, rows, columns).
    """
    widths = np.stack(
        [calibrations.half_width(label, away) for label, away in zip(labels, distances, strict=True)]
    )
    seconds = digital + modelled
    with np.errstate(invalid="ignore"):
        factors = (digital * np.exp(np.minimum(widths, 100.0)) + modelled) / seconds
    quickest = np.argsort(np.where(np.isfinite(seconds), seconds, np.inf), axis=0, kind="stable")[:2]
    known = np.isfinite(np.take_along_axis(seconds, quickest, axis=0))
    return np.asarray(np.where(known, np.take_along_axis(factors, quickest, axis=0), 1.0).max(axis=0))


def residuals(
    calibrations: Calibrations, labels: Sequence[str], distances: Array, draws: int, seed: int = 0
) -> Iterator[tuple[Array, npt.NDArray[np.int64]]]:
    """Yield `draws` variations: factors on the digital seconds at `distances` (labels, …), and the readings (labels,).

    What an optimizer draws depends on its label alone, so that a pair is varied alike whatever it is compared with.
    """
    columns = []
    for label in labels:
        generator = np.random.default_rng([seed, *label.encode()])
        freedom = calibrations.freedom(label)
        student = (
            generator.standard_t(freedom, draws) if np.isfinite(freedom) else generator.standard_normal(draws)
        )
        run = calibrations.run_spread.value * generator.standard_normal(draws)
        bend = calibrations.by_label[label].gamma * generator.standard_normal(draws)
        readings = generator.integers(SLOTS, size=draws)
        step = discrepancy.STEP * generator.standard_normal(draws)
        columns.append((calibrations.spread(label) * student + run, bend, step, readings))
    for place in range(draws):
        logs = [
            shift[place] + bend[place] * away + step[place] * (away > 0)
            for (shift, bend, step, _), away in zip(columns, distances, strict=True)
        ]
        # beyond a factor of e¹⁰⁰ either way nothing changes who is ahead, and nothing may overflow
        yield (
            np.exp(np.clip(np.stack(logs), -100.0, 100.0)),
            np.array([readings[place] for *_, readings in columns]),
        )
