"""Make the search for the settings of a study's optimizers, a study itself: training runs on held-out data.

Every optimizer gets the same number of tries: its settings as the study has them, and the same number of draws from
its space. The runs draw other starts and batches than the study's own, and are judged on a part of the training
data; the test data are not looked at.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tngd_bench import arguments
from tngd_bench.measure.seeds import derive_seed
from tngd_bench.optimizers import registry
from tngd_bench.problems import registry as problems
from tngd_bench.problems.metrics import LOSS
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.optimizer_label import IDEAL, config_of, read_label
from tngd_bench.studies.file.reading import LoadedStudy
from tngd_bench.studies.file.schema import Study, TrainingSection, Tuning
from tngd_bench.studies.file.toml_lines import written_key
from tngd_bench.studies.tuning.results import finalists, larger_is_better
from tngd_bench.studies.tuning.spaces import Space, draws, space_of

_NAME_LENGTH = 60
_EVALUATIONS = 4  # of a run; the last one decides, the others show the way there


@dataclass(frozen=True)
class Contender:
    """An optimizer to be tuned: `tries` are the settings tried, the first of them none, so the study's own.

    `fixed` are settings in its label, which are not tuned; `labels` name the tries in the study of the search.
    """

    label: str
    method: str
    space: Space
    fixed: Mapping[str, object]
    tries: tuple[Mapping[str, float], ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Search:
    """A search: the study `name` that asked for it and what it asked, the section, its optimizers, the study to run."""

    name: str
    loaded: LoadedStudy
    tuning: Tuning
    section: TrainingSection
    contenders: tuple[Contender, ...]


def make_search(loaded: LoadedStudy) -> Search:
    """Return the search that the study's `[tuning]` table asks for, or one with its defaults where it has none.

    Raises StudyError for a section or an optimizer that cannot be tuned.
    """
    study = loaded.study
    tuning = study.tuning or Tuning()
    section = _section(study, tuning)
    _refuse_foreign_metric(study, tuning, section)
    selections = _selections(study, tuning, section)
    _refuse_foreign_spaces(study, tuning, selections)
    contenders = tuple(
        _contender(method, fixed, study, tuning, section) for method, fixed in selections.items()
    )
    run = dataclasses.replace(
        section,
        optimizers=tuple(label for contender in contenders for label in contender.labels),
        epochs=section.epochs if tuning.epochs is None else tuning.epochs,
        seeds=tuning.seeds,
        evaluations=min(section.evaluations, _EVALUATIONS),
        evaluation_size=_evaluation_size(section, tuning),
        sweep=None,
        validation_share=tuning.validation_share,
    )
    asked = dataclasses.replace(tuning, section=section.name, optimizers=tuple(selections), epochs=run.epochs)
    name, title = _with_suffix(study.name, "-tuning"), f"Search for settings: {study.title}"
    only: dict[str, Any] = {"cost": (), "training": (run,), "tuned": {}, "tuned_for": {}, "tuning_record": {}}
    searched = dataclasses.replace(study, name=name, title=title, tuning=asked, **only)
    return Search(study.name, dataclasses.replace(loaded, study=searched), asked, section, contenders)


def _with_suffix(name: str, suffix: str) -> str:
    return name[: _NAME_LENGTH - len(suffix)] + suffix


def _section(study: Study, tuning: Tuning) -> TrainingSection:
    sections = {section.name: section for section in study.training}
    if tuning.section is not None:
        if tuning.section not in sections:
            hint = arguments.suggestion(tuning.section, sections)
            there = ", ".join(sections) or "no training sections at all"
            raise StudyError(
                f"{study.name}: tuning.section = {tuning.section!r} is no training section{hint}; there are: {there}"
            )
        return sections[tuning.section]
    plain = [section for section in study.training if section.sweep is None]
    if not plain:
        raise StudyError(f"{study.name}: nothing to tune: no [[training]] section without a sweep")
    if len(plain) > 1:
        names = ", ".join(section.name for section in plain)
        raise StudyError(
            f"{study.name}: tuning.section is missing: which of {names}?"
            " Give --section NAME, or section = … in [tuning]"
        )
    return plain[0]


def _refuse_foreign_metric(study: Study, tuning: Tuning, section: TrainingSection) -> None:
    problem = problems.get(section.problem, study.problem.get(section.problem))
    accepted = [f"validation_{metric.name}" for metric in (LOSS, *problem.metrics)]
    if tuning.metric not in accepted:
        hint = arguments.suggestion(tuning.metric, accepted)
        raise StudyError(
            f"{study.name}: tuning.metric = {tuning.metric!r} is not measured on {section.problem}{hint}; "
            f"accepted: {', '.join(accepted)}"
        )


def _selections(study: Study, tuning: Tuning, section: TrainingSection) -> dict[str, Mapping[str, object]]:
    """Return the optimizers to tune with the settings in their labels; adam and adam[tuned] are one."""
    settings_by_method: dict[str, Mapping[str, object]] = {}
    for label in tuning.optimizers or section.optimizers:
        config_of(study, label, section.problem)
        selection = read_label(label)
        if settings_by_method.setdefault(selection.name, selection.settings) != selection.settings:
            raise StudyError(
                f"{study.name}: {selection.name} stands with different settings in {section.name!r}, and there is one "
                f"table [tuned.{written_key(selection.name)}]; choose with --optimizers, or optimizers = … in [tuning]"
            )
    return settings_by_method


def _refuse_foreign_spaces(study: Study, tuning: Tuning, methods: Iterable[str]) -> None:
    """Refuse the space of an optimizer that no choice of a section or of optimizers would have tuned."""
    tuned = tuple(methods)
    trained = {read_label(label).name for section in study.training for label in section.optimizers}
    for name in tuning.spaces:
        left_out = name in trained or (tuning.optimizers and registry.is_known(name))
        if name not in tuned and not left_out:
            hint = arguments.suggestion(name, tuned)
            raise StudyError(
                f"tuning.spaces.{written_key(name)}: not tuned here{hint}; tuned are: {', '.join(tuned)}"
            )


def _contender(
    method: str, fixed: Mapping[str, object], study: Study, tuning: Tuning, section: TrainingSection
) -> Contender:
    whole = space_of(method, tuning.spaces.get(method))
    space = Space({name: axis for name, axis in whole.axes.items() if name not in fixed}, whole.asked)
    if not space.axes:
        raise StudyError(f"{study.name}: {_written(method, fixed)!r} leaves nothing to tune")
    # Every part of the sequence's seed is named: the same search draws the same settings, another study others.
    seed = derive_seed(study.name, section.name, method, "tuning", tuning.sampler_seed)
    tries: tuple[Mapping[str, float], ...] = ({}, *draws(space, tuning.trials, seed))
    labels = tuple(_written(method, {**fixed, **settings}) for settings in tries)
    return Contender(labels[0], method, space, fixed, tries, labels)


def _evaluation_size(section: TrainingSection, tuning: Tuning) -> int | None:
    """Return the number of training samples to evaluate on; never more than the validation part leaves."""
    if section.evaluation_size is None:
        return None
    return max(1, int(section.evaluation_size * (1 - tuning.validation_share)) - 1)


def _written(method: str, settings: Mapping[str, object]) -> str:
    """Return the label that `read_label` reads as these settings."""
    inside = ", ".join(f"{key}={_value(value)}" for key, value in settings.items())
    return f"{method}[{inside}]" if inside else method


def _value(value: object) -> str:
    if value is None:
        return IDEAL
    return str(value).lower() if isinstance(value, bool) else str(value)


def make_finals(search: Search, tries: pd.DataFrame) -> LoadedStudy | None:
    """Return the study of the search with its finals, given its `tries`; None where there is nothing to decide.

    The best of many tries on one seed and a part of the training is best partly by luck: on MNIST a setting of NGD-Gram
    won the search, and failed on three of five seeds in ten epochs. So the `tuning.finalists` best tries of each
    optimizer are run again, for the whole training, on new seeds; an optimizer with one finalist has nothing to decide.
    """
    larger = larger_is_better(dataclasses.asdict(search.loaded.study))
    labels = []
    for contender in search.contenders:
        best = finalists(tries[tries["optimizer"] == contender.method], search.tuning.finalists, larger)
        labels += list(best["label"]) if len(best) > 1 else []
    return _with_finals(search, labels) if labels else None


def expected(search: Search) -> LoadedStudy:
    """Return the search with its finals, for a plan: the finalists are not known yet, so the first tries stand in."""
    number = search.tuning.finalists
    labels = [label for each in search.contenders for label in each.labels[:number] if len(each.labels) > 1]
    return _with_finals(search, labels) if labels and number > 1 else search.loaded


def _with_finals(search: Search, labels: list[str]) -> LoadedStudy:
    study = search.loaded.study
    (section,) = study.training
    finals = dataclasses.replace(
        section,
        name=_with_suffix(section.name, "-finals"),
        optimizers=tuple(labels),
        epochs=search.section.epochs,
        seeds=search.tuning.final_seeds,
        first_seed=search.tuning.seeds,
    )
    return dataclasses.replace(search.loaded, study=dataclasses.replace(study, training=(section, finals)))
