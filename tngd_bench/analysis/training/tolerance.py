"""Tolerance of training to one imperfection: the level from which a final score is worse by more than a fixed margin.

Paired: the trials of one seed share start and batches, and one imperfection is swept. With ℓ(level, seed) the final
training loss (or minus the test accuracy or F1; ∞ if the trial diverged), the excess of a seed is
ℓ(level, seed) − ℓ(ideal, seed). The margin is fixed beforehand: `SCORE_MARGIN` of accuracy or F1, and of a loss
`LOSS_SHARE` of that seed's ideal one, `LOSS_FLOOR` at least. It depends neither on the spread nor on the number of
seeds.

A level is inside if the excess is below the margin by the exact one-sided signed-rank test over seeds (p ≤ 5 %,
non-inferiority: Wellek, Testing Statistical Hypotheses of Equivalence and Noninferiority, 2nd ed. 2010), and so is
every milder one; outside if the excess is above the margin by the same test, and so is every harsher one; else
undecided. So is a level at which a seed gave no result, out of time or memory or never tried. Testing in a fixed
order, up to the first level that fails, keeps the chance of one false "inside" in a sweep at 5 %, and of one false
"outside". Better than ideal is inside: the statement is "no worse". Five seeds are needed: of fewer no test reaches
5 %.

An ideal device that has not learned gives no tolerance: every ideal seed must have come halfway from its accuracy
before training to 1, or, of a problem without accuracy, have halved its loss or lowered it by ln 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.arrays import Array
from tngd_bench.analysis.setting_names import DESCRIBED
from tngd_bench.analysis.statistics.paired import LEVEL, paired_difference
from tngd_bench.problems.metrics import TEST_ACCURACY, TRAINING_LOSS, CurveMetric
from tngd_bench.studies.store import columns as c

MINIMUM_SEEDS = 5
SCORE_MARGIN, LOSS_SHARE, LOSS_FLOOR = 0.01, 0.05, 0.01
_LEVELS = ["level", "excess", "verdict", "p_inside", "p_outside", "median", "seeds", "diverged"]


@dataclass(frozen=True)
class Tolerance:
    """The tolerance to one imperfection of one optimizer.

    `worst_inside` is the harshest level that is inside (NaN: none), `first_outside` the mildest that is outside (NaN:
    none); what lies between is undecided. `ideal` is the ideal device's `score`, its median over seeds. `levels` is the
    table behind it, mildest first: level, excess (median, of loss, or what is lost of a score better where higher),
    verdict, `p_inside`, `p_outside`, median (of the score; NaN where most seeds diverged), seeds, diverged. `note` is
    set where the data do not decide, and then the numbers are NaN. `beside` names the level of a second swept setting
    at which this holds, empty where there is none. `problem` and `size`, N, are those of the model trained,
    `iterations` those of the runs on the ideal device.
    """

    group: str
    optimizer: str
    parameter: str
    worst_inside: float = float("nan")
    first_outside: float = float("nan")
    seeds: int = 0
    levels: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=_LEVELS))
    note: str = ""
    beside: str = ""
    size: int = 0
    score: CurveMetric = TRAINING_LOSS
    ideal: float = float("nan")
    problem: str = ""
    iterations: int = 0

    @property
    def undecided(self) -> tuple[float, ...]:
        """The levels between the last one inside and the first one outside."""
        return tuple(self.levels.loc[self.levels["verdict"] == "undecided", "level"])


def tolerances(final: pd.DataFrame, score: CurveMetric = TRAINING_LOSS) -> tuple[Tolerance, ...]:
    """Return the tolerance of every sweep in `final` (see `final_scores.final_values`), in sorted order.

    `score` is the metric that is judged. Of a sweep of two imperfections the ideal device is ideal in both.
    """
    swept = c.completed(final[final[c.SWEEP_PARAMETER].notna()], c.SWEEP)
    keys = [c.GROUP, c.OPTIMIZER, c.SWEEP_PARAMETER]
    found = []
    for values, part in swept.groupby([*keys, c.SWEEP_PARAMETER_2, c.SWEEP_LABEL_2], sort=True, dropna=False):
        group, optimizer, parameter, second, label = map(str, values)
        if not part[c.SWEEP_VALUE].notna().any():
            continue  # words and flags have no order from mild to harsh
        runs, beside = swept[swept[c.SWEEP_PARAMETER_2].isna()], ""
        if part[c.SWEEP_PARAMETER_2].notna().all():
            runs, beside = c.only(swept, sweep_parameter_2=second), f"{second} = {label}"
            if is_imperfection(second):
                runs = runs[is_ideal(second, runs[c.SWEEP_VALUE_2])]
            else:
                runs = c.only(runs, sweep_label_2=label)
        runs = runs[(runs[keys] == [group, optimizer, parameter]).all(axis=1)]
        size, problem = int(part[c.PARAMETERS].max()), str(part[c.PROBLEM].iloc[0])
        about: dict[str, Any] = {"score": score, "beside": beside, "size": size, c.PROBLEM: problem}
        found.append(_tolerance(Tolerance(group, optimizer, parameter, **about), runs, part))
    return tuple(found)


def milder(first: Tolerance, second: Tolerance) -> Tolerance:
    """Return the verdicts of both scores of one sweep together: inside in both, outside where one of them is.

    A `second` that decides nothing changes nothing.
    """
    if first.note or second.note:
        return first
    levels = first.levels["level"].tolist()
    inside = min(_place(levels, each.worst_inside, -1) for each in (first, second))
    outside = min(_place(levels, each.first_outside, len(levels)) for each in (first, second))
    return _with_verdicts(first, first.levels, inside, outside)


@dataclass(frozen=True)
class ScoredTolerance:
    """The tolerance of one optimizer setting to one imperfection: of its loss and its test score together.

    `score` is the tolerance of the score alone, None where the trainings have none; `both` is the milder of the two.
    """

    both: Tolerance
    score: Tolerance | None

    @classmethod
    def of(cls, loss: Tolerance, score: Tolerance | None) -> ScoredTolerance:
        """Return the tolerance of both, of the loss alone where that of the score decides nothing."""
        return cls(loss, None) if score is None or score.note else cls(milder(loss, score), score)


def _place(levels: Sequence[float], level: float, none: int) -> int:
    return none if np.isnan(level) else list(levels).index(level)


def _with_verdicts(tolerance: Tolerance, table: pd.DataFrame, inside: int, outside: int) -> Tolerance:
    """Return a tolerance with its table, the last level inside and the first one outside being given by place."""
    padded = [*table["level"].tolist(), float("nan")]  # −1 and the end: no level
    verdict = [
        "inside" if place <= inside else "outside" if place >= outside else "undecided"
        for place in range(len(table))
    ]
    levels = table.assign(verdict=verdict)[_LEVELS]
    return replace(tolerance, worst_inside=padded[inside], first_outside=padded[outside], levels=levels)


def is_imperfection(parameter: str) -> bool:
    """Whether a swept setting makes the device's solution worse than that of an ideal one."""
    return parameter in DESCRIBED and DESCRIBED[parameter].imperfection


def mildest_first(parameter: str, levels: Array) -> Array:
    """Return `levels` sorted from mild to harsh: many bits and high rails first, small errors first."""
    return np.sort(levels)[::-1] if larger_is_milder(parameter) else np.sort(levels)


def is_ideal(parameter: str, levels: pd.Series) -> pd.Series:
    """Return the mask of levels that mean the ideal device: absent where larger is milder, else zero or absent."""
    values = levels.astype(float)
    return values.isna() if larger_is_milder(parameter) else values.isna() | (values == 0)


def larger_is_milder(parameter: str) -> bool:
    """Whether a larger value of `parameter` is a better device, an absent one ideal: bits, rails, gain, range."""
    return parameter in DESCRIBED and DESCRIBED[parameter].milder == "larger"


def margins(score: CurveMetric, ideal: Array) -> Array:
    """Return the margin of each seed, whose `score` on the ideal device is given (as a loss)."""
    if score.metric.share:
        return np.full_like(ideal, SCORE_MARGIN)
    return np.maximum(LOSS_SHARE * np.abs(ideal), LOSS_FLOOR)


def margin_text(score: CurveMetric) -> str:
    """Return the margin in words, e.g. "1 point of accuracy"."""
    if score.metric.share:
        return f"{100 * SCORE_MARGIN:g} point of {score.metric.title}"
    return f"{100 * LOSS_SHARE:g} % of the {score.metric.title} (or {LOSS_FLOOR:g})"


def sign(score: CurveMetric) -> float:
    """Return the factor, 1 or −1, that makes a loss of the score, better where it is lower."""
    return -1.0 if score.metric.larger_is_better else 1.0


def _tolerance(empty: Tolerance, runs: pd.DataFrame, part: pd.DataFrame) -> Tolerance:
    """Return the tolerance that the swept trials `part` show beside those of `runs` on the ideal device."""
    score, parameter = empty.score, empty.parameter
    ideal = tried(runs[is_ideal(parameter, runs[c.SWEEP_VALUE])], score)
    ideal = ideal.drop_duplicates(c.SEED).set_index(c.SEED).sort_index()
    swept = tried(part[~is_ideal(parameter, part[c.SWEEP_VALUE])], score)
    asked = part.loc[~is_ideal(parameter, part[c.SWEEP_VALUE]), c.SWEEP_VALUE].astype(float).unique()
    levels = mildest_first(parameter, asked)
    table = swept.pivot_table(index=c.SEED, columns=c.SWEEP_VALUE, values=c.LOSS, aggfunc="first")
    paired = table.reindex(index=ideal.index, columns=levels)
    whole = paired.notna().all().to_numpy()
    note = without_base(ideal)
    if not note and not whole.any():
        note = "not measured: no level was run with every seed of the ideal device"
    if note:
        return replace(empty, seeds=len(ideal), note=note)
    losses, baseline = paired.to_numpy(float), ideal[c.LOSS].to_numpy(float)
    excess = losses - baseline[:, None]
    beyond = (excess - margins(score, baseline)[:, None]).T
    tested = [paired_difference(own) if known else None for own, known in zip(beyond, whole, strict=True)]
    middle = np.median(losses, axis=0)
    found = pd.DataFrame(
        {
            "level": levels,
            "excess": np.median(excess, axis=0),
            "p_inside": [1.0 if each is None else each.p_lower for each in tested],
            "p_outside": [1.0 if each is None else each.p_higher for each in tested],
            "median": np.where(np.isfinite(middle), sign(score) * middle, np.nan),
            "seeds": paired.notna().sum().to_numpy(),
            "diverged": np.isinf(losses).sum(axis=0),
        }
    )
    middle_ideal = sign(score) * float(np.median(baseline))
    judged = replace(empty, seeds=len(baseline), ideal=middle_ideal, iterations=iterations_made(ideal))
    return _with_verdicts(judged, found, *decided(found["p_inside"].tolist(), found["p_outside"].tolist()))


def decided(p_inside: Sequence[float], p_outside: Sequence[float]) -> tuple[int, int]:
    """Return the places of the last level inside (−1: none) and the first one outside (their number: none).

    The p-values are those of the levels, mildest first. Each side is tested in its own order, the mildest first for
    "inside", the harshest first for "outside", and ends where a test fails.
    """
    level, number = 1.0 - LEVEL, len(p_inside)
    inside = next((place for place, p in enumerate(p_inside) if p > level), number) - 1
    harshest_first = enumerate(reversed(p_outside))
    outside = number - next((place for place, p in harshest_first if p > level), number)
    return inside, outside


def tried(part: pd.DataFrame, score: CurveMetric) -> pd.DataFrame:
    """Return the runs that ended or diverged, with their `loss`: the score as one that is better where lower."""
    part = part[part[c.STATUS].isin(["ok", "diverged"])]
    loss = (sign(score) * part[score.final].astype(float)).where(part[c.STATUS] == "ok", np.inf)
    return part.assign(loss=loss)[loss.notna()]


def iterations_made(runs: pd.DataFrame) -> int:
    """Return the iterations of the longest of the runs that ended; 0 where none says."""
    made = c.completed(runs, ["iterations"])["iterations"].astype(float).dropna()
    return 0 if made.empty else int(made.max())


def without_base(ideal: pd.DataFrame) -> str:
    """Return why the runs of the ideal device give nothing to compare with; "" where they do."""
    if len(ideal) < MINIMUM_SEEDS:
        number = f"{len(ideal)} seed{'' if len(ideal) == 1 else 's'}"
        return f"not confirmed: too few to tell, {number} of the ideal device, {MINIMUM_SEEDS} needed"
    ideal = c.completed(ideal, [TEST_ACCURACY.final, TEST_ACCURACY.untrained, TRAINING_LOSS.untrained])
    scored = bool(ideal[TEST_ACCURACY.final].notna().any())
    judged_by = TEST_ACCURACY if scored else TRAINING_LOSS
    final, start = (ideal[name].astype(float) for name in (judged_by.final, judged_by.untrained))
    ended = ideal[c.STATUS] == "ok"
    if start[ended].isna().any():
        return "not confirmed: nothing was evaluated before training, so that whether it learned is unknown"
    if scored:
        learned = ended & (final >= (1 + start) / 2)
        worst = f"test accuracy {quantities.percent(float(final.min()))}"
    else:
        learned = ended & ((final <= start / 2) | (final <= start - math.log(2)))
        worst = f"loss {quantities.significant(float(final.max()))}"
    if learned.all():
        return ""
    lost = f"{int((~learned).sum())} of {len(ideal)} seeds of the ideal device have not learned"
    return f"not confirmed: {lost}{f' ({worst})' if ended.all() else ''}"
