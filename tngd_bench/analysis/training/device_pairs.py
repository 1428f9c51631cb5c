"""Imperfect devices beside the ideal one: whether training on one ends worse by more than a fixed margin.

A study may train one optimizer on several devices side by side, without a sweep. Where one of them is ideal and nothing
but the device differs, the two are compared seed by seed with the margins of `tolerance`: an imperfect device is "no
worse" if the excess over the ideal one is below the margin in loss and, where there is one, in the test score; "worse"
if it is above the margin in either; else "not decided". Each is an exact one-sided signed-rank test: "no worse" takes
the larger of the two p-values, "worse" twice the smaller one. Both are corrected for the number of devices (Holm).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost.recorded_devices import recorded, recorded_device
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.statistics.paired import LEVEL, holm, paired_difference, seeds_needed
from tngd_bench.analysis.training.final_scores import leading
from tngd_bench.analysis.training.tolerance import (
    Tolerance,
    iterations_made,
    margin_text,
    margins,
    sign,
    tried,
    without_base,
)
from tngd_bench.problems.metrics import TRAINING_LOSS, CurveMetric
from tngd_bench.spu.description import DEVICE_FIELDS
from tngd_bench.studies.store import columns as c

INSIDE, OUTSIDE, UNDECIDED = "no worse", "worse", "not decided"
MOST_NAMED = 3
"""Devices named one by one in a sentence; of more, how many have which verdict."""
_PLACE = [c.GROUP, c.PROBLEM, c.PARAMETERS]
_DEVICE = {"device", "noise_variance", *DEVICE_FIELDS}


@dataclass(frozen=True)
class ScorePair:
    """One final score: its median on the ideal device and on the other; NaN where most seeds diverged."""

    score: CurveMetric
    ideal: float
    own: float


@dataclass(frozen=True)
class DevicePair:
    """The `optimizer` on an imperfect device beside `ideal`, the same on the ideal one: labels of one section.

    The p-values are those after the correction. `note` says why nothing is decided where the data do not allow a test.
    `iterations` are those of the runs on the ideal device.
    """

    group: str
    problem: str
    size: int
    optimizer: str
    ideal: str
    seeds: int
    diverged: int
    scores: tuple[ScorePair, ...]
    p_inside: float
    p_outside: float
    keys: tuple[str, ...]
    note: str = ""
    iterations: int = 0

    @property
    def verdict(self) -> str:
        """Return whether training on the device ends worse than on the ideal one."""
        if self.note:
            return UNDECIDED
        level = 1.0 - LEVEL
        return INSIDE if self.p_inside <= level else OUTSIDE if self.p_outside <= level else UNDECIDED


def trained_on(judged: DevicePair | Tolerance, *, seeds: bool = True) -> str:
    """Return the model that was trained, how long and, if wanted, in how many `seeds`.

    An example is "digits-mlp, N = 989, 44 iterations, 6 seeds".
    """
    made = [quantities.number_of(judged.iterations, "iteration")] if judged.iterations else []
    made += [f"{judged.seeds} seeds"] if seeds else []
    return ", ".join([judged.problem, f"N = {quantities.count(judged.size)}", *made])


def device_pairs(trials: pd.DataFrame, final: pd.DataFrame) -> tuple[DevicePair, ...]:
    """Return every imperfect device of `trials` that ran beside the ideal one; `final` as from `final_values`.

    Trials of sweeps are left out: `tolerance` judges those.
    """
    devices = trials.set_index(c.KEY)[[c.DEVICE, c.SETTINGS]]
    plain = c.outside_sweeps(final).join(devices, on=c.KEY)
    found = [
        _compared(part, own, ideal)
        for _, part in plain.groupby(_PLACE, sort=True)
        for own, ideal in _beside_ideal(part)
    ]
    tested = [place for place, pair in enumerate(found) if not pair.note]
    inside = holm([found[place].p_inside for place in tested])
    outside = holm([found[place].p_outside for place in tested])
    needed = seeds_needed(len(tested)) - 1  # one-sided
    for place, p_inside, p_outside in zip(tested, inside, outside, strict=True):
        seeds = found[place].seeds
        note = f"too few to tell: {seeds} seeds, {needed} needed" if seeds < needed else ""
        found[place] = replace(found[place], p_inside=p_inside, p_outside=p_outside, note=note)
    return tuple(found)


def _beside_ideal(part: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Yield the labels on imperfect devices of one section, each with the label alike on the ideal device."""
    ideal: dict[object, str] = {}
    imperfect = []
    for row in c.each(part.drop_duplicates(c.OPTIMIZER).sort_values(c.OPTIMIZER, kind="stable")):
        name, known = recorded(row.device, row.settings)
        made = None if name is None else recorded_device(name, known)
        if made is None:
            continue
        alike = row.method, repr(sorted((key, value) for key, value in known.items() if key not in _DEVICE))
        if made.imperfections or known.get("noise_variance"):
            imperfect.append((row.optimizer, alike))
        else:
            ideal.setdefault(alike, row.optimizer)
    yield from ((label, ideal[alike]) for label, alike in imperfect if alike in ideal)


def _compared(part: pd.DataFrame, own: str, ideal: str) -> DevicePair:
    """Return the comparison of two labels of one section, before the correction."""
    first, second = c.only(part, optimizer=own), c.only(part, optimizer=ideal)
    group, problem, parameters = part.iloc[0][_PLACE]
    other_score = leading(second)
    has_scores = other_score.final in part and second[other_score.final].notna().any()
    scored = [TRAINING_LOSS, *([other_score] if has_scores else [])]
    scores, inside, outside = [], [], []
    seeds = diverged = 0
    note = without_base(second)
    for score in scored:
        base, other = (tried(each, score).set_index(c.SEED)[c.LOSS] for each in (second, first))
        both = base.index.intersection(other.index).sort_values()
        baseline, losses = base[both].to_numpy(float), other[both].to_numpy(float)
        seeds, diverged = len(both), int(np.isinf(losses).sum())
        if not seeds or not np.isfinite(baseline).all():
            note = note or "not confirmed: no seed was tried on both devices"
            continue
        beyond = paired_difference(losses - baseline - margins(score, baseline))
        inside.append(beyond.p_lower)
        outside.append(beyond.p_higher)
        middle = float(np.median(losses))
        shown = sign(score) * middle if np.isfinite(middle) else float("nan")
        scores.append(ScorePair(score, sign(score) * float(np.median(baseline)), shown))
    p_inside, p_outside = max(inside, default=1.0), min(1.0, len(outside) * min(outside, default=1.0))
    return DevicePair(
        group,
        problem,
        int(parameters),
        own,
        ideal,
        seeds,
        diverged,
        tuple(scores),
        p_inside,
        p_outside,
        tuple(sorted({*first[c.KEY], *second[c.KEY]})),
        note,
        iterations_made(second),
    )


def pairs_sentence(pairs: Sequence[DevicePair], infos: Infos) -> str:
    """Return one sentence on the ends of training on each imperfect device."""
    head = f"Imperfect devices beside the ideal one, same seeds, margins {margin_text(TRAINING_LOSS)}"
    head += "".join(f" and {margin_text(score)}" for score in further_scores(pairs))
    if len(pairs) > MOST_NAMED:
        number = Counter(pair.verdict for pair in pairs)
        counts = [f"{number[each]} {each}" for each in (INSIDE, OUTSIDE, UNDECIDED) if number[each]]
        return f"{head}: {', '.join(counts)}, of {len(pairs)}."
    return f"{head}. {'. '.join(_judged(pair, infos) for pair in pairs)}."


def _judged(pair: DevicePair, infos: Infos) -> str:
    """Return the verdict on a device, where it was trained, and the score on the ideal one and there.

    An example is "TNGD (device = mine) not decided (digits-mlp, N = 989, 6 seeds, test accuracy 82.5 % → 81 %)".
    """
    where = [trained_on(pair)]
    if pair.diverged:
        where.append(f"{pair.diverged} diverged")
    if pair.scores:
        last = pair.scores[-1]
        where.append(f"{last.score.title} {change(last)}")
    if pair.note:
        where.append(pair.note.removeprefix("not confirmed: "))
    return f"{infos[pair.optimizer].title} {pair.verdict} ({', '.join(where)})"


def change(score: ScorePair) -> str:
    """Return e.g. "82.5 % → 81 %" or "1.65 → 1.64"; the second is "diverged" where most seeds did."""
    ideal, own = (quantities.metric(value, score.score.metric) for value in (score.ideal, score.own))
    return f"{ideal} → {'diverged' if np.isnan(score.own) else own}"


def further_scores(pairs: Sequence[DevicePair]) -> tuple[CurveMetric, ...]:
    """Return the metrics that were judged beside the training loss."""
    scores = dict.fromkeys(each.score for pair in pairs for each in pair.scores)
    return tuple(score for score in scores if score != TRAINING_LOSS)
