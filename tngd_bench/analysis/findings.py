"""What was found, in three sentences computed from the data: cost, convergence, noise.

A sentence claims no more than its rule allows, and says "not measured" or "not confirmed" otherwise. The rules: an
optimizer is cheapest at a size if the 95 % interval of its paired time ratio to the runner-up leaves out 1; one
optimizer ends lower than another if it does so in every paired seed, with at least three; tolerance as in
`tolerance.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tngd_bench.analysis import cost, quantities, unstated
from tngd_bench.analysis.families import EXACT_NATURAL, Kind, first_present, kinds
from tngd_bench.analysis.outcomes import comparison, final_values
from tngd_bench.analysis.time_to_target import Target, study_targets, time_to_target
from tngd_bench.analysis.tolerance import Tolerance, tolerances

MINIMUM_PAIRED_SEEDS = 3
PARAMETER_NAMES = {
    "noise_variance": "thermal noise κ₀",
    "dac_bits": "DAC resolution",
    "adc_bits": "ADC resolution",
    "analog_time": "analog time",
    "delay": "delay",
}


def parameter_name(name: str) -> str:
    """Return the name of a swept setting in words."""
    return PARAMETER_NAMES.get(name, name.replace("_", " "))


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
    study: Mapping[str, object], trials: pd.DataFrame, costs: pd.DataFrame, curves: pd.DataFrame
) -> Findings:
    """Return the three sentences for a study's records (frames as in `tngd_bench.studies.records`)."""
    final = final_values(trials, curves)
    known = kinds(trials)
    return Findings(
        cost_sentence(costs, trials, known),
        convergence_sentence(trials, curves, final, known, study_targets(study)),
        noise_sentence(tolerances(final), known),
    )


# -- cost ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lead:
    """At one size: the cheapest second-order optimizer by median total, and its runner-up's time relative to it."""

    parameters: int
    optimizer: str
    runner_up: str | None
    ratio: cost.Ratio | None

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
        return "" if self.decided else "lead over the runner-up not confirmed"


def main_group(costs: pd.DataFrame) -> pd.DataFrame:
    """Return the part of `costs` with the most sizes at one (group, batch size, outputs); the first on a tie."""
    keys = ["group", "batch_size", "outputs"]
    parts = [part for _, part in costs.groupby(keys, sort=True)]
    return max(parts, key=lambda part: part["parameters"].nunique()) if parts else costs


def leads(costs: pd.DataFrame, known: Mapping[str, Kind]) -> tuple[Lead, ...]:
    """Return who is cheapest per iteration among second-order optimizers at each size of `costs`, sizes ascending."""
    second = costs[costs["optimizer"].isin({label for label, kind in known.items() if kind.second_order})]
    found = []
    for parameters, part in second.groupby("parameters", sort=True):
        ranked = part.groupby("optimizer")["total_s"].median().sort_values(kind="stable")
        names = [str(name) for name in ranked.index]
        ratio = cost.paired_ratio(part, names[1], names[0]) if len(names) > 1 else None
        found.append(Lead(int(str(parameters)), names[0], names[1] if len(names) > 1 else None, ratio))
    return tuple(found)


def strongest_digital(
    part: pd.DataFrame, known: Mapping[str, Kind], methods: tuple[str, ...] | None = None
) -> str | None:
    """Return the digital second-order optimizer with the lowest median time in `part` (one size), None if none is.

    `methods` narrows the choice, e.g. to the exact natural gradients.
    """
    digital = {label for label, kind in known.items() if kind.second_order and not kind.modelled}
    if methods is not None:
        digital = {label for label in digital if known[label].method in methods}
    ranked = part[part["optimizer"].isin(digital)].groupby("optimizer")["total_s"].median()
    return str(ranked.sort_values(kind="stable").index[0]) if len(ranked) else None


def cost_sentence(costs: pd.DataFrame, trials: pd.DataFrame, known: Mapping[str, Kind]) -> str:
    """Return who is cheapest at which size, and TNGD's total against the strongest digital competitor."""
    main = main_group(cost.finished_costs(costs, trials))
    ranking = leads(main, known)
    if not ranking:
        return "Cost per iteration of second-order optimizers: not measured."
    pieces = []
    for (name, doubt), run in itertools.groupby(ranking, key=lambda lead: (lead.optimizer, lead.doubt)):
        sizes = [lead.parameters for lead in run]
        span = _size(sizes[0]) if len(sizes) == 1 else f"{_size(sizes[0])}–{_size(sizes[-1])}"
        pieces.append(f"{known[name].title} at N = {span}{f' ({doubt})' if doubt else ''}")
    if any(lead.doubt == "untested" for lead in ranking):
        pieces[-1] += f"; a test takes {cost.MINIMUM_PAIRS} paired iterations, untested leads have fewer"
    settings = main.iloc[0]
    where = f"{settings['problem']}, b = {settings['batch_size']}, d_z = {settings['outputs']}"
    bound = unstated.named(unstated.unstated(trials[trials["kind"] == "cost"]), known)
    clauses = [f"not ranked, as no time is stated for items of the bill: {bound}"] if bound else []
    if not bound or set(main["optimizer"]) & {label for label in known if known[label].modelled}:
        clauses.insert(0, _device_clause(main, known))
    return f"Cheapest per iteration among second-order optimizers ({where}): {', '.join(pieces)}; {'; '.join(clauses)}."


def _device_clause(main: pd.DataFrame, known: Mapping[str, Kind]) -> str:
    device = first_present(
        [label for label in known if label in set(main["optimizer"])], ("tngd", "tngd-adam"), dict(known)
    )
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
    ratio = cost.paired_ratio(part, device, rival) if rival else None
    if rival is None or ratio is None:
        return f"{text}; no digital second-order competitor was measured there"
    time = quantities.seconds(float(part.loc[part["optimizer"] == rival, "total_s"].median()))
    text = f"{text}: {ratio.text} the {time} of the strongest digital competitor, {known[rival].title}{_doubt(ratio)}"
    exact = strongest_digital(part, known, EXACT_NATURAL)
    ratio = cost.paired_ratio(part, device, exact) if exact and exact != rival else None
    if exact is None or ratio is None:
        return text
    return (
        f"{text}, and {ratio.text} that of the fastest exact natural gradient, {known[exact].title}"
        f"{_doubt(ratio)}"
    )


def _doubt(ratio: cost.Ratio) -> str:
    """Return what keeps a ratio from being a difference, "" where nothing does."""
    if not ratio.tested:
        iterations = f"{ratio.pairs} paired iteration{'' if ratio.pairs == 1 else 's'}"
        return f" (untested: {iterations}, a test takes {cost.MINIMUM_PAIRS})"
    return "" if ratio.decided else " (no difference confirmed: the interval holds 1)"


# -- convergence -----------------------------------------------------------------------------------------------------


def convergence_sentence(
    trials: pd.DataFrame,
    curves: pd.DataFrame,
    final: pd.DataFrame,
    known: Mapping[str, Kind],
    targets: Mapping[str, tuple[Target, ...]],
) -> str:
    """Return how TNGD ended against TNGD-Adam, exact NGD, K-FAC, Adam and SGD, and when they reached the target."""
    plain = comparison(final)
    device = first_present(
        [label for label in known if label in set(plain["optimizer"])], ("tngd", "tngd-adam"), dict(known)
    )
    if device is None:
        return "Convergence of TNGD: not measured."
    groups = plain.groupby("group")["optimizer"].nunique()
    candidates = [
        group for group in groups.index if device in set(plain[plain["group"] == group]["optimizer"])
    ]
    group = max(candidates, key=lambda name: int(groups[name]))
    part = plain[plain["group"] == group]
    present = [label for label in known if label in set(part["optimizer"])]
    rivals = (("tngd-adam",), EXACT_NATURAL, ("kfac",), ("adam",), ("sgd",))
    chosen = [first_present(present, methods, dict(known)) for methods in rivals]
    others = [label for label in chosen if label is not None and label != device]
    head = part.iloc[0]
    iterations = part["iterations"].max()
    after = f", {quantities.count(iterations)} iterations" if np.isfinite(iterations) else ""
    clauses = [
        f"On {head['problem']} (N = {_size(int(head['parameters']))}{after}) "
        f"{known[device].title} {_ended(part[part['optimizer'] == device])}{_against(part, device, others, known)}",
        _reached(time_to_target(trials, curves, targets), str(group), [device, *others], known),
    ]
    return "; ".join(clause for clause in clauses if clause) + "."


def _ended(runs: pd.DataFrame) -> str:
    finished = runs[runs["status"] == "ok"]["final_loss"].astype(float)
    if not finished.notna().any():
        return f"gave no final loss ({_no_number(runs)}); the others:"
    return f"ended at a median training loss of {_value(runs)}"


def _value(runs: pd.DataFrame) -> str:
    finished = runs[runs["status"] == "ok"]["final_loss"].astype(float)
    if not finished.notna().any():
        return _no_number(runs)
    shown = f", {len(finished)} of {len(runs)} seeds finished" if len(finished) < len(runs) else ""
    return f"{quantities.significant(float(finished.median()))}{shown}"


def _no_number(runs: pd.DataFrame) -> str:
    return " and ".join(sorted(set(runs["status"]) - {"ok"})) or "not evaluated"


def _against(part: pd.DataFrame, device: str, others: list[str], known: Mapping[str, Kind]) -> str:
    """Return ", lower than Adam (0.1) in each of 3 paired seeds, …", what is not confirmed last."""
    verdicts: dict[str, list[str]] = {}
    for other in others:
        runs = part[part["optimizer"] == other]
        shown = f"{known[other].title} ({_value(runs)})"
        paired = part[(part["status"] == "ok") & part["optimizer"].isin([device, other])]
        table = paired.pivot_table(index="seed", columns="optimizer", values="final_loss", aggfunc="first")
        if not (part.loc[part["optimizer"] == device, "status"] == "ok").any():
            verdicts.setdefault(" {}", []).append(shown)
            continue
        both = {device, other} <= set(table.columns)
        difference = (table[device] - table[other]).dropna().to_numpy(float) if both else np.array([])
        enough = len(difference) >= MINIMUM_PAIRED_SEEDS
        if enough and (difference < 0).all():
            verdict = f"lower than {{}} in each of {len(difference)} paired seeds"
        elif enough and (difference > 0).all():
            verdict = f"higher than {{}} in each of {len(difference)} paired seeds"
        else:
            verdict = "with no difference confirmed to {}"
        verdicts.setdefault(verdict, []).append(shown)
    order = sorted(verdicts, key=lambda text: text.startswith("with"))
    return "".join(("" if text == " {}" else ", ") + text.format(_and(verdicts[text])) for text in order)


def _reached(times: pd.DataFrame, group: str, labels: list[str], known: Mapping[str, Kind]) -> str:
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
        if not np.isfinite(float(rows.at[label, "iterations_median"])):
            time = "∞" if hits else "never"
        else:
            time = f"device time {unstated.NOT_STATED}" if np.isnan(median) else quantities.seconds(median)
        pieces.append(f"{known[label].title} {time}{missed}")
    return f"{met[-1]} took (median, modelled device time included) {', '.join(pieces)}"


def _any_reached(rows: pd.DataFrame, target: str) -> bool:
    return bool(np.isfinite(rows.loc[rows["target"] == target, "iterations_median"].astype(float)).any())


# -- noise -----------------------------------------------------------------------------------------------------------


MOST_SETTINGS = 2
"""Settings of one imperfection named one by one; of more, the two ends."""


def noise_sentence(found: tuple[Tolerance, ...], known: Mapping[str, Kind]) -> str:
    """Return how much of each swept imperfection the final loss stands."""
    imperfections = [t for t in found if t.parameter in ("noise_variance",) or t.parameter.endswith("bits")]
    if not imperfections:
        return "Sensitivity to noise and converter resolution: not measured."
    decided = [t for t in imperfections if not t.note]
    texts = []
    for parameter in dict.fromkeys(t.parameter for t in decided):
        ordered = sorted((t for t in decided if t.parameter == parameter), key=_endurance)
        stood = [
            f"{known[t.optimizer].title} {_stood(t)}, N = {_size(t.size)}, {t.seeds} seeds" for t in ordered
        ]
        name = parameter_name(parameter)
        if len(stood) > MOST_SETTINGS:
            texts.append(f"{name}, {len(stood)} settings: least {stood[0]}; most {stood[-1]}")
        else:
            texts.append(f"{name}: {'; '.join(dict.fromkeys(stood))}")
    head = "The final training loss stays inside the ideal device's own spread over seeds"
    legend = "[when seeds are resampled, from least to most; none: not even at the mildest level]"
    sentences = [f"{head} {legend}. {'. '.join(map(_capitalised, texts))}."] if texts else []
    who = _and(list(dict.fromkeys(known[t.optimizer].title for t in imperfections)))
    undecided: dict[str, list[str]] = {}
    for t in imperfections:
        if t.note:  # what was found wanting is said once for all imperfections that it holds for
            undecided.setdefault(t.note, []).append(parameter_name(t.parameter))
    for note, names in undecided.items():
        verdict, _, reason = note.partition(": ")
        sentences.append(
            f"Tolerance of {_and(list(dict.fromkeys(names)))} {verdict}{f': {reason}' if reason else ''}."
            if texts
            else f"What {who} stands of {_and(list(dict.fromkeys(names)))} is {verdict}: {reason}."
        )
    return " ".join(sentences)


def _endurance(tolerance: Tolerance) -> float:
    """Sort what stands less before what stands more: a higher variance, or fewer bits."""
    if np.isnan(tolerance.worst_inside):
        return -np.inf
    return -tolerance.worst_inside if tolerance.parameter.endswith("bits") else tolerance.worst_inside


def _stood(tolerance: Tolerance) -> str:
    """Return the levels that were stood, e.g. "up to 0.001, not 0.01 [none, 0.001]"."""
    unit = " bits" if tolerance.parameter.endswith("bits") else ""
    inside, outside, low, high = (
        "none" if np.isnan(level) else quantities.level(level)
        for level in (tolerance.worst_inside, tolerance.first_outside, tolerance.low, tolerance.high)
    )
    interval = "" if low == high else f" [{low}, {high}]"
    if np.isnan(tolerance.worst_inside):
        return f"at no level, not even {outside}{unit}{interval}"
    if np.isnan(tolerance.first_outside):
        return f"at every level, to {inside}{unit}{interval}"
    down = "down to" if unit else "up to"
    return f"{down} {inside}{unit}, not {outside}{interval}"


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def tolerance_text(tolerance: Tolerance) -> str:
    """Return one tolerance as a predicate, e.g. "inside up to thermal noise κ₀ = 0.01 and outside at 0.1 (3 seeds)"."""
    name = parameter_name(tolerance.parameter)
    if tolerance.note:
        return f"{tolerance.note} ({name})"
    bits = tolerance.parameter.endswith("bits")
    unit = " bits" if bits else ""
    inside, outside = (
        f"{name} = {quantities.level(v)}{unit}" for v in (tolerance.worst_inside, tolerance.first_outside)
    )
    seeds = f"{tolerance.seeds} seeds{_resampled(tolerance, unit)}"
    if np.isnan(tolerance.worst_inside):
        return f"outside already at the mildest level measured, {outside} ({seeds})"
    if np.isnan(tolerance.first_outside):
        return f"inside at every level measured, to {inside} ({seeds})"
    down = "down to" if bits else "up to"
    return (
        f"inside {down} {inside} and outside at {quantities.level(tolerance.first_outside)}{unit} ({seeds})"
    )


def _resampled(tolerance: Tolerance, unit: str) -> str:
    if tolerance.low == tolerance.high or np.isnan(tolerance.high):
        return ""
    low = "none" if np.isnan(tolerance.low) else f"{quantities.level(tolerance.low)}"
    return f"; {low} to {quantities.level(tolerance.high)}{unit} when seeds are resampled"


def _size(parameters: int) -> str:
    return quantities.count(parameters)


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
