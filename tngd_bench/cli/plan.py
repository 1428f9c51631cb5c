"""`tngd-bench plan`: what a study would run, what it would take, and what it would leave out."""

from __future__ import annotations

import csv
import dataclasses
import sys
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tngd_bench.analysis import quantities
from tngd_bench.cli import option_kinds
from tngd_bench.cli.study_options import study_options
from tngd_bench.csv_text import harmless

if TYPE_CHECKING:
    from tngd_bench.studies.file.reading import LoadedStudy
    from tngd_bench.studies.plan.forecast import Forecast, Group

_EPILOG = """\b
Examples:
  tngd-bench plan
  tngd-bench plan my-study.toml --profile smoke --set execution.workers=4
  tngd-bench plan paper --all
  tngd-bench plan quick --csv > plan.csv

Times are learned from trials in the store that `run` would write to, and in those given by
--from; else they are the formulas', for this machine's speed, corrected by steps that are
timed now. These take a twentieth of the study's time, ten seconds at the most; optimizers
without a description of their cost may take twenty seconds in any case, and what is timed of
them is extrapolated to larger sizes.
"""
_KINDS = {"cost": "cost", "inspection": "memory and operations", "training": "training"}
_SECTION_HEADINGS = ("section", "trials", "skipped", "time, side by side")
_BASES = {
    "bound": "not described",
    "formula": "formula",
    "extrapolated": "extrapolated",
    "timed": "timed now",
}
"""Words for what a time comes from, where it is not a number of trials."""
_HEADINGS = ("section", "N", "b", "d_z", "optimizer", "trials", "time", "memory", "time from")


@click.command(epilog=_EPILOG)
@study_options(default="quick")
@option_kinds.several_option(
    "--from", "stores", type=option_kinds.PATH, metavar="DIR", help="Learn from the trials of this store too."
)
@option_kinds.output_option("what `run` would write")
@option_kinds.flag_option("--all", "every_size", help="Print a line for each size.")
@option_kinds.json_option
@option_kinds.flag_option("--csv", "as_csv", help="Print a line for each size, comma-separated.")
def command(
    study: str,
    stores: tuple[Path, ...],
    output: Path | None,
    every_size: bool,
    as_json: bool,
    as_csv: bool,
    **asked: Any,
) -> None:
    """Show what a study would run, in what time and memory. What would be skipped has its reason."""
    told = [name for name, on in (("--json", as_json), ("--csv", as_csv), ("--all", every_size)) if on]
    if len(told) > 1:
        raise click.UsageError(f"{told[0]} and {told[1]} cannot both be given")
    from tngd_bench.studies.file.reading import load_study
    from tngd_bench.studies.run.dry_run import dry_run

    loaded = load_study(study, **asked)
    place = output if output is not None else loaded.folder
    own = _own_store(place)
    forecast = dry_run(loaded, [*own, *stores])
    if as_json:
        option_kinds.print_json({**_table(forecast), "stored": _stored(forecast, place) if own else None})
    elif as_csv:
        _write_csv(forecast)
    else:
        click.echo(_whole_text(forecast, place, bool(own), every_size))


def plan_text(loaded: LoadedStudy, place: Path) -> str:
    """Return the plan of a study for people, with what a run into `place` would find there."""
    from tngd_bench.studies.run.dry_run import dry_run

    own = _own_store(place)
    return _whole_text(dry_run(loaded, own), place, bool(own))


def _whole_text(forecast: Forecast, place: Path, stored: bool, every_size: bool = False) -> str:
    found = _stored_lines(_stored(forecast, place)) if stored else []
    return "\n".join([_text(forecast, every_size), *found])


def _stored(forecast: Forecast, place: Path) -> dict[str, Any]:
    """Return the trials finished in the store of a run, and those that would run again, by reason."""
    from tngd_bench.studies.plan.make_plan import predicted_seconds
    from tngd_bench.studies.plan.stored_results import stored_results
    from tngd_bench.studies.store.store import Store

    plan = forecast.plan
    found = stored_results(Store.find(place), plan)
    left = [trial for key, trial in plan.trials.items() if key not in found.finished]
    again: dict[str, list[str]] = {}
    for key, why in found.again.items():
        again.setdefault(why, []).append(plan.trials[key].describe())
    return {
        "folder": str(place),
        "finished": len(found.finished),
        "to_run": len(left),
        "seconds": predicted_seconds(left, plan.study.execution.workers),
        "again": [{"why": why, "processes": len(trials), "trials": trials} for why, trials in again.items()],
    }


def _stored_lines(stored: Mapping[str, Any]) -> list[str]:
    left = f"{stored['to_run']} are to run, about {quantities.seconds(stored['seconds'])}"
    return [
        f"{stored['folder']} holds results: {stored['finished']} processes are finished, {left}",
        *(
            f"  {item['processes']} of them again: {item['why']} (`run --keep-old` takes the old results)"
            for item in stored["again"]
        ),
    ]


def _own_store(folder: Path) -> list[Path]:
    """Return the folder that `run` would write to, where it holds results."""
    from tngd_bench.studies.errors import StoreError
    from tngd_bench.studies.store.store import Store

    try:
        Store.find(folder)
    except StoreError:
        return []
    return [folder]


def _table(forecast: Forecast) -> dict[str, Any]:
    loaded, model = forecast.plan.loaded, forecast.model
    return {
        "study": loaded.study.name,
        "profile": loaded.profile,
        "predicted": True,
        "machine": dataclasses.asdict(forecast.plan.machine),
        "workers": loaded.study.execution.workers,
        **dataclasses.asdict(forecast.plan.extent),
        "seconds": forecast.seconds,
        "start_seconds": forecast.start_seconds,
        "report_seconds": forecast.report_seconds,
        "bytes": forecast.bytes,
        "groups": [dataclasses.asdict(group) for group in forecast.groups],
        "timed": [
            {
                "optimizer": probe.step.config.label,
                "problem": probe.step.instance.problem,
                **{
                    name: getattr(probe.step.instance, name)
                    for name in ("parameters", "batch_size", "outputs")
                },
                "simulating": probe.step.simulating,
                "predicted_s": probe.predicted_s,
                "measured_s": probe.measured_s,
            }
            for probe in model.probes
        ],
        "learned": {
            "from": list(model.learned_from),
            "left_out": dict(model.left_out),
            "factors": [
                {"method": method, "kind": kind, "measured_over_predicted": one.factor, "trials": one.trials}
                for (method, kind), one in sorted(model.corrections.items())
            ],
        },
    }


def _write_csv(forecast: Forecast) -> None:
    from tngd_bench.studies.plan.forecast import Group

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(field.name for field in dataclasses.fields(Group))
    for group in forecast.groups:
        writer.writerow("" if value is None else harmless(value) for value in dataclasses.astuple(group))


def _text(forecast: Forecast, every_size: bool) -> str:
    plan = forecast.plan
    loaded = plan.loaded
    profile = "" if loaded.profile is None else f", profile {loaded.profile}"
    lines = [f"{loaded.study.name}{profile}: {loaded.study.title}"]
    # Inspections are short and many: their groups are in --json and --csv, here only in the table of sections.
    running = [group for group in forecast.groups if group.trials and group.kind != "inspection"]
    rows = [_row(line) for line in _folded(running, every_size)]
    lines += ["", *_columns([_HEADINGS, *rows])] if running else ["", "nothing to run"]
    if len(rows) < len(running):
        lines += ["(times of all sizes together, memory of the largest; --all has a line for each size)"]
    lines += ["", *_columns([_SECTION_HEADINGS, *_section_rows(forecast)])]
    skipped = [group for group in forecast.groups if group.skipped]
    if skipped:
        rows = [_skipped_row(line) for line in _folded(skipped, every_size)]
        lines += ["", "skipped", *_columns(rows)]
    machine, workers = plan.machine, loaded.study.execution.workers
    about = "at least" if any(group.from_below for group in forecast.groups) else "about"
    lines += [
        "",
        f"total: {plan.extent.describe()}; {about} {quantities.seconds(forecast.seconds)} "
        f"with {workers} at a time (cost alone), at most {quantities.memory(forecast.bytes)} at once",
        f"predicted for {machine.rate_cost:.3g} FLOP/s in cost and {machine.rate_training:.3g} in training "
        f"(measured now), and overhead of calls and memory traffic; {quantities.memory(machine.working_bytes)} "
        "free; memory by formula",
        *_learned(forecast),
        *_extrapolated(forecast),
        *_not_described(forecast),
    ]
    return "\n".join(lines)


def _names(groups: Iterable[Group]) -> str:
    from tngd_bench.studies.file.optimizer_label import read_label

    return ", ".join(dict.fromkeys(read_label(group.optimizer).name for group in groups))


def _extrapolated(forecast: Forecast) -> list[str]:
    """Name the optimizers whose times at larger sizes are extrapolated from smaller ones, and how."""
    names = _names(group for group in forecast.groups if group.trials and group.basis == "extrapolated")
    if not names:
        return []
    return [
        f"extrapolated: {names} (without a usable description of the cost), from steps timed at three or more smaller"
        " N and the same b and d_z, as a + b N + c N^1.5: calls, work on each parameter, products of matrices as wide"
        " as the layers"
    ]


def _not_described(forecast: Forecast) -> list[str]:
    """Name the optimizers whose cost nothing describes: their times are lower bounds, their memory is unknown."""
    names = _names(group for group in forecast.groups if group.from_below)
    limit = forecast.plan.study.execution.seconds_per_iteration_limit
    if not names:
        return []
    return [
        f"not predicted: {names} (without a usable description of the cost); times and totals"
        " are lower bounds there, by smaller sizes or a gradient alone. What takes longer than"
        f" {limit:g} s per iteration is stopped, larger sizes of it are skipped, and a trial that goes beyond the"
        " limits of a trial is stopped"
    ]


def _learned(forecast: Forecast) -> list[str]:
    model = forecast.model
    left_out = [f"not learned from {place}: {reason}" for place, reason in model.left_out.items()]
    if not model.corrections:
        timed = f", corrected by {len(model.probes)} steps timed now" if model.probes else ""
        return [f"times: by formula{timed}; no earlier trials to learn from", *left_out]
    lines = [f"times learned from {', '.join(model.learned_from)} (measured / formula, median over trials):"]
    factors: dict[str, list[str]] = {}
    for (method, kind), found in sorted(model.corrections.items()):
        factors.setdefault(kind, []).append(f"{method} ×{found.factor:.3g} ({found.trials})")
    lines += [f"  {kind}: {', '.join(items)}" for kind, items in factors.items()]
    return lines + left_out


def _section(group: Group) -> str:
    return f"{_KINDS[group.kind]} {group.section}"


def _section_rows(forecast: Forecast) -> list[tuple[str, ...]]:
    from tngd_bench.studies.plan.forecast import section_seconds

    rows: list[tuple[str, ...]] = []
    for (kind, section), predicted in section_seconds(forecast.plan).items():
        groups = [group for group in forecast.groups if (group.kind, group.section) == (kind, section)]
        trials, left = sum(g.trials for g in groups), sum(g.skipped for g in groups)
        rows.append((f"{_KINDS[kind]} {section}", f"{trials:,}", f"{left:,}", quantities.seconds(predicted)))
    if forecast.start_seconds:
        rows.insert(0, ("start", "", "", quantities.seconds(forecast.start_seconds)))
    if forecast.report_seconds:
        rows.append(("report", "", "", quantities.seconds(forecast.report_seconds)))
    return rows


def _folded(groups: Sequence[Group], every_size: bool) -> list[list[Group]]:
    """Return the groups of each line: an optimizer in a section at all sizes, or at each."""
    lines: dict[object, list[Group]] = {}
    for number, group in enumerate(groups):
        basis = group.basis if group.trials else None
        place = (group.kind, group.section, group.problem, group.optimizer, group.known, basis)
        lines.setdefault(number if every_size else place, []).append(group)
    return list(lines.values())


def _row(line: Sequence[Group]) -> tuple[str, ...]:
    first, trials = line[0], str(sum(group.trials for group in line))
    sizes = (_span(map(attrgetter(name), line)) for name in ("parameters", "batch_size", "outputs"))
    place = (_section(first), *sizes, first.optimizer)
    seconds = quantities.seconds(sum(group.seconds for group in line))
    basis = _BASES.get(first.basis) or quantities.number_of(first.learned_from, "trial")
    memory = quantities.memory(max(group.bytes for group in line)) if first.known else "unknown"
    return (*place, trials, f"≥ {seconds}" if first.from_below else seconds, memory, basis)


def _skipped_row(line: Sequence[Group]) -> tuple[str, ...]:
    least = min(line, key=attrgetter("parameters"))
    size, number = _span(group.parameters for group in line), sum(group.skipped for group in line)
    why = f"{'the smallest: ' if len(line) > 1 else ''}{least.reason or ''}"
    return (f"  {_section(least)}", f"N = {size}", least.optimizer, f"{number} ×", why)


def _span(values: Iterable[int]) -> str:
    found = sorted(values)
    return "–".join(f"{end:,}" for end in dict.fromkeys((found[0], found[-1])))


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
