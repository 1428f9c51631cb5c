"""Building a report: the page, its figures and data, and the same in Markdown, LaTeX and PDF."""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from tngd_bench import __version__
from tngd_bench.analysis.findings.answer import Answer
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.training.final_scores import final_values
from tngd_bench.atomic_write import write
from tngd_bench.measure.gc_control import collected_by_hand
from tngd_bench.report.document import charting
from tngd_bench.report.document.charting import MissingFigure
from tngd_bench.report.document.formats import (
    DEFAULT_FILES,
    DEFAULT_FORMATS,
    DOCUMENTS,
    check_formats,
    files_beside,
)
from tngd_bench.report.document.outline import Contents, contents
from tngd_bench.report.render import markdown, pdf
from tngd_bench.report.render.drawing_ahead import DrawnAhead
from tngd_bench.report.render.latex import latex
from tngd_bench.report.render.manifest import (
    MADE,
    digest,
    refuse_foreign,
    removed_documents,
    replace_manifest,
)
from tngd_bench.report.render.page import Address, render
from tngd_bench.report.render.section_files import SectionFiles, write_data, write_sections
from tngd_bench.studies.store import columns as c
from tngd_bench.studies.store.packed import store_at
from tngd_bench.studies.store.records import Records, read_records


@dataclass(frozen=True)
class ReportFiles:
    """The files of a report: the page (or where it would be), figures, data, documents in other formats.

    `answer` is what the page says first, `results` what it is made from.
    `removed`: documents of an earlier report that were out of date. `missing`: figures that could not be drawn, which
    the page names.
    """

    html: Path
    figures: tuple[Path, ...]
    data: tuple[Path, ...]
    documents: tuple[Path, ...]
    answer: Answer
    results: Results
    removed: tuple[Path, ...] = ()
    missing: tuple[MissingFigure, ...] = ()


def build_report(
    records: Records,
    output: Path,
    *,
    formats: Collection[str] = DEFAULT_FORMATS,
    files: Collection[str] = DEFAULT_FILES,
    figures: str = "all",
    store: Path | None = None,
    beside: Sequence[tuple[Records, Path]] = (),
    paper: str = "a4",
    address: str = "",
) -> ReportFiles:
    """Write the report of `records` into the directory `output`, made if absent; OSError if that cannot be written.

    StoreError, and nothing is written, where a document of somebody else or another page would go (`refuse_foreign`).

    `index.html` fetches nothing; `figures/` and `data/` hold the same figures and the numbers behind every figure and
    table, `data/trials.csv` how each trial ended, as the kinds of `files` (see `FIGURE_FILES`, `DATA_FILES`). With
    `figures` "front" those of the appendix are on the page and have no files. The
    other formats are `report.md`, `report.pdf`, `tables/*.tex`, `brief.md` and `brief.pdf`, and `comment.md`; `paper`
    is that of PDF files (see `PAPERS`). Readers of a comment find the directory at `address`, "" for nowhere.
    Records named in tables are links if `store` lies in `output`. `beside`: further studies, with their stores, on
    which claims are judged too; ValueError where two have one name. Files of an earlier report that this one does not
    write are removed, but for documents in formats not asked for that were made from the same records by the same
    version. The same records give the same bytes. A figure that cannot be drawn is left out, and the page says so.
    """
    check_formats(formats)
    refuse_other_files(output, formats)
    kinds = files_beside(formats, files, figures)
    others = _by_name(records, beside)
    trend, results = trend_link(output), Results(records)
    inline, further = "html" in formats, {name: other for name, (other, _) in others.items()}
    content, parts = _drawn(results, further, output, kinds, inline=inline, every_file=figures == "all")
    ends = trial_ends(records)
    data = (*parts.data, *write_data("trials", ends, output / "data", kinds))
    html = output / "index.html"
    written = [*parts.figures, *data]
    if inline:  # the first: beside it, a document of a report that was broken off is known as ours
        near, around = _addresses(store, output.resolve()), output.resolve().parent
        # a second study's folder is expected beside this one's
        stores = {name: _addresses(place, around, "..") for name, (_, place) in others.items()}
        write(html, render(content, records, parts.drawings, near, stores, trend, kinds).encode())
        written.append(html)
    rest = "" if "csv" in kinds else "on the page" if "html" in formats else "left out"
    texts = _documents(content, records, output, formats, paper, address, rest)
    documents = [
        write(output / name, text if isinstance(text, bytes) else text.encode()) for name, text in texts
    ]
    source = (ends, *(other.trials[[c.KEY, c.STATUS]] for other, _ in others.values()))
    made_from = digest(__version__.encode(), *(frame.to_csv(index=False).encode() for frame in source))
    removed = removed_documents(output, replace_manifest(output, [*written, *documents], made_from))
    made = html, parts.figures, data, tuple(documents)
    return ReportFiles(*made, content.answer, results, removed, content.missing)


def _drawn(
    results: Results,
    further: Mapping[str, Records],
    output: Path,
    kinds: Collection[str],
    *,
    inline: bool,
    every_file: bool,
) -> tuple[Contents, SectionFiles]:
    """Return the contents of the page, their figures and data written; with files of figures of the appendix or not."""
    with (
        charting.style(),
        collected_by_hand(),  # millions of rows and artists, and next to no garbage
        closing(DrawnAhead(kinds, inline)) as ahead,
    ):
        # a chart begun has its files, and until the page is complete nobody knows which go into the appendix
        content = contents(results, further, ahead.begin if every_file else lambda charts: None)
        folded = (replace(each, figure_files=every_file) for each in content.appendix)
        filed = (*content.sections, *folded)
        parts = write_sections(filed, output, kinds=kinds, inline=inline, ahead=ahead)
    return content.as_written(parts.sections, parts.missing), parts


def refuse_other_files(output: Path, formats: Collection[str] = DEFAULT_FORMATS) -> None:
    """Raise StoreError where a report in `formats` would write over a file that is none of its own."""
    refuse_foreign(output, "index.html", [name for kind in formats for name in DOCUMENTS[kind]])


def figures(source: Records | Path | str) -> dict[str, Figure]:
    """Return the figures of a study's report by name, as matplotlib has them: `figures("out")[NAME].axes`.

    `source` is its records, or the folder with its store. Those that cannot be drawn are not among them.
    """
    records = source if isinstance(source, Records) else read_records(Path(source))
    with charting.style():
        sections = contents(records, {}).every
    charts = (chart for section in sections for chart in section.charts if chart.missing is None)
    return {chart.name: chart.figure for chart in charts}


def _by_name(records: Records, beside: Sequence[tuple[Records, Path]]) -> dict[str, tuple[Records, Path]]:
    own, *others = (str(each.study.get("name", "study")) for each in (records, *(one for one, _ in beside)))
    for place, name in enumerate(others):
        if name in (own, *others[:place]):
            raise ValueError(f"studies side by side need names of their own, and two are called {name!r}")
    return dict(zip(others, beside, strict=True))


def _addresses(store: Path | None, folder: Path, way: str = ".") -> Address:
    """Return a function from a key to its record's path relative to a page; it gives None outside `folder`.

    `way` leads from the page to `folder`, with which the page may be moved.
    """
    files: Mapping[str, Path] = {}
    if store is not None and store.resolve().is_relative_to(folder):
        files = store_at(store).files_by_key()

    def address(key: str) -> str | None:
        return (Path(way) / files[key].resolve().relative_to(folder)).as_posix() if key in files else None

    return address


def trial_ends(records: Records) -> pd.DataFrame:
    """Return one row per trial, what was run and how it ended: what a record that a page names holds, in short.

    Training trials have their last values, cost trials the mean seconds of an iteration, `total_s`.
    """
    ends = final_values(records.trials, records.curves)
    last = [name for name in ends.columns if name not in records.trials.columns]
    timed = records.costs.groupby(c.KEY, as_index=False)[c.TOTAL_S].mean()
    trials = records.trials.drop(columns=c.SETTINGS)
    return trials.merge(ends[[c.KEY, *last]], on=c.KEY, how="left").merge(timed, on=c.KEY, how="left")


def _documents(
    content: Contents,
    records: Records,
    output: Path,
    formats: Collection[str],
    paper: str,
    address: str,
    rest: str,
) -> Iterator[tuple[str, str | bytes]]:
    """Yield name and text of each document in `formats`; the figures lie in `output`; `rest` as in `markdown`."""
    study = records.study
    title = str(study.get("title") or study.get("name") or "Study")
    version, command = study.get("version", "not stated"), study.get("command", "not recorded")
    made = f"{MADE} {version}: {command}"
    short = (title, content.answer, content.pictures, made)
    if "md" in formats:
        yield "report.md", markdown.markdown(title, content.first_screen(), content.every, made, rest)
    if "tex" in formats:
        tables = (table for section in content.every for table in section.tables if table.rows)
        yield from ((f"tables/{table.name}.tex", latex(table)) for table in tables)
    if "pdf" in formats:
        yield "report.pdf", pdf.pdf(content, title, output.resolve(), paper)
    if "brief" in formats:
        yield "brief.md", markdown.brief(*short)
        yield "brief.pdf", pdf.brief(*short, output.resolve(), paper)
    if "comment" in formats:
        yield "comment.md", markdown.comment(*short, content.every, address, rest)


SETTING = "TNGD_BENCH_TREND"
PUBLISHED = Path(".asv", "html", "index.html")
_REGRESSIONS = "#/regressions"


def trend_link(
    output: Path, directory: Path | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """Return the address of asv's regressions for a page in `output`, "" where none is published.

    The setting `TNGD_BENCH_TREND`, an http(s) address or the path of asv's page, comes first; else it is
    `.asv/html/index.html` under `directory` (default: the working directory), where `asv publish` writes it.
    ValueError where the setting is neither.
    """
    given = (os.environ if environment is None else environment).get(SETTING, "").strip()
    if re.match(r"https?://", given):
        return given if "#" in given else given + _REGRESSIONS
    page = Path(given) if given else (directory or Path.cwd()) / PUBLISHED
    if given and not page.is_file():
        raise ValueError(
            f"{SETTING} must be an http(s) address or the path of asv's index.html, not {given!r}"
        )
    if not page.is_file():
        return ""
    return Path(os.path.relpath(page.resolve(), output.resolve())).as_posix() + _REGRESSIONS
