"""`tngd-bench merge`: stores of one study joined into one."""

from pathlib import Path

import click

from tngd_bench.cli.main import OK
from tngd_bench.cli.option_kinds import FOLDER, PATH, flag_option

_EPILOG = """\b
Example:
  tngd-bench merge reports/part-1 reports/part-2 --output reports/whole
  tngd-bench merge reports/whole --compress --output reports/small

A store packed with --compress is one file, a fifth of the size. Everything reads it like a folder;
merging it without --compress unpacks it.

Then `tngd-bench report` on the output, or `tngd-bench run` with it to add what is missing.
"""


@click.command(epilog=_EPILOG)
@click.argument("places", nargs=-1, required=True, type=PATH, metavar="FOLDER FOLDER...")
@click.option("--output", type=FOLDER, required=True, help="Folder for the joined store.")
@flag_option("--mixed", help="Join times measured on machines of different classes too.")
@flag_option("--keep-old", help="Join results of different revisions of the code too.")
@flag_option("--compress", "packed", help="Pack the store into one file, store.parquet, to be kept or sent.")
def command(places: tuple[Path, ...], output: Path, mixed: bool, keep_old: bool, packed: bool) -> int:
    """Join results of one study that ran in parts. Each FOLDER is an output folder or a packed store."""
    from tngd_bench.cli.warnings import tell_ignored
    from tngd_bench.studies.store.merge import merge_stores

    merged = merge_stores(places, output, mixed=mixed, keep_old=keep_old, packed=packed)
    tell_ignored(merged.ignored)
    for (out, taken), number in merged.dropped.items():
        click.echo(f"{number} trials left out of {out}: taken from {taken}")
    click.echo(f"{merged.trials} trials: {merged.path}")
    return OK
