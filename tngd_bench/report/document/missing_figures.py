"""Figures that could not be made: each leaves a note in its place, and the rest of the page is made all the same."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ParamSpec, TypeVar

import pandas as pd
from matplotlib.figure import Figure

from tngd_bench.report.document.charting import Chart
from tngd_bench.report.document.section import Section

P = ParamSpec("P")
Made = TypeVar("Made", Chart, Chart | None)


@dataclass(frozen=True)
class MissingFigure:
    """A figure that failed: its `heading`, or what it would show, the `error` in one line, and its traceback."""

    heading: str
    error: str
    trace: str

    @property
    def note(self) -> str:
        """Return what the page says in place of the figure."""
        return f"A figure is missing: “{self.heading}” could not be drawn ({self.error})."


def missing_figure(heading: str, error: Exception) -> MissingFigure:
    """Return why the figure of `heading` is missing: what was raised while it was made or drawn."""
    said = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
    return MissingFigure(heading, said, "".join(traceback.format_exception(error)))


def failed_chart(what: str, error: Exception) -> Chart:
    """Return what stands for charts that would show `what` until the page is put together."""
    return Chart("", what, "", "", Figure(), pd.DataFrame(), missing_figure(what, error))


def one_figure(what: str) -> Callable[[Callable[P, Made]], Callable[P, Made]]:
    """Decorate a function that makes one chart: where it raises, a failed chart stands for `what` it would show."""

    def decorate(make: Callable[P, Made]) -> Callable[P, Made]:
        @functools.wraps(make)
        def made(*args: P.args, **kwargs: P.kwargs) -> Made:
            try:
                return make(*args, **kwargs)
            except Exception as error:
                return failed_chart(what, error)

        return made

    return decorate


def several_figures(what: str) -> Callable[[Callable[P, list[Chart]]], Callable[P, list[Chart]]]:
    """Decorate a function that makes charts: where it raises before it makes them, one failed chart stands for all."""

    def decorate(make: Callable[P, list[Chart]]) -> Callable[P, list[Chart]]:
        @functools.wraps(make)
        def made(*args: P.args, **kwargs: P.kwargs) -> list[Chart]:
            try:
                return make(*args, **kwargs)
            except Exception as error:
                return [failed_chart(what, error)]

        return made

    return decorate


def without_missing(
    sections: Sequence[Section], undrawn: Mapping[str, MissingFigure]
) -> tuple[tuple[Section, ...], tuple[MissingFigure, ...]]:
    """Return the sections without the charts that failed, each of which leaves a note there, and why those failed.

    `undrawn`: the charts that were made and could not be drawn, by name.
    """
    found: list[MissingFigure] = []
    kept = []
    for section in sections:
        own = [why for chart in section.charts if (why := _why(chart, undrawn)) is not None]
        found += own
        kept.append(_without(section, undrawn, own) if own else section)
    return tuple(kept), tuple(found)


def _why(chart: Chart, undrawn: Mapping[str, MissingFigure]) -> MissingFigure | None:
    return chart.missing if chart.missing is not None else undrawn.get(chart.name)


def _without(section: Section, undrawn: Mapping[str, MissingFigure], own: Sequence[MissingFigure]) -> Section:
    def kept(charts: Sequence[Chart]) -> tuple[Chart, ...]:
        return tuple(chart for chart in charts if _why(chart, undrawn) is None)

    return replace(
        section,
        points=(*section.points, *dict.fromkeys(why.note for why in own)),
        charts=kept(section.charts),
        exhibits=tuple(replace(exhibit, charts=kept(exhibit.charts)) for exhibit in section.exhibits),
    )


def missing_words(missing: Sequence[MissingFigure]) -> str:
    """Return what the first screen says of figures that are missing; "" where none is."""
    if not missing:
        return ""
    named = "; ".join(dict.fromkeys(f"“{each.heading}” ({each.error})" for each in missing))
    number = f"{len(missing)} figure{'' if len(missing) == 1 else 's'}"
    return f"{number} could not be drawn and {'is' if len(missing) == 1 else 'are'} left out: {named}."
