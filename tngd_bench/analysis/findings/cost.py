"""The finding on cost: who is cheapest at which size, and TNGD's total against the strongest digital rivals."""

import itertools

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost import caveats, iteration_cost
from tngd_bench.analysis.cost.leads import WITHIN_SPREAD, leads, main_group, strongest_digital
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.results import Results
from tngd_bench.optimizers.registry import exact_natural
from tngd_bench.studies.store import columns as c


def cost_sentence(results: Results) -> str:
    """Return who is cheapest at which size, and TNGD's total against the strongest digital competitor."""
    infos, main = results.infos, main_group(results.finished_costs)
    ranking = leads(main, infos, results.run_spread)
    has_device = any(info.modelled for info in infos.values())
    if not ranking:
        ran = "" if has_device or main.empty else f" {_all_times(main, infos)}"
        return f"Cost per iteration of second-order optimizers: not measured.{ran}"
    pieces = []
    for (name, doubt), run in itertools.groupby(ranking, key=lambda lead: (lead.optimizer, lead.doubt)):
        sizes = [quantities.count(lead.parameters) for lead in run]
        span = sizes[0] if len(sizes) == 1 else f"{sizes[0]}–{sizes[-1]}"
        pieces.append(f"{infos[name].title} at N = {span}{f' ({doubt})' if doubt else ''}")
    doubts = {lead.doubt for lead in ranking}
    if "untested" in doubts:
        needed = iteration_cost.MINIMUM_PAIRS, iteration_cost.MINIMUM_PROCESSES
        pieces[-1] += "; a test takes {} paired iterations from {} processes".format(*needed)
    if doubts & {"", WITHIN_SPREAD}:
        pieces[-1] += f"; run-to-run spread: {results.run_spread.words}"
    settings = main.iloc[0]
    where = f"{settings[c.PROBLEM]}, b = {settings[c.BATCH_SIZE]}, d_z = {settings[c.OUTPUTS]}"
    clauses = _bound_clauses(results, main, ranking[-1].optimizer)
    if (has_device and not clauses) or any(infos[label].modelled for label in set(main[c.OPTIMIZER])):
        clauses.insert(0, _device_clause(main, infos))
    told = "; ".join((", ".join(pieces), *clauses))
    last = "" if has_device else f" {_all_times(main, infos)}"
    alone = {lead.optimizer for lead in ranking if lead.runner_up is None}
    lone = len(alone) == 1 and all(lead.runner_up is None for lead in ranking)
    what = "Nothing to compare, one second-order optimizer was timed" if lone else _CHEAPEST
    return f"{what} ({where}): {told}.{last}"


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
            f"{results.infos[cheapest].title}, with none counted for {words}"
        )
    if unranked:
        named = caveats.named(unranked, results.infos)
        clauses.append(f"not ranked, as no time is stated for items of the bill: {named}")
    return clauses


def _device_clause(main: pd.DataFrame, infos: Infos) -> str:
    measured = set(main[c.OPTIMIZER])
    device = next((label for label, info in infos.items() if info.modelled and label in measured), None)
    if device is None:
        return "TNGD's cost: not measured"
    parameters = int(c.only(main, optimizer=device)[c.PARAMETERS].max())
    part = c.only(main, parameters=parameters)
    own = c.only(part, optimizer=device)
    total = float(own[c.TOTAL_S].median())
    link = float(((own[c.WRITE_S] + own[c.READ_S]) / own[c.TOTAL_S]).median())
    text = (
        f"at N = {quantities.count(parameters)} {infos[device].title} needs {quantities.seconds(total)} "
        f"(measured digital + modelled device), of which the modelled link takes {quantities.percent(link)}"
    )
    rival = strongest_digital(part, infos)
    ratio = iteration_cost.paired_ratio(part, device, rival) if rival else None
    if rival is None or ratio is None:
        return f"{text}; no digital second-order competitor was measured there"
    time = float(c.only(part, optimizer=rival)[c.TOTAL_S].median())
    text += (
        f": {ratio.text} the {quantities.seconds(time)} of the strongest digital competitor, {infos[rival].title}"
        f"{_apart(total / time, ratio)}{_doubt(ratio)}"
    )
    exact = strongest_digital(part, infos, exact_natural())
    ratio = iteration_cost.paired_ratio(part, device, exact) if exact and exact != rival else None
    if exact is None or ratio is None:
        return text
    fastest = f"the fastest exact natural gradient, {infos[exact].title}"
    return f"{text}, and {ratio.text} that of {fastest}{_doubt(ratio)}"


_AGREE = 1.05
"""The factor between a quotient of medians and the median of paired quotients from which a sentence tells both."""


def _apart(quotient: float, ratio: iteration_cost.Ratio) -> str:
    """Return why the ratio is not the `quotient` of the medians told beside it; "" where the two agree."""
    if ratio.low <= quotient <= ratio.high and 1.0 / _AGREE <= quotient / ratio.value <= _AGREE:
        return ""
    return (
        ", the median of iterations in pairs (the medians themselves are as "
        f"{quantities.significant(quotient)} to 1: the times scatter)"
    )


def _doubt(ratio: iteration_cost.Ratio) -> str:
    """Return what keeps a ratio from being a difference, "" where nothing does."""
    if not ratio.tested:
        return f" (untested: {ratio.amount}, a test takes {iteration_cost.NEEDED})"
    return "" if ratio.decided else " (no difference confirmed: the interval holds 1)"
