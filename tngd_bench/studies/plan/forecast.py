"""Forecast of a plan: its trials in groups, with their predicted time and memory, what is skipped and why."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from tngd_bench.measure.clock import interpreter_pace
from tngd_bench.studies.file.schema import CostSection, Study
from tngd_bench.studies.plan.duration_model import Basis, DurationModel
from tngd_bench.studies.plan.make_plan import Plan, predicted_seconds
from tngd_bench.studies.plan.trials import PROCESS_START_S, Candidate, Trial

RUN_START_S = 5.5
"""Until the first trial of a run: the workers load while this process loads, the report's modules too."""
PAGE_START_S, FIGURE_S, MAPS_S = 0.6, 0.33, 6.0
"""Of a page: its start, each figure, and where there are maps what these are computed from.

These seconds are of a machine where `interpreter_pace` is 1. Pages of 20, 17, 44, 39, 37 and 51 figures, of the studies
smoke, paper-fig2a, quick, rivals, beyond-kfac and paper-fashion, took 6.4, 12.7, 21.0, 23.2, 15.4 and 24.6 s there; one
of 147 figures, of the study paper, took 68 s.
"""
_PLACE = ("kind", "section", "problem", "parameters", "batch_size", "outputs", "optimizer")
_OF_TRAINING, _OF_SWEEP, _OF_SIZES, _OF_SIZE, _OF_COSTS, _MAPS = 8, 2, 4, 1, 6, 7
"""Figures of a plain training, an optimizer of a swept one, costs at several sizes or at one, all costs, all maps."""
_FEWEST_MAPPED = 3
"""Sizes that a section with a map has at least."""


@dataclass(frozen=True)
class Group:
    """The trials of one optimizer in one setting: they differ in process, seed and swept values.

    `trials` are those to run, `skipped` those left out for `reason`. `seconds` are of all of them one after another,
    `bytes` of one; without a cost description (`known`) bytes are a lower bound. `learned_from`: from how many earlier
    trials the seconds are learned.
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
    known: bool = True
    basis: Basis = "formula"

    @property
    def from_below(self) -> bool:
        """Whether `seconds` are a lower bound."""
        return self.basis == "bound"


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
        return run_start_seconds() if self.plan.extent.trials else 0.0

    @property
    def report_seconds(self) -> float:
        """Seconds of the report."""
        return report_seconds(self.plan.study)

    @property
    def bytes(self) -> float:
        """The most memory predicted to be in use at one time."""
        alone = [group.bytes for group in self.groups if group.trials and group.kind == "cost"]
        beside = [group.bytes for group in self.groups if group.kind != "cost" for _ in range(group.trials)]
        return max([*alone, sum(heapq.nlargest(self.plan.study.execution.workers, beside)), 0.0])


def groups_of(trials: Iterable[Trial], model: DurationModel) -> tuple[Group, ...]:
    """Return the groups of `trials`, in the order in which each comes first."""
    members: dict[tuple[Any, ...], list[tuple[Candidate, float]]] = {}
    bases: dict[tuple[Any, ...], Basis] = {}
    for trial in trials:
        setting, running = trial.setting, trial.to_run
        size = trial.parameters, setting.batch_size, setting.outputs
        for candidate in trial.candidates:
            # The start of a process is shared by the optimizers that are timed in it.
            seconds = 0.0 if candidate.skip else candidate.predicted_s + PROCESS_START_S / running
            key = (trial.kind, trial.section, setting.problem, *size, candidate.config.label)
            members.setdefault(key, []).append((candidate, seconds))
            own = model.basis(candidate.config, setting, trial.kind, described=candidate.known)
            bases[key] = min(bases.get(key, own), own, key=get_args(Basis).index)
    return tuple(_group(key, group, model, bases[key]) for key, group in members.items())


def _group(
    key: tuple[Any, ...], members: Sequence[tuple[Candidate, float]], model: DurationModel, basis: Basis
) -> Group:
    candidate, _ = members[0]
    place: dict[str, Any] = dict(zip(_PLACE, key, strict=True))
    skips = [each.skip for each, _ in members if each.skip is not None]
    return Group(
        **place,
        trials=len(members) - len(skips),
        skipped=len(skips),
        seconds=sum(seconds for _, seconds in members),
        bytes=max(each.least_bytes for each, _ in members),
        learned_from=model.trials_behind(candidate.config.method, key[0]),
        reason="; ".join(dict.fromkeys(skip.reason for skip in skips)) or None,
        known=candidate.known,
        basis=basis,
    )


def section_seconds(plan: Plan) -> Mapping[tuple[str, str], float]:
    """Return the predicted seconds on the clock of each (kind, section)."""
    sections: dict[tuple[str, str], list[Trial]] = {}
    for trial in plan.trials.values():
        sections.setdefault((trial.kind, trial.section), []).append(trial)
    workers = plan.study.execution.workers
    return {name: predicted_seconds(trials, workers) for name, trials in sections.items()}


def figures_of(study: Study) -> int:
    """Return about how many figures a study's page has."""
    plain = [section for section in study.training if section.sweep is None]
    swept = [section for section in study.training if section.sweep is not None]
    number = _OF_TRAINING * len(plain) + sum(_OF_SWEEP * len(section.optimizers) for section in swept)
    number += bool(plain) + bool(swept)  # beside the answer, and how imperfect a device may be
    number += sum(_OF_SIZES if _sizes(section) > 1 else _OF_SIZE for section in study.cost)
    return number + (_OF_COSTS if study.cost else 0) + (_MAPS if _is_mapped(study) else 0)


def _sizes(section: CostSection) -> int:
    return max(len(section.parameters), len(section.batch_size), len(section.outputs))


def _is_mapped(study: Study) -> bool:
    return any(_sizes(section) >= _FEWEST_MAPPED for section in study.cost)


def run_start_seconds() -> float:
    """Return the predicted seconds from a run's start to its first trial, on this machine."""
    return RUN_START_S * interpreter_pace()


def report_seconds(study: Study) -> float:
    """Return the predicted seconds of a study's page on this machine; 0 for a search for settings, which has none."""
    if any(section.validation_share is not None for section in study.training):
        return 0.0
    seconds = PAGE_START_S + FIGURE_S * figures_of(study) + (MAPS_S if _is_mapped(study) else 0.0)
    return seconds * interpreter_pace()
