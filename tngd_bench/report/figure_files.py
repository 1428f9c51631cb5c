"""Writing charts as files: SVG, PNG and PDF of each, in as many processes as there are cores."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from markupsafe import Markup

from tngd_bench.report import drawing
from tngd_bench.report.drawing import Chart
from tngd_bench.report.processes import in_processes
from tngd_bench.report.written import write


def write_figures(
    charts: Sequence[Chart], folder: Path, *, inline: bool = True, processes: int | None = None
) -> tuple[list[Path], dict[str, Markup]]:
    """Write `charts` into `folder`; return the files, and the drawings for a page by name (none if not `inline`).

    The bytes do not depend on how many `processes` draw (one per core if left out). OSError if a file cannot be
    written.
    """
    written = in_processes(partial(_write_chart, folder=folder, inline=inline), charts, processes)
    paths = [path for files, _ in written for path in files]
    drawings = {
        chart.name: drawn for chart, (_, drawn) in zip(charts, written, strict=True) if drawn is not None
    }
    return paths, drawings


def _write_chart(chart: Chart, *, folder: Path, inline: bool) -> tuple[list[Path], Markup | None]:
    document = drawing.svg(chart)
    contents = {
        "svg": drawing.white(document).encode(),
        "png": drawing.png(chart),
        "pdf": drawing.pdf(chart),
    }
    paths = [write(folder / f"{chart.name}.{kind}", content) for kind, content in contents.items()]
    # Safe by construction: matplotlib escapes text in SVG, `inline` escapes the alternative text.
    return paths, Markup(drawing.inline(chart, document)) if inline else None  # noqa: S704
