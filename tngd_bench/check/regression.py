"""Verdicts on a change: exact figures at a tight tolerance, wall times as ratios, a slowdown confirmed.

Operations, modelled latency, forward passes and a loss at a fixed seed are the same on every run: any growth over the
tolerance is a regression. Wall time is judged by samples of a ratio to SGD's time in the same process: the exact
Mann-Whitney test, two-sided at p < 0.002, and a ratio of head to base over the tolerance, both again in a
second run, whose samples are processes: one median a process, since processes differ. Below seven samples a side that p
cannot be reached, and the verdict is never "regression".
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tngd_bench.analysis.statistics.distributions import ranks

VerdictName = Literal["regression", "changed", "failed", "inconclusive", "nothing compared", "ok"]
Kind = Literal["exact", "time"]

SIGNIFICANCE = 0.002
MINIMUM_SAMPLES = 7
CONFIDENCE = 0.95
DETECTABLE = 0.15
"""A time is "ok" only when its interval excludes a slowdown as large as this; else it was measured too badly."""
_WRITE_DOWN = "`tngd-bench baseline update --reason WHY` writes down one that is meant"
RUNS = 3
"""Runs at most; a regression of time is one that two of them show."""


@dataclass(frozen=True)
class CheckedMetric:
    """A figure of merit, lower is better: one value when `kind` is "exact", samples of a ratio when "time".

    `tolerance` is relative, `slack` an absolute amount allowed in addition, in `unit`. A `two_sided` figure is a result
    at a fixed seed: a change in either direction beyond the tolerance needs a reason.
    """

    name: str
    unit: str
    kind: Kind
    values: tuple[float, ...]
    tolerance: float
    slack: float = 0.0
    two_sided: bool = False

    @property
    def value(self) -> float:
        """The value, or the median of the samples; NaN without any."""
        return float(np.median(self.values)) if self.values else math.nan


@dataclass(frozen=True)
class Judgement:
    """The verdict on one metric; `change` is head/base − 1, `interval` its 95 % interval, `p` Mann-Whitney's."""

    name: str
    unit: str
    kind: Kind
    verdict: VerdictName
    reason: str
    base: float = math.nan
    head: float = math.nan
    change: float = math.nan
    interval: tuple[float, float] = (math.nan, math.nan)
    p: float = math.nan
    runs: int = 1
    against: str = ""


def mann_whitney_p(base: Sequence[float], head: Sequence[float]) -> float:
    """Return the exact two-sided p of the Mann-Whitney test, ties counted by mid-ranks.

    The permutation distribution of the rank sum, by dynamic programming over all subsets (Mann & Whitney 1947). 1.0
    where a side is empty.
    """
    n, m = len(base), len(head)
    if not n or not m:
        return 1.0
    pooled = np.concatenate([np.asarray(base, float), np.asarray(head, float)])
    doubled = (2 * ranks(pooled)).astype(int)
    counts = _subset_sums(doubled, n)
    observed, mean = int(doubled[:n].sum()), n * (n + m + 1)
    sums = np.arange(len(counts))
    extreme = np.abs(sums - mean) >= abs(observed - mean)
    return float(counts[extreme].sum() / counts.sum())


def shift_interval(base: Sequence[float], head: Sequence[float]) -> tuple[float, float, float]:
    """Return (estimate, lower, upper) of head/base for positive samples: Hodges & Lehmann (1963) on logarithms.

    The interval inverts the Mann-Whitney test; infinite where there are too few samples for 95 %.
    """
    differences = np.sort(np.subtract.outer(np.log(head), np.log(base)).ravel())
    n, m = len(base), len(head)
    counts = _subset_sums(2 * np.arange(1, n + m + 1), n)[::2]  # rank sums, no ties
    below = np.cumsum(counts[n * (n + 1) // 2 :]) / counts.sum()  # P(U <= k), k = 0, 1, …
    cut = int(np.searchsorted(below, (1.0 - CONFIDENCE) / 2.0, side="right"))
    estimate = float(np.exp(np.median(differences)))
    if cut == 0:
        return estimate, 0.0, math.inf
    return estimate, float(np.exp(differences[cut - 1])), float(np.exp(differences[-cut]))


def compare(base: CheckedMetric | None, head: CheckedMetric | None) -> Judgement:
    """Return the verdict on one metric measured once on both sides; `base` decides about tolerances."""
    known = base or head
    if known is None:
        raise ValueError("compare needs a metric on one side at least")
    if base is None or head is None or not base.values or not head.values:
        reason = "the baseline has none" if base is None or not base.values else "not measured now"
        return _judgement(known, "nothing compared", reason, base, head)
    if (base.kind, base.unit) != (head.kind, head.unit):
        reason = f"{base.kind} in {base.unit} there, {head.kind} in {head.unit} here"
        return _judgement(known, "failed", f"cannot be compared: {reason}", base, head)
    if base.kind == "time":
        return _compare_times(base, head)
    return _judgement(base, *_exact_verdict(base, head), base, head)


def _exact_verdict(base: CheckedMetric, head: CheckedMetric) -> tuple[VerdictName, str]:
    if math.isnan(base.value):
        return "failed", "the baseline is not a number"
    if head.value == base.value:
        return "ok", "unchanged"
    if math.isnan(head.value) or (math.isinf(head.value) and not base.two_sided):
        return "regression", "no longer a finite number"
    allowed = base.tolerance * abs(base.value) + base.slack if math.isfinite(base.value) else 0.0
    if abs(head.value - base.value) <= allowed:
        return "ok", "within tolerance"
    slack = f" and {base.slack:g} {base.unit}".rstrip() if base.slack else ""
    tolerance = f"{base.tolerance:.2g} (relative){slack}"
    if base.two_sided:
        reason = f"a result at a fixed seed, more than {tolerance} from the baseline; {_WRITE_DOWN}"
        return "regression" if head.value == math.inf else "changed", reason
    if head.value > base.value:
        return "regression", f"more than {tolerance} over the baseline"
    return "ok", "better; `tngd-bench baseline update` keeps the gain"


def _compare_times(base: CheckedMetric, head: CheckedMetric) -> Judgement:
    few = min(len(base.values), len(head.values))
    if not all(math.isfinite(value) and value > 0 for value in (*base.values, *head.values)):
        return _judgement(base, "nothing compared", "a sample is not a positive number", base, head)
    estimate, lower, upper = shift_interval(base.values, head.values)
    p = mann_whitney_p(base.values, head.values)
    over = estimate > 1.0 + base.tolerance
    verdict: VerdictName = "inconclusive"
    if few < MINIMUM_SAMPLES:
        reason = f"{few} samples a side; below {MINIMUM_SAMPLES} no difference is significant"
    elif over and p < SIGNIFICANCE:
        verdict, reason = "regression", f"more than {base.tolerance:.0%} slower, p = {p:.2g}"
    elif over:
        reason = f"over {base.tolerance:.0%}, but p = {p:.2g} >= {SIGNIFICANCE}"
    elif estimate < 1.0 - base.tolerance and p < SIGNIFICANCE:
        verdict, reason = "ok", f"faster by {1.0 - estimate:.0%}, p = {p:.2g}"
    elif upper > 1.0 + max(DETECTABLE, base.tolerance):
        reason = f"too noisy: {upper - 1.0:.0%} slower cannot be excluded"
    else:
        verdict, reason = "ok", f"within {base.tolerance:.0%}"
    found, interval = _judgement(base, verdict, reason, base, head), (lower - 1.0, upper - 1.0)
    return dataclasses.replace(found, change=estimate - 1.0, interval=interval, p=p)


def _judgement(
    known: CheckedMetric,
    verdict: VerdictName,
    reason: str,
    base: CheckedMetric | None,
    head: CheckedMetric | None,
) -> Judgement:
    before, after = (math.nan if one is None else one.value for one in (base, head))
    change = after / before - 1.0 if before and math.isfinite(before) else math.nan
    if after == before:
        change = 0.0
    return Judgement(known.name, known.unit, known.kind, verdict, reason, before, after, change)


Sides = tuple[Mapping[str, CheckedMetric], Mapping[str, CheckedMetric]]
"""Base's and head's metrics, by name."""


def confirm(measure: Callable[[Sequence[str]], Sides], names: Sequence[str]) -> tuple[Judgement, ...]:
    """Return the verdicts on times, those in doubt measured again.

    `measure(names)` makes a run of its own, in new processes. What is ok at first is done. A regression is what two
    runs of at most three show; what one run alone shows is what the last run says, never a regression.
    """
    history: dict[str, list[Judgement]] = {name: [] for name in names}
    pending = list(names)
    for _ in range(RUNS):
        if not pending:
            break
        base, head = measure(pending)
        for name in pending:
            known = base.get(name) or head.get(name)
            if known is not None:
                history[name].append(compare(base.get(name), head.get(name)))
        pending = [name for name in pending if history[name] and _undecided(history[name])]
    return tuple(_conclusion(runs) for runs in history.values() if runs)


def _undecided(runs: Sequence[Judgement]) -> bool:
    last, flags, left = runs[-1], sum(run.verdict == "regression" for run in runs), RUNS - len(runs)
    if last.verdict == "nothing compared" or left == 0 or flags >= 2:
        return False
    return last.verdict == "inconclusive" or (flags > 0 and flags + left >= 2)


def _conclusion(runs: Sequence[Judgement]) -> Judgement:
    last = runs[-1]
    flagged = [run for run in runs if run.verdict == "regression"]
    if len(flagged) >= 2:
        changes = " and ".join(f"{run.change:+.0%}" for run in flagged)
        reason = f"{changes} in {len(flagged)} runs of {len(runs)}, p = {flagged[-1].p:.2g}"
        return dataclasses.replace(flagged[-1], reason=reason, runs=len(runs))
    if flagged and last.verdict != "ok":
        reason = f"{flagged[-1].reason}; in one run only"
        return dataclasses.replace(flagged[-1], verdict="inconclusive", reason=reason, runs=len(runs))
    if flagged:
        last = dataclasses.replace(last, reason=f"{last.reason}; a slowdown in one run was not confirmed")
    return dataclasses.replace(last, runs=len(runs))


_EXIT_CODES: dict[VerdictName, int] = {
    "regression": 1,
    "changed": 1,
    "failed": 2,
    "nothing compared": 3,
    "inconclusive": 0,
    "ok": 0,
}
"""The exit code of each verdict on the whole, the verdict that comes before the others first."""


def outcome(judgements: Sequence[Judgement], *, strict: bool = False) -> tuple[int, VerdictName]:
    """Return the exit code and the verdict on the whole: 0 ok, 1 regression, 2 failed, 3 nothing compared.

    A regression comes before a failure. Where all exact figures, or all times, were compared with nothing, that is the
    verdict, whatever the others say. What is inconclusive fails under `strict` alone.
    """
    verdicts = {judgement.verdict for judgement in judgements}
    kinds = {judgement.kind for judgement in judgements}
    compared = {judgement.kind for judgement in judgements if judgement.verdict != "nothing compared"}
    if compared == kinds and kinds:
        verdicts.discard("nothing compared")
    else:
        verdicts.add("nothing compared")
    if "ok" in verdicts and not strict:
        verdicts.discard("inconclusive")
    worst = next(verdict for verdict in _EXIT_CODES if verdict in verdicts)
    return (2 if strict and worst == "inconclusive" else _EXIT_CODES[worst]), worst


def _subset_sums(numbers: np.ndarray, size: int) -> np.ndarray:
    """Return the number of subsets of `size` of the numbers with the sum 0, 1, …"""
    top = int(np.sort(numbers)[-size:].sum()) if size else 0
    counts = np.zeros((size + 1, top + 1))
    counts[0, 0] = 1.0
    for number in map(int, numbers):
        # from the largest size down, so that each number is taken once
        for taken in range(size, 0, -1):
            if number <= top:
                counts[taken, number:] += counts[taken - 1, : top + 1 - number]
    result: np.ndarray = counts[size]
    return result


def outcome_of_all(
    judged: Mapping[str, Sequence[Judgement]], *, strict: bool = False
) -> tuple[int, VerdictName]:
    """Return the exit code and the verdict over several baselines, by name: every one has to pass."""
    found = [outcome(judgements, strict=strict) for judgements in judged.values()]
    order = list(_EXIT_CODES)
    return min(found, key=lambda one: order.index(one[1]), default=(3, "nothing compared"))
