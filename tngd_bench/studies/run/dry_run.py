"""Plan a study for this machine without running it."""

from collections.abc import Sequence
from pathlib import Path

from tngd_bench.studies.file.reading import LoadedStudy
from tngd_bench.studies.plan.data_requests import data_requests
from tngd_bench.studies.plan.duration_model import learn_from
from tngd_bench.studies.plan.forecast import Forecast, groups_of
from tngd_bench.studies.plan.make_plan import make_plan
from tngd_bench.studies.run.data_files import load_for, size_of
from tngd_bench.studies.run.machine import measure_machine
from tngd_bench.studies.store.environment import study_environment


def dry_run(loaded: LoadedStudy, stores: Sequence[Path]) -> Forecast:
    """Return the forecast of a study on this machine, learned from the trials in `stores`; nothing is run.

    The data are read. Raises StudyError, StoreError, and the data's own errors where it cannot be had.
    """
    study = loaded.study
    model = learn_from(stores, study_environment(study.execution))
    sizes = {request: size_of(load_for(study, request)) for request in data_requests(study)}
    plan = make_plan(loaded, sizes, measure_machine(study.execution), model)
    return Forecast(plan, model, groups_of(plan.trials.values(), model))
