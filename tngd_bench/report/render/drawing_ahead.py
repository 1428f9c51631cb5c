"""Charts as the bytes of files and elements of a page; another process draws some before the page is complete."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from markupsafe import Markup

from tngd_bench.report.document.charting import Chart, MissingFigure
from tngd_bench.report.document.formats import FIGURE_FILES
from tngd_bench.report.render import drawings
from tngd_bench.report.render.processes import Ahead, usable_processes

ChartKey = tuple[int, str, str, str]
"""What a drawing depends on: the figure itself, and the chart's name, heading and alternative text."""


@dataclass(frozen=True)
class Drawing:
    """A chart as the content of its `files`, by kind, and as an `element` of the page."""

    files: Mapping[str, bytes]
    element: Markup | None


def drawn(chart: Chart, kinds: Collection[str], inline: bool) -> Drawing | MissingFigure:
    """Return the chart as files of `kinds` and, if `inline`, as an element; where that fails, why."""
    try:
        document = drawings.svg(chart)
        draw: dict[str, Callable[[], bytes]] = {
            "svg": lambda: drawings.white(document).encode(),
            "png": lambda: drawings.png(chart),
            "pdf": lambda: drawings.pdf(chart),
        }
        files = {kind: draw[kind]() for kind in FIGURE_FILES if kind in kinds}
        # Safe by construction: matplotlib escapes text in SVG, `inline` escapes the alternative text.
        return Drawing(files, Markup(drawings.inline(chart, document)) if inline else None)  # noqa: S704
    except Exception as error:
        return MissingFigure.because(chart.heading, error)


def key_of(chart: Chart) -> ChartKey:
    """Return what the chart's drawing depends on; a chart that is only given another caption keeps it."""
    return id(chart.figure), chart.name, chart.heading, chart.alt


class DrawnAhead:
    """Charts drawn by another process while this one makes the rest of the page."""

    def __init__(self, kinds: Collection[str], inline: bool) -> None:
        self._draw = partial(drawn, kinds=kinds, inline=inline)
        self._charts: list[Chart] = []  # held, so that no other figure gets the identity of one of theirs
        self._ahead: Ahead[Chart, Drawing | MissingFigure] | None = None

    def begin(self, charts: Sequence[Chart]) -> None:
        """Draw `charts` from now on, where that needs no core of this process; called once."""
        if usable_processes(len(charts)) > 1:
            self._charts = list(charts)
            self._ahead = Ahead(self._draw, self._charts)

    def stop(self) -> Collection[ChartKey]:
        """Let no further chart be begun; return those that have been."""
        begun = 0 if self._ahead is None else self._ahead.stop()
        return {key_of(chart) for chart in self._charts[:begun]}

    def results(self) -> dict[ChartKey, Drawing | MissingFigure]:
        """Return the drawings of the charts begun, after `stop`."""
        made = [] if self._ahead is None else self._ahead.results()
        return {key_of(chart): drawing for chart, drawing in zip(self._charts, made, strict=False)}

    def close(self) -> None:
        """End the other process."""
        if self._ahead is not None:
            self._ahead.close()
