"""`tngd-bench compare`: two stores side by side."""

from __future__ import annotations

from pathlib import Path

import click

from tngd_bench.cli.stores import read_results, show_page, tell_missing, writing
from tngd_bench.cli.study_options import plugin_option

_EPILOG = """\b
Example:
  tngd-bench compare reports/quick elsewhere/quick --output reports/compared

Nothing here is judged: `tngd-bench check` says whether a difference is a regression.
"""


@click.command(epilog=_EPILOG)
@plugin_option
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
def command(a: Path, b: Path, output: Path, show: bool) -> int:
    """Compare the results B with the results A: paired ratios, and what differs in study and environment."""
    from tngd_bench.studies.store.packed import find_store

    stores = [find_store(place) for place in (a, b)]

    from tngd_bench.report.compare.comparison import build_comparison

    first, second = read_results(stores, "compare")
    with writing(output):
        html, md, told, missing = build_comparison(first, second, (str(a), str(b)), output)
    for term, sentence in told:
        click.echo(f"{term}: {sentence}")
    click.echo(f"report: {html}")
    click.echo(f"report: {md}")
    if show:
        show_page(html)
    return tell_missing(missing)
