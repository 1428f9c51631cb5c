"""`tngd-bench report`: the report again, from stored results."""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tngd_bench import arguments
from tngd_bench.cli.option_kinds import FOLDER, PATH, default_option, open_option, several_option
from tngd_bench.cli.stores import read_results, show_page, tell_missing, writing
from tngd_bench.cli.study_options import plugin_option
from tngd_bench.cli.warnings import note
from tngd_bench.report.document.formats import (
    DATA_FILES,
    DEFAULT_FILES,
    FIGURE_FILES,
    FIGURES,
    FORMATS,
    PAPERS,
    check_formats,
    files_beside,
)

if TYPE_CHECKING:
    from tngd_bench.report import ReportFiles

_EPILOG = """\b
Examples:
  tngd-bench report reports/quick --open
  tngd-bench report reports/quick --output elsewhere --format html,md,pdf,tex
  tngd-bench report reports/quick --brief --paper letter
  tngd-bench report reports/quick --format html,comment --base-url https://example.org/reports/quick
  tngd-bench report reports/paper --beside reports/paper-fashion
"""


@click.command(epilog=_EPILOG)
@plugin_option
@click.argument("results", type=PATH)
@click.option("--output", type=FOLDER, help="Folder for the report.  [default: beside the store]")
@default_option(
    "--format",
    "formats",
    default="html,md",
    metavar="LIST",
    help=f"Any of {', '.join(FORMATS)}, with commas.",
)
@click.option(
    "--brief", "formats", flag_value="brief", help="One printed side, PDF and Markdown: --format brief."
)
@default_option(
    "--files",
    default=",".join(DEFAULT_FILES),
    metavar="LIST",
    help=f"Files of each figure and table: any of {', '.join(FIGURE_FILES + DATA_FILES)}, with commas.",
)
@default_option(
    "--figures",
    type=click.Choice(FIGURES),
    default="all",
    help="Figures that get files; front: those before the page's appendix. The page has all.",
)
@default_option("--paper", type=click.Choice(list(PAPERS)), default="a4", help="Paper of PDF files.")
@click.option(
    "--base-url", metavar="URL", default="", help="Where a comment's readers find this report's folder."
)
@several_option(
    "--beside",
    "others",
    type=PATH,
    help="Results of another study, such as one on other data: claims are judged on both, side by side. Repeatable.",
)
@click.option(
    "--host-processor",
    metavar="NAME",
    help="Processor of a device's host and of its rivals, for energies.  [default: h100]",
)
@click.option(
    "--host-watts",
    type=float,
    help="Power of the measured machine while it works, for energies.  [default: unknown]",
)
@open_option
def command(
    results: Path,
    output: Path | None,
    formats: str,
    files: str,
    figures: str,
    paper: str,
    base_url: str,
    others: tuple[Path, ...],
    host_processor: str | None,
    host_watts: float | None,
    show: bool,
) -> int:
    """Write a report from stored results. RESULTS is a study's output folder, the store in it or a packed store.

    A format written earlier and not asked for now stays if it was made from the same records by the same version, and
    is removed, with a note, if not.
    """
    from tngd_bench.studies.errors import StoreError
    from tngd_bench.studies.store.packed import find_store

    wanted, kinds = _formats(formats), _names(files)
    _check_files(wanted, kinds, figures)
    if show and "html" not in wanted:
        raise click.UsageError(f"--open shows the page, and --format {formats} writes none; add html")
    address = _address(base_url, wanted)
    store = find_store(results)
    place = output if output is not None else store.path.parent

    from tngd_bench.report import build_report

    stores = [store, *(find_store(other) for other in others)]
    read = read_results(stores, "report")
    names = [records.study.get("name") for records in read]
    if len(set(names)) < len(names):
        raise StoreError(f"--beside takes studies of different names, not {', '.join(map(str, names))}")
    read[0] = replace(read[0], environment={**read[0].environment, **_host(host_processor, host_watts)})
    beside = [(records, each.path) for records, each in zip(read[1:], stores[1:], strict=True)]
    with writing(place):
        made = build_report(
            read[0],
            place,
            formats=wanted,
            files=kinds,
            figures=figures,
            store=store.path,
            beside=beside,
            paper=paper,
            address=address,
        )
    _tell(made, place, shown="html" in wanted)
    if show:
        show_page(made.html)
    return tell_missing(made.missing)


def _host(processor: str | None, watts: float | None) -> dict[str, object]:
    """Return what is asked of the host in energies, as entries of an environment."""
    from tngd_bench.report.map.energy_chart import HOST_WATTS, PROCESSOR
    from tngd_bench.spu.processor import Processor

    asked: dict[str, object] = {}
    try:
        if watts is not None:
            asked[HOST_WATTS] = arguments.real("--host-watts", watts, above=0.0)
        if processor is not None:
            asked[PROCESSOR] = Processor.named(processor).name
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    return asked


def _tell(made: "ReportFiles", place: Path, *, shown: bool) -> None:
    from tngd_bench.cli.progress import make_console
    from tngd_bench.report import terminal_summary

    make_console().print(terminal_summary(made.results, made.answer))
    tables = [path for path in made.documents if path.suffix == ".tex"]
    for path in [*([made.html] if shown else []), *made.documents]:
        if path not in tables:
            click.echo(f"report: {path}")
    if tables:
        click.echo(f"report: {len(tables)} LaTeX tables in {tables[0].parent}")
    if made.removed:
        gone = ", ".join(str(path.relative_to(place)) for path in made.removed)
        note(f"removed {gone}, made earlier from other records or by another version")


def _check_files(formats: tuple[str, ...], files: tuple[str, ...], figures: str) -> None:
    try:
        files_beside(formats, files, figures)
    except ValueError as error:
        raise click.UsageError(f"--{error}") from None


def _address(base_url: str, wanted: tuple[str, ...]) -> str:
    if base_url and "comment" not in wanted:
        raise click.UsageError("--base-url is for a comment's links; add comment to --format")
    if base_url and not re.fullmatch(r"https?://[^\s()<>|\[\]\"`\\]+", base_url):
        raise click.UsageError(
            f"--base-url takes an http(s) address without blanks, brackets or quotes, not {base_url!r}"
        )
    return base_url.rstrip("/")


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _formats(text: str) -> tuple[str, ...]:
    wanted = _names(text)
    unknown = [name for name in wanted if name not in FORMATS]
    if unknown or not wanted:
        named = repr(unknown[0]) if unknown else "nothing"
        raise click.UsageError(
            f"--format takes any of {', '.join(FORMATS)}, separated by commas, not {named}"
        )
    try:
        check_formats(wanted)
    except ValueError as error:
        raise click.UsageError(f"--format: {error}") from None
    return wanted
