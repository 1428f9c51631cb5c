"""`tngd-bench run`: a study from its file to its report."""

import gc
import time
from pathlib import Path

import click

from tngd_bench.cli.option_kinds import output_option
from tngd_bench.cli.stores import tell_failed, tell_missing, writing
from tngd_bench.cli.study_options import command_line, rerun_options, study_options, study_words
from tngd_bench.cli.warnings import tell_ignored

_EPILOG = """\b
Examples:
  tngd-bench run
  tngd-bench run smoke --output out
  tngd-bench run quick --profile smoke
  tngd-bench run my-study.toml --set training.mnist.epochs=2 --set optimizer.tngd.damping=0.1

An interrupted study goes on where it stopped when the same command is given again.
Trials whose code has changed since are run again; their old results move to store/earlier.
"""


@click.command(epilog=_EPILOG)
@study_options(default="quick")
@output_option("results and report")
@click.option(
    "--scheduler", metavar="ADDRESS", help="Run the trials on the workers of this Dask scheduler (tcp://…)."
)
@rerun_options
def command(
    study: str,
    profile: str | None,
    output: Path | None,
    overrides: tuple[str, ...],
    fresh: bool,
    keep_old: bool,
    scheduler: str | None,
) -> int:
    """Run a study and write its report. STUDY is a shipped study's name or a .toml file."""
    began = time.monotonic()
    from tngd_bench.studies import Study

    chosen = Study.read(study, overrides, profile)
    place = output if output is not None else chosen.loaded.folder
    if scheduler is None:
        chosen.load_workers()

    from tngd_bench.cli.progress import against_plan, make_audience, make_console
    from tngd_bench.cli.signals import resumable
    from tngd_bench.report import build_report, terminal_summary  # now: the workers are loading too
    from tngd_bench.report.build import refuse_other_files

    with writing(place):
        refuse_other_files(place)

    console = make_console()
    audience = make_audience(console)
    again = command_line(["tngd-bench", "run", *study_words(study, profile, overrides)])
    with resumable(audience, place):
        with audience:
            result = chosen.run(
                place, audience, fresh=fresh, keep_old=keep_old, command=again, scheduler=scheduler
            )
        tell_ignored(result.ignored)

        from tngd_bench.studies.store.records import read_records
        from tngd_bench.studies.store.store import STORE_FOLDER

        gc.freeze()  # what is loaded by now is no garbage, and a search of all of it takes 0.2 s
        records = read_records(place)
        with writing(place):
            files = build_report(records, place, store=place / STORE_FOLDER)
    console.print(terminal_summary(files.results, files.answer))
    if told := against_plan(time.monotonic() - began, audience.planned_s):
        click.echo(told)
    click.echo(f"report: {files.html}")
    missing = tell_missing(files.missing)
    return tell_failed(records.trials, "trial") or missing
