"""The short paragraphs of a study's answer: each is a text, the number in it that counts, and what shows it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.claims.types import Verdict
from tngd_bench.analysis.cost import iteration_cost, leads
from tngd_bench.analysis.cost.leads import JudgedLead
from tngd_bench.analysis.cost.recorded_devices import trial_device
from tngd_bench.analysis.findings import convergence, noise
from tngd_bench.analysis.optimizer_names import without_tuned
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.setting_names import parameter_name, value_text
from tngd_bench.analysis.training.final_scores import leading
from tngd_bench.analysis.training.tolerance import Tolerance, is_imperfection, larger_is_milder
from tngd_bench.optimizers.registry import exact_natural
from tngd_bench.problems.metrics import TRAINING_LOSS
from tngd_bench.studies.store import columns as c

MOST_IMPERFECTIONS = 3
"""Imperfections with a level of their own in the answer; the chart has all of them."""

MOST_LOST = 2
"""Optimizers of which no run finished that the answer names."""


@dataclass(frozen=True)
class Paragraph:
    """A short text under its `term`; `bold` is the number in it that counts, `about` the anchor of what shows it."""

    term: str
    text: str
    bold: str = ""
    about: str = ""

    def pieces(self) -> tuple[str, str, str]:
        """Return the text before the bold number, that number, and the text after it."""
        before, bold, after = self.text.partition(self.bold) if self.bold else (self.text, "", "")
        return before, bold, after


Text = tuple[str, str, str]
"""A text, the number in it that counts, and the anchor of what shows it."""


@dataclass(frozen=True)
class Duel:
    """One size: its quickest device, and the lead of that or of its quickest digital second-order rival."""

    setting: Mapping[str, Any]
    device: str
    lead: JudgedLead

    @property
    def won(self) -> bool:
        """Whether the device leads."""
        return self.lead.optimizer == self.device

    @property
    def sure(self) -> bool:
        """Whether the lead is confirmed."""
        return not self.lead.doubt

    @property
    def tested(self) -> bool:
        """Whether there are pairs and processes enough for a test."""
        return self.lead.ratio is not None and self.lead.ratio.tested


def duels(results: Results) -> tuple[list[Duel], int]:
    """Return the duel of each size at which a device and a digital second-order optimizer were timed.

    The quickest device of all sections at a size meets the quickest rival of all. A device with items that have no
    stated time takes part by its lower bound: only a lead of its rival is a lead. The number is that of the sizes where
    nobody leads for that.
    """
    found, open_sizes = [], 0
    costs = results.timed_costs.assign(total_s=lambda frame: frame["at_least_s"])
    bounded = set(results.unstated("cost"))
    for setting, every in c.groups(costs, iteration_cost.SETTING[1:]):
        sections = [part for _, part in every.groupby(c.GROUP, sort=True)]
        met = leads.duel(sections, results.infos, results.run_spread)
        if met is not None and met[1].optimizer in bounded:
            open_sizes += 1
        elif met is not None:
            found.append((setting, *met))
    corrected = leads.together([lead for *_, lead in found])
    told = [Duel(setting, device, lead) for (setting, device, _), lead in zip(found, corrected, strict=True)]
    return told, open_sizes


def name(results: Results, label: str) -> str:
    """Return the title of an optimizer; whether it was tuned matters where losses are compared, not times."""
    return without_tuned(results.infos[label].title)


def where(row: Any) -> str:
    """Return the size of a row of `cost_summary` in words."""
    size = quantities.count(row[c.PARAMETERS])
    return f"at N = {size}, batch {row[c.BATCH_SIZE]}, {row[c.OUTPUTS]} outputs"


def contestants(results: Results) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return the rows at the size shown of devices, of digital second-order and of exact optimizers, quickest first."""
    here = leads.main_size(results.cost_summary, results.infos)
    infos = here[c.OPTIMIZER].map(results.infos)
    modelled = infos.map(lambda info: info.modelled).astype(bool)
    second = infos.map(lambda info: info.second_order).astype(bool) & ~modelled
    return here[modelled], here[second], here[second & here[c.METHOD].isin(exact_natural())]


def incomplete(results: Results) -> Text | None:
    """Return a sentence on the trials still to run; None where all have run."""
    runs, missing = results.records.runs, results.records.missing
    if not missing:
        return None
    bold = f"{quantities.count(missing)} of {quantities.count(runs)}"
    text = f"{bold} processes of this study have no result yet, and what follows is without them."
    return f"{text} The command that ran it goes on where it stopped.", bold, ""


def cost(results: Results) -> Text | None:
    """Return the time of a step of the device and of its quickest rivals at the size shown; None without a device."""
    devices, digital, exact = contestants(results)
    if devices.empty:
        return None
    own = devices.iloc[0]
    rivals = pd.concat([digital.head(1), exact.head(1)]).drop_duplicates(c.OPTIMIZER)
    others = "".join(
        f", {name(results, row.optimizer)} {iteration_cost.median_text(row)}" for row in c.each(rivals)
    )
    bold = iteration_cost.median_text(own)
    who = f"{name(results, own[c.OPTIMIZER])} on {'the' if len(devices) == 1 else 'a'} device"
    return f"A step {where(own)}: {who} {bold}{others}.", bold, "step"


def bottleneck(results: Results) -> Text | None:
    """Return the longest part of the device's step, and whether rivals are quicker than all the rest of it."""
    devices, digital, exact = contestants(results)
    if devices.empty or pd.isna(devices.iloc[0]["total_median_s"]):
        return None
    own = devices.iloc[0]
    total = float(own["total_median_s"])
    used = c.only(results.trials, key=own["keys"][0]).iloc[0]
    made = trial_device(used[c.DEVICE], used[c.SETTINGS])
    alone = made is not None and made.transfers_by_link_alone
    sending = "Sending data" if alone else "Sending, writing and reading data"
    parts = {
        "Host (measured)": float(own["digital_median_s"]),
        f"{sending} (modelled)": float(own[c.WRITE_S] + own[c.READ_S]),
        "Relaxation (modelled)": float(own[c.RELAX_S]),
    }
    longest = max(parts, key=lambda part: parts[part])
    bold = f"{quantities.seconds(parts[longest])} of {quantities.seconds(total)}"
    text = f"{longest}: {bold}."
    rest, beside = total - parts[longest], dict[str, list[str]]()
    # the exact solve first; what exceeds that exceeds the quickest of all too
    for rival in c.each(pd.concat([exact.head(1), digital.head(1)]).drop_duplicates(c.OPTIMIZER)):
        if "exceeds" not in beside:
            side = "exceeds" if rest > rival.total_median_s else "is below"
            time_of = f"{name(results, rival.optimizer)}'s {quantities.seconds(rival.total_median_s)}"
            beside.setdefault(side, []).append(time_of)
    if beside:
        told = " but ".join(f"{side} {' and '.join(times)}" for side, times in beside.items())
        text += f" The rest, {quantities.seconds(rest)}, {told}."
    return text, bold, "step"


def learning(results: Results) -> Text | None:
    """Return the end of the device's training beside the best other optimizer's; the best two without a device."""
    section = convergence.main_training(results)
    if section is None:
        return None
    infos, labels = results.infos, _ranked(section)
    score = leading(section.part)
    score = score if section.part[score.final].notna().any() else TRAINING_LOSS
    ran = section.part[section.part[c.OPTIMIZER].isin(labels)]
    ranked = section.medians(score, labels)
    if ranked.empty:
        return None
    first = next((str(label) for label in ranked.index if infos[label].modelled), str(ranked.index[0]))
    tuned, seeds = {infos[label].tuned for label in labels}, ran[c.SEED].nunique()
    names = section.without_tuned().infos if tuned == {True} else infos
    bold = quantities.metric(ranked[first], score.metric)
    settings = "" if len(tuned) > 1 else ", all tuned," if tuned == {True} else ", not tuned,"
    text = f"On {ran[c.PROBLEM].iloc[0]}{settings} {names[first].title} ends at {bold} {score.title}"
    said = [f"{seeds} seed{'' if seeds == 1 else 's'}"]
    shown = list(ranked.drop(first).index)[:1]
    lost = [label for label in labels if label not in ranked.index]  # finished in no seed: not in the ranking
    lost.sort(key=lambda label: not infos[label].modelled)  # devices first
    told = (first, *shown, *lost[:MOST_LOST])
    said += [words for label in told if (words := section.unfinished(label, names[label].title))]
    said += [f"{len(lost) - MOST_LOST} more in no seed"] if len(lost) > MOST_LOST else []
    for best in shown:
        said.append(section.undecided(first, [label for label in labels if label != first], score, best))
        text += f"; {names[best].title} at {quantities.metric(ranked[best], score.metric)}"
    budget = section.budget(labels)
    after = f" Trained for {budget}." if budget else ""
    return f"{text} ({', '.join(filter(None, said))}).{after}", bold, "learning"


def tolerance(results: Results) -> Text | None:
    """Return the harshest level of each imperfection that every setting judged stands, and how devices were judged."""
    swept = [each.both for each in results.scored_tolerances if is_imperfection(each.both.parameter)]
    found = [each for each in (_swept(results, swept), _devices(results)) if each is not None]
    if found:
        return " ".join(text for text, _ in found), found[0][1], "tolerance"
    *_, reason = swept[0].note.partition(": ") if swept else [""]
    return (f"How imperfect the device may be is not decided: {reason}.", "", "tolerance") if reason else None


def _swept(results: Results, swept: Sequence[Tolerance]) -> tuple[str, str] | None:
    """Return a sentence on the judged sweeps, and the number in it; None where none was judged."""
    by_name: dict[str, list[float]] = {}
    for each in swept:
        if not each.note:
            by_name.setdefault(each.parameter, []).append(each.worst_inside)
    strictest = {
        name: value_text(name, max(levels) if larger_is_milder(name) else min(levels))
        for name, levels in by_name.items()
        if not np.isnan(levels).any()
    }
    base = noise.base_of(results, swept)
    than = "ideal with" if base == "the ideal device" else f"{base}:"
    told = {
        f"No worse than {than}": [f"{parameter_name(name)} {level}" for name, level in strictest.items()],
        "At no level tried for certain:": [parameter_name(name) for name in by_name if name not in strictest],
        "Not judged in every setting:": sorted(
            {parameter_name(each.parameter) for each in swept if each.note}
        ),
    }
    text = " ".join(f"{words} {_few(own)}." for words, own in told.items() if own)
    return (text, next(iter(strictest.values()), "")) if by_name else None


def _devices(results: Results) -> tuple[str, str] | None:
    """Return the ends of training on imperfect devices beside the ideal one, and the first verdict."""
    if not (pairs := results.device_pairs):
        return None
    verdicts = Counter(pair.verdict for pair in pairs)
    if len(pairs) == 1:
        text = f"{results.infos[pairs[0].optimizer].title} beside the ideal device: {pairs[0].verdict}."
    else:
        told = quantities.listed([f"{verdict} ({number})" for verdict, number in verdicts.items()])
        text = f"{len(pairs)} devices beside the ideal one: {told}."
    return text, next(iter(verdicts))


def _few(texts: Sequence[str]) -> str:
    """Return the first of `texts`, and how many more there are."""
    more = len(texts) - MOST_IMPERFECTIONS
    return ", ".join(texts[:MOST_IMPERFECTIONS]) + (f", and {more} more" if more > 0 else "")


def claims(judged: Sequence[Verdict], _results: Results) -> Text | None:
    """Return the number of verdicts of each kind, on cost and on training; None where nothing was tested."""
    said = []
    for term, of_cost in (("Cost", True), ("Training", False)):
        own = [each for each in judged if (not each.problem) is of_cost and each.name != "not tested"]
        if own:
            hold, partly = (sum(each.name == name for each in own) for name in ("confirmed", "conditional"))
            refuted = sum(each.refuted for each in own)
            open_ = len(own) - hold - partly - refuted
            said.append(
                f"{term}: {hold} hold{'s' * (hold == 1)}, {partly} in part, {refuted} refuted, {open_} not decided."
            )
    return (" ".join(said), said[0].split(": ")[1].split(",")[0], "claims") if said else None


def measure_next(results: Results) -> Text | None:
    """Return the runs that would decide the first question that this study leaves open."""
    found, _ = duels(results)
    untested = [each.lead.ratio for each in found if each.lead.ratio is not None and not each.tested]
    if untested:
        least = iteration_cost.MINIMUM_PROCESSES
        short = any(ratio.processes < least for ratio in untested)
        needed = f"{least} processes" if short else f"{iteration_cost.MINIMUM_PAIRS} paired iterations"
        sizes = quantities.number_of(len(found), "size")
        return f"{needed} per size: {len(untested)} of {sizes} had too few for a test.", needed, "cost"
    apart = next((each for each in found if each.lead.ratio is None), None)
    if apart is not None:
        both = " and ".join(
            name(results, str(label)) for label in (apart.lead.optimizer, apart.lead.runner_up)
        )
        size = quantities.count(apart.setting[c.PARAMETERS])
        return (
            f"one cost section with {both} at N = {size}: no section timed both.",
            "one cost section",
            "cost",
        )
    section = convergence.main_training(results)
    if section is None:
        return None
    labels, seeds = _ranked(section), section.part[c.SEED].nunique()
    first = next((label for label in labels if section.infos[label].modelled), labels[0])
    enough = section.needed(first, [label for label in labels if label != first])
    if len(labels) < 2 or seeds >= enough:
        return None
    bold = f"{enough} seeds"
    several = len({section.infos[label].method for label in labels}) < len(labels)
    ranked = f"{len(labels)} {'settings of ' if several else ''}optimizers"
    return f"{bold} in place of {seeds}: fewer cannot rank {ranked}.", bold, "learning"


def _ranked(section: convergence.EndedSection) -> list[str]:
    """Return the optimizers ranked by score: the tuned ones alone if they have a device, or nobody has."""
    tuned = section.labels(tuned=True)
    devices = {label for label in section.labels() if section.infos[label].modelled}
    return tuned if tuned and (not devices or devices & set(tuned)) else section.labels()
