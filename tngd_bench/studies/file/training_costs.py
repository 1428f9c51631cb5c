"""Add cost sections for what a study trains: an axis of time is iterations times a cost per iteration."""

import dataclasses
from collections.abc import Iterator

from tngd_bench.studies.file.optimizer_label import expand_label, usual_form
from tngd_bench.studies.file.schema import CostSection, Study, TrainingSection

_PROCESSES, _REPETITIONS, _SECONDS_LIMIT = 5, 10, 0.5


def with_training_costs(study: Study) -> Study:
    """Return `study` with a cost section for each training section with targets, or `timed`, that lacks its costs.

    They are timed at the size and batch of the training, in turn with one another, as often as in the first cost
    section of the study.
    """
    added = tuple(_missing(study))
    return dataclasses.replace(study, cost=(*study.cost, *added)) if added else study


def _missing(study: Study) -> Iterator[CostSection]:
    taken = {section.name for section in study.cost} | {section.name for section in study.training}
    for section in study.training:
        if not (section.enabled and (section.targets or section.timed)) or section.sweep is not None:
            continue
        if _labels(section) <= _timed(study, section):
            continue
        name = f"{section.name}-cost"
        while name in taken:
            name += "-2"
        taken.add(name)
        usual = next((one for one in study.cost if one.enabled), None)
        yield CostSection(
            name=name,
            problem=section.problem,
            parameters=(section.parameters,),
            batch_size=(section.batch_size,),
            outputs=(section.outputs,),
            optimizers=section.optimizers,
            processes=usual.processes if usual else _PROCESSES,
            repetitions=usual.repetitions if usual else _REPETITIONS,
            seconds_limit=usual.seconds_limit if usual else _SECONDS_LIMIT,
        )


def _labels(section: CostSection | TrainingSection) -> set[str]:
    return {usual_form(one) for label in section.optimizers for one in expand_label(label)}


def _timed(study: Study, training: TrainingSection) -> set[str]:
    """Return the optimizers that one cost section of the study times together at the size of `training`, the most."""
    timed = [
        _labels(section)
        for section in study.cost
        if section.enabled
        and section.problem == training.problem
        and training.parameters in section.parameters
        and training.batch_size in section.batch_size
        and training.outputs in section.outputs
    ]
    return max(timed, key=lambda labels: len(labels & _labels(training)), default=set())
