"""The report of a study: one self-contained HTML page, its figures and its data."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from tngd_bench.report import drawing
from tngd_bench.report.contents import Contents, contents
from tngd_bench.report.drawing import Chart
from tngd_bench.report.marks import palette
from tngd_bench.report.tables import Table
from tngd_bench.studies.records import Records

_FINDINGS = ("Cost", "Convergence", "Noise")


@dataclass(frozen=True)
class ReportFiles:
    """What was written: the page, the figures (SVG and PNG), the data (CSV and Parquet), and the three findings."""

    html: Path
    figures: tuple[Path, ...]
    data: tuple[Path, ...]
    findings: tuple[str, ...]


def build_report(records: Records, output: Path) -> ReportFiles:
    """Write the report of `records` into the directory `output`, made if absent; OSError if that cannot be written.

    `index.html` fetches nothing; `figures/` and `data/` hold the same figures and the numbers behind every figure and
    table. The same records give the same bytes.
    """
    with drawing.style():
        content = contents(records)
    for folder in ("figures", "data"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    figures: list[Path] = []
    drawings: dict[str, Markup] = {}
    for chart in content.charts():
        document = drawing.svg(chart)
        # Safe by construction: matplotlib escapes text in SVG, `inline` escapes the alternative text.
        drawings[chart.name] = Markup(drawing.inline(chart, document))  # noqa: S704
        figures += [output / "figures" / f"{chart.name}.svg", output / "figures" / f"{chart.name}.png"]
        _write(figures[-2], drawing.white(document).encode())
        _write(figures[-1], drawing.png(chart))
    shown: list[Chart | Table] = [*content.charts(), *content.tables()]
    data = [path for item in shown for path in _write_data(item, output / "data")]
    html = output / "index.html"
    _write(html, render(content, records, drawings).encode())
    return ReportFiles(html, tuple(figures), tuple(data), content.findings.sentences())


def render(content: Contents, records: Records, drawings: dict[str, Markup]) -> str:
    """Return the page; `drawings` holds the inline SVG of every chart by name. All other text is escaped."""
    study = records.study
    templates = files("tngd_bench.report") / "templates"
    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    template = environment.from_string((templates / "page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        title=study.get("title") or study.get("name") or "Study",
        name=study.get("name", ""),
        version=study.get("version", "not stated"),
        description=study.get("description", ""),
        started=str(records.environment.get("started") or "").replace("T", " ").replace("+00:00", " UTC"),
        findings=tuple(zip(_FINDINGS, content.findings.sentences(), strict=True)),
        sections=content.sections,
        drawings=drawings,
        palette=palette(),
        css=Markup((templates / "style.css").read_text(encoding="utf-8")),  # noqa: S704 (our own file)
    )


def _write_data(item: Chart | Table, folder: Path) -> tuple[Path, Path]:
    frame = item.data.reset_index(drop=True)
    for name in frame.columns:
        if frame[name].map(lambda value: isinstance(value, tuple)).any():
            frame[name] = frame[name].map(lambda value: " ".join(map(str, value)))
    csv, parquet = folder / f"{item.name}.csv", folder / f"{item.name}.parquet"
    _write(csv, frame.to_csv(index=False, lineterminator="\n").encode())
    # Columns without a value have no type of their own; as text they read the same everywhere.
    untyped = [name for name in frame.columns if frame[name].isna().all() and frame[name].dtype == object]
    _write(parquet, frame.astype(dict.fromkeys(untyped, "string")).to_parquet(index=False))
    return csv, parquet


def _write(path: Path, content: bytes) -> None:
    """Write `content` aside and rename, so that a reader never finds half a file."""
    aside = path.with_name(f".{path.name}.part")
    aside.write_bytes(content)
    aside.replace(path)
