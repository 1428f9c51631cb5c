"""`tngd-bench tune`: settings for the optimizers of a study, by the same number of tries for each."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tngd_bench.analysis import quantities
from tngd_bench.cli.main import FAILED, OK, complain
from tngd_bench.cli.option_kinds import flag_option, output_option, several_option
from tngd_bench.cli.stores import tell_failed
from tngd_bench.cli.study_options import command_line, rerun_options, study_options, study_words
from tngd_bench.cli.warnings import tell_ignored

if TYPE_CHECKING:
    from tngd_bench.studies.file.reading import LoadedStudy
    from tngd_bench.studies.tuning.run_search import SearchResult
    from tngd_bench.studies.tuning.search_study import Search

_EPILOG = """\b
Examples:
  tngd-bench tune my-study.toml
  tngd-bench tune smoke --section digits --trials 8 --optimizers sgd,tngd
  tngd-bench tune my-study.toml --plan
  tngd-bench tune my-study.toml --set tuning.epochs=0.5 --set execution.workers=2

Every optimizer is tried with its own settings and with as many drawn from its space, on a
part of the training data held out for it and on seeds of its own; the best few of each then
run the whole training on further seeds, which decides. The file tuned.toml that comes of it
is named in a study's include = [...], which may name it before it is there; adam[tuned] then
takes Adam's settings.
An interrupted search goes on where it stopped when the same command is given again.
"""
_BETWEEN_LABELS = re.compile(r",(?![^\[]*\])")  # commas outside brackets


@click.command(epilog=_EPILOG)
@study_options()
@click.option("--section", metavar="NAME", help="The training section to tune for.")
@several_option(
    "--optimizers",
    "chosen",
    metavar="NAME[,NAME]",
    help="Optimizers to tune.  [default: those of the section]",
)
@click.option(
    "--trials",
    type=click.IntRange(min=1, max=4096),
    help="Settings drawn per optimizer; a power of 2 covers best.",
)
@output_option("the results", "reports/NAME-tuning")
@flag_option("--plan", "only_plan", help="Show what the search would run and how long; run nothing.")
@rerun_options
def command(
    study: str,
    profile: str | None,
    section: str | None,
    chosen: tuple[str, ...],
    trials: int | None,
    output: Path | None,
    overrides: tuple[str, ...],
    only_plan: bool,
    fresh: bool,
    keep_old: bool,
) -> int:
    """Search settings for the optimizers of a study. STUDY is a shipped study's name or a .toml file."""
    from tngd_bench.studies.tuning.search_study import make_search

    labels = [label.strip() for item in chosen for label in _BETWEEN_LABELS.split(item) if label.strip()]
    if chosen and not labels:
        raise click.UsageError("--optimizers names none")
    asked = _asked(section, labels, trials)
    search = make_search(_load(study, profile, (*overrides, *asked)))
    place = output if output is not None else search.loaded.folder
    if only_plan:
        from tngd_bench.cli.plan import plan_text
        from tngd_bench.studies.tuning.search_study import expected

        click.echo(plan_text(expected(search), place))
        click.echo("finals: their settings are not known yet; the first of each optimizer stand for them")
        return OK

    from tngd_bench.cli.progress import make_audience, make_console
    from tngd_bench.cli.signals import resumable
    from tngd_bench.studies.tuning.run_search import run_search

    console = make_console()
    audience = make_audience(console)
    given = {"section": section, "optimizers": ",".join(labels) or None, "trials": trials}
    words = (word for name, value in given.items() if value is not None for word in (f"--{name}", str(value)))
    again = command_line(["tngd-bench", "tune", *study_words(study, profile, overrides), *words])
    with resumable(audience, place), audience:
        result = run_search(search, place, audience, fresh=fresh, keep_old=keep_old, command=again)
    tell_ignored(result.ignored)
    return _tell(search, result, place)


def _asked(section: str | None, labels: Sequence[str], trials: int | None) -> tuple[str, ...]:
    """Return the options as overrides of the study's [tuning] table, which is where they belong."""
    asked = [] if section is None else [f"tuning.section={json.dumps(section)}"]
    if labels:
        asked.append(f"tuning.optimizers={json.dumps([*labels])}")
    if trials is not None:
        asked.append(f"tuning.trials={trials}")
    return tuple(asked)


def _load(study: str, profile: str | None, overrides: tuple[str, ...]) -> LoadedStudy:
    """Return the study with no tuned settings: adam[tuned] refers to settings that this search is to find."""
    from tngd_bench.optimizers import registry
    from tngd_bench.studies.file.merge import TUNED_FILE, read_table
    from tngd_bench.studies.file.reading import load_study

    table = read_table(study, profile, overrides, unwritten=TUNED_FILE).table
    names = {*registry.names(), *_classes(table)}
    untuned = tuple(f'tuned."{name}"={{}}' for name in sorted(names))
    loaded = load_study(study, (*overrides, *untuned), profile, unwritten=TUNED_FILE)
    return dataclasses.replace(loaded, overrides=overrides)


def _classes(table: Mapping[str, Any]) -> Iterator[str]:
    """Yield the optimizers that the labels of a study, not checked yet, name by their class."""
    from tngd_bench.optimizers.torch_class.entry import is_class_name

    for kind in ("cost", "training"):
        sections = table.get(kind)
        for section in sections if isinstance(sections, list) else ():
            labels = section.get("optimizers") if isinstance(section, dict) else None
            written = labels if isinstance(labels, list) else ()
            names = (str(label).partition("[")[0].strip() for label in written)
            yield from filter(is_class_name, names)


def _tell(search: Search, result: SearchResult, place: Path) -> int:
    from tngd_bench.studies.file.merge import SHIPPED, as_included
    from tngd_bench.studies.tuning.results import settings_of

    tries, metric = result.tries, search.tuning.metric
    scores = dict(zip(result.best["optimizer"], result.best.itertuples(index=False), strict=True))
    for contender in search.contenders:
        own = tries[tries["optimizer"] == contender.method]
        ends = ", ".join(f"{count} {status}" for status, count in own["status"].value_counts().items())
        spent = f"{len(own)} settings ({ends}), {quantities.seconds((own['seconds'] + own['final_seconds']).sum())}"
        best = scores.get(contender.method)
        if best is None:
            reasons = own["reason"].dropna()
            why = f"; the first: {reasons.iloc[0]}" if len(reasons) else ""
            click.echo(f"{contender.label}: no setting gave a result; {spent}{why}")
            continue
        first = own.loc[own["default"], "score"]
        before = f"{first.iloc[0]:.4g}" if len(first) and first.notna().all() else "none"
        chosen = settings_of(str(best.settings), contender.space.axes)
        shown = ", ".join(f"{name} = {value:g}" for name, value in chosen.items())
        final = ""
        if best.final_runs:
            failed = best.final_runs - best.final_finished
            final = f", in the finals {best.final_score:.4g}" + (f" ({failed} failed)" if failed else "")
        click.echo(
            f"{contender.label}: {metric} {best.score:.4g}{final} (the study's own settings: {before}) with {shown}; "
            f"{spent}"
        )
    if failed := tell_failed(result.records.trials, "run"):
        return failed
    if result.tuned is None:
        return complain(f"no optimizer has a result; every try is in {place}", FAILED)
    label = f"{result.best['optimizer'].iloc[0]}[tuned]"
    home = None if search.loaded.source == SHIPPED else Path(search.loaded.source).parent
    include = json.dumps(as_included(result.tuned, home), ensure_ascii=False)
    where = "" if home is None else " beside this one"
    click.echo(f"settings: {result.tuned}; in a study{where}: include = [{include}] and labels as {label}")
    click.echo(f"page: tngd-bench report {shlex.quote(str(place))}")
    return OK
