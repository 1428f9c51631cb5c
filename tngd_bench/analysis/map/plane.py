"""Predicted digital seconds over a plane of sizes: N and one of b and d_z, the other one fixed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
import pandas as pd

from tngd_bench.analysis.arrays import Array, Mask
from tngd_bench.analysis.cost.calibration import SLOTS, Calibrations
from tngd_bench.analysis.cost.device_use import DeviceUse
from tngd_bench.layers import Layer
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.studies.store import columns as c

Axis = Literal["batch_size", "outputs"]
Model = tuple[Layer, ...]
SIZES = tuple(round(10 ** (3 + step / 4)) for step in range(25))
BATCH_SIZES = tuple(2**power for power in range(15))
OUTPUTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)


@dataclass(frozen=True)
class Grid:
    """Sizes N (columns) and b or d_z (rows), the other one fixed, and the layers of the model at each.

    `layers[i][j]` belongs to row i and column j: None where the problem's family has no such model.
    """

    axis: Axis
    fixed: int
    sizes: tuple[int, ...]
    values: tuple[int, ...]
    layers: tuple[tuple[Model | None, ...], ...]

    def batch_and_outputs(self, row: int) -> tuple[int, int]:
        """Return (b, d_z) of a row."""
        value = self.values[row]
        return (value, self.fixed) if self.axis == c.BATCH_SIZE else (self.fixed, value)

    @property
    def coordinates(self) -> tuple[Array, Array, Array]:
        """N, b and d_z of every cell: (rows, columns) each."""
        n, other = np.meshgrid(np.array(self.sizes, float), np.array(self.values, float))
        fixed = np.full(n.shape, float(self.fixed))
        return (n, other, fixed) if self.axis == c.BATCH_SIZE else (n, fixed, other)

    def at_each(self, value: Callable[[int, int, int, Model], Array | float | None], parts: int = 1) -> Array:
        """Return `value`(N, b, d_z, layers) of every cell: (parts, rows, columns), NaN where there is no model."""
        found = np.full((parts, len(self.values), len(self.sizes)), np.nan)
        for i, row in enumerate(self.layers):
            for j, layers in enumerate(row):
                if layers is not None:
                    found[:, i, j] = value(self.sizes[j], *self.batch_and_outputs(i), layers)
        return found

    def device_seconds(self, use: DeviceUse) -> Array:
        """Return the modelled seconds of `use` at every cell, the delay not taken off: (rows, columns).

        With an item `not_stated` they are lower bounds.
        """
        return np.asarray(self.at_each(lambda *size: use.bill(*size).at_least)[0])

    def link_words(self, use: DeviceUse) -> Array:
        """Return the words over the link in one iteration, both directions: (rows, columns)."""
        return np.asarray(self.at_each(use.words)[0])


@dataclass(frozen=True)
class Plane(Grid):
    """Predicted digital seconds over a grid.

    `digital` and `host` (by form of upload) are (SLOTS, rows, columns) per optimizer label, see `calibration`. `points`
    are the measured sizes (parameters, batch_size, outputs), `measured` (rows, columns) what lies between them,
    `distances` how far each cell is from those of an optimizer (0 between them).
    """

    calibrations: Calibrations
    digital: dict[str, Array]
    host: dict[str, Array]
    measured: Mask
    points: pd.DataFrame
    distances: Mapping[str, Array]

    def rated(self, seconds: Callable[[Iteration], float | None]) -> Array:
        """Return `seconds` of every cell's iteration, NaN for None: (rows, columns)."""
        return np.asarray(self.at_each(lambda *size: seconds(self.calibrations.counts.iteration(*size)))[0])


def plane(
    calibrations: Calibrations,
    axis: Axis,
    fixed: int,
    sizes: Sequence[int] = SIZES,
    values: Sequence[int] | None = None,
    *,
    between: bool = False,
) -> Plane:
    """Predict the digital times over `sizes` and `values` of `axis`, the other of b and d_z being `fixed`.

    `between`: only at cells between measured sizes; at the others there is no model.
    """
    counts, device = calibrations.counts, calibrations.device_label
    if values is None:
        outputs = tuple(value for value in OUTPUTS if value >= counts.fewest_outputs)
        values = BATCH_SIZES if axis == c.BATCH_SIZE else outputs
    model = cache(counts.layers)
    layers = tuple(
        tuple(model(n, fixed if axis == c.BATCH_SIZE else value) for n in sizes) for value in values
    )
    grid = Grid(axis, fixed, tuple(sizes), tuple(values), layers)
    measured = calibrations.covers(*grid.coordinates)
    if between:
        grid = replace(grid, layers=_where(measured, layers))

    def seconds(label: str, upload: str = "full") -> Array:
        def of_cell(n: int, b: int, d_z: int, model: Model) -> Array:
            return calibrations.seconds(label, (n, b, d_z), model, upload)

        return grid.at_each(of_cell, SLOTS)

    return Plane(
        **vars(grid),
        calibrations=calibrations,
        digital={label: seconds(label) for label in calibrations.digital},
        host={} if device is None else {upload: seconds(device, upload) for upload in ("full", "factored")},
        measured=measured,
        points=pd.concat([calibration.points for calibration in calibrations.by_label.values()]),
        distances={name: calibrations.distances(name, *grid.coordinates) for name in calibrations.by_label},
    )


def _where(kept: Mask, layers: Sequence[Sequence[Model | None]]) -> tuple[tuple[Model | None, ...], ...]:
    """Return the layers of the cells that are `kept`, None at the others."""
    return tuple(
        tuple(model if here else None for model, here in zip(*row, strict=True))
        for row in zip(layers, kept, strict=True)
    )
