"""Merge the stores of one study, run in parts or on several machines, into one."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tngd_bench.studies.errors import StoreError
from tngd_bench.studies.file.optimizer_label import usual_form
from tngd_bench.studies.file.sweeps import swept_columns
from tngd_bench.studies.store.code_parts import revisions
from tngd_bench.studies.store.environment import difference, joined_environment
from tngd_bench.studies.store.numbers_changed import FIELD, numbers_changed
from tngd_bench.studies.store.packed import PACKED, find_store, pack
from tngd_bench.studies.store.reader import ENVIRONMENT, STUDY, TRIALS, StoreReader, is_finished
from tngd_bench.studies.store.store import STORE_FOLDER, Store

_COUNTED = ("seeds", "processes")  # of a section: the larger is kept
_LISTED = ("parameters", "optimizers", "batch_size", "outputs")  # of a section: joined
_SECTIONS = ("cost", "training")
_QUESTION = (
    *("kind", "group", "problem", "parameters_requested", "batch_size", "outputs", "optimizer", "settings"),
    *("seed", "process", *swept_columns(())),
)
_NAMED = tuple(name for name in _QUESTION if name not in ("settings", "seed", "process"))
"""What a result is known by in tables and figures, but for the seed or process."""
_Chosen = dict[str, tuple[StoreReader, dict[str, Any]]]


@dataclass(frozen=True)
class Merged:
    """The joined store's path, its number of trials, those dropped, and the files left out with the reason.

    `dropped`: by the store whose trials are left out and the store whose are taken in their place.
    """

    path: Path
    trials: int
    dropped: Mapping[tuple[str, str], int]
    ignored: Mapping[str, str]

    @property
    def shared(self) -> int:
        """Number of trials left out because another store has them too."""
        return sum(self.dropped.values())


def merge_stores(
    places: Sequence[Path],
    output: Path,
    *,
    mixed: bool = False,
    keep_old: bool = False,
    packed: bool = False,
) -> Merged:
    """Join the stores in `places` into a new one below `output`; those are left as they are.

    Of a trial that several have, the first finished one is kept. StoreError where they are of different studies, where
    a section is not the same in all, where `output` has a store already, and, unless `mixed`, where they were measured
    on machines of different classes: their times would not be comparable; and, unless `keep_old`, where they were
    measured by different code. `packed`: into one file, without the files kept of runs.
    """
    stores = [find_store(place) for place in places]
    target = Store(output / STORE_FOLDER)
    if target.study() is not None or (output / PACKED).exists():
        raise StoreError(f"{output} has a results store already; choose another --output")
    studies = [store.study() or {} for store in stores]  # a store that was found has one
    study = _joined_study(stores, studies)
    chosen, dropped, seen = _chosen(stores, studies)
    _refuse_other_settings(chosen)
    environment = _joined_environment(stores, mixed)  # after all that no option lifts
    several = revisions(seen.values())
    if several and len(stores) > 1 and not keep_old:
        raise StoreError(
            f"the stores were measured by different code ({', '.join(several)}): their results would not be"
            " comparable; merge them all the same with --keep-old"
        )
    study["trials"] = [key for key in study["trials"] if key in chosen or key not in seen]
    target.check_space(len(chosen))
    if packed:
        target.check_writable()
        trials = {f"{TRIALS}/{key}.json": {"key": key, **content} for key, (_, content) in chosen.items()}
        pack(output / PACKED, {STUDY: study, ENVIRONMENT: environment} | trials)
    else:
        target.create()
        with target.locked():
            for key, (store, content) in chosen.items():
                target.take_artefacts(key, store)
                target.write_trial(key, content)
            target.write_environment(environment)
            target.write_study(study)  # the last: without it there is no store
    ignored = {f"{name} in {store.path}": why for store in stores for name, why in store.ignored.items()}
    return Merged(output / PACKED if packed else target.path, len(chosen), dropped, ignored)


def _chosen(
    stores: Sequence[StoreReader], studies: Sequence[Mapping[str, Any]]
) -> tuple[_Chosen, dict[tuple[str, str], int], dict[str, str | None]]:
    """Return the trials by key, how many were left out (by their store and the one taken), and the code of all by key.

    Trials that ask the same are one, whatever code answered.
    """
    chosen: _Chosen = {}
    by_question: dict[str, str] = {}
    dropped: Counter[tuple[str, str]] = Counter()
    codes: dict[str, str | None] = {}
    for store, part in zip(stores, studies, strict=True):
        for key, content in store.trials(part["trials"]):
            codes[key] = json.dumps(content["code"]) if "code" in content else None
            question = _question(key, content)
            chosen_key = key if key in chosen else by_question.get(question)
            if chosen_key is not None:
                there, first = chosen[chosen_key]
                if is_finished(first) or not is_finished(content):
                    dropped[str(store.path), str(there.path)] += 1
                    continue
                dropped[str(there.path), str(store.path)] += 1
                del chosen[chosen_key]
            chosen[key], by_question[question] = (store, content), key
    return chosen, dict(dropped), codes


def _refuse_other_settings(chosen: _Chosen) -> None:
    """Raise StoreError where an optimizer of one name and section has other settings in another store.

    Its results would stand under that name together. A setting that one of them does not state was added since.
    """
    first: dict[tuple[Any, ...], tuple[StoreReader, dict[str, Any]]] = {}
    for store, content in chosen.values():
        for entry in content["entries"]:
            if "settings" not in entry:
                continue
            named = tuple(
                usual_form(entry[name]) if name == "optimizer" else entry.get(name) for name in _NAMED
            )
            settings = json.loads(entry["settings"])
            where, before = first.setdefault(named, (store, settings))
            unlike = _unlike(before, settings)
            if unlike is not None:
                name, there, here = unlike
                raise StoreError(
                    f"{store.path}: {entry['optimizer']} in section {entry['group']!r} has {name} = {here!r}, and"
                    f" in {where.path} {there!r}; only results of the same settings can be merged"
                )


def _unlike(first: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """Return the first name that both tables have with unlike values, with both; None where there is none."""
    for name in sorted(first.keys() & other.keys()):
        one, two = first[name], other[name]
        if isinstance(one, Mapping) and isinstance(two, Mapping):
            if (inner := _unlike(one, two)) is not None:
                return f"{name}.{inner[0]}", *inner[1:]
        elif one != two:
            return name, one, two
    return None


def _question(key: str, content: Mapping[str, Any]) -> str:
    """Return what a trial asks of which machine, as its entries say it: alike for any code and layout of the store."""
    entries = content["entries"]
    if not all("kind" in entry for entry in entries):
        return key
    asked = [[entry.get(name) for name in _QUESTION] for entry in entries]
    return json.dumps([asked, content.get("machine")], sort_keys=True)


def _joined_environment(stores: Sequence[StoreReader], mixed: bool) -> dict[str, Any]:
    environments = [store.environment() or {} for store in stores]
    first = environments[0]
    for store, other in zip(stores[1:], environments[1:], strict=True):
        unlike = difference(first, other)
        if unlike is not None and not mixed:
            name, ours, theirs = unlike
            raise StoreError(
                f"{stores[0].path} was measured with {name} = {ours!r}, {store.path} with {theirs!r}:"
                " times would not be comparable; merge them all the same with --mixed"
            )
    return joined_environment(environments)


def _joined_study(stores: Sequence[StoreReader], studies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    joined = dict(studies[0])
    for store, study in zip(stores[1:], studies[1:], strict=True):
        if study.get("name") != joined.get("name"):
            raise StoreError(
                f"{stores[0].path} holds the study {joined.get('name')!r}, {store.path} {study.get('name')!r};"
                " only stores of one study can be merged"
            )
        before = dict(joined)
        _refuse_other_options(store, study, joined)
        for kind in _SECTIONS:
            joined[kind] = _joined_sections(joined.get(kind, []), study.get(kind, []), kind, store)
        joined["trials"] = list(dict.fromkeys([*joined["trials"], *study["trials"]]))
        # a store with more processes or seeds than the first was run once there were results
        changes = (*study.get(FIELD, ()), *numbers_changed(before, joined))
        if changes:
            joined[FIELD] = list({(each["section"], each["what"]): each for each in changes}.values())
    return joined


def _refuse_other_options(store: StoreReader, study: Mapping[str, Any], first: Mapping[str, Any]) -> None:
    """Raise StoreError where a problem that both studies have has other options: it is another problem."""
    used = [
        {section.get("problem") for kind in _SECTIONS for section in each.get(kind, [])}
        for each in (study, first)
    ]
    tables = [each.get("problem") or {} for each in (study, first)]
    for problem in sorted({*tables[0], *tables[1]} & used[0] & used[1]):
        here, there = (table.get(problem) or {} for table in tables)
        for option in sorted({*here, *there}):
            if here.get(option) != there.get(option):
                raise StoreError(
                    f"{store.path}: problem.{problem}.{option} is {here.get(option)!r}, and in the first store"
                    f" {there.get(option)!r}; only stores of the same problem can be merged"
                )


def _joined_sections(
    ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]], kind: str, store: StoreReader
) -> list[Mapping[str, Any]]:
    joined = {section["name"]: section for section in ours}
    for section in theirs:
        first = joined.setdefault(section["name"], section)
        for key in sorted({*first, *section} - {*_COUNTED, *_LISTED}):
            if (first.get(key) or None) != (section.get(key) or None):  # a newer key may be missing
                raise StoreError(
                    f"{store.path}: {kind}[{section['name']}].{key} is {section.get(key)!r}, and in the first store"
                    f" {first.get(key)!r}; only stores of the same section can be merged"
                )
        counted = [key for key in (*_COUNTED, *_LISTED) if key in section]
        values = {key: _joined_value(first[key], section[key]) for key in counted}
        joined[section["name"]] = {**first, **values}
    return list(joined.values())


def _joined_value(ours: Any, theirs: Any) -> Any:
    if isinstance(ours, list) and isinstance(theirs, list):
        return list(dict.fromkeys([*ours, *theirs]))
    return max(ours, theirs) if ours != theirs else ours
