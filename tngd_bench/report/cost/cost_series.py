"""Series of costs: the rows of a section between which one of N, b and d_z changes, and the other two are held."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost.iteration_cost import SETTING
from tngd_bench.report.document.scales import AXES, SIGNS
from tngd_bench.studies.store import columns as c

_SAME_WIDTH = 1.06
"""Along b and d_z a model keeps its N but for the rounding of its width, 2 % each way."""


@dataclass(frozen=True)
class CostSeries:
    """Rows `part` of a summary (see `iteration_cost.summarise`) along `axis`, of one section on one problem.

    `held` has the values of the other two of N, b and d_z; N is the smallest of those that differ by their width.
    `shared` says that another section has a series of the same kind: then `where` names the section.
    """

    axis: str
    group: str
    problem: str
    held: Mapping[str, float]
    part: pd.DataFrame
    shared: bool = False

    @property
    def sign(self) -> str:
        """Return the name of the axis: N, b or d_z."""
        return SIGNS[self.axis]

    @property
    def title(self) -> str:
        """Return the label of the axis."""
        return AXES[self.axis]

    @property
    def where(self) -> str:
        """Return e.g. "digits-mlp, b = 32, d_z = 10", with "N ≈ 100,000" along b and d_z."""
        words = [
            f"{SIGNS[name]} {'≈' if name == c.PARAMETERS else '='} {quantities.count(_rounded(name, value))}"
            for name, value in self.held.items()
        ]
        return ", ".join([self.problem, *words, *([f"section {self.group}"] if self.shared else [])])

    @property
    def alone(self) -> bool:
        """Whether there is a single size along the axis."""
        return self.part[self.axis].nunique() == 1

    @property
    def slug_parts(self) -> tuple[object, ...]:
        """Return the parts of its file names that are its own."""
        values = (int(_rounded(name, value)) for name, value in self.held.items())
        return (*([] if self.axis == c.PARAMETERS else [self.sign]), self.group, *values)

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of `frame` (the columns of a setting and others) whose setting is in the series."""
        return frame.merge(self.part[SETTING].drop_duplicates(), on=SETTING)


def several(summary: pd.DataFrame) -> list[CostSeries]:
    """Return the series of `cover` that have several sizes: what is drawn against a size takes these."""
    return [series for series in cover(summary) if not series.alone]


def alone(summary: pd.DataFrame) -> list[CostSeries]:
    """Return the series of `cover` that have one size, at which optimizers can be compared and nothing grows."""
    return [series for series in cover(summary) if series.alone]


def along(summary: pd.DataFrame, axis: str) -> list[CostSeries]:
    """Return the series of `summary` with several sizes along `axis`, in order of section, problem and held values."""
    return [series for series in _series(summary, axis) if not series.alone]


def cover(summary: pd.DataFrame) -> list[CostSeries]:
    """Return series that hold every row of `summary` once, along N if it varies, else along b, else along d_z.

    What was measured at a single setting is a series along N of one size.
    """
    left, found = summary, []
    for axis in AXES:
        for series in along(left, axis):
            found.append(series)
            left = left.drop(index=series.part.index)
    return [*found, *_series(left, c.PARAMETERS)]


def _series(summary: pd.DataFrame, axis: str) -> list[CostSeries]:
    held = [name for name in AXES if name != axis]
    keys = summary[[c.GROUP, c.PROBLEM, *held]]
    if c.PARAMETERS in held:
        keys = keys.assign(parameters=_one_width(summary))
    found = []
    for names, part in summary.groupby([keys[name] for name in keys], sort=True):
        group, problem, *values = map(str, names)
        found.append(CostSeries(axis, group, problem, dict(zip(held, map(float, values), strict=True)), part))
    alike = Counter(series.where for series in found)
    return [replace(series, shared=alike[series.where] > 1) for series in found]


def _one_width(summary: pd.DataFrame) -> pd.Series:
    """Return N, replaced by the smallest of its section and problem that differs from it by rounding alone."""

    def least(sizes: pd.Series) -> pd.Series:
        chosen: dict[float, float] = {}
        first = 0.0
        for size in sorted(set(sizes)):
            first = first if size <= first * _SAME_WIDTH else size
            chosen[size] = first
        return sizes.map(chosen)

    return summary.groupby([c.GROUP, c.PROBLEM])[c.PARAMETERS].transform(least)


def _rounded(name: str, value: float) -> float:
    return float(f"{value:.1e}") if name == c.PARAMETERS else value
