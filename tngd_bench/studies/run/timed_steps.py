"""Time single steps for a plan, in workers, until they have taken their share of what the study will take."""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tngd_bench.datasets.splits import DataSplits
from tngd_bench.studies.errors import EngineError
from tngd_bench.studies.plan.candidates import CandidateMaker, SizedProblem
from tngd_bench.studies.plan.duration_model import DurationModel, cycle_of
from tngd_bench.studies.plan.make_plan import Plan
from tngd_bench.studies.plan.probes import (
    Step,
    TimedStep,
    seconds_of_sample,
    worth_timing,
)
from tngd_bench.studies.plan.trials import PROCESS_START_S, CostBlock, DataRequest, TrainingTrial, Trial
from tngd_bench.studies.run.data_files import write_splits
from tngd_bench.studies.run.run_trial import probe_in_worker
from tngd_bench.studies.run.worker_process import Limits, call_in_worker, worker_context

SHARE, LONGEST_S, LEAST_S, UNDESCRIBED_S = 0.05, 10.0, 0.5, 20.0
"""The share of the plan's seconds that is spent, but `LONGEST_S` at the most, and nothing where it is below `LEAST_S`.
Optimizers without a predicted cost may take `UNDESCRIBED_S` in any case: nothing else tells their time."""
_STEPS = 3  # a first one, one that warms the caches, and the timed one


def timed_steps(
    plan: Plan, model: DurationModel, data: Mapping[DataRequest, DataSplits]
) -> tuple[TimedStep, ...]:
    """Return the steps timed now; one that fails or takes too long is left out, and its time to the formula."""
    share = min(SHARE * plan.predicted_s, LONGEST_S)
    left = {True: share if share >= LEAST_S else 0.0, False: UNDESCRIBED_S}
    probes: list[TimedStep] = []
    context = worker_context()
    with tempfile.TemporaryDirectory(prefix="tngd-bench-") as folder:
        files: dict[DataRequest, Path] = {}
        for trial in worth_timing(plan.trials.values(), model.trials_behind):
            known, seconds = trial.candidate.known, _predicted(trial, plan)
            steps = _STEPS * cycle_of(trial.candidate.config)
            step = Step.of(trial.candidate.config, trial.setting, trial.kind)
            so_far = DurationModel(probes=tuple(probes))
            expected = so_far.step_seconds(trial.candidate.config, trial.setting, trial.kind, seconds)
            if PROCESS_START_S + steps * expected > left[known]:
                continue
            if trial.data not in files:
                files[trial.data] = Path(folder) / f"{len(files)}.pt"
                write_splits(data[trial.data], files[trial.data])
            began, limits = time.monotonic(), Limits(left[known], plan.machine.memory_bytes)
            try:
                evaluating = (
                    isinstance(trial, TrainingTrial) and seconds_of_sample(probes, trial.setting) is None
                )
                found, sample_s = call_in_worker(
                    context, probe_in_worker, (trial, files[trial.data], evaluating), limits
                )
            except EngineError:
                continue
            finally:
                left[known] -= time.monotonic() - began
            about = found.made_s, found.before_s, found.step_s
            probes.append(TimedStep(step, seconds, *about, known, sample_s, found.repeated))
    return tuple(probes)


def _predicted(trial: Trial, plan: Plan) -> float:
    """Return the seconds of a trial's first step by formula."""
    make, setting = CandidateMaker(plan.study.execution, plan.machine), trial.setting
    problem = SizedProblem.of(setting)
    config = trial.candidate.config
    once = make.timed(config, problem) if isinstance(trial, CostBlock) else make.inspected(config, problem, 1)
    return once.least_seconds
