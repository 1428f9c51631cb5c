"""The study itself: what was compared in one sentence, and tables of what gave no number, settings and environment."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.setting_names import parameter_name, value_text
from tngd_bench.analysis.training.sweep_kinds import swept_names
from tngd_bench.optimizers import registry
from tngd_bench.report.document import tables
from tngd_bench.report.document.tables import RECORDS, Table, amount, span_text, words
from tngd_bench.studies.file.tuned_sets import search_of
from tngd_bench.studies.store import columns as c


def unfinished_table(rows: pd.DataFrame, infos: Infos) -> Table:
    """Return the trials that gave no number, one row per setting with equal status and reason."""
    by = [c.KIND, c.GROUP, c.PROBLEM, c.PARAMETERS_REQUESTED, c.OPTIMIZER, *c.SWEEP]
    by += [c.STATUS, c.REASON]
    grouped = c.completed(rows, c.SWEEP).astype({c.ESTIMATE_SECONDS: float, c.ESTIMATE_BYTES: float})
    data = grouped.groupby(by, dropna=False, sort=True, as_index=False).agg(
        estimate_seconds=(c.ESTIMATE_SECONDS, "max"),
        estimate_bytes=(c.ESTIMATE_BYTES, "max"),
        trials=(c.KEY, "size"),
        keys=(c.KEY, lambda keys: tuple(sorted(keys))),
    )
    levels = c.swept_levels(data, parameter_name, quantities.level)
    shown = data.assign(level=levels.where(levels == "", ", " + levels))
    columns = (
        tables.optimizer_column(infos),
        words("section", lambda row: f"{row.kind}: {row.group}{row.level}"),
        amount("N asked for", c.PARAMETERS_REQUESTED),
        words("status", lambda row: row.status),
        words("reason", lambda row: "" if pd.isna(row.reason) else row.reason),
        amount("estimated time per iteration", c.ESTIMATE_SECONDS, quantities.seconds, "estimated"),
        amount("estimated memory", c.ESTIMATE_BYTES, quantities.memory, "estimated"),
        amount("trials", "trials", str),
        RECORDS,
    )
    caption = "Trials that gave no number. Skipped ones were left out beforehand, by the estimate shown."
    return tables.table_of("not-finished", caption, columns, shown, data)


def settings_table(trials: pd.DataFrame, infos: Infos) -> Table:
    """Return the settings of each optimizer outside sweeps that are not defaults, one row per distinct set.

    The data behind it hold the complete settings. Of an optimizer that is not registered here all are shown.
    """
    plain = trials[trials[c.SWEEP_PARAMETER].isna()].drop_duplicates([c.GROUP, c.OPTIMIZER, c.SETTINGS])
    rows, data = [], []
    for label in infos:
        for settings, part in c.only(plain, optimizer=label).groupby(c.SETTINGS, sort=True):
            text = _listed(_set_otherwise(infos[label].method, settings))
            sections = ", ".join(dict.fromkeys(part[c.GROUP]))
            rows.append((infos[label].title, text or "none", sections))
            data.append({c.OPTIMIZER: label, c.SETTINGS: settings, "sections": sections})
    caption = (
        "What each optimizer has set otherwise than by default; the defaults are below. TNGD's settings are those of "
        "the simulated device and of its use; what is not set is the device's own, in the table of devices."
    )
    titles = ("optimizer", "settings other than the default", "sections")
    frame = pd.DataFrame(data, columns=["optimizer", "settings", "sections"])
    return tables.text_table("optimizer-settings", caption, titles, rows, frame)


def untuned(results: Results, group: str) -> str:
    """Return which optimizers of a training section no search had set while it had others, and how much these had.

    "" where it had all of them, or none.
    """
    infos, ran = results.infos, c.outside_sweeps(c.only(results.of_kind("training"), group=group))
    tuned = {infos[label].method for label in ran[c.OPTIMIZER] if infos[label].tuned}
    others = ran[~ran[c.METHOD].isin(tuned)].drop_duplicates(c.OPTIMIZER)
    if not tuned or others.empty:
        return ""
    named = []
    for row in c.each(others):
        changed = _set_otherwise(row.method, row.settings)
        named.append(
            f"{infos[row.optimizer].title} ({'set by the study' if changed else 'default settings'})"
        )
    found = (results.study.get("tuned_for") or {}).get(ran[c.PROBLEM].iloc[0], results.study)
    record = found.get("tuning_record") or {}
    searches = [record.get(search_of(record, method)) or {} for method in tuned]
    tried = [search["tries_per_optimizer"] for search in searches if "tries_per_optimizer" in search]
    budget = f"the best of {span_text(tried)} settings tried for each" if tried else "what a search found"
    return (
        f"Not tuned (section {group}): {quantities.listed(named)}. Settings of the tuned ones are {budget}."
    )


def defaults_table(infos: Infos) -> Table:
    """Return the defaults of every optimizer that ran and is registered here, without those that have no value."""
    rows, data = [], []
    for method in dict.fromkeys(kind.method for kind in infos.values()):
        entry = registry.recorded(method)
        usual = {name: value for name, value in _defaults(method).items() if value is not None}
        if entry is not None and usual:
            rows.append((entry.title, _listed(usual)))
            data.append({c.OPTIMIZER: method, "defaults": json.dumps(usual)})
    caption = "Defaults of the optimizers, of this version of tngd-bench."
    titles = ("optimizer", "defaults")
    return tables.text_table("optimizer-defaults", caption, titles, rows, pd.DataFrame(data, columns=titles))


_UNSET = object()


def _defaults(method: str) -> dict[str, Any]:
    """Return the settings of `method` by default; none where it is not registered here."""
    entry = registry.recorded(method)
    return {} if entry is None else dict(entry.defaults)


def _set_otherwise(method: str, settings: object) -> dict[str, Any]:
    """Return those of a trial's `settings` (JSON text) that are not defaults."""
    usual = _defaults(method)
    given = json.loads(str(settings)).items()
    return {name: value for name, value in given if usual.get(name, _UNSET) != value}


def _listed(settings: Mapping[str, Any]) -> str:
    """Return settings in words, a device by its name."""
    return ", ".join(
        f"{parameter_name(name)} = {value_text(name, value.get('name') if isinstance(value, Mapping) else value)}"
        for name, value in settings.items()
    )


def pairs_table(name: str, caption: str, content: Mapping[str, object]) -> Table:
    """Return nested settings as two columns, inner names joined by dots."""
    return tables.text_table(name, caption, ("name", "value"), _flat(content))


def _flat(content: Mapping[str, object], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
            for place, item in enumerate(value, start=1):
                yield from _flat({f"{place}": item}, f"{name}.")
        elif isinstance(value, list | tuple):
            yield name, ", ".join(str(item) for item in value) or "none"
        else:
            yield name, "none" if value is None else str(value)


def compared(results: Results) -> str:
    """Return the extent of the study: optimizers, sizes, problems, seeds and sweeps."""
    trials, infos = results.trials, results.infos
    methods = len({kind.method for kind in infos.values()})
    settings = f" in {len(infos)} settings" if len(infos) > methods else ""
    parts = [f"{methods} optimizer{'' if methods == 1 else 's'}{settings}"]
    timed = c.only(trials, kind="cost", status="ok")
    if len(timed):
        sizes = span_text(timed[c.PARAMETERS])
        where = f"{quantities.listed(sorted(set(timed[c.PROBLEM])))}, b = {span_text(timed[c.BATCH_SIZE])}"
        where += f", d_z = {span_text(timed[c.OUTPUTS])}"
        parts.append(f"cost per iteration at N = {sizes} ({where})")
    training = c.only(trials, kind="training")
    plain = training[training[c.SWEEP_PARAMETER].isna()]
    if len(plain):
        problems = [
            f"{problem} (N = {span_text(part[c.PARAMETERS])}, {_tuned(part, infos)}, {_seeds(part)})"
            for problem, part in plain.groupby(c.PROBLEM, sort=True)
        ]
        parts.append(f"training on {quantities.listed(problems)}")
    swept = training[training[c.SWEEP_PARAMETER].notna()]
    if len(swept):
        parts.append(f"sweeps of {quantities.listed(swept_names(swept))}")
    devices = sorted({str(name) for name in trials[c.DEVICE].dropna()} - {""})
    if devices:
        parts.append(f"device: {quantities.listed(devices)}")
    return ". ".join(part[:1].upper() + part[1:] for part in parts) + "."


def _tuned(training: pd.DataFrame, infos: Infos) -> str:
    """Return whether the optimizers of these trainings ran at settings that a search had found for them."""
    labels = sorted(set(training[c.OPTIMIZER]))
    number = sum(infos[label].tuned for label in labels)
    if not number:
        return "not tuned"
    return "all tuned" if number == len(labels) else f"{number} of {len(labels)} settings tuned"


def _seeds(training: pd.DataFrame) -> str:
    """Return the number of seeds in the sections of these trainings, least to most: "5 seeds"."""
    seeds = span_text(training.groupby(c.GROUP)[c.SEED].nunique())
    return f"{seeds} seed{'' if seeds == '1' else 's'}"
