"""`tngd-bench null-runs`: what times shift by from run to run on this machine, for the pages of later studies."""

from pathlib import Path

import click

from tngd_bench.cli.main import FAILED, OK, complain
from tngd_bench.cli.option_kinds import FOLDER, default_option
from tngd_bench.cli.study_options import command_line, study_options, study_words

_EPILOG = """\b
Examples:
  tngd-bench null-runs
  tngd-bench null-runs --set execution.threads_cost=2

The spread is kept for this processor, torch and number of threads. Every later `tngd-bench run`
here copies it into its store, and pages state it in place of an assumed one.
On a machine with other work the runs may be too noisy to tell; they then leave nothing.
"""


@click.command(epilog=_EPILOG)
@study_options(default="null-runs")
@default_option("--runs", type=click.IntRange(min=2, max=100), default=3, help="Number of runs.")
@click.option("--output", type=FOLDER, help="Folder for the runs.  [default: reports/NAME]")
def command(
    study: str, profile: str | None, overrides: tuple[str, ...], runs: int, output: Path | None
) -> int:
    """Measure what times shift by from run to run. STUDY runs several times, unchanged; it must time something."""
    from tngd_bench.studies.errors import StudyError
    from tngd_bench.studies.file.reading import load_study

    loaded = load_study(study, overrides, profile)
    if not any(section.enabled for section in loaded.study.cost):
        raise StudyError(f"{study} has no cost section; accepted: a study that times optimizers")
    place = output if output is not None else loaded.folder

    from tngd_bench.analysis.statistics.run_spread import left_by, run_spread_of
    from tngd_bench.cli.progress import make_audience, make_console
    from tngd_bench.cli.signals import resumable
    from tngd_bench.studies.run.run_study import run_study
    from tngd_bench.studies.store import run_spread
    from tngd_bench.studies.store.records import read_records

    words = ["tngd-bench", "null-runs", *study_words(study, profile, overrides), "--runs", str(runs)]
    folders = [place / f"run-{number}" for number in range(1, runs + 1)]
    for folder in folders:
        audience = make_audience(make_console())
        with resumable(audience, folder), audience:
            run_study(loaded, folder, audience, command=command_line(words))
    found = [read_records(folder) for folder in folders]
    environment = found[-1].environment
    try:
        left = left_by(found, str(environment["started"])[:10])
    except ValueError as error:
        return complain(f"{error}; the runs are in {place}", FAILED)
    kept = run_spread.keep(environment, left)
    click.echo(f"from run to run: {run_spread_of({run_spread.FIELD: left}).words}; kept in {kept}")
    return OK
