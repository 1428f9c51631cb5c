"""Groups of optimizers that share a figure, where a section trained more than one figure can show."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tngd_bench.analysis.families import Infos, optimizer_info
from tngd_bench.analysis.optimizer_names import SIGNS
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.setting_names import parameter_name
from tngd_bench.studies.file.optimizer_label import label_texts
from tngd_bench.studies.store import columns as c

MOST_LINES = 10
"""More lines than this in one figure cannot be told apart."""


@dataclass(frozen=True)
class LineGroup:
    """The optimizers `labels` of one figure; `method` and `varied` say which settings differ, "" and () for the main
    figure."""

    labels: tuple[str, ...]
    method: str = ""
    varied: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """Return e.g. "TNGD with other t and κ₀", "" for the main figure."""
        if not self.method:
            return ""
        signs = [SIGNS[name][0] if name in SIGNS else parameter_name(name) for name in self.varied]
        return f"{optimizer_info(self.method, self.method).title} with other {' and '.join(signs)}"


def line_groups(infos: Infos, present: Collection[str]) -> list[LineGroup]:
    """Return the optimizers `present` of one section, grouped into figures, in the order of `infos`.

    All in one where they are few. Else the main figure has each method at its own settings and tuned; further settings
    of a method have a figure for every set of names they change, with what they start from.
    """
    labels = [label for label in infos if label in present]
    texts = {label: label_texts(label) for label in labels}
    changes = {
        label: {name: str(value) for name, value in own.items() if value is not True}
        for label, own in texts.items()
    }
    if len(labels) <= MOST_LINES or not any(changes.values()):
        return [LineGroup(tuple(labels))]
    by_method: dict[str, list[str]] = {}
    for label in labels:
        by_method.setdefault(infos[label].method, []).append(label)

    def place(label: str) -> tuple[object, ...]:
        return _place(changes[label])

    main = [label for label in labels if not changes[label]]
    main += [min(own, key=place) for own in by_method.values() if not set(own) & set(main)]
    others: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for label in labels:
        if label not in main:
            others.setdefault((infos[label].method, tuple(changes[label])), []).append(label)
    groups = [LineGroup(tuple(label for label in labels if label in main))]
    for (method, varied), members in others.items():
        starts = [
            label
            for label in by_method[method]
            if "tuned" not in texts[label]
            and any(changes[label].items() < changes[member].items() for member in members)
        ]
        groups.append(LineGroup(tuple(sorted({*starts, *members}, key=place)), method, varied))
    return groups


def main_trials(results: Results) -> pd.DataFrame:
    """Return the trials of the optimizers that are in the main figure of their section."""
    shown = pd.Series(True, index=results.trials.index)
    for _, part in results.of_kind("training").groupby(c.GROUP):
        main = line_groups(results.infos, set(part[c.OPTIMIZER]))[0].labels
        shown.loc[part.index] = part[c.OPTIMIZER].isin(main)
    return results.trials[shown]


def with_clock(trials: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Return the rows of `trials` whose optimizer has a cost per iteration in its section, and a time on its device."""
    unstated, untimed = results.unstated("training"), results.untimed
    known = [
        label not in unstated and label not in untimed.get(group, ())
        for group, label in zip(trials[c.GROUP], trials[c.OPTIMIZER], strict=True)
    ]
    return trials[np.array(known, dtype=bool)]


def _place(changed: Mapping[str, str]) -> tuple[object, ...]:
    """Return a sort key: fewest changes first, then by value, numbers as numbers."""
    values = []
    for value in changed.values():
        try:
            values.append((0, float(value), ""))
        except ValueError:
            values.append((1, 0.0, value))
    return (len(changed), *values)
