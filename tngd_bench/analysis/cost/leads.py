"""The cheapest second-order optimizer at each size, and whether its lead over the runner-up is confirmed.

Leads that one sentence or table tells together are corrected for their number (`together`). A lead before that has no
verdict.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import pandas as pd

from tngd_bench.analysis.cost import iteration_cost
from tngd_bench.analysis.cost.across_sections import ratio_in_sections
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.statistics.paired import LEVEL, holm
from tngd_bench.analysis.statistics.run_spread import ASSUMED, RunSpread
from tngd_bench.studies.store import columns as c

_NORMAL_95 = 1.96
WITHIN_SPREAD = "within run-to-run spread"
AMONG_MANY = "not confirmed among so many comparisons"


@dataclass(frozen=True)
class Lead:
    """At one size: the cheapest second-order optimizer by median total, and its runner-up's time relative to it.

    `choices`: of how many it is the quickest, where the runner-up is not simply the next. `crossed`: the medians of all
    iterations tell the other order.
    """

    parameters: int
    optimizer: str
    runner_up: str | None
    ratio: iteration_cost.Ratio | None
    run_spread: RunSpread = ASSUMED
    choices: int = 1
    crossed: bool = False

    @property
    def p(self) -> float:
        """Chance of such a lead where nobody leads: in this run, or with the shift of another run.

        The larger of the two, times the `choices`; 1.0 without a test.
        """
        if self.ratio is None or not self.ratio.tested:
            return 1.0
        another_run = math.erfc(abs(math.log(self.ratio.value)) / self._error(self.ratio) / math.sqrt(2.0))
        return min(1.0, self.choices * max(self.ratio.p, another_run))

    def _error(self, ratio: iteration_cost.Ratio) -> float:
        """Return the standard error of the logarithm of this run's `ratio` and of √2·σ_run together."""
        error = math.log(ratio.high / ratio.low) / (2.0 * _NORMAL_95)
        return math.hypot(error, math.sqrt(2.0) * self.run_spread.value)


@dataclass(frozen=True, kw_only=True)
class JudgedLead(Lead):
    """A lead with its verdict: `adjusted_p` is its p-value among all that are told with it (see `together`)."""

    adjusted_p: float

    @property
    def doubt(self) -> str:
        """Return why the lead is not confirmed, in a few words; "" where it is."""
        if self.runner_up is None:
            return "no other measured"
        if self.ratio is None or not self.ratio.tested:
            return "untested"
        if not self.ratio.decided:
            return "lead over the runner-up not confirmed"
        if self.ratio.value < math.exp(2.0 * self._error(self.ratio)):
            return WITHIN_SPREAD
        return AMONG_MANY if self.adjusted_p > 1.0 - LEVEL else ""


def together(found: Sequence[Lead]) -> tuple[JudgedLead, ...]:
    """Return the leads that one sentence or table tells, judged by p-values after Holm's correction."""
    adjusted = holm([lead.p for lead in found])
    known = [{field.name: getattr(lead, field.name) for field in fields(Lead)} for lead in found]
    return tuple(JudgedLead(**own, adjusted_p=p) for own, p in zip(known, adjusted, strict=True))


def duel(
    sections: Sequence[pd.DataFrame], infos: Infos, run_spread: RunSpread = ASSUMED
) -> tuple[str, Lead] | None:
    """Return the quickest device of all `sections` at one size, and the lead between it and digital rivals.

    Rivals are the digital second-order optimizers of all sections, those too that no device was timed beside. The side
    with the shortest median leads, by its quickest. Where those are rivals and one that was timed beside the device is
    ahead of it, their pairs are the test. None where there is no device or no rival.
    """
    every = pd.concat(sections)
    ranked = by_median(every)
    devices = [label for label in ranked if infos[label].modelled]
    rivals = [label for label in ranked if infos[label].second_order and not infos[label].modelled]
    if not devices or not rivals:
        return None
    size = int(every[c.PARAMETERS].iloc[0])
    ahead, behind = sorted((devices, rivals), key=lambda labels: ranked.index(labels[0]))
    near = ahead[0]
    if ahead is rivals:
        beside = pd.concat([part for part in sections if behind[0] in set(part[c.OPTIMIZER])])
        near = next((label for label in by_median(beside) if label in rivals), near)
    for leader in dict.fromkeys((near, ahead[0])):
        ratio = ratio_in_sections(sections, behind[0], leader)
        if ratio is None or ratio.value >= 1.0:
            return devices[0], Lead(size, leader, behind[0], ratio, run_spread, choices=len(ahead))
    # the quickest of both sides, whose paired times tell another order than the medians of all
    ratio = ratio_in_sections(sections, ahead[0], behind[0])
    return devices[0], Lead(size, behind[0], ahead[0], ratio, run_spread, len(behind), crossed=True)


def main_group(costs: pd.DataFrame) -> pd.DataFrame:
    """Return the part of `costs` at one (group, batch size, outputs) with the most sizes, then the most optimizers."""
    keys = [c.GROUP, c.BATCH_SIZE, c.OUTPUTS]
    parts = [part for _, part in costs.groupby(keys, sort=True)]
    wanted = [c.PARAMETERS, c.OPTIMIZER]
    return max(parts, key=lambda part: tuple(part[wanted].nunique())) if parts else costs


def leads(costs: pd.DataFrame, infos: Infos, run_spread: RunSpread = ASSUMED) -> tuple[Lead, ...]:
    """Return who is cheapest per iteration among second-order optimizers at each size of `costs`, sizes ascending.

    `costs` are those of one section, batch size and number of outputs.
    """
    second = costs[costs[c.OPTIMIZER].isin({label for label, kind in infos.items() if kind.second_order})]
    found = []
    for parameters, part in second.groupby(c.PARAMETERS, sort=True):
        leader, *others = by_median(part)
        runner_up = others[0] if others else None
        ratio = None if runner_up is None else iteration_cost.paired_ratio(part, runner_up, leader)
        if runner_up is not None and ratio is not None and ratio.value < 1.0:
            # the medians are of unlike numbers of processes, in hours of unlike speed; pairs are not
            leader, runner_up = runner_up, leader
            ratio = iteration_cost.paired_ratio(part, runner_up, leader)
        found.append(Lead(int(str(parameters)), leader, runner_up, ratio, run_spread))
    return tuple(found)


def by_median(costs: pd.DataFrame) -> list[str]:
    """Return the optimizers of `costs` (one size) by their median total, the cheapest first."""
    return list(costs.groupby(c.OPTIMIZER)[c.TOTAL_S].median().sort_values(kind="stable").index)


def strongest_digital(part: pd.DataFrame, infos: Infos, methods: tuple[str, ...] | None = None) -> str | None:
    """Return the digital second-order optimizer with the lowest median time in `part` (one size), None if none is.

    `methods` narrows the choice, e.g. to the exact natural gradients.
    """
    digital = {label for label, kind in infos.items() if kind.second_order and not kind.modelled}
    if methods is not None:
        digital = {label for label in digital if infos[label].method in methods}
    return next(iter(by_median(part[part[c.OPTIMIZER].isin(digital)])), None)


def main_size(summary: pd.DataFrame, infos: Infos) -> pd.DataFrame:
    """Return the rows of `summary` (see `iteration_cost.summarise`) at the one size to show, the quickest first.

    The size with the most families of optimizers; of several one whose rows all have processes enough for a test, then
    the largest N and m. `infos` as in `Results`.
    """
    sizes = [part for _, part in summary.groupby(iteration_cost.SETTING, sort=True)]
    if not sizes:
        return summary

    def rank(part: pd.DataFrame) -> tuple[int, bool, int, int]:
        families = part[c.OPTIMIZER].map(lambda label: infos[label].family).nunique()
        tested = bool((part["processes"] >= iteration_cost.MINIMUM_PROCESSES).all())
        return families, tested, int(part[c.PARAMETERS].iloc[0]), int(part[c.ROWS].iloc[0])

    return max(sizes, key=rank).sort_values("at_least_s", kind="stable")
