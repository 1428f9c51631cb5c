"""Files that a search writes: `tuned.toml` for studies to include, its record as JSON, every try as a table."""

import json
from collections.abc import Hashable, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from tngd_bench.atomic_write import write
from tngd_bench.csv_text import csv_bytes
from tngd_bench.studies.errors import StoreError, StoreWriteError
from tngd_bench.studies.file.merge import TUNED_FILE
from tngd_bench.studies.file.optimizer_label import IDEAL
from tngd_bench.studies.file.toml_lines import written_key
from tngd_bench.studies.store.records import Records
from tngd_bench.studies.tuning.results import best_tries, larger_is_better, searched_metric
from tngd_bench.studies.tuning.search_study import Contender, Search
from tngd_bench.unwritable import is_foreign, refused_as

RECORD_FILE = "tuning.json"
TRIES = "tries"
_HEAD = "Settings found by `tngd-bench tune`."
_MARKS = {TUNED_FILE: f"# {_HEAD}", RECORD_FILE: "tries_per_optimizer", f"{TRIES}.csv": "final_keys"}
"""Of each file that would be replaced, what is in every one that a search wrote."""
_NUMBERS = ("score", "default_score", "final_score", "final_runs", "final_finished", "try", "seconds")


def write_files(
    place: Path, search: Search, records: Records, tries: pd.DataFrame, *, command: str, now: datetime
) -> Path:
    """Write all files of a finished search into `place`, each aside and then renamed; return `tuned.toml`."""
    record = search_record(search, records, tries, command=command, now=now)
    table = tries.assign(
        **{name: [" ".join(keys) for keys in tries[name]] for name in ("keys", "final_keys")}
    )
    contents = {
        f"{TRIES}.csv": csv_bytes(table),
        f"{TRIES}.parquet": table.to_parquet(index=False),
        RECORD_FILE: (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode(),
        TUNED_FILE: tuned_toml(record).encode(),
    }
    for name, content in contents.items():
        with refused_as(StoreWriteError, place / name):
            write(place / name, content, sync=True)
    return place / TUNED_FILE


def refuse_foreign(place: Path) -> None:
    """Raise StoreError where `place` has a file that no search has written, and that one would write over."""
    for name, mark in _MARKS.items():
        if is_foreign(place / name, mark):
            raise StoreError(
                f"{place / name} was not written by `tngd-bench tune`, which would replace it; move it"
            )


def search_record(
    search: Search, records: Records, tries: pd.DataFrame, *, command: str, now: datetime
) -> dict[str, Any]:
    """Return the search in plain values: what was asked, on what, with what budget, what came out and what it cost."""
    section, tuning = search.section, search.tuning
    rows: list[dict[Hashable, Any]] = best_tries(tries, larger_is_better(records.study)).to_dict("records")
    best = {row["optimizer"]: row for row in rows}
    return {
        "command": command,
        "date": now.isoformat(timespec="seconds"),
        "version": records.study["version"],
        "study": search.name,
        "section": section.name,
        "problem": section.problem,
        "parameters": int(records.trials["parameters"].iloc[0]),
        "batch_size": section.batch_size,
        "epochs": tuning.epochs,
        "train_size": section.train_size,
        "validation_share": tuning.validation_share,
        "metric": tuning.metric,
        "tries_per_optimizer": tuning.trials + 1,
        "drawn_per_optimizer": tuning.trials,
        "runs_per_try": tuning.seeds,
        "finalists_per_optimizer": tuning.finalists,
        "runs_per_finalist": tuning.final_seeds if tuning.finalists > 1 else 0,
        "final_epochs": section.epochs,
        "sampler": f"scipy.stats.qmc.Sobol, scrambled, sampler_seed = {tuning.sampler_seed}",
        "seeds": f"derived from ({search.name!r}, {section.problem!r}, 'tuning', n); the study's own runs have 'seed'",
        "machine": {
            name: records.environment.get(name) for name in ("cpu", "cores", "torch", "threads_training")
        },
        "seconds": round(float((tries["seconds"] + tries["final_seconds"]).sum()), 3),
        "optimizers": {
            contender.method: _optimizer(contender, tries[tries["optimizer"] == contender.method], best)
            for contender in search.contenders
        },
    }


def _optimizer(
    contender: Contender, own: pd.DataFrame, best: Mapping[str, Mapping[Hashable, Any]]
) -> dict[str, Any]:
    defaults = own[own["default"]]
    result: dict[str, Any] = dict.fromkeys(
        ("tuned", "score", "try", "final_score", "final_runs", "final_finished")
    )
    complete = None
    best_try = best.get(contender.method)
    if best_try is not None:
        complete = json.loads(best_try["settings"])
        result = {
            "tuned": {name: complete[name] for name in (*contender.fixed, *contender.space.axes)},
            "score": float(best_try["score"]),
            "try": int(best_try["number"]),
            "final_score": _number(float(best_try["final_score"])),
            "final_runs": int(best_try["final_runs"]),
            "final_finished": int(best_try["final_finished"]),
        }
    return result | {
        "default_score": _number(defaults["score"].iloc[0]) if len(defaults) else None,
        "seconds": round(float((own["seconds"] + own["final_seconds"]).sum()), 3),
        "statuses": {str(name): int(count) for name, count in own["status"].value_counts().items()},
        "asked_beyond_the_spaces": list(contender.space.asked),
        "space": {name: asdict(axis) for name, axis in contender.space.axes.items()},
        "complete_settings": complete,
    }


def tuned_toml(record: Mapping[str, Any]) -> str:
    """Return the `[tuned.NAME]` tables of a search's record as TOML, with where they come from in comments."""
    share = 100 * record["validation_share"]
    size = "all" if record["train_size"] is None else f"{record['train_size']:,}"
    lines = [
        f"{_HEAD} A study that has this file in its `include` writes adam[tuned], ….",
        f"command: {record['command']}",
        f"date: {record['date']}; tngd-bench {record['version']}",
        f"study: {record['study']}, section {record['section']}: {record['problem']}, N = {record['parameters']:,}, "
        f"b = {record['batch_size']}",
        f"budget per optimizer: {record['tries_per_optimizer']} settings, the study's own and "
        f"{record['drawn_per_optimizer']} drawn; {record['runs_per_try']} run(s) of {record['epochs']:g} epoch(s) each",
        *_finals(record),
        f"cost: {record['seconds']:.0f} s of wall time in all runs together",
        f"metric: {record['metric'].replace('_', ' ')} at the end, on the last {share:g} % of {size} training samples, "
        "held out of training; no test data",
        f"sampler: {record['sampler']}",
        f"seeds: {record['seeds']}",
    ]
    text = "".join(f"# {' '.join(line.split())}\n" for line in lines)
    for name, found in record["optimizers"].items():
        text += "\n" + _tuned_table(name, found, record)
    text += "\n# The same as data, for the reports of studies that include this file.\n"
    search = {name: value for name, value in record.items() if isinstance(value, str | int | float)}
    text += _table("tuning_record.search", search)
    for name, found in record["optimizers"].items():
        numbers = {key: found[key] for key in _NUMBERS if found[key] is not None}
        text += "\n" + _table(f"tuning_record.{written_key(name)}", numbers | found["statuses"])
    return text


def _finals(record: Mapping[str, Any]) -> list[str]:
    """Return the line on the finals, where there were any."""
    if not record["runs_per_finalist"]:
        return []
    which = "greatest" if searched_metric(record["metric"]).metric.larger_is_better else "least"
    return [
        f"finals: the {record['finalists_per_optimizer']} best of each, {record['runs_per_finalist']} run(s) of "
        f"{record['final_epochs']:g} epoch(s) on further seeds; the {which} mean decides"
    ]


def _tuned_table(name: str, found: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    ends = ", ".join(f"{count} {status}" for status, count in found["statuses"].items())
    if found["tuned"] is None:
        return f"# {name}: no setting gave a result ({ends})\n"
    own = "none" if found["default_score"] is None else f"{found['default_score']:.4g}"
    asked = found["asked_beyond_the_spaces"]
    beyond = f"; searched beyond its usual space: {', '.join(asked)}" if asked else ""
    final = ""
    if found["final_runs"]:
        failed = found["final_runs"] - found["final_finished"]
        final = f"; in the finals {found['final_score']:.4g}" + (f", {failed} failed" if failed else "")
    about = (
        f"# {record['metric']} {found['score']:.4g} (the study's own settings: {own}){final}, try {found['try']} of "
        f"{record['drawn_per_optimizer']}; {ends}; {found['seconds']:.0f} s{beyond}\n"
    )
    return about + _table(f"tuned.{written_key(name)}", found["tuned"])


def _table(header: str, values: Mapping[str, Any]) -> str:
    """Return one table in TOML."""
    rows = [f"{written_key(key)} = {_value(value)}" for key, value in values.items()]
    return "\n".join([f"[{header}]", *rows]) + "\n"


def _value(value: object) -> str:
    """Return a scalar in TOML."""
    if value is None:
        return json.dumps(IDEAL)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool) else repr(value)


def _number(value: float) -> float | None:
    return None if value != value else float(value)
