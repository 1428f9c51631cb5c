"""Data that the sections of a study need."""

from __future__ import annotations

from collections.abc import Mapping

from tngd_bench.problems import registry as problems
from tngd_bench.problems.entry import ProblemEntry
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.schema import CostSection, Study, TrainingSection
from tngd_bench.studies.plan.inputs import LoadedSize
from tngd_bench.studies.plan.trials import DataRequest


def data_requests(study: Study) -> tuple[DataRequest, ...]:
    """Return the distinct data sets that a study needs."""
    sections: list[CostSection | TrainingSection] = [*study.cost, *study.training]
    return tuple(dict.fromkeys(request for section in sections for request in requests_of(study, section)))


def problem_of(study: Study, section: CostSection | TrainingSection) -> ProblemEntry:
    """Return the problem of a section, with the study's options in force."""
    return problems.get(section.problem, study.problem.get(section.problem))


def request_of(
    study: Study, section: CostSection | TrainingSection, outputs: int | None = None
) -> DataRequest:
    """Return the data of a section, for a number of `outputs` where they depend on it and a section has several."""
    problem, dtype = problem_of(study, section), study.execution.dtype
    options = tuple(study.problem.get(section.problem, {}).items())
    if isinstance(section, CostSection):
        prepared = outputs if problem.data_by_outputs else None
        return DataRequest(section.problem, None, None, dtype, None, prepared, options)
    prepared = section.outputs if problem.data_by_outputs else None
    sizes, share = (section.train_size, section.test_size), section.validation_share
    return DataRequest(section.problem, *sizes, dtype, share, prepared, options)


def requests_of(study: Study, section: CostSection | TrainingSection) -> tuple[DataRequest, ...]:
    """Return the distinct data that a section needs."""
    if isinstance(section, CostSection):
        return tuple(dict.fromkeys(request_of(study, section, outputs) for outputs in section.outputs))
    return (request_of(study, section),)


def refuse_too_much(study: Study, sizes: Mapping[DataRequest, LoadedSize]) -> None:
    """Raise StudyError where a section wants more training samples than there are."""
    for cost in study.cost:
        for request in requests_of(study, cost):
            for batch_size in cost.batch_size:
                _refuse_more(f"cost[{cost.name}].batch_size", batch_size, sizes[request].train_size)
    for training in study.training:
        available = sizes[request_of(study, training)].train_size
        _refuse_more(f"training[{training.name}].batch_size", training.batch_size, available)
        if training.evaluation_size is not None:
            _refuse_more(f"training[{training.name}].evaluation_size", training.evaluation_size, available)


def _refuse_more(key: str, size: int, available: int) -> None:
    if size > available:
        raise StudyError(f"{key} must be <= {available}, the number of training samples, not {size}")
