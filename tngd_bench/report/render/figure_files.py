"""Writing charts as files: SVG, PNG and PDF of each, in as many processes as there are cores.

One that cannot be drawn does not keep the others from being written.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from markupsafe import Markup

from tngd_bench.atomic_write import write
from tngd_bench.report.document.charting import Chart, MissingFigure
from tngd_bench.report.render import drawings
from tngd_bench.report.render.processes import in_processes


def write_figures(
    charts: Sequence[Chart], folder: Path, *, inline: bool = True, processes: int | None = None
) -> tuple[list[Path], dict[str, Markup], dict[str, MissingFigure]]:
    """Write `charts` into `folder`; return the files, the drawings for a page by name (none if not `inline`), and why
    charts that could not be drawn are missing, by name.

    The bytes do not depend on how many `processes` draw (one per core if left out). OSError if a file cannot be
    written.
    """
    made = [chart for chart in charts if chart.missing is None]
    written = in_processes(partial(_write_chart, folder=folder, inline=inline), made, processes)
    paths: list[Path] = []
    shown, undrawn = {}, {}
    for chart, result in zip(made, written, strict=True):
        if isinstance(result, MissingFigure):
            undrawn[chart.name] = result
            continue
        files, drawn = result
        paths += files
        if drawn is not None:
            shown[chart.name] = drawn
    return paths, shown, undrawn


def _write_chart(
    chart: Chart, *, folder: Path, inline: bool
) -> tuple[list[Path], Markup | None] | MissingFigure:
    try:
        document = drawings.svg(chart)
        contents = {
            "svg": drawings.white(document).encode(),
            "png": drawings.png(chart),
            "pdf": drawings.pdf(chart),
        }
        # Safe by construction: matplotlib escapes text in SVG, `inline` escapes the alternative text.
        shown = Markup(drawings.inline(chart, document)) if inline else None  # noqa: S704
    except Exception as error:
        return MissingFigure.because(chart.heading, error)
    return [write(folder / f"{chart.name}.{kind}", content) for kind, content in contents.items()], shown
