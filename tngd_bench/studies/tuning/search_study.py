"""Make the search for the settings of a study's optimizers, a study itself: training runs on held-out data.

Every optimizer gets the same number of tries: its settings as the study has them, and the same number of draws from
its space. The runs draw other starts and batches than the study's own, and are judged on a part of the training
data; the test data are not looked at.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tngd_bench import arguments
from tngd_bench.measure.seeds import derive_seed
from tngd_bench.problems import registry as problems
from tngd_bench.problems.metrics import LOSS
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.optimizer_label import IDEAL, config_of, read_label
from tngd_bench.studies.file.reading import LoadedStudy
from tngd_bench.studies.file.schema import Study, TrainingSection, Tuning
from tngd_bench.studies.file.toml_lines import written_key
from tngd_bench.studies.tuning.draws import draws
from tngd_bench.studies.tuning.spaces import Space, space_of

_SUFFIX = "-tuning"
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
    _refuse_foreign_spaces(tuning, selections)
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
    name = study.name[: _NAME_LENGTH - len(_SUFFIX)] + _SUFFIX
    title = f"Search for settings: {study.title}"
    searched = dataclasses.replace(
        study,
        name=name,
        title=title,
        cost=(),
        training=(run,),
        tuning=asked,
        tuned={},
        tuned_for={},
        tuning_record={},
    )
    return Search(study.name, dataclasses.replace(loaded, study=searched), asked, section, contenders)


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


def _refuse_foreign_spaces(tuning: Tuning, methods: Iterable[str]) -> None:
    tuned = tuple(methods)
    for name in tuning.spaces:
        if name not in tuned:
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
    """Return how many training samples are evaluated on; never more than the validation part leaves."""
    if section.evaluation_size is None:
        return None
    return max(1, int(section.evaluation_size * (1 - tuning.validation_share)) - 1)


def _written(method: str, settings: Mapping[str, object]) -> str:
    """Return the label that `read_label` reads as these settings."""
    return (
        f"{method}[{', '.join(f'{key}={_value(value)}' for key, value in settings.items())}]"
        if settings
        else method
    )


def _value(value: object) -> str:
    if value is None:
        return IDEAL
    return str(value).lower() if isinstance(value, bool) else str(value)
