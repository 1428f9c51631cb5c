"""Two stores side by side: what differs in study and environment, and paired ratios of what both measured.

Costs pair by setting: the ratio of medians B/A with a 95 % interval from resampling processes, then iterations, of each
store on its own; and the ratio of ratios to SGD, in which a faster or busier machine cancels. Training pairs by seed:
the same seed has the same start and batches in both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tngd_bench.analysis.cost import finished_costs
from tngd_bench.analysis.outcomes import final_values
from tngd_bench.analysis.reference import references
from tngd_bench.studies.records import Records

Array = npt.NDArray[np.float64]
DRAWS = 400
COST_SETTING = ["group", "problem", "parameters", "batch_size", "outputs", "optimizer"]
TRAINING_SETTING = [
    "group",
    "problem",
    "parameters",
    "batch_size",
    "optimizer",
    "sweep_parameter",
    "sweep_value",
]
_VOLATILE = ("started", "command")


@dataclass(frozen=True)
class TwoStores:
    """The comparison of store B with store A.

    `differences`: where, name, a, b, for what differs in study and environment · `costs`: one row per shared setting
    and optimizer: median totals `a_s`, `b_s`, `ratio` B/A with `low`, `high`, `relative` (ratio of ratios to SGD, whose
    label is `reference`) with its bounds, operations `a_flops`, `b_flops` · `training`: per shared setting: seeds
    paired, median final losses, median paired difference B − A, in how many seeds B ends lower, equal to the bit,
    diverged in each · `only`: which settings only one of them holds.
    """

    differences: pd.DataFrame
    costs: pd.DataFrame
    training: pd.DataFrame
    only: pd.DataFrame


def compare(a: Records, b: Records) -> TwoStores:
    """Compare the records `b` with `a`."""
    differences = [("study", *row) for row in _different(a.study, b.study)] + [
        ("environment", *row) for row in _different(a.environment, b.environment)
    ]
    return TwoStores(
        pd.DataFrame(differences, columns=["where", "name", "a", "b"]),
        _costs(a, b),
        _training(a, b),
        _only(a.trials, b.trials),
    )


def _different(a: Mapping[str, object], b: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    left, right = dict(_flat(a)), dict(_flat(b))
    for name in sorted(set(left) | set(right)):
        one, other = left.get(name, "absent"), right.get(name, "absent")
        if one != other and name.split(".")[-1] not in _VOLATILE:
            yield name, one, other


def _flat(content: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
            named = {
                str(item.get("name", place)): item
                for place, item in enumerate(value)
                if isinstance(item, Mapping)
            }
            yield from _flat(named, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def _costs(a: Records, b: Records) -> pd.DataFrame:
    parts = [dict(list(_timed(records).groupby(COST_SETTING, sort=True))) for records in (a, b)]
    operations = [records.trials.groupby(COST_SETTING)["flops"].median() for records in (a, b)]
    shared = set(parts[0]) & set(parts[1])
    timed = _timed(a)
    in_both = [values in shared for values in timed[COST_SETTING].itertuples(index=False, name=None)]
    chosen = references(timed[np.array(in_both, dtype=bool)], COST_SETTING[:-1])
    rows = []
    for setting in sorted(shared):
        samples = [_medians(part[setting], seed) for seed, part in enumerate(parts)]
        ratio = samples[1] / samples[0]
        row: dict[str, object] = dict(zip(COST_SETTING, setting, strict=True))
        row |= {"a_s": samples[0][0], "b_s": samples[1][0], **_bounds("ratio", "", ratio)}
        reference = (*setting[:-1], chosen.get(setting[:-1]))
        relative = np.full(DRAWS + 1, np.nan)
        if all(reference in part for part in parts):
            base = [_medians(part[reference], seed + 2) for seed, part in enumerate(parts)]
            relative = ratio / (base[1] / base[0])
        row |= {"reference": reference[-1]} | _bounds("relative", "relative_", relative)
        row |= {
            f"{name}_flops": found.get(setting, np.nan) for name, found in zip("ab", operations, strict=True)
        }
        rows.append(row)
    columns = [*COST_SETTING, "a_s", "b_s", "ratio", "low", "high"]
    columns += ["reference", "relative", "relative_low", "relative_high", "a_flops", "b_flops"]
    return pd.DataFrame(rows, columns=columns)


def _timed(records: Records) -> pd.DataFrame:
    return finished_costs(records.costs, records.trials)


def _medians(part: pd.DataFrame, seed: int) -> Array:
    """Return the median total, then resampled ones: processes with replacement, iterations within them."""
    generator = np.random.default_rng(seed)
    blocks = [own["total_s"].to_numpy(float) for _, own in part.groupby("process", sort=True)]
    medians = [float(part["total_s"].astype(float).median())]
    for _ in range(DRAWS):
        picked = [blocks[place] for place in generator.integers(len(blocks), size=len(blocks))]
        medians.append(
            float(np.median(np.concatenate([generator.choice(block, size=len(block)) for block in picked])))
        )
    return np.array(medians)


def _bounds(name: str, prefix: str, values: Array) -> dict[str, float]:
    if np.isnan(values[0]):
        return {name: float("nan"), f"{prefix}low": float("nan"), f"{prefix}high": float("nan")}
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return {name: float(values[0]), f"{prefix}low": float(low), f"{prefix}high": float(high)}


def _training(a: Records, b: Records) -> pd.DataFrame:
    keys = [*TRAINING_SETTING, "seed"]
    left, right = (final_values(records.trials, records.curves) for records in (a, b))
    both = left.merge(right, on=keys, suffixes=("_a", "_b"))
    # Runs of another length are other runs, whatever their seed.
    lengths = both[["iterations_a", "iterations_b"]].astype(float)
    both = both[lengths.isna().any(axis=1) | (lengths["iterations_a"] == lengths["iterations_b"])]
    rows = []
    for setting, part in both.groupby(TRAINING_SETTING, dropna=False, sort=True):
        ended = part[(part["status_a"] == "ok") & (part["status_b"] == "ok")]
        one, other = ended["final_loss_a"].astype(float), ended["final_loss_b"].astype(float)
        row: dict[str, object] = dict(zip(TRAINING_SETTING, setting, strict=True))
        row |= {"pairs": len(ended), "a_loss": one.median(), "b_loss": other.median()}
        row |= {"difference": (other - one).median(), "b_lower": int((other < one).sum())}
        row["equal"] = int((other == one).sum())
        row |= {f"{name}_diverged": int((part[f"status_{name}"] == "diverged").sum()) for name in "ab"}
        row |= {
            f"{name}_accuracy": ended[f"final_test_accuracy_{name}"].astype(float).median() for name in "ab"
        }
        rows.append(row)
    columns = [*TRAINING_SETTING, "pairs", "a_loss", "b_loss", "difference", "b_lower", "equal"]
    columns += ["a_diverged", "b_diverged", "a_accuracy", "b_accuracy"]
    return pd.DataFrame(rows, columns=columns)


def _only(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    setting = ["kind", "group", "problem", "optimizer"]
    merged = a[setting].drop_duplicates().merge(b[setting].drop_duplicates(), how="outer", indicator=True)
    missing = merged[merged["_merge"] != "both"]
    found = missing[setting].assign(
        store=missing["_merge"].map({"left_only": "A", "right_only": "B"}).astype(str)
    )
    return found.sort_values(["store", *setting], kind="stable").reset_index(drop=True)
