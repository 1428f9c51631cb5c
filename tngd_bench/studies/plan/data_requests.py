"""Data that the sections of a study need."""

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
    name, dtype = section.problem, study.execution.dtype
    options = tuple(study.problem.get(name, {}).items())
    sizes: tuple[int | None, int | None] = (None, None)
    share = None
    if isinstance(section, TrainingSection):
        outputs, sizes = section.outputs, (section.train_size, section.test_size)
        share = section.validation_share
    prepared = outputs if problem_of(study, section).data_by_outputs else None
    return DataRequest(name, *sizes, dtype, share, prepared, options)


def requests_of(study: Study, section: CostSection | TrainingSection) -> tuple[DataRequest, ...]:
    """Return the distinct data that a section needs."""
    if isinstance(section, CostSection):
        return tuple(dict.fromkeys(request_of(study, section, outputs) for outputs in section.outputs))
    return (request_of(study, section),)


def refuse_too_much(study: Study, sizes: Mapping[DataRequest, LoadedSize]) -> None:
    """Raise StudyError where a section wants more training samples than there are."""
    wanted: list[tuple[DataRequest, str, int]] = []
    for cost in study.cost:
        key = f"cost[{cost.name}].batch_size"
        wanted += [(request, key, size) for request in requests_of(study, cost) for size in cost.batch_size]
    for training in study.training:
        request, key = request_of(study, training), f"training[{training.name}]"
        wanted.append((request, f"{key}.batch_size", training.batch_size))
        wanted.append((request, f"{key}.evaluation_size", training.evaluation_size or 0))
    for request, key, size in wanted:
        available = sizes[request].train_size
        if size > available:
            raise StudyError(f"{key} must be <= {available}, the number of training samples, not {size}")
