"""`tngd-bench compare`: two stores side by side."""

from pathlib import Path

import click

from tngd_bench.cli.option_kinds import FOLDER, PATH, default_option, open_option
from tngd_bench.cli.stores import read_results, show_page, tell_missing, writing
from tngd_bench.cli.study_options import plugin_option

_EPILOG = """\b
Example:
  tngd-bench compare reports/quick elsewhere/quick --output reports/compared

Nothing here is judged: `tngd-bench check` says whether a difference is a regression.
"""


@click.command(epilog=_EPILOG)
@plugin_option
@click.argument("a", type=PATH)
@click.argument("b", type=PATH)
@default_option("--output", type=FOLDER, default=Path("reports/compare"), help="Folder for the page.")
@open_option
def command(a: Path, b: Path, output: Path, show: bool) -> int:
    """Compare results B with results A. Ratios are paired; what differs in study and environment is listed."""
    from tngd_bench.studies.store.packed import find_store

    stores = [find_store(place) for place in (a, b)]

    from tngd_bench.report.compare.comparison import build_comparison

    first, second = read_results(stores, "compare")
    with writing(output):
        html, md, told, missing = build_comparison(first, second, (str(a), str(b)), output)
    for term, sentence in told:
        click.echo(f"{term}: {sentence}")
    click.echo(f"report: {html}\nreport: {md}")
    if show:
        show_page(html)
    return tell_missing(missing)
