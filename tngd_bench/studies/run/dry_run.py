"""Plan a study for this machine without running it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from tngd_bench.studies.file.reading import LoadedStudy
from tngd_bench.studies.plan.data_requests import data_requests
from tngd_bench.studies.plan.duration_model import learn_from
from tngd_bench.studies.plan.forecast import Forecast, groups_of
from tngd_bench.studies.plan.make_plan import make_plan
from tngd_bench.studies.run.data_files import load_for, size_of
from tngd_bench.studies.run.machine import measure_machine
from tngd_bench.studies.run.timed_steps import timed_steps
from tngd_bench.studies.store.environment import study_environment


def dry_run(loaded: LoadedStudy, stores: Sequence[Path]) -> Forecast:
    """Return the forecast of a study on this machine, learned from the trials in `stores`; no trial is run.

    The data are read, and steps are timed (`timed_steps`). Raises StudyError, StoreError, and the data's own errors
    where it cannot be had.
    """
    study = loaded.study
    model = learn_from(stores, study_environment(study.execution))
    data = {request: load_for(study, request) for request in data_requests(study)}
    sizes, machine = (
        {request: size_of(splits) for request, splits in data.items()},
        measure_machine(study.execution),
    )
    plan = make_plan(loaded, sizes, machine, model)
    if probes := timed_steps(plan, model, data):
        limit = study.execution.seconds_per_iteration_limit
        model = dataclasses.replace(model, probes=probes, step_limit=limit)
        plan = make_plan(loaded, sizes, machine, model)
    return Forecast(plan, model, groups_of(plan.trials.values(), model))
