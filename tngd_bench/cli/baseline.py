"""`tngd-bench baseline`: the figures a check compares with, kept in a file with the reasons of their changes."""

from datetime import UTC, datetime
from pathlib import Path

import click

from tngd_bench.cli.check import DEFAULT_BASELINE
from tngd_bench.cli.main import FAILED, OK, complain
from tngd_bench.cli.option_kinds import FILE, default_option, path_option


@click.group("baseline")
def command() -> None:
    """Keep the figures that `tngd-bench check` compares with."""


@command.command(
    epilog='\b\nExample:\n  tngd-bench baseline update --reason "Lanczos takes a second pass of reorthogonalisation"\n'
)
@default_option("--file", type=FILE, default=DEFAULT_BASELINE, help="The baseline.")
@click.option("--reason", required=True, help="Why the figures change; kept in the file.")
@path_option(
    "--store", help="Take a study's figures, times too, from its store, in place of this tree's exact ones."
)
@click.option(
    "--meant",
    multiple=True,
    metavar="METRIC",
    help="A metric without a figure here, such as 'step time/kfac', whose change is meant too.",
)
def update(file: Path, reason: str, store: Path | None, meant: tuple[str, ...]) -> int:
    """Write this tree's exact figures into the baseline. They are measured, and kept with the reason."""
    from tngd_bench.check.baseline import read_baseline, refuse_unknown, updated, write_baseline
    from tngd_bench.check.gate import MetricFilter, measure_exact
    from tngd_bench.check.study_metrics import study_baseline
    from tngd_bench.check.trees import ProbeError, UnmeasuredError, present_tree
    from tngd_bench.measure.environment import git_revision, processor_name
    from tngd_bench.studies.errors import StudyError
    from tngd_bench.studies.store.records import read_records

    if not reason.strip():
        raise StudyError("--reason must say why the baseline changes; it is kept in the file")
    old = read_baseline(file) if file.exists() else None
    revision: str | None
    if store is not None:
        new = study_baseline(read_records(store))
        failures: dict[str, str] = {}
        revision = new.environment.get("git_revision")
    else:
        try:
            new, failures = measure_exact(present_tree(), MetricFilter(times=False))
        except (ProbeError, UnmeasuredError) as error:
            return complain(str(error), FAILED)
        revision = git_revision(present_tree() / "tngd_bench" / "measure")
    if failures:
        name, why = next(iter(failures.items()))
        return complain(f"{len(failures)} figures could not be measured, the first: {name}: {why}", FAILED)
    if not new.metrics:
        raise StudyError(f"{store} holds no figure that could be compared")
    refuse_unknown(meant, old, new)
    today = datetime.now(UTC).date().isoformat()
    changed = updated(
        old,
        new,
        reason=reason,
        date=today,
        revision=revision,
        intended=meant,
        processor=new.environment.get("cpu") if store is not None else processor_name(),
    )
    if changed is None:
        click.echo(f"baseline {file}: nothing changed")
        return OK
    write_baseline(file, changed)
    count = len(changed.history) - (len(old.history) if old else 0)
    click.echo(f"baseline {file}: {len(new.metrics)} figures" + (f", {count} of them changed" if old else ""))
    return OK
