"""Two stores side by side: what differs in study and environment, and paired ratios of what both measured.

Costs pair by setting. The ratio of medians B/A has no interval: the machine may be slower during one run,
and five runs of one study left out 1 in 23 % of its intervals. Relative to SGD that cancels. In each store every
process gives log(optimizer/SGD) of its medians; the interval is Welch's over these, with the spread of both from run to
run, 2·σ_run² a store (see `run_spread`), added to the variance. It needs three processes of each. Training pairs by
seed: in studies of one name the same seed has the same start and batches, since these derive from both.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.arrays import Array
from tngd_bench.analysis.cost.iteration_cost import MINIMUM_PROCESSES
from tngd_bench.analysis.cost.reference import references
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.statistics.distributions import normal_quantile
from tngd_bench.analysis.statistics.paired import LEVEL
from tngd_bench.analysis.statistics.run_spread import RunSpread
from tngd_bench.analysis.statistics.welch import mean_difference
from tngd_bench.analysis.training.final_scores import leading
from tngd_bench.measure.seeds import unlike_seeds
from tngd_bench.studies.store import columns as c
from tngd_bench.studies.store.environment import processor_words

_TRAINING = [*c.TRAINING_SETTING, "level"]
_VOLATILE = ("started", "command")
_DATA = ("train_size", "test_size", "evaluation_size", c.VALIDATION_SHARE)
"""Entries of a training section: where one differs, two runs of a seed have or are evaluated on other data."""


@dataclass(frozen=True)
class TwoStores:
    """The comparison of store B with store A.

    `differences`: where, name, a, b, for what differs in study, environment and the settings of an optimizer of one
    name · `costs`: one row per shared setting and optimizer: median totals `a_s`, `b_s`, `ratio` B/A, `relative` (ratio
    of ratios to SGD, whose label is `reference`) with its bounds, NaN where they are not known, operations `a_flops`,
    `b_flops` · `training`: per shared setting: seeds paired, median final losses, median paired difference B − A, in
    how many seeds B ends lower, equal to the bit, diverged in each · `only`: the settings, sizes and levels that one of
    them holds alone · `run_spreads`: σ_run of A and of B · `unlike`: the entries of training sections, as
    SECTION.ENTRY, for which they are not compared · `unpaired`: why no seeds are paired, "" where they are ·
    `processors`: of A and of B, in words.
    """

    differences: pd.DataFrame
    costs: pd.DataFrame
    training: pd.DataFrame
    only: pd.DataFrame
    run_spreads: tuple[RunSpread, RunSpread]
    unlike: tuple[str, ...] = ()
    unpaired: str = ""
    processors: tuple[str, str] = ("", "")


def compare(a: Results, b: Results) -> TwoStores:
    """Compare the results `b` with `a`."""
    differences = [
        (where, *row)
        for where in ("study", "environment")
        for row in _different(getattr(a, where), getattr(b, where))
    ]
    differences += [(c.SETTINGS, *row) for row in _other_settings(a.trials, b.trials)]
    unlike = tuple(
        f"{name}.{entry}"
        for name, (one, other) in _sections(a, b).items()
        for entry in (*_DATA, c.PROBLEM)
        if one.get(entry) != other.get(entry)
        or (entry == c.PROBLEM and _options(a, one) != _options(b, other))
    )
    unpaired = unlike_seeds(*(str(each.study.get("name", "")) for each in (a, b)))
    return TwoStores(
        pd.DataFrame(differences, columns=["where", "name", "a", "b"]),
        _costs(a, b),
        _training(a, b, {each.rpartition(".")[0] for each in unlike}, paired=not unpaired),
        _only(a.trials, b.trials),
        (a.run_spread, b.run_spread),
        unlike,
        unpaired,
        (processor_words(a.environment), processor_words(b.environment)),
    )


def _sections(a: Results, b: Results) -> dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return the training sections of both studies by the names that they share."""
    left, right = ({str(one["name"]): one for one in each.study.get("training") or ()} for each in (a, b))
    return {name: (left[name], right[name]) for name in left if name in right}


def _options(results: Results, section: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the options that a study gives the problem of a section."""
    options: Mapping[str, Any] = (results.study.get("problem") or {}).get(section.get("problem")) or {}
    return options


def _other_settings(a: pd.DataFrame, b: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Yield section and name of each optimizer whose settings outside sweeps differ, with those that do."""
    keys = [c.KIND, c.GROUP, c.OPTIMIZER]
    left, right = (
        c.outside_sweeps(c.completed(each, [c.SETTINGS]))
        .dropna(subset=c.SETTINGS)
        .groupby(keys)[c.SETTINGS]
        .first()
        for each in (a, b)
    )
    for place in left.index.intersection(right.index):
        one, other = (dict(_flat(json.loads(each[place]))) for each in (left, right))
        names = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
        if names:
            kind, group, optimizer = place
            told = (
                ", ".join(f"{name} = {own.get(name, 'absent')}" for name in names) for own in (one, other)
            )
            yield f"{kind}.{group}: {optimizer}", next(told), next(told)


def _different(a: Mapping[str, object], b: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    left, right = dict(_flat(a)), dict(_flat(b))
    for name in sorted(set(left) | set(right)):
        one, other = left.get(name, "absent"), right.get(name, "absent")
        if one != other and name.split(".")[-1] not in _VOLATILE:
            yield name, one, other


def _flat(content: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path of every value, with dots, and the value as text; sections of a list are found by their names."""
    for key, value in content.items():
        if isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
            sections = [(place, item) for place, item in enumerate(value) if isinstance(item, Mapping)]
            value = {str(item.get("name", place)): item for place, item in sections}
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def _costs(a: Results, b: Results) -> pd.DataFrame:
    parts = [dict(list(each.finished_costs.groupby(c.COST_SETTING, sort=True))) for each in (a, b)]
    operations = [each.trials.groupby(c.COST_SETTING)[c.FLOPS].median() for each in (a, b)]
    shared = set(parts[0]) & set(parts[1])
    timed = a.finished_costs
    in_both = [values in shared for values in timed[c.COST_SETTING].itertuples(index=False, name=None)]
    chosen = references(timed[np.array(in_both, dtype=bool)], c.COST_SETTING[:-1])
    rows = []
    spread = 2.0 * (a.run_spread.value**2 + b.run_spread.value**2)
    for setting in sorted(shared):
        medians = [float(part[setting][c.TOTAL_S].astype(float).median()) for part in parts]
        reference = chosen.get(setting[:-1])
        first, second = (_against(part, setting, reference) for part in parts)
        change = relative_change(first, second, spread if setting[-1] != reference else 0.0)
        counts = [found.get(setting, np.nan) for found in operations]
        rows.append((*setting, *medians, medians[1] / medians[0], reference, *change.values(), *counts))
    columns = [*c.COST_SETTING, "a_s", "b_s", "ratio"]
    columns += ["reference", "relative", "relative_low", "relative_high", "a_flops", "b_flops"]
    return pd.DataFrame(rows, columns=columns)


def _against(
    part: Mapping[tuple[object, ...], pd.DataFrame], setting: tuple[object, ...], label: str | None
) -> Array:
    """Return log(optimizer/SGD) of the median totals of each process that timed both at this setting."""
    reference = (*setting[:-1], label)
    if reference not in part:
        return np.array([])
    own, base = (
        part[name].groupby(c.PROCESS)[c.TOTAL_S].median().astype(float) for name in (setting, reference)
    )
    return np.log((own / base).dropna().to_numpy(float))


def relative_change(a: Array, b: Array, spread: float) -> dict[str, float]:
    """Return `relative`, exp of the mean of `b` less that of `a`, with its 95 % interval; NaN where it is not known.

    `a` and `b` hold a logarithm per process; `spread` is the variance from run to run of their difference.
    """
    change = float(b.mean() - a.mean()) if len(a) and len(b) else np.nan
    half = np.nan
    if min(len(a), len(b)) >= MINIMUM_PROCESSES:
        within = mean_difference(a, b).half_width(LEVEL)
        half = np.hypot(within, normal_quantile((1.0 + LEVEL) / 2.0) * np.sqrt(spread))
    estimate, low, high = map(float, np.exp([change, change - half, change + half]))
    return {"relative": estimate, "relative_low": low, "relative_high": high}


def _training(a: Results, b: Results, unlike: Collection[str], *, paired: bool) -> pd.DataFrame:
    """Return the training of `TwoStores`: no rows unless seeds are `paired`, none of the sections in `unlike`."""
    keys = [*_TRAINING, c.SEED]
    ends = (each.final.assign(level=c.swept_levels(each.final, number=quantities.level)) for each in (a, b))
    both = next(ends).merge(next(ends), on=keys, suffixes=("_a", "_b"))
    # Runs of another length are other runs, whatever their seed.
    lengths = both[["iterations_a", "iterations_b"]].astype(float)
    both = both[lengths.isna().any(axis=1) | (lengths["iterations_a"] == lengths["iterations_b"])]
    # On other data too, and where a seed gives another start and other batches.
    both = both[~both[c.GROUP].isin(unlike)] if paired else both.iloc[:0]
    rows = []
    for row, part in c.groups(both, _TRAINING, dropna=False):
        ended = c.only(part, status_a="ok", status_b="ok").dropna(subset=["final_loss_a", "final_loss_b"])
        one, other = ended["final_loss_a"].astype(float), ended["final_loss_b"].astype(float)
        row |= {"pairs": len(ended), "a_loss": one.median(), "b_loss": other.median()}
        row |= {"difference": (other - one).median(), "b_lower": int((other < one).sum())}
        row["equal"] = int((other == one).sum())
        row |= {f"{name}_diverged": int((part[f"status_{name}"] == "diverged").sum()) for name in "ab"}
        score = leading(ended.rename(columns=lambda name: str(name).removesuffix("_a")))
        row |= {f"{name}_score": ended[f"{score.final}_{name}"].astype(float).median() for name in "ab"}
        rows.append(row | {"score": score.column})
    columns = [*_TRAINING, "pairs", "a_loss", "b_loss", "difference", "b_lower", "equal"]
    columns += ["a_diverged", "b_diverged", "a_score", "b_score", "score"]
    return pd.DataFrame(rows, columns=columns)


def _only(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """Return the settings, sizes and levels tried in one of two stores alone; a skipped trial was not tried."""
    setting = [c.KIND, *c.TRAINING_SETTING, "level"]
    left, right = (
        each.assign(level=c.swept_levels(each))[each[c.STATUS].isin(c.TRIED)][setting].drop_duplicates()
        for each in (a, b)
    )
    merged = left.merge(right, how="outer", indicator=True)
    missing = merged[merged["_merge"] != "both"]
    store = missing["_merge"].map({"left_only": "A", "right_only": "B"}).astype(str)
    found = missing[setting].assign(store=store)
    return found.sort_values(["store", *setting], kind="stable", ignore_index=True)
