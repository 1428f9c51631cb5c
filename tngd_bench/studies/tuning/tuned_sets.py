"""Tuned settings of several searches in one study: those found on different problems are kept apart, by problem.

A study that includes one tuned file takes its settings on every problem. One that includes files whose searches ran on
different problems takes on each problem those that were found there. The study's own [tuned.NAME] tables win.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tngd_bench.studies.file.schema import Study

if TYPE_CHECKING:
    from tngd_bench.studies.file.merge import Layers

TUNED, RECORD, BY_PROBLEM = "tuned", "tuning_record", "tuned_for"


def keep_apart(layers: tuple[Layers, ...]) -> None:
    """Move the tuned settings of included files below `tuned_for.PROBLEM`, if they are of more than one problem.

    A table without the record of a search, written by hand, stays as it is.
    """
    problems = [_problem(layer) for layer in layers]
    held = {name for layer in layers for name in layer.table.get(BY_PROBLEM) or ()}
    if len({name for name in problems if name} | held) < 2:
        return
    for layer, problem in zip(layers, problems, strict=True):
        if problem:
            _move(layer, problem)


def settings_on(study: Study, problem: str) -> dict[str, Mapping[str, object]]:
    """Return by optimizer what a label such as adam[tuned] takes in a section on `problem`."""
    own = study.tuned_for.get(problem)
    found: dict[str, Mapping[str, object]] = dict(own.tuned) if own is not None else {}
    return found | {name: {**found.get(name, {}), **settings} for name, settings in study.tuned.items()}


def refuse_elsewhere(study: Study, method: str, problem: str) -> None:
    """Refuse an optimizer that the included files have tuned on other problems than `problem` alone."""
    elsewhere = [name for name, found in study.tuned_for.items() if method in found.tuned]
    if elsewhere and method not in settings_on(study, problem):
        raise ValueError(
            f"the included files have settings of {method} tuned on {', '.join(elsewhere)}, none on {problem}; "
            f"accepted: a file tuned on {problem}, or a table [tuned.{method}], which holds on every problem"
        )


def _problem(layer: Layers) -> str:
    """Return the problem that the settings of a file were found on; "" where it has none or no record of a search."""
    record = layer.table.get(RECORD)
    search = record.get("search") if isinstance(record, dict) else None
    problem = search.get("problem") if isinstance(search, dict) else None
    return problem if isinstance(problem, str) and isinstance(layer.table.get(TUNED), dict) else ""


def _move(layer: Layers, problem: str) -> None:
    sets = layer.table.setdefault(BY_PROBLEM, {})
    sets[problem] = {kind: layer.table.pop(kind) for kind in (TUNED, RECORD)}
    for path in [path for path in layer.origins if path[:1] in ((TUNED,), (RECORD,))]:
        layer.origins[(BY_PROBLEM, problem, *path)] = layer.origins.pop(path)
