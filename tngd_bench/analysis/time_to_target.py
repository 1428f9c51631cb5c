"""Time to a target fixed beforehand, with the hit rate; a miss is censored and counts as ∞.

No mean is taken over imputed values: the median over all trials is ∞ once half of them miss. A diverged or
timed-out trial is a miss; a skipped or failed one was not a try and is counted apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

_TRIED = ("ok", "diverged", "timed-out")
_METRICS = ("test_accuracy", "train_accuracy", "train_loss", "test_loss")
_CLOCKS = {"iterations": "iteration", "measured": "measured_s", "modelled": "modelled_s"}


@dataclass(frozen=True)
class Target:
    """`metric` reaches `value` (an accuracy from below, a loss from above); `provenance` says where it comes from."""

    metric: str
    value: float
    provenance: str

    def __post_init__(self) -> None:
        if self.metric not in _METRICS:
            raise ValueError(f"metric must be one of {', '.join(_METRICS)}, not {self.metric!r}")

    def reached(self, values: pd.Series) -> pd.Series:
        """Return where `values` meet the target; NaN does not."""
        return values >= self.value if self.metric.endswith("accuracy") else values <= self.value

    def describe(self) -> str:
        """Return e.g. "test accuracy ≥ 90 %"."""
        name = self.metric.replace("_", " ")
        if self.metric.endswith("accuracy"):
            return f"{name} ≥ {100 * self.value:g} %"
        return f"{name} ≤ {self.value:g}"


DEFAULT_TARGETS = tuple(
    Target(
        "test_accuracy", value, "round number fixed in this version of tngd-bench, not tuned on these data"
    )
    for value in (0.80, 0.90, 0.95)
)


def study_targets(study: Mapping[str, object]) -> dict[str, tuple[Target, ...]]:
    """Return the targets of each training section of `study`, by group name.

    A section states them as `targets = [{metric, value, provenance}, …]`; one without has `DEFAULT_TARGETS`.
    """
    sections = study.get("training")
    found: dict[str, tuple[Target, ...]] = {}
    for section in sections if isinstance(sections, Sequence) else ():
        stated = section.get("targets") or ()
        targets = tuple(
            Target(str(t["metric"]), float(t["value"]), str(t.get("provenance", "stated in the study file")))
            for t in stated
        )
        found[str(section["name"])] = targets or DEFAULT_TARGETS
    return found


def time_to_target(
    trials: pd.DataFrame, curves: pd.DataFrame, targets: Mapping[str, Sequence[Target]]
) -> pd.DataFrame:
    """Return one row per group, optimizer and target.

    Columns: group, optimizer, target, provenance, `hits`, `tries`, `not_tried`, and quartiles `_q1`, `_median`, `_q3`
    over the tries of `iterations`, `measured` (seconds inside step()) and `modelled` (seconds, measured digital +
    modelled device), ∞ where that quantile is a miss. Quantiles are order statistics (the higher of two
    neighbours), so a finite value is always one that some trial took.
    """
    training = trials[(trials["kind"] == "training") & trials["sweep_parameter"].isna()]
    by_key = {key: run.sort_values("iteration") for key, run in curves.groupby("key", sort=False)}
    rows = []
    for (group, optimizer), part in training.groupby(["group", "optimizer"], sort=True):
        tried = part[part["status"].isin(_TRIED)]
        for target in targets.get(str(group), DEFAULT_TARGETS):
            times = [_first_hit(by_key.get(key), target) for key in sorted(tried["key"])]
            row: dict[str, object] = {"group": group, "optimizer": optimizer, "target": target.describe()}
            row |= {"provenance": target.provenance, "tries": len(times), "not_tried": len(part) - len(times)}
            row["hits"] = sum(np.isfinite(time["iterations"]) for time in times)
            for name in _CLOCKS:
                values = np.array([time[name] for time in times])
                for quantile, mark in ((0.25, "q1"), (0.5, "median"), (0.75, "q3")):
                    level = np.quantile(values, quantile, method="higher") if len(values) else np.nan
                    row[f"{name}_{mark}"] = float(level)
            rows.append(row)
    marks = [f"{name}_{mark}" for name in _CLOCKS for mark in ("q1", "median", "q3")]
    columns = ["group", "optimizer", "target", "provenance", "hits", "tries", "not_tried", *marks]
    return pd.DataFrame(rows, columns=columns)


def _first_hit(curve: pd.DataFrame | None, target: Target) -> dict[str, float]:
    if curve is not None:
        hits = curve[target.reached(curve[target.metric].astype(float))]
        if len(hits):
            return {name: float(hits[column].iloc[0]) for name, column in _CLOCKS.items()}
    return dict.fromkeys(_CLOCKS, float("inf"))
