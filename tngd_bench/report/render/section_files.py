"""Files of sections: the figures and the data behind figures and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from tngd_bench.atomic_write import write
from tngd_bench.report.document.charting import Chart, MissingFigure
from tngd_bench.report.document.section import Section, without_missing
from tngd_bench.report.document.tables import Table
from tngd_bench.report.render.figure_files import write_figures


@dataclass(frozen=True)
class SectionFiles:
    """The files of `sections`, which lack the figures that could not be drawn, and the drawings for a page."""

    sections: tuple[Section, ...]
    missing: tuple[MissingFigure, ...]
    figures: tuple[Path, ...]
    data: tuple[Path, ...]
    drawings: Mapping[str, Markup]


def write_sections(sections: Sequence[Section], output: Path, *, inline: bool = True) -> SectionFiles:
    """Write figures and data into folders of `output`; see `write_figures`."""
    charts = [chart for section in sections for chart in section.charts]
    figures, drawings, undrawn = write_figures(charts, output / "figures", inline=inline)
    kept, missing = without_missing(sections, undrawn)
    # a figure that could not be drawn still has numbers
    shown: list[Chart | Table] = [chart for chart in charts if chart.missing is None]
    shown += [table for section in kept for table in section.tables if table.rows]
    data = [path for item in shown for path in write_data(item.name, item.data, output / "data")]
    return SectionFiles(kept, missing, tuple(figures), tuple(data), drawings)


def write_data(name: str, data: pd.DataFrame, folder: Path) -> tuple[Path, Path]:
    """Write a frame as CSV and Parquet."""
    frame = data.reset_index(drop=True)
    for column in frame.columns:
        if frame[column].map(lambda value: isinstance(value, tuple)).any():
            frame[column] = frame[column].map(lambda value: " ".join(map(str, value)))
    csv = write(folder / f"{name}.csv", frame.to_csv(index=False, lineterminator="\n").encode())
    # Columns without a value have no type of their own; as text they read the same everywhere.
    untyped = [name for name in frame.columns if frame[name].isna().all() and frame[name].dtype == object]
    content = frame.astype(dict.fromkeys(untyped, "string")).to_parquet(index=False)
    return csv, write(folder / f"{name}.parquet", content)
