"""The register of figures: a figure is one function, wherever it stands in the report's rooms, that draws a chart.

    @figure_of("cost", "time per iteration", cases=_series)
    def time_chart(results: Results, series: CostSeries) -> Chart | None: ...

The section "cost" then shows its chart of every case (None: there is nothing to show). Files, manifest, the other
formats and the notes on figures that could not be drawn follow from what the sections show.
"""

import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from tngd_bench.report.document.charting import Chart, MissingFigure

_ROOMS = "tngd_bench.report"
Draw = Callable[..., Chart | None]


@dataclass(frozen=True)
class Figure:
    """A registered figure of the section with the anchor `section`; `shows` names it where it could not be drawn.

    `cases` returns from what the section is made of the cases that have a chart each, and `draw` gets both; without
    `cases` there is one chart. Figures stand in the order of their `place`; those of one place take turns, case by
    case.
    """

    section: str
    shows: str
    draw: Draw
    cases: Callable[[Any], Iterable[Any]] | None
    place: int

    def __call__(self, *arguments: Any) -> Chart | None:
        """Draw one chart."""
        return self.draw(*arguments)

    def charts(self, subject: Any) -> list[tuple[int, int, Chart]]:
        """Return place, number of the case and chart of every case; one that fails stands for what it would show."""
        try:
            cases = [(subject, case) for case in self.cases(subject)] if self.cases else [(subject,)]
        except Exception as error:
            return [(self.place, 0, Chart.failed(MissingFigure.because(self.shows, error)))]
        made = ((self.place, number, self._guarded(case)) for number, case in enumerate(cases))
        return [(place, number, chart) for place, number, chart in made if chart is not None]

    def _guarded(self, arguments: tuple[Any, ...]) -> Chart | None:
        try:
            return self.draw(*arguments)
        except Exception as error:
            return Chart.failed(MissingFigure.because(self.shows, error))


def figure_of(
    section: str, shows: str, *, cases: Callable[[Any], Iterable[Any]] | None = None, place: int = 0
) -> Callable[[Draw], Figure]:
    """Register the function below as a figure of a section; see `Figure`."""
    return lambda draw: Figure(section, shows, draw, cases, place)


@cache
def registered() -> tuple[Figure, ...]:
    """Return the figures of all modules of the report, in the order of their modules' names."""
    modules = pkgutil.walk_packages(import_module(_ROOMS).__path__, f"{_ROOMS}.")
    found = (value for module in modules for value in vars(import_module(module.name)).values())
    return tuple(dict.fromkeys(value for value in found if isinstance(value, Figure)))


def charts_of(section: str, subject: Any) -> tuple[Chart, ...]:
    """Return the charts of a section made of `subject`; call it inside `charting.style()`."""
    return in_order([each for each in registered() if each.section == section], subject)


def in_order(figures: Iterable[Figure], subject: Any) -> tuple[Chart, ...]:
    """Return the charts of `figures` made of `subject`, by place and case."""
    made = [chart for each in figures for chart in each.charts(subject)]
    return tuple(chart for _, _, chart in sorted(made, key=lambda entry: entry[:2]))
