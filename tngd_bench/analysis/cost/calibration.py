"""Calibrated optimizers: the digital seconds that their counts predict, and how far off these may be.

What the formula misses is a log-normal factor: σ is the root mean square of log(measured/predicted) with each setting
predicted from the others. Away from the measured sizes, and from one run to another, it misses more: see `discrepancy`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tngd_bench.analysis.arrays import Array, Mask, Places
from tngd_bench.analysis.cost.counts import Counts
from tngd_bench.analysis.cost.device_use import DeviceUse, device_use
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.statistics import discrepancy
from tngd_bench.analysis.statistics.run_spread import ASSUMED, RunSpread
from tngd_bench.layers import Layer
from tngd_bench.optimizers.costs import PredictedCost

DRAWS = 400
SLOTS = 6
"""Slots that the readings of an optimizer share evenly, be they one, two or three."""


@dataclass(frozen=True)
class Calibration:
    """The rates of one optimizer: t = a + F·(s/operation) + M·(s/byte) in one to three `readings`, the best first.

    A reading is (a, seconds per operation, seconds per byte). `sigma` is the log-normal spread of measured/predicted
    (NaN with one setting), `unseen` what the largest sizes are off by when they are left out. `points` has one row per
    measured setting: parameters, batch_size, outputs, measured_s, predicted_s (from the others where there are any) and
    ratio. `gamma` and `freedom` (ν) as in `discrepancy`.
    """

    label: str
    method: str
    readings: tuple[tuple[float, float, float], ...]
    sigma: float
    points: pd.DataFrame
    gamma: float = 0.0
    freedom: float = math.inf
    unseen: discrepancy.Unseen | None = None

    def seconds(self, cost: PredictedCost) -> Array:
        """Return the predicted digital seconds of one iteration, (SLOTS,), the best reading first."""
        counted = np.array([1.0, cost.flops, cost.bytes])
        by_reading = [float(np.dot(reading, counted)) for reading in self.readings]
        return np.array([by_reading[place % len(by_reading)] for place in range(SLOTS)])


@dataclass(frozen=True)
class Calibrations:
    """Calibrated optimizers by label, all on one problem; `settings` are those of the device, `run_spread` is σ_run."""

    counts: Counts
    by_label: Mapping[str, Calibration]
    infos: Infos
    main: Mapping[str, int]
    settings: Mapping[str, object]
    device_name: str | None
    run_spread: RunSpread = ASSUMED

    @property
    def device_label(self) -> str | None:
        """The thermodynamic optimizer that stands for the device, None without one."""
        return next((label for label in self.by_label if self.infos[label].modelled), None)

    @property
    def digital(self) -> tuple[str, ...]:
        """Labels of the digital second-order optimizers."""
        return tuple(label for label in self.by_label if not self.infos[label].modelled)

    def seconds(
        self, label: str, size: tuple[int, int, int], layers: tuple[Layer, ...], upload: str = "full"
    ) -> Array:
        """Return the digital seconds predicted of `label` at a size (N, b, d_z) of a model with `layers`: (SLOTS,)."""
        calibration = self.by_label[label]
        return calibration.seconds(self.counts.of(calibration.method, *size, layers, upload))

    def spread(self, label: str) -> float:
        """Return σ of `label`; where it could not be measured, the largest of the others (1 if none could)."""
        own = self.by_label[label].sigma
        known = [c.sigma for c in self.by_label.values() if np.isfinite(c.sigma)]
        return own if np.isfinite(own) else max(known, default=1.0)

    def freedom(self, label: str) -> float:
        """Return the degrees of freedom of `spread`; 1 where it is that of another optimizer."""
        return self.by_label[label].freedom if np.isfinite(self.by_label[label].sigma) else 1.0

    def half_width(self, label: str, distances: Array) -> Array:
        """Return the logarithm of the factor that predictions of `label` are vouched for within, at `distances`."""
        law = self.spread(label), self.freedom(label), self.by_label[label].gamma, self.run_spread.value
        return discrepancy.half_width(*law, distances)

    def covers(self, parameters: Array, batch_size: Array, outputs: Array) -> Mask:
        """Return the mask of sizes that lie between the measured ones of all optimizers together."""
        points = pd.concat([calibration.points for calibration in self.by_label.values()])
        return np.asarray(discrepancy.distance(points, parameters, batch_size, outputs) == 0.0)

    def distances(self, label: str, parameters: Array, batch_size: Array, outputs: Array) -> Array:
        """Return the distance of sizes from those that `label` was measured at, in logarithms."""
        return discrepancy.distance(self.by_label[label].points, parameters, batch_size, outputs)

    @property
    def use(self) -> DeviceUse | None:
        """The device of the study as it was used; None where it cannot be made here."""
        return device_use(self.device_name, self.settings)

    def variations(
        self, labels: Sequence[str], distances: Array, draws: int
    ) -> Iterator[tuple[Array, Places]]:
        """Yield `draws` factors on the digital seconds at `distances` (labels, …), with the readings taken (labels,).

        What an optimizer draws depends on its label alone, so that a pair is varied alike whatever it is compared with.
        """
        columns = []
        for label in labels:
            generator = np.random.default_rng([0, *label.encode()])
            freedom = self.freedom(label)
            finite = np.isfinite(freedom)
            student = generator.standard_t(freedom, draws) if finite else generator.standard_normal(draws)
            run = self.run_spread.value * generator.standard_normal(draws)
            bend = self.by_label[label].gamma * generator.standard_normal(draws)
            readings = generator.integers(SLOTS, size=draws)
            step = discrepancy.STEP * generator.standard_normal(draws)
            columns.append((self.spread(label) * student + run, bend, step, readings))
        for place in range(draws):
            logs = [
                shift[place] + bend[place] * away + step[place] * (away > 0)
                for (shift, bend, step, _), away in zip(columns, distances, strict=True)
            ]
            # beyond a factor of e¹⁰⁰ either way nothing changes who is ahead, and nothing may overflow
            factors = np.exp(np.clip(np.stack(logs), -100.0, 100.0))
            yield factors, np.array([readings[place] for *_, readings in columns])
