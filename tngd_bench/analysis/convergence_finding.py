"""How TNGD's training ended against its rivals, in a sentence: at the study's settings, then with all of them tuned.

One optimizer ends lower than another if the exact two-sided signed-rank test over paired seeds says so, p ≤ 5 % after
Holm's correction for the rivals of the sentence; a run that did not finish counts as worst. With fewer seeds than can
decide anything the counts are given, as "too few to tell".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.families import OptimizerInfo, tuned_on
from tngd_bench.analysis.statistics.paired import (
    LEVEL,
    PairedDifference,
    differences_by_seed,
    holm,
    paired_difference,
    seeds_needed,
)
from tngd_bench.analysis.training.final_scores import comparison
from tngd_bench.analysis.training.time_to_target import Target, time_to_target
from tngd_bench.optimizers.registry import exact_natural
from tngd_bench.studies.file.optimizer_label import TUNED, label_texts


def convergence_sentence(
    trials: pd.DataFrame,
    curves: pd.DataFrame,
    final: pd.DataFrame,
    known: Mapping[str, OptimizerInfo],
    targets: Mapping[str, tuple[Target, ...]],
    study: Mapping[str, Any],
) -> str:
    """Return how TNGD ended against every other method that ran, and when they reached the target.

    Of several settings of a method the one that ended lowest is compared. The sentence says whether the settings were
    tuned. Where the same section has TNGD and rivals both ways, a second sentence compares the tuned ones.
    """
    plain = comparison(final)
    if not any(known[label].modelled for label in set(plain["optimizer"])):
        return "Convergence of TNGD: not measured."
    group = _main_section(plain, known)
    part = plain[plain["group"] == group]
    ran = [label for label in known if label in set(part["optimizer"])]
    # where TNGD was tuned too, a second sentence says how that ended
    device = _device(part, [label for label in ran if not _is_tuned(label)], known) or _device(
        part, ran, known
    )
    assert device is not None  # the section was chosen among those that have one
    head = part.iloc[0]
    searched = tuned_on(study, str(head["problem"]))
    tuned = "" if _is_tuned(device) else _tuned_sentence(part, known, searched)
    # like beside like only where both kinds are compared: else a rival's best setting would go unmentioned
    like = _is_tuned(device) if tuned or _is_tuned(device) else None
    others = _rivals(part, device, known, tuned=like) or _rivals(part, device, known, tuned=None)
    iterations = part["iterations"].max()
    after = f", {quantities.count(iterations)} iterations" if np.isfinite(iterations) else ""
    settings = _settings([device, *others], "" if searched == head["problem"] else searched)
    if all(map(_is_tuned, [device, *others])):
        known = _without_tuned(known)
    clauses = [
        f"On {head['problem']} (N = {quantities.count(int(head['parameters']))}, "
        f"b = {quantities.count(int(head['batch_size']))}{after}, {settings}) "
        f"{known[device].title} {_ended(part[part['optimizer'] == device])}{_against(part, device, others, known)}",
        _reached(time_to_target(trials, curves, targets), str(group), [device, *others], known),
    ]
    return "; ".join(clause for clause in clauses if clause) + "." + tuned


def _is_tuned(label: str) -> bool:
    return TUNED in label_texts(label)


def _settings(labels: Sequence[str], searched: str) -> str:
    """Return which of `labels` ran at settings that a search had found for them, and the problem that it `searched`."""
    tuned = [_is_tuned(label) for label in labels]
    if not any(tuned):
        return "settings not tuned"
    where = f" on {searched}" if searched else ""
    return f"all settings tuned{where}" if all(tuned) else f"settings tuned{where} where the name says so"


def _without_tuned(known: Mapping[str, OptimizerInfo]) -> dict[str, OptimizerInfo]:
    """Return `known` with titles that leave out "tuned", for a sentence that says it of all."""
    return {
        label: replace(kind, title=kind.title.replace(" (tuned)", "").replace("(tuned, ", "("))
        for label, kind in known.items()
    }


def _devices(known: Mapping[str, OptimizerInfo]) -> list[str]:
    return list(dict.fromkeys(info.method for info in known.values() if info.modelled))


def _main_section(plain: pd.DataFrame, known: Mapping[str, OptimizerInfo]) -> str:
    """Return the section with a device that trained the most optimizers; of several, that with the most tuned."""

    def rank(group: str) -> tuple[int, int]:
        ran = set(plain.loc[plain["group"] == group, "optimizer"])
        return len(ran), sum(map(_is_tuned, ran))

    has_device = [known[label].modelled for label in plain["optimizer"]]
    sections = {str(group) for group in plain.loc[has_device, "group"]}
    return max(sorted(sections, key=quantities.numeric_order), key=rank)


def _device(part: pd.DataFrame, labels: list[str], known: Mapping[str, OptimizerInfo]) -> str | None:
    """Return the setting of TNGD among `labels` that ended lowest, of TNGD-Adam where TNGD did not run."""
    for method in _devices(known):
        own = [label for label in labels if known[label].method == method]
        if own:
            return _lowest(part, own)
    return None


def _rivals(
    part: pd.DataFrame, device: str, known: Mapping[str, OptimizerInfo], *, tuned: bool | None
) -> list[str]:
    """Return the rivals in `part`, the best of each kind: of those that were `tuned`, that were not, or (None) any."""
    ran = set(part["optimizer"])
    present = [label for label in known if label in ran and tuned in (None, _is_tuned(label))]
    listed = [*((method,) for method in _devices(known)), exact_natural(), ("kfac",), ("adam",), ("sgd",)]
    # methods of one kind are one rival; whatever else ran comes after these, each method for itself
    others = dict.fromkeys(known[label].method for label in present)
    kinds = [*listed, *((method,) for method in others if not any(method in kind for kind in listed))]
    own = next(methods for methods in kinds if known[device].method in methods)
    of_kind = [
        [label for method in methods for label in present if known[label].method == method]
        for methods in kinds
        if methods != own
    ]
    return [_lowest(part, labels) for labels in of_kind if labels]


def _lowest(part: pd.DataFrame, labels: list[str]) -> str:
    """Return which of `labels` has the lowest median final loss; unfinished runs come last, equals in order."""

    def median(label: str) -> float:
        runs = part[part["optimizer"] == label]
        losses = runs["final_loss"].astype(float).where(runs["status"] == "ok", np.inf).fillna(np.inf)
        return float(np.quantile(losses, 0.5, method="higher"))

    return min(labels, key=median)


def _tuned_sentence(part: pd.DataFrame, known: Mapping[str, OptimizerInfo], searched: str) -> str:
    """Return " All tuned …": TNGD's loss and test accuracy against rivals that were tuned too; "" without them."""
    ran = set(part["optimizer"])
    tuned = [label for label in known if label in ran and _is_tuned(label)]
    device = _device(part, tuned, known)
    others = [] if device is None else _rivals(part, device, known, tuned=True)
    if device is None or not others:
        return ""
    known = _without_tuned(known)
    where = f" on {searched}" if searched else ""
    text = (
        f" All tuned{where}: {known[device].title} {_ended(part[part['optimizer'] == device], 'at')}"
        f"{_against(part, device, others, known)}"
    )
    accuracy = _accuracy(part, device, others, known)
    return f"{text}; {accuracy}." if accuracy else f"{text}."


def _accuracy(part: pd.DataFrame, device: str, others: list[str], known: Mapping[str, OptimizerInfo]) -> str:
    """Return the device's median test accuracy against the best of `others`; "" where it was not evaluated."""
    column = "final_test_accuracy"
    finished = part[(part["status"] == "ok") & part["optimizer"].isin([device, *others])]
    medians = finished.groupby("optimizer")[column].median().dropna().sort_values(ascending=False)
    rivals = medians.drop(device, errors="ignore")
    if device not in medians or rivals.empty:
        return ""
    best = str(rivals.index[0])
    doubt = _doubt(part, device, others, best)
    own, other = quantities.percent(medians[device]), quantities.percent(rivals[best])
    if medians[device] > rivals[best]:
        return f"its test accuracy, {own}, is the highest, before {known[best].title} ({other}; {doubt})"
    return f"its test accuracy, {own}, is not above that of {known[best].title} ({other}; {doubt})"


def _doubt(part: pd.DataFrame, device: str, others: list[str], best: str) -> str:
    """Return what the paired seeds say of the accuracies of `device` and of `best`, one of `others`."""
    compared = _compared(part, device, others, "final_test_accuracy")
    if best not in compared:
        return "no difference confirmed"
    found, p = compared[best]
    if found.seeds < seeds_needed(len(compared)):
        return f"higher in {found.higher} of {found.seeds} paired seeds, too few to tell"
    confirmed = p <= 1.0 - LEVEL
    return f"{_TEST}, {found.seeds} paired seeds" if confirmed else "no difference confirmed"


_TEST = "signed-rank test, p ≤ 5 % after Holm's correction"


def _ended(runs: pd.DataFrame, where: str = "at a median training loss of") -> str:
    finished = runs[runs["status"] == "ok"]["final_loss"].astype(float)
    if not finished.notna().any():
        return f"gave no final loss ({_no_number(runs)}); the others:"
    return f"ended {where} {_value(runs)}"


def _value(runs: pd.DataFrame) -> str:
    finished = runs[runs["status"] == "ok"]["final_loss"].astype(float)
    if not finished.notna().any():
        return _no_number(runs)
    shown = f", {len(finished)} of {len(runs)} seeds finished" if len(finished) < len(runs) else ""
    return f"{quantities.significant(float(finished.median()))}{shown}"


def _no_number(runs: pd.DataFrame) -> str:
    return " and ".join(sorted(set(runs["status"]) - {"ok"})) or "not evaluated"


def _against(part: pd.DataFrame, device: str, others: list[str], known: Mapping[str, OptimizerInfo]) -> str:
    """Return ", lower than Adam (0.1), higher than SGD (0.01) in each of 3 paired seeds, …", the unconfirmed last."""
    shown = {other: f"{known[other].title} ({_value(part[part['optimizer'] == other])})" for other in others}
    if not (part.loc[part["optimizer"] == device, "status"] == "ok").any():
        return f" {quantities.listed(list(shown.values()))}" if shown else ""
    compared = _compared(part, device, others, "final_loss")
    needed = seeds_needed(len(compared))
    decided: dict[str, list[str]] = {}
    unconfirmed, few = [], []
    for other, text in shown.items():
        found, p = compared.get(other, (None, 1.0))
        if found is None:
            unconfirmed.append(text)
        elif found.seeds < needed:
            few.append(f"lower than {text} in {found.lower} of {found.seeds} paired seeds")
        elif p <= 1.0 - LEVEL:
            decided.setdefault("lower" if found.value < 0 else "higher", []).append(text)
        else:
            unconfirmed.append(text)
    clauses = [f"{word} than {quantities.listed(names)}" for word, names in decided.items()]
    if clauses:
        seeds = max(found.seeds for found, _ in compared.values())
        clauses[-1] += f" ({_TEST}, {seeds} paired seeds)"
    if few:
        clauses.append(f"{', '.join(few)} (too few to tell: {needed} seeds needed)")
    if unconfirmed:
        clauses.append(f"with no difference confirmed to {quantities.listed(unconfirmed)}")
    return "".join(f", {clause}" for clause in clauses)


def _compared(
    part: pd.DataFrame, device: str, others: list[str], column: str
) -> dict[str, tuple[PairedDifference, float]]:
    """Return the paired difference of `device` to each of `others`, with its p-value after Holm's correction.

    Those without a shared seed are left out.
    """
    found: dict[str, PairedDifference] = {}
    for other in others:
        differences = differences_by_seed(part, device, other, column)
        if len(differences):
            found[other] = paired_difference(differences)
    adjusted = holm([each.p for each in found.values()])
    return {other: (each, p) for (other, each), p in zip(found.items(), adjusted, strict=True)}


def _reached(times: pd.DataFrame, group: str, labels: list[str], known: Mapping[str, OptimizerInfo]) -> str:
    """Return the times to the highest target of the group that at least one of `labels` reached in its median."""
    rows = times[(times["group"] == group) & times["optimizer"].isin(labels) & (times["tries"] > 0)]
    met = [target for target in dict.fromkeys(rows["target"]) if _any_reached(rows, target)]
    if not met:
        return "no optimizer reached a target in its median seed" if len(rows) else ""
    rows = rows[rows["target"] == met[-1]].set_index("optimizer")
    pieces = []
    for label in [label for label in labels if label in rows.index]:
        hits, tries = rows.at[label, "hits"], rows.at[label, "tries"]
        missed = f" ({hits}/{tries} seeds)" if hits < tries else ""
        median = float(rows.at[label, "modelled_median"])
        iterations = float(rows.at[label, "iterations_median"])
        if not np.isfinite(iterations):
            time = "∞" if hits else "never"
        elif np.isnan(median):
            time = f"{quantities.count(iterations)} iterations, seconds not known"
        else:
            low, high = (float(rows.at[label, f"modelled_{end}"]) for end in ("low", "high"))
            after = float(rows.at[label, "after_modelled_median"])
            time = f"{quantities.between_seconds(after, median)}{_median_interval(low, high)}"
        pieces.append(f"{known[label].title} {time}{missed}")
    return (
        f"{met[-1]} took, as median (after, by] [its interval over seeds], iterations × cost per iteration, the device "
        f"modelled: {', '.join(pieces)}"
    )


def _median_interval(low: float, high: float) -> str:
    """Return " [90.0 ms, 110 ms]", "" where both ends are the same."""
    return "" if low == high or np.isnan(low) else f" [{quantities.seconds(low)}, {quantities.seconds(high)}]"


def _any_reached(rows: pd.DataFrame, target: str) -> bool:
    return bool(np.isfinite(rows.loc[rows["target"] == target, "iterations_median"].astype(float)).any())
