"""Tuned settings of several searches in one study, kept apart by the problem they were found on.

A study that includes one tuned file takes its settings on every problem. One that includes files whose searches ran on
different problems takes on each problem those that were found there. Of two searches on one problem the later replaces
an optimizer's settings whole, and each keeps its record. The study's own [tuned.NAME] tables win.
"""

from collections.abc import Mapping
from typing import Any

from tngd_bench.studies.file.schema import Study
from tngd_bench.studies.file.study_table import StudyTable
from tngd_bench.studies.file.toml_lines import written_key

TUNED, RECORD, BY_PROBLEM, SEARCH = "tuned", "tuning_record", "tuned_for", "search"


def keep_apart(merged: StudyTable, included: StudyTable) -> None:
    """Move the tuned settings of two files below `tuned_for.PROBLEM`, if they are of more than one problem.

    A table without the record of a search, written by hand, stays as it is. What both have found on one problem is
    prepared so that a merge keeps the record of each search.
    """
    if len(_sets(merged).keys() | _sets(included).keys()) > 1:
        for file in (merged, included):
            if problem := _problem(file.table):
                _move(file, problem)
    earlier, later = _sets(merged), _sets(included)
    for problem in earlier.keys() & later.keys():
        _replace(earlier[problem], later[problem])


def search_of(record: Mapping[str, Any], method: str) -> str:
    """Return under which name a `tuning_record` has the search that an optimizer's settings are from."""
    return str((record.get(method) or {}).get(SEARCH, SEARCH))


def _sets(file: StudyTable) -> dict[str, dict[str, Any]]:
    """Return the tables that hold the tuned settings of a file and the record of their search, by problem."""
    apart = file.table.get(BY_PROBLEM)
    tables = [file.table, *(apart.values() if isinstance(apart, dict) else ())]
    return {problem: table for table in tables if (problem := _problem(table))}


def _replace(earlier: dict[str, Any], later: dict[str, Any]) -> None:
    """Take out of `earlier` what `later` has found again, and number the searches of `later` after those there."""
    record, before = later[RECORD], earlier[RECORD]
    for method in later[TUNED]:
        earlier[TUNED].pop(method, None)
        before.pop(method, None)
    own = [name for name in record if _is_search(name)]
    first = 1 + sum(map(_is_search, before))
    numbered = {name: f"{SEARCH}-{number}" for number, name in enumerate(own, first)}
    found_by = {method: search_of(record, method) for method in later[TUNED]}
    searches = {new: record.pop(old) for old, new in numbered.items()}
    found = {
        method: record.get(method, {}) | {SEARCH: numbered.get(old, old)} for method, old in found_by.items()
    }
    record |= searches | found


def _is_search(name: str) -> bool:
    return name.partition("-")[0] == SEARCH


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
            f"accepted: a file tuned on {problem}, or a table [tuned.{written_key(method)}], which holds on every "
            "problem"
        )


def _problem(table: object) -> str:
    """Return the problem that tuned settings were found on; "" where there are none, or no record of a search."""
    tuned, record = (table.get(TUNED), table.get(RECORD)) if isinstance(table, dict) else (None, None)
    if not (isinstance(tuned, dict) and isinstance(record, dict)):
        return ""
    search = record.get(SEARCH)
    problem = search.get("problem") if isinstance(search, dict) else None
    return (
        problem if isinstance(problem, str) and all(isinstance(one, dict) for one in record.values()) else ""
    )


def _move(file: StudyTable, problem: str) -> None:
    sets = file.table.setdefault(BY_PROBLEM, {})
    sets[problem] = {kind: file.table.pop(kind) for kind in (TUNED, RECORD)}
    for path in [path for path in file.origins if path[:1] in ((TUNED,), (RECORD,))]:
        file.origins[(BY_PROBLEM, problem, *path)] = file.origins.pop(path)
