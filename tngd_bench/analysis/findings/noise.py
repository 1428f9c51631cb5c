"""The finding on noise: how much of each imperfection training tolerates, by loss and test score together."""

from collections.abc import Sequence

import numpy as np

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost.recorded_devices import recorded, recorded_device
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.setting_names import parameter_name, value_text
from tngd_bench.analysis.training.device_pairs import pairs_sentence, trained_on
from tngd_bench.analysis.training.tolerance import (
    ScoredTolerance,
    Tolerance,
    is_ideal,
    is_imperfection,
    larger_is_milder,
    margin_text,
)
from tngd_bench.problems.metrics import TRAINING_LOSS
from tngd_bench.studies.store import columns as c

MOST_SETTINGS = 3
"""Settings of one imperfection named one by one; of more, the two ends."""


def device_sentence(results: Results) -> str:
    """Return the effects of imperfections: those that were swept, and devices that ran beside the ideal one."""
    swept = [each for each in results.scored_tolerances if is_imperfection(each.both.parameter)]
    pairs = results.device_pairs
    if not swept and not pairs:
        return "Sensitivity to imperfections of the device: not measured."
    sentences = _swept_sentences(swept, results.infos, base_of(results, [each.both for each in swept]))
    return " ".join([*sentences, *([pairs_sentence(pairs, results.infos)] if pairs else [])])


def base_of(results: Results, swept: Sequence[Tolerance]) -> str:
    """Return the device that swept levels are compared with: with other imperfections it is not the ideal one."""
    for each in swept:
        own = c.only(
            results.trials, group=each.group, optimizer=each.optimizer, sweep_parameter=each.parameter
        )
        for row in c.each(own[is_ideal(each.parameter, own[c.SWEEP_VALUE])].drop_duplicates(c.SETTINGS)):
            name, known = recorded(row.device, row.settings)
            made = None if name is None else recorded_device(name, known)
            if (made is not None and made.imperfections) or known.get("noise_variance"):
                return "the same device without that imperfection"
    return "the ideal device"


def _swept_sentences(swept: Sequence[ScoredTolerance], infos: Infos, base: str) -> list[str]:
    """Return the levels of each swept imperfection that the final loss, and a test score if there is one, tolerate."""
    decided = [each for each in swept if not each.both.note]
    by_parameter: dict[str, list[ScoredTolerance]] = {}
    for each in sorted(decided, key=lambda each: each.both.parameter != "noise_variance"):
        by_parameter.setdefault(each.both.parameter, []).append(each)
    by_place: dict[str, list[str]] = {}  # "" where one imperfection was measured in several places
    for parameter, settings in by_parameter.items():
        places = {trained_on(each.both) for each in settings}
        place = places.pop() if len(places) == 1 else ""
        by_place.setdefault(place, []).append(
            _of_one_imperfection(parameter, settings, infos, where=not place)
        )
    texts = []
    for place, own in by_place.items():
        texts += [f"On {place}"] if place else []
        texts += [text[:1].upper() + text[1:] for text in own]
    judged = [f"{_head(decided, base)} {'. '.join(texts)}."] if texts else []
    return judged + _undecided_sentences(swept, infos)


def _undecided_sentences(swept: Sequence[ScoredTolerance], infos: Infos) -> list[str]:
    """Return why tolerances are not decided, each reason once for all imperfections that it holds for."""
    by_note: dict[str, list[str]] = {}
    for each in swept:
        if each.both.note:
            by_note.setdefault(each.both.note, []).append(parameter_name(each.both.parameter))
    titles = dict.fromkeys(infos[each.both.optimizer].title for each in swept)
    decided = any(not each.both.note for each in swept)
    named = quantities.listed(list(titles)) if 0 < len(titles) <= 2 else f"{len(titles)} settings"
    who = "" if decided or not titles else f"{named} to "
    sentences = []
    for note, names in by_note.items():
        verdict, _, reason = note.partition(": ")
        imperfections = quantities.listed(list(dict.fromkeys(names)))
        sentences.append(f"Tolerance of {who}{imperfections} {verdict}{f': {reason}' if reason else ''}.")
    return sentences


def _head(decided: Sequence[ScoredTolerance], base: str) -> str:
    further = dict.fromkeys(each.score.score for each in decided if each.score is not None)
    titles = " or ".join(score.title for score in further)
    return (
        f"Levels no worse than {base} on the same seed, by final "
        f"{' and '.join(filter(None, (TRAINING_LOSS.title, titles)))}. "
        f"Margins: {' and '.join(map(margin_text, (TRAINING_LOSS, *further)))} "
        f"(paired signed-rank test at 5 %{f'; {titles} from → to' if further else ''})."
    )


def _of_one_imperfection(parameter: str, own: Sequence[ScoredTolerance], infos: Infos, *, where: bool) -> str:
    """Return the tolerance to one imperfection: each setting, or of many the least and the most."""
    ordered = sorted(own, key=lambda each: (_harshness(each.both), each.score.ideal if each.score else 0.0))
    levels = list(dict.fromkeys(_level(each.both) for each in ordered))
    name = parameter_name(parameter)
    if len(ordered) > 1 and len(levels) == 1:
        return f"{name}, {len(ordered)} settings{_ideal_scores(ordered)}: {levels[0]}"
    texts = []
    for each in ordered:
        place = f" ({trained_on(each.both)})" if where else ""
        held = f" ({each.both.beside})" if each.both.beside else ""
        texts.append(f"{infos[each.both.optimizer].title}{held}{place} {_level(each.both)}{_change(each)}")
    if len(texts) > MOST_SETTINGS:
        return f"{name}, {len(own)} settings: least {texts[0]}, most {texts[-1]}"
    return f"{name}: {'. '.join(texts)}"


def _ideal_scores(own: Sequence[ScoredTolerance]) -> str:
    """Return ", ideal level 93 to 97 %" for the scores of several settings; "" where there is not one kind."""
    scores = [each.score for each in own if each.score is not None]
    if len({each.score for each in scores}) != 1:
        return ""
    ends = sorted(each.ideal for each in scores)
    return f", ideal level {_from_to(scores[0], ends[0], ends[-1], 'to')}"


def _from_to(tolerance: Tolerance, first: float, last: float, word: str = "→") -> str:
    """Return two values of the score that is judged, e.g. "93 → 97 %"."""
    metric = tolerance.score.metric
    if metric.share:
        return f"{100 * first:.0f} {word} {100 * last:.0f} %"
    return f"{quantities.metric(first, metric)} {word} {quantities.metric(last, metric)}"


def _harshness(tolerance: Tolerance) -> float:
    """Return a sort key of the harshest level inside: none first, harsher levels later."""
    if np.isnan(tolerance.worst_inside):
        return -np.inf
    return -tolerance.worst_inside if larger_is_milder(tolerance.parameter) else tolerance.worst_inside


def _level(tolerance: Tolerance) -> str:
    """Return the levels inside and outside, e.g. "up to 0.001, not 0.1 (0.01 undecided)"."""
    inside, outside = (
        value_text(tolerance.parameter, level) for level in (tolerance.worst_inside, tolerance.first_outside)
    )
    after = f"{_diverged(tolerance)}{_undecided(tolerance)}"
    none_outside = np.isnan(tolerance.first_outside)
    if np.isnan(tolerance.worst_inside):
        if tolerance.undecided:
            return f"at no level for certain{'' if none_outside else f', not {outside}'}{after}"
        return f"at no level, not even {outside}{after}"
    if none_outside and not tolerance.undecided:
        return f"at every level, to {inside}"
    return f"{_direction(tolerance)} {inside}{'' if none_outside else f', not {outside}'}{after}"


def _undecided(tolerance: Tolerance) -> str:
    levels = [quantities.level(level) for level in tolerance.undecided]
    return f" ({quantities.listed(levels)} undecided)" if levels else ""


def _direction(tolerance: Tolerance) -> str:
    return "down to" if larger_is_milder(tolerance.parameter) else "up to"


def _diverged(tolerance: Tolerance) -> str:
    """Return e.g. " (5 of 5 seeds diverge)", at the first level outside; "" where none did."""
    rows = c.only(tolerance.levels, level=tolerance.first_outside)
    lost = int(rows["diverged"].sum())
    return f" ({lost} of {tolerance.seeds} seeds diverge)" if lost else ""


def _change(each: ScoredTolerance) -> str:
    """Return ", 94 → 93 %": the score's median on the ideal device and at the worst level inside, else the mildest."""
    if each.score is None:
        return ""
    levels = each.score.levels[each.score.levels["seeds"] == each.score.seeds]
    level = each.both.worst_inside if not np.isnan(each.both.worst_inside) else levels["level"].iloc[0]
    there = levels.loc[levels["level"] == level, "median"]
    if there.empty or np.isnan(float(there.iloc[0])):
        return f", {quantities.metric(each.score.ideal, each.score.score.metric)} → diverged"
    return f", {_from_to(each.score, each.score.ideal, float(there.iloc[0]))}"


def tolerance_text(tolerance: Tolerance) -> str:
    """Return one tolerance as a predicate: "no worse than ideal up to programming error = 0.01, worse from 0.1 on".

    The ideal level is that of the device without this imperfection, which may have others.
    """
    name = parameter_name(tolerance.parameter)
    if tolerance.note:
        return f"{tolerance.note} ({name})"
    inside, outside = (
        value_text(tolerance.parameter, level) for level in (tolerance.worst_inside, tolerance.first_outside)
    )
    ideal = quantities.metric(tolerance.ideal, tolerance.score.metric)
    behind = f"({tolerance.seeds} seeds; ideal level {ideal}){_undecided(tolerance)}"
    none_outside = np.isnan(tolerance.first_outside)
    if np.isnan(tolerance.worst_inside):
        if not tolerance.undecided:
            return f"worse than ideal already at the mildest level measured, {name} = {outside} {behind}"
        where = "every level measured" if none_outside else f"milder levels, worse from {name} = {outside} on"
        return f"undecided at {where} {behind}"
    if none_outside and not tolerance.undecided:
        return f"no worse than ideal at every level measured, to {name} = {inside} {behind}"
    beyond = "" if none_outside else f", worse from {outside} on"
    return f"no worse than ideal {_direction(tolerance)} {name} = {inside}{beyond} {behind}"
