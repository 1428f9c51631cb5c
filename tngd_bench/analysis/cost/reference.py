"""The optimizer that others are measured relative to: SGD, in whichever settings it ran."""

from collections.abc import Sequence

import pandas as pd

from tngd_bench.studies.file.optimizer_label import TUNED, label_texts
from tngd_bench.studies.store import columns as c

REFERENCE = "sgd"


def reference_label(timed: pd.DataFrame) -> str | None:
    """Return the label of SGD among the rows of one setting (columns optimizer, method), None where it did not run.

    Of several, the one as registered comes first, then the tuned one, then the one with the fewest settings.
    """
    ran = timed.loc[timed[c.METHOD] == REFERENCE, c.OPTIMIZER]
    labels = sorted({str(label) for label in ran}, key=_rank)
    return labels[0] if labels else None


def references(timed: pd.DataFrame, setting: Sequence[str]) -> dict[tuple[object, ...], str]:
    """Return `reference_label` of every `setting` in `timed` that has one, by its values."""
    found = {}
    for values, part in timed.groupby(list(setting), sort=True):
        label = reference_label(part)
        if label is not None:
            found[tuple(values)] = label
    return found


def _rank(label: str) -> tuple[int, bool, str]:
    texts = label_texts(label)
    return (len(texts.keys() - {TUNED}), TUNED in texts, label)
