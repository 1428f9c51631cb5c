"""Going through a frame row by row."""

from collections.abc import Iterator
from typing import Any

import pandas as pd


def each(frame: pd.DataFrame) -> Iterator[Any]:
    """Return the rows of `frame` as named tuples; the type of a field is known only to who wrote the column."""
    return iter(frame.itertuples(index=False))
