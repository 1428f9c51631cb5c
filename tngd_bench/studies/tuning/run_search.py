"""Run a search for settings: its runs, its finals, and the files that it leaves."""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from tngd_bench.studies.run.run_study import Audience, run_study
from tngd_bench.studies.store.records import Records, read_records
from tngd_bench.studies.tuning.optuna_database import DATABASE, Direction, TryResult, can_record, record
from tngd_bench.studies.tuning.results import best_tries, larger_is_better, settings_of, tuning_trials
from tngd_bench.studies.tuning.search_study import Contender, Search, make_finals
from tngd_bench.studies.tuning.tuned_files import refuse_foreign, write_files


@dataclass(frozen=True)
class SearchResult:
    """A search that has ended: all tries, the best of each optimizer, the file for studies to include.

    `tuned` is None where trials failed for an unforeseen reason (they run again next time) or nothing gave a score.
    """

    records: Records
    tries: pd.DataFrame
    best: pd.DataFrame
    tuned: Path | None
    ignored: Mapping[str, str]


def run_search(
    search: Search,
    output: Path,
    audience: Audience,
    *,
    fresh: bool = False,
    keep_old: bool = False,
    command: str = "",
) -> SearchResult:
    """Run a search, or go on with it, into `output`; an interrupted one keeps the runs that ended.

    Runs that other code has made are made again, or taken with `keep_old`.
    """
    refuse_foreign(output)
    if fresh:
        (output / DATABASE).unlink(missing_ok=True)
    run = run_study(search.loaded, output, audience, fresh=fresh, keep_old=keep_old, command=command)
    if run.plan.again:  # the database would keep the old scores
        (output / DATABASE).unlink(missing_ok=True)
    records = read_records(output)
    tries = tuning_trials(records)
    finals = None if _any_failed(records) else make_finals(search, tries)
    if finals is not None:
        run = run_study(finals, output, audience, keep_old=keep_old, command=command)
        records = read_records(output)
        tries = tuning_trials(records)
    larger = larger_is_better(records.study)
    for contender in search.contenders if can_record() else ():
        name = f"{search.section.name}/{contender.method}"
        direction: Direction = "maximize" if larger else "minimize"
        record(output / DATABASE, name, contender.space, _results(contender, tries), direction)
    best = best_tries(tries, larger)
    tuned = None
    if len(best) and not _any_failed(records):
        tuned = write_files(output, search, records, tries, command=command, now=datetime.now(UTC))
    return SearchResult(records, tries, best, tuned, run.ignored)


def _any_failed(records: Records) -> bool:
    """Return whether a trial failed for an unforeseen reason; it runs again next time."""
    return bool((records.trials["status"] == "failed").any())


def _results(contender: Contender, tries: pd.DataFrame) -> list[TryResult]:
    """Return the tries of one optimizer that have ended for good; a failed one runs again."""
    rows: list[dict[Hashable, Any]] = tries[tries["optimizer"] == contender.method].to_dict("records")
    return [
        TryResult(
            row["number"],
            settings_of(row["settings"], contender.space.axes),
            None if math.isnan(row["score"]) else row["score"],
            row["seconds"],
            row["status"],
        )
        for row in rows
        if row["status"] != "failed"
    ]
