"""What was found, in three sentences computed from the data: cost, convergence, noise.

A sentence claims no more than its rule allows, and says "not measured" or "not confirmed" otherwise. The rules: an
optimizer is cheapest at a size if the 95 % interval of its paired time ratio to the runner-up leaves out 1, and the
lead is within run-to-run spread where it is less than twice its error and √2·σ_run (see `run_spread`);
convergence as in `convergence_finding.py`; tolerance as in `tolerance.py`, of loss and test accuracy together.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.convergence_finding import convergence_sentence
from tngd_bench.analysis.cost import iteration_cost
from tngd_bench.analysis.cost.cost_bounds import bound_clauses
from tngd_bench.analysis.cost.one_clock import on_one_clock
from tngd_bench.analysis.families import OptimizerInfo, optimizer_infos
from tngd_bench.analysis.setting_names import parameter_name
from tngd_bench.analysis.statistics.run_spread import ASSUMED, RunSpread
from tngd_bench.analysis.training.device_pairs import DevicePair, device_pairs, pairs_sentence
from tngd_bench.analysis.training.final_scores import final_values
from tngd_bench.analysis.training.time_to_target import study_targets
from tngd_bench.analysis.training.tolerance import (
    SCORE_NAMES,
    SCORES,
    Tolerance,
    is_imperfection,
    larger_is_milder,
    margin_text,
    milder,
    tolerances,
)
from tngd_bench.optimizers.registry import exact_natural


@dataclass(frozen=True)
class Findings:
    """Three sentences in plain text."""

    cost: str
    convergence: str
    noise: str

    def sentences(self) -> tuple[str, str, str]:
        """Return the three in reading order."""
        return (self.cost, self.convergence, self.noise)


def find(
    study: Mapping[str, Any],
    trials: pd.DataFrame,
    costs: pd.DataFrame,
    curves: pd.DataFrame,
    run_spread: RunSpread = ASSUMED,
) -> Findings:
    """Return the three sentences for a study's records (frames as in `tngd_bench.studies.store.records`)."""
    curves = on_one_clock(curves, trials, costs)
    final = final_values(trials, curves)
    known = optimizer_infos(trials)
    return Findings(
        cost_sentence(costs, trials, known, run_spread),
        convergence_sentence(trials, curves, final, known, study_targets(study), study),
        device_sentence(stood(final), device_pairs(trials, final), known),
    )


# -- cost ------------------------------------------------------------------------------------------------------------


_NORMAL_95 = 1.96
WITHIN_SPREAD = "within run-to-run spread"


@dataclass(frozen=True)
class Lead:
    """At one size: the cheapest second-order optimizer by median total, and its runner-up's time relative to it."""

    parameters: int
    optimizer: str
    runner_up: str | None
    ratio: iteration_cost.Ratio | None
    run_spread: RunSpread = ASSUMED

    @property
    def decided(self) -> bool:
        """Whether the lead is confirmed."""
        return self.ratio is not None and self.ratio.decided

    @property
    def doubt(self) -> str:
        """Return why the lead is not confirmed, in a few words; "" where it is."""
        if self.runner_up is None:
            return "no other measured"
        if self.ratio is None or not self.ratio.tested:
            return "untested"
        if not self.decided:
            return "lead over the runner-up not confirmed"
        return WITHIN_SPREAD if self.ratio.value < self.least(self.ratio) else ""

    def least(self, ratio: iteration_cost.Ratio) -> float:
        """Return the ratio below which another run of the study may well tell otherwise.

        Its logarithm is twice the standard error of this run's `ratio` and of √2·σ_run together.
        """
        error = math.log(ratio.high / ratio.low) / (2.0 * _NORMAL_95)
        return math.exp(2.0 * math.hypot(error, math.sqrt(2.0) * self.run_spread.value))


def main_group(costs: pd.DataFrame) -> pd.DataFrame:
    """Return the part of `costs` with the most sizes at one (group, batch size, outputs); the first on a tie."""
    keys = ["group", "batch_size", "outputs"]
    parts = [part for _, part in costs.groupby(keys, sort=True)]
    return max(parts, key=lambda part: part["parameters"].nunique()) if parts else costs


def leads(
    costs: pd.DataFrame, known: Mapping[str, OptimizerInfo], run_spread: RunSpread = ASSUMED
) -> tuple[Lead, ...]:
    """Return who is cheapest per iteration among second-order optimizers at each size of `costs`, sizes ascending."""
    second = costs[costs["optimizer"].isin({label for label, kind in known.items() if kind.second_order})]
    found = []
    for parameters, part in second.groupby("parameters", sort=True):
        ranked = part.groupby("optimizer")["total_s"].median().sort_values(kind="stable")
        names = [str(name) for name in ranked.index]
        ratio = iteration_cost.paired_ratio(part, names[1], names[0]) if len(names) > 1 else None
        second_name = names[1] if len(names) > 1 else None
        found.append(Lead(int(str(parameters)), names[0], second_name, ratio, run_spread))
    return tuple(found)


def strongest_digital(
    part: pd.DataFrame, known: Mapping[str, OptimizerInfo], methods: tuple[str, ...] | None = None
) -> str | None:
    """Return the digital second-order optimizer with the lowest median time in `part` (one size), None if none is.

    `methods` narrows the choice, e.g. to the exact natural gradients.
    """
    digital = {label for label, kind in known.items() if kind.second_order and not kind.modelled}
    if methods is not None:
        digital = {label for label in digital if known[label].method in methods}
    ranked = part[part["optimizer"].isin(digital)].groupby("optimizer")["total_s"].median()
    return str(ranked.sort_values(kind="stable").index[0]) if len(ranked) else None


def cost_sentence(
    costs: pd.DataFrame,
    trials: pd.DataFrame,
    known: Mapping[str, OptimizerInfo],
    run_spread: RunSpread = ASSUMED,
) -> str:
    """Return who is cheapest at which size, and TNGD's total against the strongest digital competitor."""
    main = main_group(iteration_cost.finished_costs(costs, trials))
    ranking = leads(main, known, run_spread)
    if not ranking:
        return "Cost per iteration of second-order optimizers: not measured."
    pieces = []
    for (name, doubt), run in itertools.groupby(ranking, key=lambda lead: (lead.optimizer, lead.doubt)):
        sizes = [lead.parameters for lead in run]
        span = _size(sizes[0]) if len(sizes) == 1 else f"{_size(sizes[0])}–{_size(sizes[-1])}"
        pieces.append(f"{known[name].title} at N = {span}{f' ({doubt})' if doubt else ''}")
    if any(lead.doubt == "untested" for lead in ranking):
        pieces[-1] += (
            f"; a test takes {iteration_cost.MINIMUM_PAIRS} paired iterations"
            f" from {iteration_cost.MINIMUM_PROCESSES} processes"
        )
    if any(lead.doubt in ("", WITHIN_SPREAD) for lead in ranking):
        pieces[-1] += f"; run-to-run spread: {run_spread.words}"
    settings = main.iloc[0]
    where = f"{settings['problem']}, b = {settings['batch_size']}, d_z = {settings['outputs']}"
    clauses = bound_clauses(costs, trials, main, ranking[-1].optimizer, known)
    if not clauses or set(main["optimizer"]) & {label for label in known if known[label].modelled}:
        clauses.insert(0, _device_clause(main, known))
    return f"Cheapest per iteration among second-order optimizers ({where}): {', '.join(pieces)}; {'; '.join(clauses)}."


def _device_clause(main: pd.DataFrame, known: Mapping[str, OptimizerInfo]) -> str:
    measured = set(main["optimizer"])
    device = next((label for label, info in known.items() if info.modelled and label in measured), None)
    if device is None:
        return "TNGD's cost: not measured"
    parameters = int(main.loc[main["optimizer"] == device, "parameters"].max())
    part = main[main["parameters"] == parameters]
    own = part[part["optimizer"] == device]
    total = float(own["total_s"].median())
    link = float(((own["write_s"] + own["read_s"]) / own["total_s"]).median())
    text = (
        f"at N = {_size(parameters)} {known[device].title} needs {quantities.seconds(total)} "
        f"(measured digital + modelled device), of which the modelled link takes {quantities.percent(link)}"
    )
    rival = strongest_digital(part, known)
    ratio = iteration_cost.paired_ratio(part, device, rival) if rival else None
    if rival is None or ratio is None:
        return f"{text}; no digital second-order competitor was measured there"
    time = quantities.seconds(float(part.loc[part["optimizer"] == rival, "total_s"].median()))
    text = f"{text}: {ratio.text} the {time} of the strongest digital competitor, {known[rival].title}{_doubt(ratio)}"
    exact = strongest_digital(part, known, exact_natural())
    ratio = iteration_cost.paired_ratio(part, device, exact) if exact and exact != rival else None
    if exact is None or ratio is None:
        return text
    return (
        f"{text}, and {ratio.text} that of the fastest exact natural gradient, {known[exact].title}"
        f"{_doubt(ratio)}"
    )


def _doubt(ratio: iteration_cost.Ratio) -> str:
    """Return what keeps a ratio from being a difference, "" where nothing does."""
    if not ratio.tested:
        return f" (untested: {ratio.amount}, a test takes {iteration_cost.NEEDED})"
    return "" if ratio.decided else " (no difference confirmed: the interval holds 1)"


# -- noise -----------------------------------------------------------------------------------------------------------


MOST_SETTINGS = 3
"""Settings of one imperfection named one by one; of more, the two ends."""


@dataclass(frozen=True)
class Stood:
    """The tolerance of one setting to one imperfection: how far the loss stays inside, and the test `score` with it.

    `score` is the tolerance of the score alone, None where the trainings have none; `both` is the milder of the two.
    """

    both: Tolerance
    score: Tolerance | None


def stood(final: pd.DataFrame) -> tuple[Stood, ...]:
    """Return the tolerance in every sweep in `final` (see `outcomes.final_values`), in sorted order."""
    scored = next((name for name in SCORES[1:] if name in final and final[name].notna().any()), None)
    losses = tolerances(final)
    scores = tolerances(final, scored) if scored else (None,) * len(losses)
    found = []
    for loss, score in zip(losses, scores, strict=True):
        known = score if score is not None and not score.note else None
        found.append(Stood(loss if known is None else milder(loss, known), known))
    return tuple(found)


def device_sentence(
    found: Sequence[Stood], pairs: Sequence[DevicePair], known: Mapping[str, OptimizerInfo]
) -> str:
    """Return what imperfections do: those that were swept, and devices that ran beside the ideal one."""
    if not pairs:
        return noise_sentence(found, known)
    swept = [each for each in found if is_imperfection(each.both.parameter)]
    return " ".join([*([noise_sentence(swept, known)] if swept else []), pairs_sentence(pairs, known)])


def noise_sentence(found: Sequence[Stood], known: Mapping[str, OptimizerInfo]) -> str:
    """Return how much of each swept imperfection the final loss stands, and the test accuracy where there is one."""
    imperfections = [each for each in found if is_imperfection(each.both.parameter)]
    if not imperfections:
        return "Sensitivity to imperfections of the device: not measured."
    decided = [each for each in imperfections if not each.both.note]
    by_parameter: dict[str, list[Stood]] = {}
    for each in sorted(decided, key=lambda each: each.both.parameter != "noise_variance"):
        by_parameter.setdefault(each.both.parameter, []).append(each)
    grouped: dict[
        str, list[str]
    ] = {}  # by where it was measured; "" where that differs within one imperfection
    for parameter, own in by_parameter.items():
        places = {_where(each.both) for each in own}
        place = places.pop() if len(places) == 1 else ""
        grouped.setdefault(place, []).append(_of_one_imperfection(parameter, own, known, where=not place))
    texts = [
        f"On {place}: {'; '.join(own)}" if place else "; ".join(map(_capitalised, own))
        for place, own in grouped.items()
    ]
    sentences = [f"{_head(decided)} {'. '.join(texts)}."] if texts else []
    who = quantities.listed(list(dict.fromkeys(known[each.both.optimizer].title for each in imperfections)))
    undecided: dict[str, list[str]] = {}
    for each in imperfections:
        if each.both.note:  # what was found wanting is said once for all imperfections that it holds for
            undecided.setdefault(each.both.note, []).append(parameter_name(each.both.parameter))
    for note, names in undecided.items():
        verdict, _, reason = note.partition(": ")
        swept = quantities.listed(list(dict.fromkeys(names)))
        sentences.append(
            f"Tolerance of {swept} {verdict}{f': {reason}' if reason else ''}."
            if texts
            else f"Tolerance of {who} to {swept} {verdict}: {reason}."
        )
    return " ".join(sentences)


def _head(decided: Sequence[Stood]) -> str:
    score = next((each.score.score for each in decided if each.score is not None), "")
    judged = (
        f"{SCORE_NAMES[SCORES[0]]} and {SCORE_NAMES[score]} are" if score else f"{SCORE_NAMES[SCORES[0]]} is"
    )
    margins = " and ".join(margin_text(name) for name in (SCORES[0], score) if name)
    shown = f" ({SCORE_NAMES[score]} from → to)" if score else ""
    return (
        f"Levels at which final {judged} no worse than the ideal device's on the same seed by more than {margins}, "
        f"paired signed-rank test at 5 %{shown}:"
    )


def _where(tolerance: Tolerance) -> str:
    seeds = f"{tolerance.seeds} seeds"
    return f"{tolerance.problem}, N = {_size(tolerance.size)}, {seeds}"


def _of_one_imperfection(
    parameter: str, own: Sequence[Stood], known: Mapping[str, OptimizerInfo], *, where: bool
) -> str:
    """Return the tolerance to one imperfection: each setting, or of many the least and the most."""
    ordered = sorted(own, key=lambda each: (_endurance(each.both), each.score.ideal if each.score else 0.0))
    levels = list(dict.fromkeys(_level(each.both) for each in ordered))
    name = parameter_name(parameter)
    if len(ordered) > 1 and len(levels) == 1:
        return f"{name}, {len(ordered)} settings{_ideal_scores(ordered)}: {levels[0]}"
    texts = []
    for each in ordered:
        place = f" ({_where(each.both)})" if where else ""
        held = f" ({each.both.beside})" if each.both.beside else ""
        texts.append(f"{known[each.both.optimizer].title}{held}{place} {_level(each.both)}{_change(each)}")
    if len(texts) > MOST_SETTINGS:
        return f"{name}, {len(own)} settings: least {texts[0]}, most {texts[-1]}"
    return f"{name}: {', '.join(texts)}"


def _ideal_scores(own: Sequence[Stood]) -> str:
    """Return ", ideal device 93 to 97 %" for the scores of several settings; "" where there are none."""
    scores = [100 * each.score.ideal for each in own if each.score is not None]
    return f", ideal device {min(scores):.0f} to {max(scores):.0f} %" if scores else ""


def _endurance(tolerance: Tolerance) -> float:
    """Sort what stands less before what stands more: harsher levels last, and none first."""
    if np.isnan(tolerance.worst_inside):
        return -np.inf
    return -tolerance.worst_inside if larger_is_milder(tolerance.parameter) else tolerance.worst_inside


def _level(tolerance: Tolerance) -> str:
    """Return the level that was stood, e.g. "up to 0.001, not 0.1 (0.01 undecided)"."""
    unit = " bits" if tolerance.parameter.endswith("bits") else ""
    inside, outside = map(quantities.level, (tolerance.worst_inside, tolerance.first_outside))
    after = f"{_diverged(tolerance)}{_undecided(tolerance)}"
    none_outside = np.isnan(tolerance.first_outside)
    if np.isnan(tolerance.worst_inside):
        if tolerance.undecided:
            return f"at no level for certain{'' if none_outside else f', not {outside}{unit}'}{after}"
        return f"at no level, not even {outside}{unit}{after}"
    if none_outside and not tolerance.undecided:
        return f"at every level, to {inside}{unit}"
    return f"{_direction(tolerance)} {inside}{unit}{'' if none_outside else f', not {outside}'}{after}"


def _undecided(tolerance: Tolerance) -> str:
    levels = [quantities.level(level) for level in tolerance.undecided]
    return f" ({quantities.listed(levels)} undecided)" if levels else ""


def _direction(tolerance: Tolerance) -> str:
    return "down to" if larger_is_milder(tolerance.parameter) else "up to"


def _diverged(tolerance: Tolerance) -> str:
    """Return how many seeds diverged at the first level outside, e.g. " (5 of 5 seeds diverge)"; "" where none did."""
    rows = tolerance.levels[tolerance.levels["level"] == tolerance.first_outside]
    lost = int(rows["diverged"].sum())
    return f" ({lost} of {tolerance.seeds} seeds diverge)" if lost else ""


def _change(each: Stood) -> str:
    """Return ", 94 → 93 %": the score's median on the ideal device and at the worst level inside, else the mildest."""
    if each.score is None:
        return ""
    levels = each.score.levels
    level = each.both.worst_inside if not np.isnan(each.both.worst_inside) else levels["level"].iloc[0]
    there = levels.loc[levels["level"] == level, "median"]
    ideal = f"{100 * each.score.ideal:.0f}"
    if there.empty or np.isnan(float(there.iloc[0])):
        return f", {ideal} % → diverged"
    return f", {ideal} → {100 * float(there.iloc[0]):.0f} %"


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def tolerance_text(tolerance: Tolerance) -> str:
    """Return one tolerance as a predicate, e.g. "inside up to thermal noise κ₀ = 0.01, outside from 0.1 (5 seeds)"."""
    name = parameter_name(tolerance.parameter)
    if tolerance.note:
        return f"{tolerance.note} ({name})"
    unit = " bits" if tolerance.parameter.endswith("bits") else ""
    inside, outside = (
        f"{name} = {quantities.level(v)}{unit}" for v in (tolerance.worst_inside, tolerance.first_outside)
    )
    value = tolerance.ideal
    ideal = quantities.significant(value) if tolerance.score == SCORES[0] else quantities.percent(value)
    behind = f"({tolerance.seeds} seeds; ideal device {ideal}){_undecided(tolerance)}"
    none_outside = np.isnan(tolerance.first_outside)
    if np.isnan(tolerance.worst_inside):
        if not tolerance.undecided:
            return f"outside already at the mildest level measured, {outside} {behind}"
        return f"inside at no level for certain{'' if none_outside else f', outside from {outside}'} {behind}"
    if none_outside and not tolerance.undecided:
        return f"inside at every level measured, to {inside} {behind}"
    beyond = "" if none_outside else f", outside from {quantities.level(tolerance.first_outside)}{unit}"
    return f"inside {_direction(tolerance)} {inside}{beyond} {behind}"


def _size(parameters: int) -> str:
    return quantities.count(parameters)
