"""Losses of training runs as the paper shows them: the mini-batch loss smoothed by a trailing moving average.

The average is over 200 points, over an eighth of the run where that is shorter.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from tngd_bench.analysis.arrays import Array, Mask
from tngd_bench.analysis.training.convergence import PAPER_WINDOW, moving_average
from tngd_bench.studies.store import columns as c

_CLOCKS = (c.ITERATION, c.MEASURED_S, c.MODELLED_S)
_SHORTEST_SHARE = 8


@dataclass(frozen=True)
class LossCurve:
    """A run by iteration: its `clocks` by column, (points,), and its smoothed `loss` at the points that are `known`."""

    clocks: Mapping[str, Array]
    known: Mask
    loss: Array

    def passed(self, clock: str) -> Array:
        """Return the clock at the known points."""
        return self.clocks[clock][self.known]


class LossCurves:
    """The loss curves of runs in `curves` by key, each made once."""

    def __init__(self, curves: pd.DataFrame) -> None:
        self._curves = curves
        self._made: dict[str, LossCurve | None] = {}

    def of(self, key: str) -> LossCurve | None:
        """Return the loss curve of a run; None for one without points."""
        if key not in self._made:
            places = self._places.get(key)
            self._made[key] = None if places is None else self._make(places)
        return self._made[key]

    @cached_property
    def _places(self) -> Mapping[str, npt.NDArray[np.intp]]:
        rows = self._curves.groupby(c.KEY, sort=False).indices
        return {str(key): np.asarray(places, np.intp) for key, places in rows.items()}

    @cached_property
    def _columns(self) -> Mapping[str, Array]:
        wanted = [name for name in (*_CLOCKS, c.LOSS) if name in self._curves]
        return {name: self._curves[name].to_numpy(float) for name in wanted}

    def _make(self, places: npt.NDArray[np.intp]) -> LossCurve:
        ordered = places[np.argsort(self._columns[c.ITERATION][places], kind="stable")]
        values = {name: column[ordered] for name, column in self._columns.items()}
        losses = values.pop(c.LOSS)
        known = np.isfinite(losses)
        window = max(1, min(PAPER_WINDOW, int(known.sum()) // _SHORTEST_SHARE))
        return LossCurve(values, known, moving_average(losses[known], window))
