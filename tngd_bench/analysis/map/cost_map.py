"""The map: over sizes that nobody ran, which second-order optimizer has the cheapest iteration.

Every time is predicted: closed-form operations at the rates calibrated on this machine (`calibration`), plus, for the
thermodynamic optimizer, the bill of a device (`spu.billing`). Uncertainty (`discrepancy`) is a factor per optimizer and
draw, the same at every measured size and growing smoothly away from them: it moves boundaries, it does not fray
them. No memory limit is applied.

A device that states no time for an item of its bill is known from below only. Where a digital optimizer is the cheapest
even so, it is; where the lower bound is the least, nobody is: the cell is open, and counts for no one.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from tngd_bench.analysis.arrays import Array, Mask, Places
from tngd_bench.analysis.cost.calibration import DRAWS, Calibrations
from tngd_bench.analysis.cost.device_use import DeviceUse
from tngd_bench.analysis.map.plane import Plane
from tngd_bench.analysis.statistics import discrepancy
from tngd_bench.studies.store import columns as c

CONFIRMED = 0.95


@dataclass(frozen=True)
class CheapestMap:
    """The optimizer with the least seconds at each cell of a plane, for one device.

    `seconds` (labels, rows, columns) · `winner` (rows, columns), an index into `labels`, −1 where no model exists ·
    `drawn` makes `confidence` · `bounds`: the labels whose seconds are lower bounds, whose cells are `open` · `timed`
    (rows, columns): the winner itself was timed on both sides of this size. Elsewhere no cell is `confirmed`.
    `error`: the factor that the seconds of the cheapest and the runner-up are vouched for within, the larger of the two
    (`discrepancy`), ∞ beyond measured sizes, and everywhere with fewer than two `labels`: nobody leads without a rival.
    A map is blank where it is more than 1.5.
    """

    plane: Plane
    labels: tuple[str, ...]
    seconds: Array
    winner: Places
    drawn: Callable[[], Array]
    timed: Mask
    bounds: frozenset[str]
    error: Array

    @cached_property
    def confidence(self) -> Array:
        """In which share of the draws of the calibration's spread the winner stays the cheapest: (rows, columns)."""
        return self.drawn()

    @property
    def vouched(self) -> Mask:
        """Mask of the cells whose two quickest times are known to within a factor of 1.5: (rows, columns)."""
        return np.asarray(self.error <= discrepancy.VOUCHED_FACTOR)

    @property
    def open(self) -> Mask:
        """Mask of the cells whose least seconds are a lower bound, so that no optimizer leads: (rows, columns)."""
        found = np.isin(self.winner, [self.labels.index(label) for label in self.bounds])
        return np.asarray(found & self.vouched)

    @property
    def confirmed(self) -> Mask:
        """Mask of the cells where the winner leads in 95 % of the draws, between measured sizes and its own.

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
        n, b, d_z = (size.ravel().astype(int) for size in self.plane.coordinates)
        vouched, place = self.vouched.ravel(), self.winner.ravel()
        least = np.where(vouched & (place >= 0), np.array([*self.labels, ""], object)[place], "")
        is_open = np.isin(least, list(self.bounds))
        frame = pd.DataFrame({c.PARAMETERS: n, c.BATCH_SIZE: b, c.OUTPUTS: d_z, c.ROWS: b * d_z})
        frame["cheapest"] = np.where(is_open, "", least)
        if self.bounds:
            frame["at_best"] = np.where(is_open, least, "")
        region = np.where(self.plane.measured.ravel(), "between measured sizes", "modelled")
        frame["confidence"], frame["confirmed"] = self.confidence.ravel(), self.confirmed.ravel()
        frame["region"] = np.where(vouched, region, "not known")
        frame["error_factor"] = self.error.ravel()
        for label, seconds in zip(self.labels, self.seconds, strict=True):
            frame[f"{label}{'_at_least' if label in self.bounds else ''}_s"] = seconds.ravel()
        return frame

    def share(self, label: str, *, confirmed: bool = True) -> float:
        """Return the share of vouched cells that `label` wins, those that are not `confirmed` left out or counted.

        An optimizer of `bounds` wins none.
        """
        won = self._won(label) & (label not in self.bounds)
        return self._share(won & self.confirmed if confirmed else won)

    def share_modelled(self, label: str) -> float:
        """Return the share of vouched cells that `label` wins beyond the measured sizes."""
        return self._share(self._won(label) & ~self.plane.measured & (label not in self.bounds))

    def share_at_best(self, label: str) -> float:
        """Return the share of vouched cells that are open because `label` might win them; 0 without `bounds`."""
        return self._share(self._won(label) & (label in self.bounds))

    def _won(self, label: str) -> Mask:
        if label not in self.labels:
            return np.zeros_like(self.plane.measured)
        return np.asarray((self.winner == self.labels.index(label)) & self.vouched)

    def _share(self, cells: Mask) -> float:
        exists = (self.winner >= 0) & self.vouched
        return float(cells.sum() / exists.sum()) if exists.any() else 0.0


def cheapest(
    area: Plane, use: DeviceUse | None, without: Sequence[str] = (), *, draws: int = DRAWS
) -> CheapestMap:
    """Return who is cheapest over `area` with the device `use` (None: digital only), leaving out `without`."""
    calibrations = area.calibrations
    labels = [label for label in calibrations.digital if label not in without]
    digital = [area.digital[label] for label in labels]
    modelled = [np.zeros(area.measured.shape) for _ in labels]
    device = calibrations.device_label
    bounds: set[str] = set()
    if use is not None and device is not None and device not in without:
        labels.append(device)
        bounds |= {device} if use.not_stated else set()
        digital.append(area.host[use.device.upload])
        modelled.append(area.device_seconds(use))
    overlapped = [use.overlapped_s if use is not None and label == device else 0.0 for label in labels]
    if not labels:
        return _nobody(area)
    both = np.stack(digital), np.stack(modelled)
    return least_seconds(area, labels, labels, *both, overlapped, bounds, draws=draws)


def _nobody(area: Plane) -> CheapestMap:
    """Return the map without any optimizer."""
    shape = area.measured.shape
    blank, far = np.full(shape, np.nan), np.full(shape, np.inf)
    never, none = np.zeros(shape, bool), np.full(shape, -1, np.int64)
    return CheapestMap(area, (), np.empty((0, *shape)), none, lambda: blank, never, frozenset(), far)


def least_seconds(
    area: Plane,
    labels: Sequence[str],
    timed: Sequence[str],
    digital: Array,
    modelled: Array,
    overlapped: Sequence[float],
    bounds: Collection[str],
    repeats: Callable[[int], Array | float] = lambda draw: 1.0,
    *,
    draws: int,
) -> CheapestMap:
    """Return who has the least seconds: `digital` (labels, SLOTS, rows, columns) + `modelled` (labels, rows, columns).

    Both are times `repeats`(draw), (labels, rows, columns), that of draw 0 being without variation. `timed` are the
    calibrated optimizers whose seconds stand for `labels`; `overlapped` seconds of `modelled` run beside the digital
    ones of each.
    """
    beside = np.array(overlapped)[:, None, None]
    modelled = modelled - beside
    calibrations, own = area.calibrations, np.maximum(digital[:, 0], beside)
    seconds = (own + modelled) * repeats(0)
    exists = np.isfinite(seconds).any(axis=0)
    winner = np.where(exists, np.where(np.isfinite(seconds), seconds, np.inf).argmin(axis=0), -1)
    away = np.stack([area.distances[label] for label in timed])

    def confidence() -> Array:
        wins = np.zeros(winner.shape)
        for draw, (factors, readings) in enumerate(calibrations.variations(timed, away, draws), start=1):
            drawn = np.maximum(digital[np.arange(len(labels)), readings] * factors, beside)
            varied = (drawn + modelled) * repeats(draw)
            wins += np.where(np.isfinite(varied), varied, np.inf).argmin(axis=0) == winner
        return np.where(exists, wins / draws, np.nan)

    between = np.take_along_axis(away, np.maximum(winner, 0)[None], axis=0)[0] == 0.0
    with np.errstate(invalid="ignore"):  # no iteration gets there, and its time is not known
        factor = _vouched_factor(calibrations, timed, own * repeats(0), modelled * repeats(0), away)
    return CheapestMap(
        area,
        tuple(labels),
        seconds,
        winner.astype(np.int64),
        drawn=confidence,
        timed=np.asarray(between & (winner >= 0)),
        bounds=frozenset(bounds),
        error=np.where(area.measured & (len(labels) > 1), factor, np.inf),
    )


def _vouched_factor(
    calibrations: Calibrations, labels: Sequence[str], digital: Array, modelled: Array, distances: Array
) -> Array:
    """Return the factor that the seconds of the two quickest are vouched for within, the larger one: (rows, columns).

    Only the digital part is uncertain; `digital`, `modelled` and `distances` are (labels, rows, columns).
    """
    widths = np.stack([calibrations.half_width(*each) for each in zip(labels, distances, strict=True)])
    seconds = digital + modelled
    with np.errstate(invalid="ignore"):
        factors = (digital * np.exp(np.minimum(widths, 100.0)) + modelled) / seconds
    quickest = np.argsort(np.where(np.isfinite(seconds), seconds, np.inf), axis=0, kind="stable")[:2]
    known = np.isfinite(np.take_along_axis(seconds, quickest, axis=0))
    return np.asarray(np.where(known, np.take_along_axis(factors, quickest, axis=0), 1.0).max(axis=0))
