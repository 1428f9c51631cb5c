"""Forecast of a plan: its trials in groups, with their predicted time and memory, what is skipped and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tngd_bench.studies.plan.duration_model import RUN_START_S, DurationModel
from tngd_bench.studies.plan.make_plan import Plan, predicted_seconds
from tngd_bench.studies.plan.report_time import report_seconds
from tngd_bench.studies.plan.trials import PROCESS_START_S, Candidate, Trial


@dataclass(frozen=True)
class Group:
    """The trials of one optimizer in one setting: they differ in process, seed and swept values.

    `trials` are those to run, `skipped` those left out for `reason`. `seconds` are of all of them one after another,
    `bytes` of one. `learned_from`: from how many earlier trials the seconds are learned, 0 for the formula alone.
    """

    kind: str
    section: str
    problem: str
    parameters: int
    batch_size: int
    outputs: int
    optimizer: str
    trials: int
    skipped: int
    seconds: float
    bytes: float
    learned_from: int
    reason: str | None
    known: bool = True  # False: no cost description; seconds and bytes are lower bounds


@dataclass(frozen=True)
class Forecast:
    """The groups of a plan and what they come to.

    `seconds` on the clock, with the study's workers side by side; `bytes` at one time, at the most.
    """

    plan: Plan
    model: DurationModel
    groups: tuple[Group, ...]

    @property
    def seconds(self) -> float:
        """Seconds of everything as it is run: the start, cost blocks alone, the others side by side, the report."""
        return self.start_seconds + self.plan.predicted_s + self.report_seconds

    @property
    def start_seconds(self) -> float:
        """Seconds until the first trial: programs loaded, the machine's speed measured; 0 where nothing runs."""
        return RUN_START_S if self.plan.extent.trials else 0.0

    @property
    def report_seconds(self) -> float:
        """Seconds of the report."""
        return report_seconds(self.plan.study)

    @property
    def bytes(self) -> float:
        """The most memory predicted to be in use at one time."""
        alone = [group.bytes for group in self.groups if group.trials and group.kind == "cost"]
        beside = sorted(
            (group.bytes for group in self.groups for _ in range(group.trials) if group.kind != "cost"),
            reverse=True,
        )
        return max([*alone, sum(beside[: self.plan.study.execution.workers]), 0.0])


def groups_of(trials: Iterable[Trial], model: DurationModel) -> tuple[Group, ...]:
    """Return the groups of `trials`, in the order in which each comes first."""
    members: dict[tuple[object, ...], list[tuple[Trial, Candidate, float]]] = {}
    for trial in trials:
        running = sum(candidate.skip is None for candidate in trial.candidates)
        for candidate in trial.candidates:
            # The start of a process is shared by the optimizers that are timed in it.
            seconds = 0.0 if candidate.skip else candidate.predicted_s + PROCESS_START_S / running
            place = (
                trial.kind,
                trial.section,
                trial.setting.problem,
                trial.parameters,
                trial.setting.batch_size,
            )
            key = (*place, trial.setting.outputs, candidate.config.label)
            members.setdefault(key, []).append((trial, candidate, seconds))
    return tuple(_group(group, model) for group in members.values())


def _group(members: Sequence[tuple[Trial, Candidate, float]], model: DurationModel) -> Group:
    trial, candidate, _ = members[0]
    reasons = dict.fromkeys(c.skip.reason for _, c, _ in members if c.skip is not None)
    skipped = sum(c.skip is not None for _, c, _ in members)
    return Group(
        kind=trial.kind,
        section=trial.section,
        problem=trial.setting.problem,
        parameters=trial.parameters,
        batch_size=trial.setting.batch_size,
        outputs=trial.setting.outputs,
        optimizer=candidate.config.label,
        trials=len(members) - skipped,
        skipped=skipped,
        seconds=sum(seconds for _, _, seconds in members),
        bytes=max(c.least_bytes for _, c, _ in members),
        learned_from=model.trials_behind(candidate.config.method, trial.kind),
        reason="; ".join(reasons) or None,
        known=candidate.known,
    )


def section_seconds(plan: Plan) -> Mapping[tuple[str, str], float]:
    """Return the predicted seconds on the clock of each (kind, section)."""
    sections: dict[tuple[str, str], list[Trial]] = {}
    for trial in plan.trials.values():
        sections.setdefault((trial.kind, trial.section), []).append(trial)
    workers = plan.study.execution.workers
    return {name: predicted_seconds(trials, workers) for name, trials in sections.items()}
