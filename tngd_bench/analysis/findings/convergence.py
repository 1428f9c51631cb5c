"""The finding on convergence: TNGD's training against its rivals, at the study's settings, then with all of them tuned.

One optimizer ends lower than another if the exact two-sided signed-rank test over paired seeds says so, p ≤ 5 % after
Holm's correction for the rivals of the sentence; a run that did not finish counts as worst. Where the setting compared
is the lowest of several on the same seeds, p of "it is lower" is multiplied by their number: of ten settings alike the
lowest is else told lower than a rival alike in 10 %. With fewer seeds than can decide anything the counts are given, as
"too few to tell".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.families import Infos, tuned_on
from tngd_bench.analysis.optimizer_names import without_tuned
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.statistics.paired import (
    LEVEL,
    PairedDifference,
    differences_by_seed,
    holm,
    paired_difference,
    seeds_needed,
)
from tngd_bench.analysis.training.final_scores import leading
from tngd_bench.optimizers.registry import exact_natural
from tngd_bench.problems.metrics import TRAINING_LOSS, CurveMetric
from tngd_bench.studies.store import columns as c

_TEST = "signed-rank test, p ≤ 5 % after Holm's correction"


def convergence_sentence(results: Results) -> str:
    """Return the ends of TNGD's training against every other method that ran.

    Of several settings of a method the one that ended lowest is compared. The sentence says whether the settings were
    tuned. Where the same section has TNGD and rivals both ways, a second sentence compares the tuned ones.
    """
    plain, infos = c.outside_sweeps(results.final), results.infos
    if not any(infos[label].modelled for label in set(plain[c.OPTIMIZER])):
        of = " of TNGD" if any(info.modelled for info in infos.values()) else ""
        return f"Convergence{of}: not measured." if of or plain.empty else _ranked_sentence(results)
    section = main_training(results)
    assert section is not None  # something was trained
    # where TNGD was tuned too, a second sentence says how that ended
    device = section.device(tuned=False) or section.device()
    assert device is not None  # the section was chosen among those that have one
    head = section.part.iloc[0]
    searched = tuned_on(results.study, str(head[c.PROBLEM]))
    tuned = "" if infos[device].tuned else _tuned_sentence(section, searched)
    # like beside like only where both kinds are compared: else a rival's best setting would go unmentioned
    like = infos[device].tuned if tuned or infos[device].tuned else None
    others = section.rivals(device, tuned=like) or section.rivals(device)
    compared = [device, *others]
    number_tuned = sum(infos[label].tuned for label in compared)
    where = f" on {searched}" if searched and searched != head[c.PROBLEM] else ""
    if number_tuned == len(compared):
        section, settings = section.without_tuned(), f"all settings tuned{where}"
    else:
        settings = f"settings tuned{where} where the name says so" if number_tuned else "settings not tuned"
    return f"On {section.setting(compared, settings)} {section.ended(device, others)}.{tuned}"


def main_section(plain: pd.DataFrame, infos: Infos) -> str:
    """Return the section that trained the most optimizers, of several that with the most tuned.

    Those with a device come first.
    """

    def rank(group: str) -> tuple[int, int]:
        ran = set(plain.loc[plain[c.GROUP] == group, c.OPTIMIZER])
        return len(ran), sum(infos[label].tuned for label in ran)

    has_device = plain[c.OPTIMIZER].map(lambda label: infos[label].modelled).astype(bool)
    sections = {str(group) for group in plain.loc[has_device if has_device.any() else ~has_device, c.GROUP]}
    return max(sorted(sections, key=quantities.numeric_order), key=rank)


def main_training(results: Results) -> EndedSection | None:
    """Return the end of the main section of a study's trainings; None where nothing was trained outside sweeps."""
    plain = c.outside_sweeps(results.final)
    if plain.empty:
        return None
    return EndedSection(c.only(plain, group=main_section(plain, results.infos)), results.infos)


def _ranked_sentence(results: Results) -> str:
    """Return the optimizers of the main section by how they ended: none is TNGD, and which to test was not fixed."""
    section = main_training(results)
    assert section is not None  # something was trained
    labels = sorted(section.labels(), key=section.median_loss)
    ended = [
        f"{results.infos[label].title} {_median_loss(runs) or _no_number(runs)}"
        for label, runs in ((label, section.runs(label)) for label in labels)
    ]
    return (
        f"On {section.setting(labels)} the median training losses at the end are, lowest first "
        f"and not tested against one another: {'; '.join(ended)}."
    )


def _tuned_sentence(section: EndedSection, searched: str) -> str:
    """Return " All tuned …": TNGD's loss and test score against rivals that were tuned too; "" without them."""
    device = section.device(tuned=True)
    others = [] if device is None else section.rivals(device, tuned=True)
    if device is None or not others:
        return ""
    section = section.without_tuned()
    where = f" on {searched}" if searched else ""
    score = section.score(device, others)
    text = f" All tuned{where}: {section.ended(device, others, 'at')}"
    return f"{text}. {score}." if score else f"{text}."


@dataclass(frozen=True)
class EndedSection:
    """The final values `part` of one section, and which of its optimizers ended how."""

    part: pd.DataFrame
    infos: Infos

    def without_tuned(self) -> EndedSection:
        """Return the section with titles that leave out "tuned", for a sentence that says it of all."""
        infos = {label: replace(info, title=without_tuned(info.title)) for label, info in self.infos.items()}
        return replace(self, infos=infos)

    def runs(self, label: str) -> pd.DataFrame:
        """Return the final values of one optimizer."""
        return c.only(self.part, optimizer=label)

    def labels(self, tuned: bool | None = None) -> list[str]:
        """Return the optimizers that ran, in order: those that were `tuned`, that were not, or (None) all."""
        ran = set(self.part[c.OPTIMIZER])
        return [label for label, info in self.infos.items() if label in ran and tuned in (None, info.tuned)]

    def budget(self, labels: Sequence[str]) -> str:
        """Return e.g. "390 iterations", what the finished runs of `labels` were trained for; "" without one.

        Where it differs between them, the least and the most are given.
        """
        made = self.part.loc[self.part[c.OPTIMIZER].isin(labels), "iterations"].dropna()
        if made.empty:
            return ""
        least, most = int(made.min()), int(made.max())
        return f"{quantities.count(least)} to " * (least < most) + quantities.number_of(most, "iteration")

    def setting(self, labels: Sequence[str], *more: str) -> str:
        """Return e.g. "digits-mlp (N = 989, b = 32, 44 iterations)": size, budget of `labels`, what is `more`."""
        head = self.part.iloc[0]
        signs = {"N": c.PARAMETERS, "b": c.BATCH_SIZE}
        size = [f"{sign} = {quantities.count(int(head[column]))}" for sign, column in signs.items()]
        return f"{head[c.PROBLEM]} ({', '.join(filter(None, [*size, self.budget(labels), *more]))})"

    def devices(self) -> list[str]:
        """Return the methods that run on a device, in order."""
        return list(dict.fromkeys(info.method for info in self.infos.values() if info.modelled))

    def device(self, tuned: bool | None = None) -> str | None:
        """Return the setting of TNGD that ended lowest, of TNGD-Adam where TNGD did not run; `tuned` as in `labels`."""
        for method in self.devices():
            own = [label for label in self.labels(tuned) if self.infos[label].method == method]
            if own:
                return self.lowest(own)
        return None

    def rivals(self, device: str, tuned: bool | None = None) -> list[str]:
        """Return the rivals of `device`, the best of each kind; `tuned` as in `labels`."""
        labels, infos = self.labels(tuned), self.infos
        listed = [*((method,) for method in self.devices()), exact_natural(), ("kfac",), ("adam",), ("sgd",)]
        # methods of one kind are one rival; whatever else ran comes after these, each method for itself
        others = dict.fromkeys(infos[label].method for label in labels)
        kinds = [*listed, *((method,) for method in others if not any(method in kind for kind in listed))]
        own = next(methods for methods in kinds if infos[device].method in methods)
        of_kind = [
            [label for method in methods for label in labels if infos[label].method == method]
            for methods in kinds
            if methods != own
        ]
        return [self.lowest(candidates) for candidates in of_kind if candidates]

    def lowest(self, labels: Sequence[str]) -> str:
        """Return the one of `labels` with the lowest median final loss; unfinished runs come last, equals in order."""
        return min(labels, key=self.median_loss)

    def median_loss(self, label: str) -> float:
        """Return the median final loss of an optimizer, in which runs that did not finish are infinite."""
        runs = self.runs(label)
        losses = runs["final_loss"].astype(float).where(runs[c.STATUS] == "ok", np.inf).fillna(np.inf)
        return float(np.quantile(losses, 0.5, method="higher"))

    def medians(self, score: CurveMetric, labels: Sequence[str]) -> pd.Series:
        """Return the median final score of each optimizer, the best first, where a run without an end counts as worst.

        Optimizers whose median run has no end or no score are left out.
        """
        ran = self.part[self.part[c.OPTIMIZER].isin(labels) & self.part[c.STATUS].isin(c.TRIED)]
        worst = -np.inf if score.metric.larger_is_better else np.inf
        ends = ran.assign(end=ran[score.final].astype(float).where(ran[c.STATUS] == "ok", worst))
        medians = ends.groupby(c.OPTIMIZER)["end"].median()
        finite: pd.Series = medians[np.isfinite(medians)]
        return finite.sort_values(ascending=not score.metric.larger_is_better, kind="stable")

    def unfinished(self, label: str, title: str) -> str:
        """Return a note on unfinished runs, e.g. "2 of 5 of TNGD did not finish"; "" where there are none."""
        runs = self.runs(label)
        lost = int((runs[c.STATUS] != "ok").sum())
        return f"{lost} of {len(runs)} of {title} did not finish" if lost else ""

    def ended(self, device: str, others: Sequence[str], where: str = "at a median training loss of") -> str:
        """Return sentences on the end of `device`, alone and against each of `others`, without the last full stop."""
        runs = self.runs(device)
        value = _median_loss(runs)
        how = f"ended {where} {value}" if value else f"gave no final loss ({_no_number(runs)})"
        return ". ".join((f"{self.infos[device].title} {how}", *self._against(device, others)))

    def _against(self, device: str, others: Sequence[str]) -> list[str]:
        """Return "That is lower than Adam (0.1)", "It is lower than SGD (0.01) in each of 3 paired seeds", …"""
        shown = {}
        for other in others:
            runs = self.runs(other)
            shown[other] = f"{self.infos[other].title} ({_median_loss(runs) or _no_number(runs)})"
        if not (self.runs(device)[c.STATUS] == "ok").any():
            return [f"The others: {quantities.listed(list(shown.values()))}"] if shown else []
        compared, needed = self._compared(device, others, TRAINING_LOSS), self.needed(device, others)
        decided: dict[str, list[str]] = {}
        unconfirmed, few = [], []
        for other, text in shown.items():
            found, p = compared.get(other, (None, 1.0))
            if found is not None and found.seeds < needed:
                pairs = quantities.number_of(found.seeds, "paired seed")
                few.append(f"It is lower than {text} in {found.lower} of {pairs}")
            elif found is not None and p <= 1.0 - LEVEL:
                decided.setdefault(found.direction, []).append(text)
            else:
                unconfirmed.append(text)
        said = [f"That is {word} than {quantities.listed(names)}" for word, names in decided.items()]
        if said:
            seeds = max(found.seeds for found, _ in compared.values())
            said[-1] += f" ({_TEST}, {seeds} paired seeds)"
        if few:
            said += [*few, f"That is too few to tell: {needed} seeds needed"]
        return [
            *said,
            *([f"No difference confirmed to {quantities.listed(unconfirmed)}"] if unconfirmed else []),
        ]

    def score(self, device: str, others: Sequence[str]) -> str:
        """Return the device's median test score against the best of `others`; "" where none was evaluated."""
        score = leading(self.part)
        larger = score.metric.larger_is_better
        medians = self.medians(score, [device, *others])
        rivals = medians.drop(device, errors="ignore")
        if device not in medians or rivals.empty:
            return ""
        best = str(rivals.index[0])
        own, other = (quantities.metric(medians[label], score.metric) for label in (device, best))
        leads = medians[device] != rivals[best] and medians.index[0] == device
        extreme, side = ("highest", "above") if larger else ("lowest", "below")
        rank = f"the {extreme}, before" if leads else f"not {side} that of"
        compared, needed = self._compared(device, others, score), self.needed(device, others)
        doubt = _doubt(compared, needed, best, "higher" if larger else "lower", leads=bool(leads))
        return f"Its {score.title}, {own}, is {rank} {self.infos[best].title} ({other}; {doubt})"

    def undecided(self, device: str, others: Sequence[str], score: CurveMetric, best: str) -> str:
        """Return why the scores of `device` and of `best`, one of `others`, are not told apart; "" where they are.

        They are not where the test and the medians point in different directions.
        """
        compared = self._compared(device, others, score)
        if best in compared and compared[best][0].seeds < self.needed(device, others):
            return "too few to tell"
        medians = self.medians(score, [device, best])
        if best not in compared or compared[best][1] > 1.0 - LEVEL or len(medians) < 2:
            return "no difference confirmed"
        points = "higher" if medians[device] > medians[best] else "lower"
        return "" if compared[best][0].direction == points else "no difference confirmed"

    def _compared(
        self, device: str, others: Sequence[str], score: CurveMetric
    ) -> dict[str, tuple[PairedDifference, float]]:
        """Return the paired difference of `device` to each of `others`, with its p-value after Holm's correction.

        Those without a shared seed are left out.
        """
        found: dict[str, PairedDifference] = {}
        for other in others:
            differences = differences_by_seed(
                self.part, device, other, score.final, larger_is_better=score.metric.larger_is_better
            )
            if len(differences):
                found[other] = paired_difference(differences)
        better_is_higher = score.metric.larger_is_better
        p_values = []
        for other, each in found.items():
            better, worse = self._chosen(device, other, others)
            higher, lower = (better, worse) if better_is_higher else (worse, better)
            p_values.append(min(1.0, 2.0 * min(each.p_lower * lower, each.p_higher * higher)))
        return {other: (each, p) for (other, each), p in zip(found.items(), holm(p_values), strict=True)}

    def needed(self, device: str, others: Sequence[str]) -> int:
        """Return the number of paired seeds that can decide that `device` is better or worse than one of `others`."""
        paired = [other for other in others if len(differences_by_seed(self.part, device, other))]
        chosen = [min(self._chosen(device, other, others)) for other in paired]
        return seeds_needed(len(paired) * max(chosen, default=1))

    def _chosen(self, device: str, other: str, others: Sequence[str]) -> tuple[int, int]:
        """Return of how many settings that of `device` is the lowest, and that of `other`, where it stands for them.

        The first flatters "better", the second "worse".
        """
        kinds = {
            label: (exact_natural() if info.method in exact_natural() else (info.method,), info.tuned)
            for label, info in self.infos.items()
        }
        own, beside = (
            sum(kinds[label] == kinds[each] for label in self.labels()) for each in (device, other)
        )
        shown = sum(kinds[label] == kinds[other] for label in others)
        return own, beside if shown == 1 else 1


def _median_loss(runs: pd.DataFrame) -> str:
    """Return the median final loss of the seeds that finished, and how many did not; "" where none has one."""
    finished = c.only(runs, status="ok")["final_loss"].astype(float)
    if not finished.notna().any():
        return ""
    shown = f", {len(finished)} of {len(runs)} seeds finished" if len(finished) < len(runs) else ""
    return f"{quantities.significant(float(finished.median()))}{shown}"


def _no_number(runs: pd.DataFrame) -> str:
    return " and ".join(sorted(set(runs[c.STATUS]) - {"ok"})) or "not evaluated"


def _doubt(
    compared: Mapping[str, tuple[PairedDifference, float]],
    needed: int,
    best: str,
    better: str,
    *,
    leads: bool,
) -> str:
    """Return a comparison of the scores of the device and of `best` by paired seeds; "higher" or "lower" is `better`.

    `leads`: the device has the better median. Where the pairs point the other way, both are said.
    """
    if best not in compared:
        return "no difference confirmed"
    found, p = compared[best]
    if found.seeds < needed:
        seeds = quantities.number_of(found.seeds, "paired seed")
        return f"{better} in {getattr(found, better)} of {seeds}, too few to tell"
    if p > 1.0 - LEVEL:
        return "no difference confirmed"
    test = f"{_TEST}, {found.seeds} paired seeds"
    return test if (found.direction == better) is leads else f"{found.direction} by the {test}"
