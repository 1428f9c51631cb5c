"""Rows of a study's frames: those with given values, and all of them one by one."""

from collections.abc import Iterator
from typing import Any

import pandas as pd


def only(frame: pd.DataFrame, **values: object) -> pd.DataFrame:
    """Return the rows of `frame` that have these values in these columns."""
    chosen = pd.Series(True, index=frame.index)
    for column, value in values.items():
        chosen &= frame[column] == value
    return frame[chosen]


def each(frame: pd.DataFrame) -> Iterator[Any]:
    """Return the rows of `frame` as named tuples; the type of a field is known only to who wrote the column."""
    return iter(frame.itertuples(index=False))
