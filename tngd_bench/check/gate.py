"""A check: the present tree, or the stores of a study, against a baseline; what the command line and scripts call."""

import dataclasses
import fnmatch
import math
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tngd_bench.check import trees
from tngd_bench.check.baseline import Baseline, incomparable, last_entries, unpaired
from tngd_bench.check.metrics import between_trees, is_known, is_time, make_metric
from tngd_bench.check.regression import CheckedMetric, Judgement, Kind, Sides, compare, confirm
from tngd_bench.check.trees import SAMPLES, Probe, TreeFigures, exact_figures, probes
from tngd_bench.measure.environment import processor_name
from tngd_bench.resources import available_cores
from tngd_bench.studies.errors import StudyError

Say = Callable[[str], None]


class NothingSelectedError(StudyError):
    """No metric has a name that the selection asks for."""


@dataclass(frozen=True)
class MetricFilter:
    """The metrics to judge: `patterns` as in file names, all where there are none.

    Without `times`, none that only two trees measured in turn can compare.
    """

    patterns: tuple[str, ...] = ()
    times: bool = True

    def of(self, names: Sequence[str]) -> list[str]:
        """Return the selected of `names`; NothingSelectedError where there is none."""
        if not names:
            raise NothingSelectedError("nothing selected: the baseline holds no figure")
        found = [name for name in dict.fromkeys(names) if self.takes(name)]
        if not found:
            wanted = ", ".join(map(repr, self.patterns)) or "all but times"
            known = ", ".join(names[:3])
            raise NothingSelectedError(f"nothing selected: no metric matches {wanted} (there are {known}, …)")
        return found

    def takes(self, name: str) -> bool:
        """Whether the metric `name` is selected."""
        matches = not self.patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in self.patterns)
        return matches and (self.times or not between_trees(name))


def present_environment(torch: str) -> dict[str, Any]:
    """Return the versions and the machine on which it depends whether figures can be compared."""
    return {
        "torch": torch.partition("+")[0],
        "python": platform.python_version(),
        "cpu": processor_name(),
        "cores": available_cores(),
        "threads": 1,
    }


def measure_exact(tree: Path, selection: MetricFilter) -> tuple[Baseline, dict[str, str]]:
    """Return the exact metrics of a tree, and for those that raised an error the reason."""
    with probes(tree) as (started,):
        names = selection.of(_exact_names(started))
        figures = exact_figures(started, names)
        # exact figures depend on torch alone: what differs between machines would change the file for nothing
        environment = {"torch": present_environment(started.torch)["torch"]}
        return Baseline(_metrics(figures), environment), figures.failures


def check_tree(tree: Path, baseline: Baseline, selection: MetricFilter, say: Say) -> tuple[Judgement, ...]:
    """Judge the exact metrics of `tree` by a baseline; every selected one of the baseline has to be compared.

    A baseline's times are compared with nothing: only times taken in turn are.
    """
    wanted = selection.of(list(baseline.metrics))
    say(f"measuring {tree}")
    with probes(tree) as (started,):
        environment = present_environment(started.torch)
        offered = [name for name in _exact_names(started) if selection.takes(name)]
        comparable = [name for name in wanted if not is_time(name)]
        blocked = incomparable("exact", baseline.environment, environment) if comparable else None
        figures = exact_figures(started, offered) if blocked is None else TreeFigures()
    head = _metrics(figures)
    judged = []
    for name in dict.fromkeys([*wanted, *offered]):
        base = baseline.metrics.get(name)
        reason = blocked
        if is_time(name):
            reason = incomparable("time", baseline.environment, environment) or (
                "times are compared with a revision, or store with store"
            )
        judgement = _judge(name, base, head.get(name), figures.failures.get(name), reason, expected=True)
        if base is None and judgement.verdict == "nothing compared":
            judgement = dataclasses.replace(judgement, reason="new; `tngd-bench baseline update` takes it in")
        if judgement.verdict == "changed":
            judgement = _with_processor(judgement, baseline, environment["cpu"])
        judged.append(judgement)
    return tuple(judged)


def _with_processor(judgement: Judgement, baseline: Baseline, here: str | None) -> Judgement:
    """Return the judgement, with the processors where they differ: rounding moves some results a little."""
    there = last_entries(baseline).get(judgement.name, {}).get("processor")
    if there is None or there == here:
        return judgement
    reason = f"{judgement.reason}; measured on {there} there, on {here} here"
    return dataclasses.replace(judgement, reason=reason)


def check_revision(
    base: Path, head: Path, selection: MetricFilter, say: Say, *, samples: int = SAMPLES
) -> tuple[Judgement, ...]:
    """Judge tree `head` by tree `base`, times taken in turn and confirmed."""
    say(f"measuring {head} and {base} in turn")
    with probes(base, head) as (first, second):
        # a kind that only the base has was given up or renamed, and this code has no tolerance for it
        shared = [name for name in first.ask(do="names") if is_known(name)]
        # the base's own tolerances judge: a change cannot loosen its own gate
        tolerances = first.ask(do="tolerances", names=shared)
        offered = list(dict.fromkeys([*shared, *second.ask(do="names")]))
        names = selection.of(offered)
        exact = [name for name in names if not is_time(name)]
        before, after = exact_figures(first, exact), exact_figures(second, exact)
        times = [name for name in names if is_time(name)]
        sides = TreeFigures({name: [] for name in times}), TreeFigures({name: [] for name in times})
        if times:
            say(f"timing {len(times)} steps")
            trees.take_samples((first, second), sides, samples)
    was = {name: _tightened(metric, tolerances.get(name)) for name, metric in _metrics(before).items()}
    now = _metrics(after)
    judged = [_judge(name, was.get(name), now.get(name), after.failures.get(name), None) for name in exact]
    first_run = [sides]

    def measure(wanted: Sequence[str]) -> Sides:
        if first_run:
            base_side, head_side = first_run.pop()
        else:
            say(f"timing again: {', '.join(wanted)}")
            # few are in doubt: many processes, each of which is one sample
            base_side, head_side = trees.time_in_turn((base, head), wanted)
        return _metrics(base_side), _metrics(head_side)

    confirmed = {judgement.name: judgement for judgement in confirm(measure, times)}
    for name in times:
        judged.append(confirmed.get(name) or _judge(name, None, None, sides[1].failures.get(name), None))
    return tuple(judged)


def check_stores(
    baseline: Baseline, heads: Sequence[Baseline], selection: MetricFilter
) -> tuple[Judgement, ...]:
    """Judge the first of `heads`, metrics of stores, by a baseline; the others are its re-runs, which confirm times.

    A slowdown that no second store shows too is inconclusive.
    """
    names = selection.of(list(dict.fromkeys([*baseline.metrics, *heads[0].metrics])))
    judged = []
    for name in names:
        base, head = baseline.metrics.get(name), heads[0].metrics.get(name)
        kind: Kind = "time" if is_time(name) else "exact"
        reasons = (
            incomparable(kind, baseline.environment, one.environment)
            or unpaired(name, baseline.environment, one.environment)
            for one in heads
        )
        judgement = _judge(name, base, head, None, next(filter(None, reasons), None), expected=True)
        if is_time(name) and judgement.verdict == "regression":
            left = iter(heads)

            def rerun(wanted: Sequence[str], left: Any = left) -> Sides:
                again = next(left, None)
                return baseline.metrics, {} if again is None else again.metrics

            (judgement,) = confirm(rerun, [name])
        judged.append(judgement)
    return tuple(judged)


def _judge(
    name: str,
    base: CheckedMetric | None,
    head: CheckedMetric | None,
    failure: str | None,
    blocked: str | None,
    *,
    expected: bool = False,
) -> Judgement:
    """Return the verdict on a metric; `expected`: what the baseline has must be measured now."""
    known = base or head or make_metric(name, [])
    if head is not None and any(math.isnan(value) for value in head.values):
        return _without(known, "failed", "not a number")
    if blocked is not None:
        return _without(known, "nothing compared", blocked)
    if head is None and failure is not None:
        return _without(known, "failed", failure)
    if head is None and base is not None and expected:
        return _without(
            known, "failed", "not measured any more; `tngd-bench baseline update` where that is meant"
        )
    return compare(base, head) if base or head else _without(known, "nothing compared", "measured on no side")


def _without(metric: CheckedMetric, verdict: Any, reason: str) -> Judgement:
    return Judgement(metric.name, metric.unit, metric.kind, verdict, reason)


def _tightened(metric: CheckedMetric, stated: Mapping[str, float] | None) -> CheckedMetric:
    """Return the metric with the tolerance that its own tree states, as tight as ours at least."""
    if stated is None:
        return metric
    return dataclasses.replace(
        metric,
        tolerance=min(metric.tolerance, stated["tolerance"]),
        slack=min(metric.slack, stated["slack"]),
        two_sided=metric.two_sided or bool(stated["two_sided"]),
    )


def excused(
    judged: Sequence[Judgement], own: Baseline, base: Baseline, own_judged: Sequence[Judgement]
) -> tuple[Judgement, ...]:
    """Return judgements against a revision, those as "ok" whose change the present tree's baseline file writes down.

    A change is intended where its history has an entry that the revision's own file lacks and the present figure
    agrees with the file. An unrecorded gain and an older entry excuse nothing.
    """
    agrees = {one.name for one in own_judged if one.verdict == "ok"}
    then = last_entries(base)
    new = {
        name: entry
        for name, entry in last_entries(own).items()
        if entry["digest"] != then.get(name, {}).get("digest")
    }
    # an optimizer that was taken out has no time either, of which the file holds no figure
    removed = {
        name.partition("/")[2]: entry
        for name, entry in new.items()
        if name not in own.metrics and name in base.metrics
    }
    left = {name.partition("/")[2] for name in own.metrics}
    found = []
    for one in judged:
        entry = new.get(one.name)
        subject = one.name.partition("/")[2]
        if entry is None and one.kind == "time" and one.verdict == "failed" and subject not in left:
            entry = removed.get(subject)
        gone = one.name not in own.metrics
        if one.verdict in ("regression", "changed", "failed") and entry and (gone or one.name in agrees):
            one = dataclasses.replace(one, verdict="ok", reason=f"meant: {entry['reason']}")
        found.append(one)
    return tuple(found)


def _exact_names(started: Probe) -> list[str]:
    return [name for name in started.ask(do="names") if not between_trees(name)]


def _metrics(figures: TreeFigures) -> dict[str, CheckedMetric]:
    """Return a tree's figures as metrics: an exact one is a number, a time has samples."""
    values = figures.values.items()
    return {name: make_metric(name, value if isinstance(value, list) else [value]) for name, value in values}
