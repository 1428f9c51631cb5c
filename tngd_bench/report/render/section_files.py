"""Files of sections: figures as SVG, PNG and PDF, drawn by as many processes as there are cores, and the data."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from tngd_bench.atomic_write import write
from tngd_bench.csv_text import csv_bytes
from tngd_bench.report.document.charting import Chart, MissingFigure
from tngd_bench.report.document.formats import DATA_FILES, DEFAULT_FILES, FIGURE_FILES
from tngd_bench.report.document.section import Section
from tngd_bench.report.document.tables import Table
from tngd_bench.report.render.drawing_ahead import Drawing, DrawnAhead, drawn, key_of
from tngd_bench.report.render.processes import in_processes, usable_processes


@dataclass(frozen=True)
class SectionFiles:
    """The files of `sections`, which lack the figures that could not be drawn, and the drawings for a page."""

    sections: tuple[Section, ...]
    missing: tuple[MissingFigure, ...]
    figures: tuple[Path, ...]
    data: tuple[Path, ...]
    drawings: Mapping[str, Markup]


def write_sections(
    sections: Sequence[Section],
    output: Path,
    *,
    kinds: Collection[str] = DEFAULT_FILES,
    inline: bool = True,
    ahead: DrawnAhead | None = None,
) -> SectionFiles:
    """Write figures and data as files of `kinds` into folders of `output`; see `write_figures`."""
    charts = [chart for section in sections for chart in section.charts]
    without = {chart.name for section in sections if not section.figure_files for chart in section.charts}
    # a figure that could not be drawn still has numbers
    shown: list[Chart | Table] = [chart for chart in charts if chart.missing is None]
    shown += [table for section in sections for table in section.tables if table.rows]
    data: list[Path] = []

    def write_numbers() -> None:
        for item in shown:
            data.extend(write_data(item.name, item.data, output / "data", kinds))

    figures, drawings, undrawn = write_figures(
        charts,
        output / "figures",
        kinds=kinds,
        inline=inline,
        without=without,
        ahead=ahead,
        meanwhile=write_numbers,
    )
    left = [section.without(undrawn) for section in sections]
    missing = tuple(why for _, lost in left for why in lost)
    return SectionFiles(tuple(each for each, _ in left), missing, tuple(figures), tuple(data), drawings)


def write_data(
    name: str, data: pd.DataFrame, folder: Path, kinds: Collection[str] = DATA_FILES
) -> tuple[Path, ...]:
    """Write a frame as files of `kinds`, CSV and Parquet."""
    frame = data.reset_index(drop=True)
    for column in frame.columns:
        if frame[column].map(lambda value: isinstance(value, tuple)).any():
            frame[column] = frame[column].map(lambda value: " ".join(map(str, value)))
    written = [write(folder / f"{name}.csv", csv_bytes(frame))] if "csv" in kinds else []
    if "parquet" not in kinds:
        return tuple(written)
    # Columns without a value have no type of their own; as text they read the same everywhere.
    untyped = [name for name in frame.columns if frame[name].isna().all() and frame[name].dtype == object]
    # Python's text and Arrow's (see `columns.typed`) are written alike.
    text: list[str] = list(frame.select_dtypes("str"))
    content = frame.astype(dict.fromkeys(text, "str") | dict.fromkeys(untyped, "string"))
    written.append(write(folder / f"{name}.parquet", content.to_parquet(index=False)))
    return tuple(written)


def write_figures(
    charts: Sequence[Chart],
    folder: Path,
    *,
    kinds: Collection[str] = FIGURE_FILES,
    inline: bool = True,
    without: Collection[str] = (),
    processes: int | None = None,
    ahead: DrawnAhead | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> tuple[list[Path], dict[str, Markup], dict[str, MissingFigure]]:
    """Write `charts` into `folder` as files of `kinds`; return the files, the drawings for a page by name (none if not
    `inline`), and why charts that could not be drawn are missing, by name. Charts called `without` get no files.

    The bytes do not depend on how many `processes` draw (one per core if left out), nor on those that were drawn
    `ahead`; `meanwhile` is called while they do. OSError if a file cannot be written.
    """
    made = [chart for chart in charts if chart.missing is None]
    begun = ahead.stop() if ahead else frozenset()
    rest = [chart for chart in made if key_of(chart) not in begun]

    def draw(chart: Chart) -> Drawing | MissingFigure:
        return drawn(chart, () if chart.name in without else kinds, inline)

    number = min(usable_processes(len(made)), len(rest)) if processes is None else processes
    late = iter(in_processes(draw, rest, number, meanwhile))
    early = ahead.results() if ahead else {}
    paths: list[Path] = []
    shown, undrawn = {}, {}
    for chart in made:
        key = key_of(chart)
        drawing = early[key] if key in early else next(late)
        if isinstance(drawing, MissingFigure):
            undrawn[chart.name] = drawing
            continue
        # here, not where it is drawn: those processes may be killed
        paths += [write(folder / f"{chart.name}.{kind}", content) for kind, content in drawing.files.items()]
        if drawing.element is not None:
            shown[chart.name] = drawing.element
    return paths, shown, undrawn
