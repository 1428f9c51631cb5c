"""Plan a study: its trials with predicted costs, and those not tried because they cannot fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tngd_bench import plugin_files
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.reading import LoadedStudy
from tngd_bench.studies.file.schema import Study
from tngd_bench.studies.plan.data_requests import refuse_too_much
from tngd_bench.studies.plan.duration_model import DurationModel
from tngd_bench.studies.plan.inputs import LoadedSize, MachineLimits
from tngd_bench.studies.plan.trial_code import code_of
from tngd_bench.studies.plan.trials import CostBlock, DataRequest, Extent, Trial
from tngd_bench.studies.plan.unroll import Unroller


@dataclass(frozen=True)
class Plan:
    """The trials of a study in the order of execution, by key."""

    loaded: LoadedStudy
    trials: Mapping[str, Trial]
    machine: MachineLimits
    checksums: Mapping[DataRequest, str] = field(default_factory=dict)
    again: Mapping[str, str] = field(default_factory=dict)  # by key, why a stored result is not taken
    kept_old: Mapping[str, str] = field(default_factory=dict)  # by key, why a stored result is of other code

    @property
    def study(self) -> Study:
        """The study."""
        return self.loaded.study

    @property
    def identities(self) -> dict[str, str]:
        """The identities of the trials, which do not depend on the code, by key."""
        machine = self.machine.machine_class
        return {
            key: trial.identity(self.checksums[trial.data], machine) for key, trial in self.trials.items()
        }

    def keys_before_code(self, version: str) -> dict[str, str]:
        """Return the trials' keys by those they had when a key held the package's `version` and no code."""
        machine = self.machine.machine_class
        return {
            trial.key_before_code(self.checksums[trial.data], machine, version): key
            for key, trial in self.trials.items()
        }

    def keeping(self, old_keys: Mapping[str, str], why: Mapping[str, str]) -> Plan:
        """Return the plan with old results taken under their `old_keys`, in place of the trials' own; `why` by key."""
        trials = {old_keys.get(key, key): trial for key, trial in self.trials.items()}
        kept_old = {old: why[key] for key, old in old_keys.items()}
        return dataclasses.replace(self, trials=trials, kept_old=kept_old)

    @property
    def extent(self) -> Extent:
        """Numbers of trials to run and to skip."""
        return Extent.of(self.trials.values())

    @property
    def predicted_s(self) -> float:
        """Predicted duration of everything, from rough guesses."""
        return predicted_seconds(self.trials.values(), self.study.execution.workers)


def predicted_seconds(trials: Iterable[Trial], workers: int) -> float:
    """Return the predicted duration of `trials`: cost blocks alone, the others side by side."""
    return sum(trial.predicted_s / (1 if isinstance(trial, CostBlock) else workers) for trial in trials)


def make_plan(
    loaded: LoadedStudy,
    sizes: Mapping[DataRequest, LoadedSize],
    machine: MachineLimits,
    model: DurationModel | None = None,
) -> Plan:
    """Unroll a study into trials; StudyError for a batch larger than the data, or timed threads without processors.

    An optimizer is skipped where the predicted operations at the machine's rate exceed the study's limit per
    iteration (or, in training, the whole run its limit), or the predicted memory its share of what is free. What
    `model` has learned changes the predicted duration of a trial, and no decision about skipping: a study
    interrupted and taken up again skips the same. Keys are of the code of plug-ins as it is on the disk now.
    """
    plugin_files.look_again()
    refuse_too_much(loaded.study, sizes)
    threads = loaded.study.execution.threads_cost
    if loaded.study.cost and machine.gpu is None and threads > machine.cores:
        raise StudyError(
            f"execution.threads_cost = {threads}, and here are {machine.cores} processors: threads that wait for each"
            f" other are not what is to be timed; accepted: up to {machine.cores}"
        )
    loaded = with_workers(loaded, sizes, machine)
    study = loaded.study
    unroller = Unroller(study, machine, model or DurationModel())
    trials: list[Trial] = [block for cost in study.cost for block in unroller.cost_blocks(cost)]
    trials += [trial for cost in study.cost for trial in unroller.inspections(cost)]
    trials += [trial for section in study.training for trial in unroller.training_trials(section, sizes)]
    checksums = {request: size.checksum for request, size in sizes.items()}
    here = machine.machine_class
    by_key = {trial.key(checksums[trial.data], here, code_of(trial)): trial for trial in trials}
    return Plan(loaded, by_key, machine, checksums)


def with_workers(
    loaded: LoadedStudy, sizes: Mapping[DataRequest, LoadedSize], machine: MachineLimits
) -> LoadedStudy:
    """Return the study with its number of workers settled, where it leaves that to the machine (0).

    As many as the cores have threads for, but so few that nothing is skipped for lack of memory that would fit alone.
    On a GPU one: side by side, processes take turns on it, and each one's time would be the others' too.
    """
    execution = loaded.study.execution
    if execution.workers:
        return loaded
    alone = _replace_workers(loaded, 1)
    workers = max(1, machine.cores // execution.threads_training) if machine.gpu is None else 1
    if workers > 1:
        unroller = Unroller(alone.study, machine)
        trials: list[Trial] = [trial for cost in alone.study.cost for trial in unroller.inspections(cost)]
        for training in alone.study.training:
            trials += unroller.training_trials(dataclasses.replace(training, seeds=1), sizes)
        # what is not predicted needs no more than is known of it here; the limit of a trial guards the rest
        needs = (c.least_bytes for trial in trials for c in trial.candidates if c.skip is None)
        budget = machine.working_bytes * execution.memory_limit_fraction
        workers = max(1, min(workers, int(budget // max(needs, default=1.0))))
    return _replace_workers(loaded, workers)


def _replace_workers(loaded: LoadedStudy, workers: int) -> LoadedStudy:
    execution = dataclasses.replace(loaded.study.execution, workers=workers)
    return dataclasses.replace(loaded, study=dataclasses.replace(loaded.study, execution=execution))
