"""`tngd-bench report`: the report again, from stored results."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(epilog="\b\nExample:\n  tngd-bench report reports/quick --output elsewhere\n")
@click.argument("results", type=click.Path(path_type=Path))
@click.option(
    "--output", type=click.Path(path_type=Path), help="Folder for the report.  [default: beside the store]"
)
def command(results: Path, output: Path | None) -> None:
    """Write the report of RESULTS, a study's output folder or the store in it."""
    from tngd_bench.studies.errors import StoreError
    from tngd_bench.studies.store import Store

    store = Store.find(results)
    place = output if output is not None else store.path.parent

    from tngd_bench.report import build_report
    from tngd_bench.studies.records import read_records

    records = read_records(store.path)
    for name, reason in records.ignored.items():
        click.echo(f"tngd-bench: note: {name} {reason}; ignored", err=True)
    if records.trials.empty:
        raise StoreError(f"{store.path} holds no finished trial yet; there is nothing to report")
    try:
        files = build_report(records, place)
    except OSError as error:
        raise StoreError(f"output {place} cannot be written: {error.strerror or error}") from None
    click.echo(f"report: {files.html}")
