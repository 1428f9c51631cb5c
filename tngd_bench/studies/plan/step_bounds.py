"""Lower bounds of the steps of optimizers without a description of their cost, from the steps measured so far.

A plan cannot say what such an optimizer takes; its smaller sizes can, once they are timed. A step takes no less at a
larger size. Along N seconds are convex, so that they lie above the line through the two largest sizes seen. Where noise
makes that line too steep, the seconds of the largest in proportion to N are less, and taken in its place. A trial whose
bound exceeds the study's limit per iteration is skipped.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tngd_bench.studies.file.schema import Execution
from tngd_bench.studies.plan.trials import (
    Candidate,
    InspectionTrial,
    SkipReason,
    Trial,
)
from tngd_bench.studies.store import columns as c
from tngd_bench.studies.store.columnar import column

LEAST_STEP_S = "least_step_s"
"""The key of a trial's entry with the seconds that an iteration took at least, where it was beyond its limit."""
Size = tuple[int, int, int]
"""N, b and d_z."""


@dataclass(frozen=True)
class Seen:
    """Seconds of an iteration at one size, known `exactly` or from below."""

    seconds: float
    exactly: bool


class StepBounds:
    """Steps seen so far of optimizers without a description of their cost, and what they say of further trials."""

    def __init__(self, execution: Execution) -> None:
        self._threads = execution.threads_cost
        self._seen: dict[tuple[object, ...], dict[Size, list[Seen]]] = defaultdict(lambda: defaultdict(list))

    def note(self, trial: Trial, entries: Iterable[Mapping[str, Any]]) -> bool:
        """Take in the results of a trial; return whether they say anything."""
        found = {entry[c.OPTIMIZER]: seen for entry in entries if (seen := _seen(entry)) is not None}
        told = [each for each in trial.candidates if not each.known and each.config.label in found]
        for candidate in told:
            self._of(trial, candidate)[_size(trial)].append(found[candidate.config.label])
        return bool(told)

    def bounded(self, trial: Trial) -> Trial:
        """Return a trial without the optimizers whose steps are known to take longer than the study's limit."""
        return replace(trial, candidates=tuple(self._bounded(trial, each) for each in trial.candidates))

    def _bounded(self, trial: Trial, candidate: Candidate) -> Candidate:
        if candidate.known or candidate.skip is not None:
            return candidate
        least, reason = least_step(self._of(trial, candidate), _size(trial))
        limit = trial.step_seconds_limit
        if least <= limit:
            return candidate
        return replace(candidate, skip=SkipReason("skipped", f"{reason}, limit {limit:g} s"))

    def _of(self, trial: Trial, candidate: Candidate) -> dict[Size, list[Seen]]:
        """Return what was seen of an optimizer; of an inspection, whose step is no other, by the timed threads."""
        threads = self._threads if isinstance(trial, InspectionTrial) else trial.threads
        return self._seen[trial.setting.problem, candidate.config.label, threads]


def least_step(seen: Mapping[Size, Sequence[Seen]], size: Size) -> tuple[float, str]:
    """Return the largest lower bound of a step at `size`, and why; 0 where nothing smaller was seen."""
    smaller = {
        each: _together(found)
        for each, found in seen.items()
        if all(own <= other for own, other in zip(each, size, strict=True))
    }
    bounds = [(0.0, "")]
    for at, found in smaller.items():
        least = _grown(smaller, at, size[0])
        took = f"took {'' if found.exactly else 'more than '}{found.seconds:.3g} s per iteration"
        if at == size:
            bounds.append((least, f"{took} in another process"))
        else:
            bounds.append((least, f"{took} at {_words(at, size)}, so at least {least:.3g} s here"))
    return max(bounds)


def _grown(seen: Mapping[Size, Seen], at: Size, parameters: int) -> float:
    """Return the seconds that a step takes at least with more `parameters`, from those `at` a size and below it."""
    found, (n, *others) = seen[at], at
    series = [each for each in seen if [*each[1:]] == others]
    below = [each for each in series if each[0] < n and seen[each].exactly]
    if not below or parameters == n or at != max(series):
        return found.seconds
    last = max(below)
    slope = max(found.seconds - seen[last].seconds, 0.0) / (n - last[0])
    return max(found.seconds, min(found.seconds * parameters / n, found.seconds + slope * (parameters - n)))


def _together(found: Sequence[Seen]) -> Seen:
    """Return what several processes saw at one size: the median, of those known from below alone the largest."""
    exact = [each.seconds for each in found if each.exactly]
    if exact:
        return Seen(statistics.median(exact), True)
    return max(found, key=lambda each: each.seconds)


def _words(at: Size, size: Size) -> str:
    signs = zip(("N", "b", "d_z"), at, size, strict=True)
    return ", ".join(f"{sign} = {own:,}" for sign, own, other in signs if own != other)


def _size(trial: Trial) -> Size:
    return trial.parameters, trial.setting.batch_size, trial.setting.outputs


def _seen(entry: Mapping[str, Any]) -> Seen | None:
    """Return what an entry says of the seconds of an iteration: those timed, the simulation included, or a bound."""
    iterations = entry.get("iterations") or {}
    timed = [
        step if isinstance(step, float) and math.isfinite(step) else digital
        for step, digital in zip(column(iterations, c.STEP_S), column(iterations, c.DIGITAL_S), strict=True)
    ]
    if timed:
        return Seen(statistics.median(timed), True)
    least = entry.get(LEAST_STEP_S)
    return None if least is None else Seen(float(least), False)
