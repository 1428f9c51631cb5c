"""What makes a study that has the right shape a right one: its names are known, its values go together."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from tngd_bench.optimizers import registry as optimizers
from tngd_bench.problems import registry as problems
from tngd_bench.problems.entry import ProblemEntry
from tngd_bench.problems.metrics import LOSS, both_parts
from tngd_bench.spu.device import Device
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.devices import own_devices, refuse_unknown
from tngd_bench.studies.file.merge import Layers
from tngd_bench.studies.file.optimizer_label import as_setting, config_of, expand_label, read_label
from tngd_bench.studies.file.schema import CostSection, Study, TrainingSection
from tngd_bench.studies.file.sweeps import levels_of, settings_of
from tngd_bench.studies.file.validation_errors import Path, shown_path

MOST_TRIALS = 1_000_000


def complete(study: Study, layers: Layers) -> Study:
    """Return the study as it will be run: labels with lists written out, sections not enabled left out.

    Every section is checked, those left out too. StudyError with place, key, value and what is accepted.
    """
    if not (study.cost or study.training):
        raise StudyError(f"{layers.name}: nothing to do: no [[cost]] and no [[training]] section")
    _check_tables(study, layers)
    sections: tuple[CostSection | TrainingSection, ...] = (*study.cost, *study.training)
    _refuse_repeats(layers, ("cost" if study.cost else "training",), "section", (s.name for s in sections))
    cost = tuple(_cost(study, section, number, layers) for number, section in enumerate(study.cost))
    training = tuple(
        _training(study, section, number, layers) for number, section in enumerate(study.training)
    )
    whole = dataclasses.replace(
        study,
        cost=tuple(section for section in cost if section.enabled),
        training=tuple(section for section in training if section.enabled),
    )
    if not (whole.cost or whole.training):
        raise StudyError(f"{layers.name}: nothing to do: no section is enabled")
    number = sum(map(_trials_of_cost, whole.cost)) + sum(map(_trials_of_training, whole.training))
    if number > MOST_TRIALS:
        raise StudyError(
            f"{layers.name}: the study unrolls to {number:,} trials; accepted: at most {MOST_TRIALS:,}"
        )
    return whole


def _trials_of_cost(section: CostSection) -> int:
    sizes = len(section.parameters) * len(section.batch_size) * len(section.outputs)
    return sizes * (section.processes + len(section.optimizers))


def _trials_of_training(section: TrainingSection) -> int:
    number = section.seeds * len(section.optimizers)
    for sweep in section.sweep or ():
        number *= len(sweep.values)
    return number


def _check_tables(study: Study, layers: Layers) -> None:
    tables: Iterable[tuple[Path, Mapping[str, Mapping[str, object]]]] = (
        (("optimizer",), study.optimizer),
        (("tuned",), study.tuned),
        *((("tuned_for", problem, "tuned"), found.tuned) for problem, found in study.tuned_for.items()),
    )
    for kind, table in tables:
        for name, settings in table.items():
            with _at(layers, *kind, name):
                entry = optimizers.get(name)
            for key, value in settings.items():
                with _at(layers, *kind, name, key, shown=(*kind, name)):
                    if not (key == "device" and value in study.device):
                        entry.check({key: as_setting(key, value)})
    for name, fields in study.device.items():
        with _at(layers, "device", name):
            if name in Device.presets():
                raise ValueError("a shipped device has this name; accepted: another one")
        for key in fields:
            with _at(layers, "device", name, key, shown=("device", name)):
                refuse_unknown(key)
        with _at(layers, "device", name):
            own_devices(study, name)
    for name, options in study.problem.items():
        with _at(layers, "problem", name):
            problems.get(name, options)


def _cost(study: Study, section: CostSection, number: int, layers: Layers) -> CostSection:
    here: Path = ("cost", number)
    problem = _problem(study, section, here, layers)
    for key in ("parameters", "batch_size", "outputs"):
        _refuse_repeats(layers, (*here, key), f"cost[{section.name}].{key}:", map(str, getattr(section, key)))
    for outputs in section.outputs:
        for size in section.parameters:
            with _at(layers, *here, "parameters"):
                problem.widths(size, outputs)
    labels = _labels(study, section, here, layers)
    return dataclasses.replace(section, optimizers=labels)


def _training(study: Study, section: TrainingSection, number: int, layers: Layers) -> TrainingSection:
    here: Path = ("training", number)
    problem = _problem(study, section, here, layers)
    with _at(layers, *here, "parameters"):
        problem.widths(section.parameters, section.outputs)
    known = [each.column for each in both_parts((LOSS, *problem.metrics))]
    for place, target in enumerate(section.targets):
        if target.metric not in known:
            with _at(layers, *here, "targets", place, "metric"):
                raise ValueError(f"must be one of: {', '.join(known)}; not {target.metric!r}")
    labels = _labels(study, section, here, layers)
    if section.sweep is not None:
        _sweeps(study, section, labels, here, layers)
    return dataclasses.replace(section, optimizers=labels)


def _problem(
    study: Study, section: CostSection | TrainingSection, here: Path, layers: Layers
) -> ProblemEntry:
    with _at(layers, *here, "problem"):
        return problems.get(section.problem, study.problem.get(section.problem))


def _labels(
    study: Study, section: CostSection | TrainingSection, here: Path, layers: Layers
) -> tuple[str, ...]:
    labels: list[str] = []
    for place, written in enumerate(section.optimizers):
        with _at(layers, *here, "optimizers", place, shown=(*here, "optimizers")):
            for label in expand_label(written):
                config_of(study, label, section.problem)
                labels.append(label)
    path = (*here, "optimizers")
    _refuse_repeats(layers, path, f"{shown_path(path, layers.table)}:", labels)
    return tuple(labels)


def _sweeps(
    study: Study, section: TrainingSection, labels: Iterable[str], here: Path, layers: Layers
) -> None:
    sweeps = section.sweep or ()
    path: Path = (*here, "sweep")
    _refuse_repeats(
        layers, path, f"{shown_path(path, layers.table)}: parameter", (s.parameter for s in sweeps)
    )
    for sweep in sweeps:
        _refuse_repeats(layers, path, f"{shown_path(path, layers.table)}.values:", map(repr, sweep.values))
        _refuse_repeats(layers, path, f"{shown_path(path, layers.table)}.labels:", sweep.labels)
    for label in labels:
        for sweep in sweeps:
            if sweep.parameter in read_label(label).settings:
                with _at(layers, *path):
                    raise StudyError(f"{sweep.parameter!r} is swept and set in {label!r} as well")
        for levels in levels_of(sweeps):
            with _at(layers, *path):
                config_of(study, label, section.problem, settings_of(levels))


@contextmanager
def _at(layers: Layers, *path: str | int, shown: Path | None = None) -> Iterator[None]:
    """Put file, line and key before the message of a refused value; `shown` is the key named where not `path`."""
    try:
        yield
    except (ValueError, TypeError) as error:
        name = shown_path(path if shown is None else shown, layers.table)
        raise layers.complaint(path, f"{name}: {error}") from None


def _refuse_repeats(layers: Layers, path: Path, what: str, names: Iterable[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise layers.complaint(path, f"{what} {repeated[0]!r} appears more than once")
