"""Description of an optimizer in records: its title, its family, whether part of its time is modelled."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from tngd_bench.analysis import optimizer_names
from tngd_bench.optimizers import registry
from tngd_bench.studies.file.optimizer_label import TUNED, label_texts
from tngd_bench.studies.store.columns import each

SECOND_ORDER = ("kfac", "natural-gradient", "thermodynamic")
# The exact natural gradients give the same step; the cheapest to run stands for them in comparisons of loss.
EXACT_NATURAL = ("ngd-gram", "ngd-woodbury", "ngd", "ngd-cg")


@dataclass(frozen=True)
class OptimizerInfo:
    """An optimizer as written in a study: `label` with its settings, registered `method`, `family`, `title`."""

    label: str
    method: str
    family: str
    title: str

    @property
    def second_order(self) -> bool:
        """Whether it uses curvature."""
        return self.family in SECOND_ORDER

    @property
    def tuned(self) -> bool:
        """Whether it ran at settings that a search had found for it."""
        return TUNED in label_texts(self.label)

    @property
    def modelled(self) -> bool:
        """Whether part of its time per iteration is modelled and not measured."""
        return self.family == "thermodynamic"


def optimizer_info(label: str, method: str, device: object = None) -> OptimizerInfo:
    """Describe `label`, an optimizer of registered name `method`.

    A method that is not registered here (a store from a machine with another plug-in) keeps its name as its
    title; it counts as thermodynamic if it ran on a device, and has the family "not registered" otherwise.
    """
    if registry.is_known(method):
        entry = registry.get(method)
        family, title = str(entry.family), entry.title
    else:
        on_device = isinstance(device, str) and device != ""
        family, title = ("thermodynamic" if on_device else "not registered"), method
    return OptimizerInfo(label, method, family, optimizer_names.name(title, label_texts(label)))


def optimizer_infos(trials: pd.DataFrame) -> dict[str, OptimizerInfo]:
    """Describe every optimizer label in `trials` (columns optimizer, method, device), in one fixed order.

    The order is that of the registry, then of the names; variants of one method stand together.
    """
    found = {
        str(row.optimizer): optimizer_info(str(row.optimizer), str(row.method), row.device)
        for row in each(trials[["optimizer", "method", "device"]].drop_duplicates())
    }
    order = {name: place for place, name in enumerate(registry.names())}
    return dict(
        sorted(found.items(), key=lambda item: (order.get(item[1].method, math.inf), item[1].method, item[0]))
    )


def titles(infos: Mapping[str, OptimizerInfo]) -> dict[str, str]:
    """Return the title of every label."""
    return {label: info.title for label, info in infos.items()}


def tuned_on(study: Mapping[str, Any], problem: str = "") -> str:
    """Return the problem that the tuned settings of a study's sections on `problem` were found on.

    "" where there is no record of their search, or those of one problem are asked for and there are several.
    """
    found = (study.get("tuned_for") or {}).get(problem, study)
    record = found.get("tuning_record") or {}
    return str((record.get("search") or {}).get("problem") or "")


def named_tuned(infos: Mapping[str, OptimizerInfo], problem: str) -> dict[str, OptimizerInfo]:
    """Return `infos` with "tuned on `problem`" in the titles that say tuned."""
    return {
        label: replace(info, title=re.sub(r"(?<=[(, ])tuned(?=[,)])", f"tuned on {problem}", info.title))
        for label, info in infos.items()
    }


def first_present(
    labels: Iterable[str], methods: Iterable[str], infos: Mapping[str, OptimizerInfo]
) -> str | None:
    """Return the first label whose method is the earliest of `methods` that occurs; None if none does."""
    present = list(labels)
    for method in methods:
        for label in present:
            if infos[label].method == method:
                return label
    return None
