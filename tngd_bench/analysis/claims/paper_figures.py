"""The paper's figures as data, and what our records hold for each."""

import math
import re
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import pandas as pd

from tngd_bench import arguments
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.training.convergence import finished_curves, smoothed_bands
from tngd_bench.studies.store import columns as c

POINT_COLUMNS = [c.PROBLEM, c.OPTIMIZER, "x", "mean", "std", "low", "median", "high", "seeds"]
POINTS = 160
"""About so many points of a curve are kept: a curve smoothed over 200 iterations needs no more."""
_AXES = {"x": (c.PARAMETERS, c.OUTPUTS, c.ITERATION, c.MODELLED_S), "y": (c.TOTAL_S, c.LOSS, "test_error")}


@dataclass(frozen=True)
class FigureEntry:
    """A figure as read from `paper_figures.toml`; its keys are explained there."""

    id: str
    title: str
    groups: tuple[str, ...]
    x: str
    y: str
    optimizers: tuple[str, ...]
    window: int = 1

    def __post_init__(self) -> None:
        """Refuse an axis that is not known."""
        for name, accepted in _AXES.items():
            arguments.choice(name, getattr(self, name), accepted)

    @property
    def number(self) -> str:
        """The figure's number in the paper: "Figure 3(a)"."""
        number = re.sub(r"^fig(?=\d)", "Figure ", self.id)
        return re.sub(r"(?<=\d)([a-z])$", r"(\1)", number)


def load_figures() -> tuple[FigureEntry, ...]:
    """Return the paper's figures, in the order of their file."""
    text = files("tngd_bench.analysis.claims").joinpath("paper_figures.toml").read_text(encoding="utf-8")
    entries: list[dict[str, Any]] = tomllib.loads(text)["figure"]
    return tuple(
        FigureEntry(**{**entry, "groups": tuple(entry["groups"]), "optimizers": tuple(entry["optimizers"])})
        for entry in entries
    )


def figure_points(figure: FigureEntry, results: Results) -> pd.DataFrame:
    """Return the points to draw: one row per problem, optimizer and point, optimizers in the figure's order.

    Columns: problem, optimizer, `x` and its summary over seeds (over timed iterations for a cost): `mean`, `std`,
    quartiles `low`, `median`, `high`, and `seeds`, how many they are of. Long curves are thinned evenly to about
    `POINTS`, after smoothing. Empty where the records hold nothing for it.
    """
    rows = []
    trials = results.trials
    here = trials[trials[c.GROUP].isin(figure.groups) & trials[c.OPTIMIZER].isin(figure.optimizers)]
    for problem, part in here.groupby(c.PROBLEM, sort=True):
        frame = _costs(figure, part, results) if figure.y == c.TOTAL_S else _curves(figure, part, results)
        rows.append(frame.assign(problem=problem))
    joined = c.joined(rows, POINT_COLUMNS)
    place = joined[c.OPTIMIZER].map({name: place for place, name in enumerate(figure.optimizers)})
    keyed = joined.assign(place=place).sort_values([c.PROBLEM, "place", "x"], kind="stable")
    return keyed[POINT_COLUMNS].reset_index(drop=True)


def _costs(figure: FigureEntry, trials: pd.DataFrame, results: Results) -> pd.DataFrame:
    clean = results.finished_costs
    clean = clean[clean[c.KEY].isin(trials[c.KEY])]
    rows = []
    for (optimizer, x), part in clean.groupby([c.OPTIMIZER, figure.x], sort=True):
        times = part[c.TOTAL_S].astype(float)
        low, median, high = times.quantile([0.25, 0.5, 0.75])
        rows.append((str(optimizer), float(str(x)), times.mean(), times.std(), low, median, high, len(times)))
    return pd.DataFrame(rows, columns=POINT_COLUMNS[1:])


def _curves(figure: FigureEntry, trials: pd.DataFrame, results: Results) -> pd.DataFrame:
    own = finished_curves(results.curves, trials)
    if figure.y == "test_error":
        own = own.assign(test_error=1.0 - own["test_accuracy"].astype(float))
    known = own[own[figure.y].notna()]
    longest = int(known.groupby(c.KEY).size().max()) if len(known) else 0
    bands = smoothed_bands(own, figure.y, figure.window, every=max(1, math.ceil(longest / POINTS)))
    return bands.assign(x=bands[figure.x])[bands[figure.x].notna()]  # no x: see `one_clock`
