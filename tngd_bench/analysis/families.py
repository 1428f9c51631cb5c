"""Description of an optimizer in records: its title, its family, whether part of its time is modelled."""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from tngd_bench.analysis import optimizer_names
from tngd_bench.optimizers import registry
from tngd_bench.optimizers.families import FAMILIES
from tngd_bench.studies.file.optimizer_label import TUNED, label_texts
from tngd_bench.studies.store import columns as c


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
        return any(name == self.family and family.second_order for name, family in FAMILIES.items())

    @property
    def tuned(self) -> bool:
        """Whether it ran at settings that a search had found for it."""
        return TUNED in label_texts(self.label)

    @property
    def modelled(self) -> bool:
        """Whether part of its time per iteration is modelled and not measured."""
        return any(name == self.family and family.modelled for name, family in FAMILIES.items())


Infos = Mapping[str, OptimizerInfo]
"""Every optimizer of a study by its label."""


def optimizer_info(label: str, method: str, device: object = None) -> OptimizerInfo:
    """Describe `label`, an optimizer of registered name `method`.

    A method that is not registered here (a store from a machine with another plug-in) keeps its name as its
    title; it counts as thermodynamic if it ran on a device, and has the family "not registered" otherwise.
    """
    entry = registry.recorded(method)
    if entry is not None:
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
        for row in c.each(trials[[c.OPTIMIZER, c.METHOD, c.DEVICE]].drop_duplicates())
    }
    order = {name: place for place, name in enumerate(registry.names())}
    ranked = sorted(
        found.values(), key=lambda info: (order.get(info.method, math.inf), info.method, info.label)
    )
    return {info.label: info for info in ranked}


def device_title(infos: Infos, labels: Collection[str] | None = None) -> str:
    """Return the title, without settings, of the first optimizer on a device among `labels` (all); TNGD's for none."""
    modelled = (each for each in infos.values() if each.modelled and (labels is None or each.label in labels))
    found = next(modelled, None)
    if found is None:
        return registry.get("tngd").title
    entry = registry.recorded(found.method)
    return found.title if entry is None else entry.title


def titles(infos: Infos) -> dict[str, str]:
    """Return the title of every label."""
    return {label: info.title for label, info in infos.items()}


def tuned_on(study: Mapping[str, Any], problem: str = "") -> str:
    """Return the problem that the tuned settings of a study's sections on `problem` were found on.

    "" where there is no record of their search, or those of one problem are asked for and there are several.
    """
    found = (study.get("tuned_for") or {}).get(problem, study)
    record = found.get("tuning_record") or {}
    return str((record.get("search") or {}).get("problem") or "")


def named_tuned(infos: Infos, problem: str) -> dict[str, OptimizerInfo]:
    """Return `infos` with "tuned on `problem`" in the titles that say tuned."""
    return {
        label: replace(info, title=re.sub(r"(?<=[(, ])tuned(?=[,)])", f"tuned on {problem}", info.title))
        for label, info in infos.items()
    }
