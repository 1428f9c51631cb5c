"""`tngd-bench export`: stored results in the formats of asv and pyperf."""

from collections.abc import Callable
from pathlib import Path

import click

from tngd_bench.cli.main import BAD_INPUT, OK, complain
from tngd_bench.cli.option_kinds import FOLDER, PATH, file_option
from tngd_bench.cli.study_options import plugin_option
from tngd_bench.cli.warnings import tell_ignored

_EPILOG = """\b
Examples:
  tngd-bench export reports/quick --asv .asv/results      then: asv publish
  tngd-bench export reports/quick --pyperf quick.json     then: python -m pyperf stats quick.json
"""


@click.command(epilog=_EPILOG)
@plugin_option
@click.argument("results", type=PATH)
@click.option("--asv", "asv_folder", type=FOLDER, help="A results folder of asv to add to.")
@click.option("--commit", help="The commit that asv files the results under.  [default: the store's own]")
@click.option(
    "--machine", help="asv's name of the machine.  [default: that in the folder with the same processor]"
)
@file_option("--pyperf", "pyperf_file", mark='"tngd_bench_version"', help="A pyperf suite to write.")
def command(
    results: Path, asv_folder: Path | None, commit: str | None, machine: str | None, pyperf_file: Path | None
) -> int:
    """Write stored results for asv or pyperf. RESULTS is a study's output folder, the store in it or a packed store.

    Where one of two formats cannot be written the other is; the exit code is that of what went wrong.
    """
    from tngd_bench.studies.errors import StoreError, StudyError
    from tngd_bench.studies.store.export_asv import export_asv
    from tngd_bench.studies.store.export_pyperf import export_pyperf
    from tngd_bench.studies.store.records import read_records

    if asv_folder is None and pyperf_file is None:
        raise StudyError("nothing to export to; name --asv FOLDER or --pyperf FILE, or both")
    records = read_records(results)
    tell_ignored(records.ignored)
    exports: dict[str, Callable[[], tuple[Path, int]]] = {}
    if asv_folder is not None:
        exports["asv"] = lambda: export_asv(records, asv_folder, commit, machine)
    if pyperf_file is not None:
        exports["pyperf"] = lambda: (pyperf_file, export_pyperf(records, pyperf_file))
    code = OK
    for name, export in exports.items():
        try:
            file, count = export()
            click.echo(f"{name}: {count} benchmark{'' if count == 1 else 's'} in {file}")
        except (StudyError, StoreError) as error:
            code = complain(f"{name}: {error}", BAD_INPUT)
    return code
