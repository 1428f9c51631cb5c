"""The answer of a study in sixty seconds: a bottom line, what it rests on, short paragraphs, and what was not asked.

Every number comes from the views of `Results`, and every rule for a difference from the analysis behind it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.claims.types import Verdict
from tngd_bench.analysis.cost import iteration_cost, leads
from tngd_bench.analysis.cost.recorded_devices import trial_device
from tngd_bench.analysis.findings import paragraphs
from tngd_bench.analysis.findings.paragraphs import Duel, Paragraph, Text
from tngd_bench.analysis.results import Results
from tngd_bench.studies.store import columns as c
from tngd_bench.studies.store.environment import processor_words, setting_words

INCOMPLETE = "Not complete"
"""The term of the paragraph that says what has not run yet."""
_NAMED = 2
"""Sizes, or rivals, that the bottom line names at most."""


@dataclass(frozen=True)
class Answer:
    """A study's answer: `facts` are what the bottom line rests on, `not_asked` names what the study did not measure.

    `failed` has the term and the error of each paragraph that could not be made, and says so in its place.
    """

    bottom_line: str
    facts: tuple[str, ...] = ()
    paragraphs: tuple[Paragraph, ...] = ()
    not_asked: str = ""
    failed: tuple[tuple[str, Exception], ...] = ()

    def lines(self) -> tuple[tuple[str, str], ...]:
        """Return the whole answer as terms with their text, for a document without a layout of its own."""
        told = [("Bottom line", " ".join((self.bottom_line, *self.facts)))]
        told += [(each.term, each.text) for each in self.paragraphs]
        return (*told, *([("Left out", self.not_asked)] if self.not_asked else []))


def answer(results: Results, judged: Sequence[Verdict] = ()) -> Answer:
    """Return the answer of a study; `judged` are the verdicts on claims that its page shows."""
    made: list[Paragraph] = []
    failed: list[tuple[str, Exception]] = []
    makers: dict[str, Callable[[Results], Text | None]] = {
        "Bottom line": _bottom_line,
        INCOMPLETE: paragraphs.incomplete,
        "Cost": paragraphs.cost,
        "What holds it back": paragraphs.bottleneck,
        "Learning": paragraphs.learning,
        "Imperfections": paragraphs.tolerance,
        "Claims": partial(paragraphs.claims, judged),
        "Measure next": paragraphs.measure_next,
    }
    for term, make in makers.items():
        try:
            found = make(results)
        except Exception as error:
            failed.append((term, error))
            found = f"This sentence could not be made ({type(error).__name__}: {error}).", "", ""
        if found is not None:
            made.append(Paragraph(term, *found))
    first, *rest = made
    rest = [each for each in rest if each.text != first.text]
    return Answer(first.text, _facts(results), tuple(rest), _not_asked(results, judged), tuple(failed))


def _bottom_line(results: Results) -> Text:
    """Return whether a device or a digital rival had the shorter step, at how many sizes, and how sure that is."""
    duels, open_sizes = paragraphs.duels(results)
    if not duels:
        return _ranking(results), "", ""
    won, lost = ([each for each in duels if each.won is ahead] for ahead in (True, False))
    every, timed = len(duels) + open_sizes, results.timed_costs.groupby(iteration_cost.SETTING[1:]).ngroups
    with_both = "timed" if every == timed else "timed with both"
    bounds = "; elsewhere the device is known from below only, and nobody leads" if open_sizes else ""
    rival_had = f"a digital second-order optimizer {_had(lost)}"
    if crossed := sum(each.lead.crossed for each in duels):
        which = f" at {quantities.number_of(crossed, 'size')}" if len(duels) > 1 else ""
        bounds += f"; the medians{which} tell the other order"
    if not (won and lost):
        said = _device_had(results, won) if won else f"{rival_had} a shorter step than {_devices(results)}"
        return f"{_at(len(duels), open_sizes, with_both)}, {said} ({_how_sure(duels)}{bounds}).", "", ""
    device_had = _device_had(results, won)
    fewer = bool(open_sizes) or len(won) <= len(lost)
    where = _sizes(duels, won) if fewer else f"all but {_sizes(duels, lost)}"
    head = f"{device_had[:1].upper()}{device_had[1:]}, at {len(won)} of {every} sizes {with_both}: {where}"
    others = "At the other" if len(lost) == 1 else f"At the {len(lost)} others"
    known = " where the device's time is known" if open_sizes else ""
    rest = f"{others}{known} {rival_had} the shorter step"
    if not any(each.tested for each in duels):
        return f"{head}. {rest} ({_UNTESTED}{bounds}).", "", ""
    return f"{head} ({_confirmed(won)}). {rest} ({_confirmed(lost)}{bounds}).", "", ""


_UNTESTED = (
    f"not tested: that takes {iteration_cost.MINIMUM_PAIRS} paired iterations from "
    f"{iteration_cost.MINIMUM_PROCESSES} processes"
)


def _at(sizes: int, open_sizes: int, with_both: str) -> str:
    """Return at which sizes all duels went one way, and of how many."""
    if sizes + open_sizes == 1:
        return f"At the one size {with_both}"
    if open_sizes:
        return f"At {sizes} of {sizes + open_sizes} sizes {with_both}"
    return f"At {'both' if sizes == 2 else f'all {sizes}'} sizes {with_both}"


def _had(duels: Sequence[Duel]) -> str:
    return "had" if any(each.sure for each in duels) else "seemed to have"


def _how_sure(duels: Sequence[Duel]) -> str:
    """Return at how many sizes the lead is confirmed, or why it is not."""
    if not any(each.tested for each in duels):
        return _UNTESTED
    return duels[0].lead.doubt or "confirmed" if len(duels) == 1 else _confirmed(duels)


def _confirmed(duels: Sequence[Duel]) -> str:
    """Return at how many sizes the lead is confirmed."""
    confirmed = sum(each.sure for each in duels)
    if len(duels) == 1:
        return "confirmed" if confirmed else "not confirmed"
    return f"confirmed at {'all' if confirmed == len(duels) else confirmed or 'none'} of them"


def _devices(results: Results) -> str:
    """Return the name of the only optimizer on a device that was timed, or that there are several."""
    timed = {label for label in results.timed_costs[c.OPTIMIZER] if results.infos[label].modelled}
    return "every optimizer on a device" if len(timed) > 1 else paragraphs.name(results, *timed)


def _device_had(results: Results, won: Sequence[Duel]) -> str:
    """Return who had a shorter step than whom: the devices that led, and their quickest digital rivals."""
    infos, timed = results.infos, set(results.timed_costs[c.OPTIMIZER])
    devices = list(dict.fromkeys(paragraphs.name(results, each.device) for each in won))
    named = quantities.listed(devices) if len(devices) <= _NAMED else "another one by size"
    several = sum(infos[each].modelled for each in timed) > 1
    who = f"the quickest optimizer on a device, {named}," if several else named
    rivals = list(dict.fromkeys(paragraphs.name(results, str(each.lead.runner_up)) for each in won))
    if len(rivals) > _NAMED:
        return f"{who} {_had(won)} a shorter step than every digital second-order rival"
    digital = {infos[each].method for each in timed if infos[each].second_order and not infos[each].modelled}
    which = (
        f"{'only' if len(digital) == 1 else 'quickest'} digital second-order rival{'s' * (len(rivals) > 1)}"
    )
    return f"{who} {_had(won)} a shorter step than its {which}, {quantities.listed(rivals)}"


def _sizes(duels: Sequence[Duel], chosen: Sequence[Duel]) -> str:
    """Return the sizes of the `chosen` of `duels` by N, and by what else differs between them."""
    signs = {c.PARAMETERS: "N", c.BATCH_SIZE: "b", c.OUTPUTS: "d_z"}
    varied = [
        name for name in signs if name == c.PARAMETERS or len({each.setting[name] for each in duels}) > 1
    ]
    several = len({each.setting[c.PROBLEM] for each in duels}) > 1
    names = [
        ", ".join(f"{signs[name]} = {quantities.count(each.setting[name])}" for name in varied)
        + (f" on {each.setting[c.PROBLEM]}" if several else "")
        for each in chosen
    ]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return "; ".join(names[:_NAMED]) + more


def _ranking(results: Results) -> str:
    """Return who was quickest where no device meets a digital rival; what training told where nothing was timed."""
    here = leads.main_size(results.cost_summary, results.infos)
    if here.empty:
        told = paragraphs.learning(results) or paragraphs.tolerance(results)
        if told is None and len(results.final):
            return "The runs of this study decide nothing that a sentence could tell; see its figures."
        return told[0] if told else "Nothing was measured in this study."
    where = paragraphs.where(here.iloc[0])
    known = here["total_median_s"].notna()

    def named(rows: pd.DataFrame) -> list[str]:
        return [
            f"{paragraphs.name(results, row.optimizer)} ({iteration_cost.median_text(row)})"
            for row in c.each(rows)
        ]

    ranked, bounded = named(here[known]), named(here[~known])
    if len(here) == 1:
        return f"One optimizer was timed {where}: {(ranked + bounded)[0]}."
    said = []
    if ranked:
        said.append(f"Quickest step {where}, of {len(ranked)} optimizers: {', then '.join(ranked[:3])}.")
    if bounded:
        said.append(f"Known from below only {where}, and not ranked: {', '.join(bounded)}.")
    return " ".join(said)


def _facts(results: Results) -> tuple[str, ...]:
    environment = results.environment
    processor = processor_words(environment)
    threads = setting_words(environment, "threads_cost")
    counted = "one thread" if threads == "1" else f"{threads} threads"
    on = f"{counted} of " if environment.get("threads_cost") and not environment.get("gpu") else ""
    facts = [f"Digital: {on}{processor}, measured."] if len(results.cost_summary) else []
    if not facts:
        facts = [f"Run on {processor}."]
    used = results.trials.sort_values(c.KIND, kind="stable").dropna(subset=c.DEVICE)
    used = used[used[c.DEVICE] != ""]
    plain = c.outside_sweeps(used).drop_duplicates(c.DEVICE)
    named = ", ".join(sorted(set((plain if len(plain) else used)[c.DEVICE])))
    device = trial_device(*plain.iloc[0][[c.DEVICE, c.SETTINGS]]) if len(plain) == 1 else None
    if device is not None:
        rate = device.link_rate_bits_per_s
        link = "unlimited link" if rate is None else quantities.bit_rate(rate)
        tau = quantities.seconds(device.time_constant_s).replace(".00 ", " ")
        named = f"{device.name} ({link}, τ = {tau}, {device.word_bits} bits)"
    if named:
        facts.append(f"Device: {named}, modelled, not built.")
    shown = leads.main_size(results.cost_summary, results.infos)
    facts += filter(None, [results.about_formats(set(shown[c.OPTIMIZER]))])
    return tuple(facts)


def _not_asked(results: Results, judged: Sequence[Verdict]) -> str:
    training = results.of_kind("training")
    asked = {
        "the cost of a step": len(results.cost_summary) > 0,
        "a device": any(info.modelled for info in results.infos.values()),
        "training without a swept setting" if len(training) else "training": len(c.outside_sweeps(training))
        > 0,
        "an imperfect device": len(training) > len(c.outside_sweeps(training)) or bool(results.device_pairs),
        "any claim of arXiv 2405.13817 (the study “paper” tests them)": any(
            each.name != "not tested" for each in judged
        ),
    }
    missing = [topic for topic, found in asked.items() if not found]
    return f"Not measured here: {', '.join(missing)}." if missing else ""
