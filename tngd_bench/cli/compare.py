"""`tngd-bench compare`: two stores side by side."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from tngd_bench.cli.notes import tell_ignored

_EPILOG = """\b
Example:
  tngd-bench compare reports/quick elsewhere/quick --output reports/compared

Nothing here is judged: `tngd-bench check` says whether a difference is a regression.
"""


@click.command(epilog=_EPILOG)
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("reports/compare"),
    show_default=True,
    help="Folder for the page.",
)
@click.option("--open", "show", is_flag=True, help="Show the page in the browser.")
def command(a: Path, b: Path, output: Path, show: bool) -> None:
    """Compare the results B with the results A: paired ratios, and what differs in study and environment."""
    from tngd_bench.studies.errors import StoreError
    from tngd_bench.studies.store import Store

    stores = [Store.find(place) for place in (a, b)]

    from tngd_bench.report.comparison import build_comparison
    from tngd_bench.studies.records import read_records

    records = [read_records(store.path) for store in stores]
    for store, found in zip(stores, records, strict=True):
        tell_ignored(found.ignored)
        if found.trials.empty:
            raise StoreError(f"{store.path} holds no finished trial yet; there is nothing to compare")
    try:
        html, md, told = build_comparison(records[0], records[1], (str(a), str(b)), output)
    except OSError as error:
        raise StoreError(f"output {output} cannot be written: {error.strerror or error}") from None
    for term, sentence in told:
        click.echo(f"{term}: {sentence}")
    click.echo(f"report: {html}")
    click.echo(f"report: {md}")
    if show and not webbrowser.open(html.resolve().as_uri()):
        click.echo("tngd-bench: note: no browser was found to open the page", err=True)
