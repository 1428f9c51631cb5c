"""Tuned settings of several searches in one study, kept apart by the problem they were found on.

A study that includes one tuned file takes its settings on every problem. One that includes files whose searches ran on
different problems takes on each problem those that were found there. The study's own [tuned.NAME] tables win.
"""

from collections.abc import Mapping

from tngd_bench.studies.file.schema import Study
from tngd_bench.studies.file.study_table import StudyTable

TUNED, RECORD, BY_PROBLEM = "tuned", "tuning_record", "tuned_for"


def keep_apart(*included: StudyTable) -> None:
    """Move the tuned settings of included files below `tuned_for.PROBLEM`, if they are of more than one problem.

    A table without the record of a search, written by hand, stays as it is.
    """
    problems = [_problem(file) for file in included]
    moved_before = {problem for file in included for problem in file.table.get(BY_PROBLEM) or ()}
    if len({problem for problem in problems if problem} | moved_before) < 2:
        return
    for file, problem in zip(included, problems, strict=True):
        if problem:
            _move(file, problem)


def settings_on(study: Study, problem: str) -> dict[str, Mapping[str, object]]:
    """Return by optimizer what a label such as adam[tuned] takes in a section on `problem`."""
    found_there = study.tuned_for.get(problem)
    settings: dict[str, Mapping[str, object]] = dict(found_there.tuned) if found_there is not None else {}
    return settings | {method: {**settings.get(method, {}), **own} for method, own in study.tuned.items()}


def refuse_elsewhere(study: Study, method: str, problem: str) -> None:
    """Raise ValueError for an optimizer that the included files have tuned, but only on problems other than this."""
    elsewhere = [other for other, tuned_set in study.tuned_for.items() if method in tuned_set.tuned]
    if elsewhere and method not in settings_on(study, problem):
        raise ValueError(
            f"the included files have settings of {method} tuned on {', '.join(elsewhere)}, none on {problem}; "
            f"accepted: a file tuned on {problem}, or a table [tuned.{method}], which holds on every problem"
        )


def _problem(file: StudyTable) -> str:
    """Return the problem that the settings of a file were found on; "" where it has none or no record of a search."""
    record = file.table.get(RECORD)
    search = record.get("search") if isinstance(record, dict) else None
    problem = search.get("problem") if isinstance(search, dict) else None
    return problem if isinstance(problem, str) and isinstance(file.table.get(TUNED), dict) else ""


def _move(file: StudyTable, problem: str) -> None:
    sets = file.table.setdefault(BY_PROBLEM, {})
    sets[problem] = {kind: file.table.pop(kind) for kind in (TUNED, RECORD)}
    for path in [path for path in file.origins if path[:1] in ((TUNED,), (RECORD,))]:
        file.origins[(BY_PROBLEM, problem, *path)] = file.origins.pop(path)
