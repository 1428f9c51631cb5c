"""The finding on cost: who is cheapest at which size, and TNGD's total against the strongest digital rivals."""

from collections import Counter
from collections.abc import Iterator, Sequence

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost import caveats, iteration_cost
from tngd_bench.analysis.cost.leads import (
    WITHIN_SPREAD,
    JudgedLead,
    leads,
    main_group,
    strongest_digital,
    together,
)
from tngd_bench.analysis.cost.recorded_devices import trial_device
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.statistics.run_spread import RunSpread
from tngd_bench.optimizers.registry import exact_natural
from tngd_bench.studies.store import columns as c


def cost_sentence(results: Results) -> str:
    """Return who is cheapest at which size, and TNGD's total against the strongest digital competitor."""
    infos, main = results.infos, main_group(results.finished_costs)
    ranking = together(leads(main, infos, results.run_spread))
    has_device = any(info.modelled for info in infos.values())
    if not ranking:
        ran = "" if has_device or main.empty else f" {_all_times(main, infos)}"
        return f"Cost per iteration of second-order optimizers: not measured.{ran}"
    settings = main.iloc[0]
    where = f"{settings[c.PROBLEM]}, b = {settings[c.BATCH_SIZE]}, d_z = {settings[c.OUTPUTS]}"
    alone = {lead.optimizer for lead in ranking if lead.runner_up is None}
    lone = len(alone) == 1 and all(lead.runner_up is None for lead in ranking)
    what = "Nothing to compare, one second-order optimizer was timed" if lone else _CHEAPEST
    said = [f"{what} ({where}): {_won(ranking, infos)}.", *_doubts(ranking, results.run_spread)]
    clauses = _bound_clauses(results, main, ranking[-1].optimizer)
    if (has_device and not clauses) or any(infos[label].modelled for label in set(main[c.OPTIMIZER])):
        said.append(_device_clause(results, main))
    return " ".join((*said, *clauses, *([] if has_device else [_all_times(main, infos)])))


def _won(ranking: Sequence[JudgedLead], infos: Infos) -> str:
    """Return at how many sizes each optimizer is the cheapest; the page has a table of them."""
    if len(ranking) == 1:
        return f"{infos[ranking[0].optimizer].title} at N = {quantities.count(ranking[0].parameters)}"
    won = Counter(lead.optimizer for lead in ranking)
    return ", ".join(
        f"{infos[label].title} at {number} of {len(ranking)} sizes" for label, number in won.items()
    )


def _doubts(ranking: Sequence[JudgedLead], spread: RunSpread) -> Iterator[str]:
    """Yield why leads are not confirmed, at how many sizes each, and the spread that they are held to."""
    doubts = Counter(lead.doubt for lead in ranking)
    for doubt, number in doubts.items():
        if doubt:
            where = "" if len(ranking) == 1 else f" at {number} of {len(ranking)} sizes"
            yield f"{doubt[0].upper()}{doubt[1:]}{where}."
    if "untested" in doubts:
        needed = iteration_cost.MINIMUM_PAIRS, iteration_cost.MINIMUM_PROCESSES
        yield "A test takes {} paired iterations from {} processes.".format(*needed)
    if set(doubts) & {"", WITHIN_SPREAD}:
        yield f"Run-to-run spread: {spread.words}."


_CHEAPEST = "Cheapest per iteration among second-order optimizers"


def _all_times(main: pd.DataFrame, infos: Infos) -> str:
    """Return the median times of all that ran at the largest N of `main`, for a study without TNGD."""
    largest = int(main[c.PARAMETERS].max())
    part = c.only(main, parameters=largest)
    medians = part.groupby(c.OPTIMIZER)[c.TOTAL_S].median().sort_values(kind="stable")
    times = [
        f"{infos[str(label)].title} {quantities.seconds(float(time))}" for label, time in medians.items()
    ]
    return f"All that ran at N = {quantities.count(largest)}, by median: {', '.join(times)}."


def _bound_clauses(results: Results, main: pd.DataFrame, cheapest: str) -> list[str]:
    """Return a clause on each optimizer that is known from below only, against the `cheapest` at the largest N.

    `main` holds the finished timings that are compared, of one section, batch size and number of outputs. Slower than
    the cheapest by its lower bound, an optimizer is not the cheapest; else nothing is known of its rank.
    """
    last = c.only(main, parameters=main[c.PARAMETERS].max()).iloc[0]
    timed, setting = results.timed_costs, iteration_cost.SETTING
    there = timed[(timed[setting] == last[setting]).all(axis=1)]
    clauses, unranked = [], {}
    for label, words in results.unstated("cost").items():
        bound = float(there.loc[there[c.OPTIMIZER] == label, "at_least_s"].median())
        ratio = iteration_cost.paired_ratio(there, label, cheapest, "at_least_s")
        if ratio is None or not ratio.decided or ratio.value < 1:
            unranked[label] = words
            continue
        clauses.append(
            f"{results.infos[label].title} takes at least {quantities.seconds(bound)} there, {ratio.text} the time of "
            f"{results.infos[cheapest].title}, with none counted for {words}."
        )
    if unranked:
        named = caveats.named(unranked, results.infos)
        clauses.append(f"Not ranked, as no time is stated for items of the bill: {named}.")
    return clauses


def _device_clause(results: Results, main: pd.DataFrame) -> str:
    infos = results.infos
    measured = set(main[c.OPTIMIZER])
    device = next((label for label, info in infos.items() if info.modelled and label in measured), None)
    if device is None:
        return "TNGD's cost: not measured."
    parameters = int(c.only(main, optimizer=device)[c.PARAMETERS].max())
    part = c.only(main, parameters=parameters)
    own = c.only(part, optimizer=device)
    total = float(own[c.TOTAL_S].median())
    link = float(((own[c.WRITE_S] + own[c.READ_S]) / own[c.TOTAL_S]).median())
    used = c.only(results.trials, key=own[c.KEY].iloc[0]).iloc[0]
    made = trial_device(used[c.DEVICE], used[c.SETTINGS])
    alone = made is not None and made.transfers_by_link_alone
    taken = "the modelled link takes" if alone else "modelled writing and reading take"
    text = (
        f"At N = {quantities.count(parameters)} {infos[device].title} needs {quantities.seconds(total)} "
        f"(measured digital + modelled device); {taken} {quantities.percent(link)} of it."
    )
    rival = strongest_digital(part, infos)
    ratio = iteration_cost.paired_ratio(part, device, rival) if rival else None
    if rival is None or ratio is None:
        return f"{text} No digital second-order competitor was measured there."
    time = float(c.only(part, optimizer=rival)[c.TOTAL_S].median())
    text += (
        f" That is {ratio.text} the {quantities.seconds(time)} of the strongest digital competitor, "
        f"{infos[rival].title}.{_apart(total / time, ratio)}{_doubt(ratio)}"
    )
    exact = strongest_digital(part, infos, exact_natural())
    ratio = iteration_cost.paired_ratio(part, device, exact) if exact and exact != rival else None
    if exact is None or ratio is None:
        return text
    return f"{text} It is {ratio.text} that of the fastest exact natural gradient, {infos[exact].title}.{_doubt(ratio)}"


_AGREE = 1.05
"""The factor between a quotient of medians and the median of paired quotients from which a sentence tells both."""


def _apart(quotient: float, ratio: iteration_cost.Ratio) -> str:
    """Return the sentence why the ratio is not the `quotient` of the medians told before it; "" where the two agree."""
    if ratio.low <= quotient <= ratio.high and 1.0 / _AGREE <= quotient / ratio.value <= _AGREE:
        return ""
    return (
        " That ratio is the median over paired iterations. The quotient of the two medians is "
        f"{quantities.significant(quotient)}, since the times scatter."
    )


def _doubt(ratio: iteration_cost.Ratio) -> str:
    """Return the sentence that says what keeps a ratio from being a difference, "" where nothing does."""
    if not ratio.tested:
        return f" This is untested: {ratio.amount}, and a test takes {iteration_cost.NEEDED}."
    return "" if ratio.decided else " No difference is confirmed: the interval holds 1."
