"""Tables of the report: cells of text with the numbers behind them, and the frame a table was made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost.caveats import NOT_STATED
from tngd_bench.analysis.families import Infos
from tngd_bench.report.document.scales import SIGNS
from tngd_bench.studies.store import columns as c

MEASURED, MODELLED, COUNTED = "measured", "modelled", "counted"
TOTAL = "measured digital + modelled device"


class Cell(str):
    """The text of a cell with the `value` that it writes and is sorted by; NaN where it stands for no number."""

    value: float

    def __new__(cls, value: float | None, text: str) -> Cell:
        """Return the text with its value; None counts as NaN."""
        cell = super().__new__(cls, text)
        cell.value = np.nan if value is None or pd.isna(value) else float(value)
        return cell


def number(
    value: float | None, write: Callable[[float], str] = quantities.count, before: str = "", none: str = ""
) -> Cell:
    """Return the cell of a number as `write` writes it, after the text `before`; `none` in place of a missing one."""
    missing = value is None or (bool(none) and pd.isna(value))
    return Cell(value, none if missing else f"{before}{write(value)}")  # type: ignore[arg-type]  # no None


@dataclass(frozen=True)
class Column:
    """A column: heading, how an item's text is made, clock ("" for none), and whether its cells are numbers."""

    title: str
    cell: Callable[[Any], str] = str
    clock: str = ""
    numeric: bool = True

    @property
    def heading(self) -> str:
        """The title, with the clock where there is one."""
        return f"{self.title} ({self.clock})" if self.clock else self.title


def amount(
    title: str,
    name: str,
    write: Callable[[float], str] = quantities.count,
    clock: str = "",
    none: str = "",
) -> Column:
    """Return a column of numbers, those of the attribute `name` of each item, `none` in place of missing ones."""
    return Column(title, lambda item: number(getattr(item, name), write, none=none), clock)


def words(title: str, cell: Callable[[Any], object] = str) -> Column:
    """Return a column of text."""
    return Column(title, lambda item: str(cell(item)), numeric=False)


def share(title: str, part: str, whole: str, note: Callable[[Any], str] = lambda item: "") -> Column:
    """Return a column of e.g. "3 of 5", of two attributes of each item, with a `note` behind."""

    def cell(item: Any) -> Cell:
        value = getattr(item, part)
        return Cell(value, f"{value} of {getattr(item, whole)}{note(item)}")

    return Column(title, cell)


def optimizer_column(infos: Infos) -> Column:
    """Return the column with the titles of optimizers."""
    return words("optimizer", lambda row: infos[str(row.optimizer)].title)


SECTION = words("section", lambda row: row.group)
RECORDS = words("records", lambda row: short_keys(row.keys))
"""Records stand on the page alone: elsewhere there is nothing that they lead to."""


@dataclass(frozen=True)
class Table:
    """A table: `name` (a slug), caption, columns, rows of text (the first cell names the row), data behind it.

    `anchors`: for each row the place on the page that its first cell leads to; none where left out. `whole`: a document
    has all rows, and not the first ones.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    data: pd.DataFrame
    anchors: tuple[str, ...] = ()
    whole: bool = False

    def without_records(self) -> Table:
        """Return the table without its columns of records."""
        kept = [column.title != RECORDS.title for column in self.columns]
        rows = tuple(tuple(compress(row, kept)) for row in self.rows)
        return replace(self, columns=tuple(compress(self.columns, kept)), rows=rows, anchors=())


def table_of(
    name: str,
    caption: str,
    columns: Sequence[Column],
    items: pd.DataFrame | Iterable[Any],
    data: pd.DataFrame | None = None,
) -> Table:
    """Return the table with a row for each of `items`; the rows of a frame, which is the data then."""
    if isinstance(items, pd.DataFrame):
        data, items = (items.reset_index(drop=True) if data is None else data), c.each(items)
    rows = tuple(tuple(column.cell(item) for column in columns) for item in items)
    assert data is not None
    return Table(name, caption, tuple(columns), rows, data)


def text_table(
    name: str,
    caption: str,
    titles: Sequence[str],
    rows: Iterable[tuple[str, ...]],
    data: pd.DataFrame | None = None,
    anchors: tuple[str, ...] = (),
) -> Table:
    """Return a table of words under `titles`; the rows themselves are the data behind it unless other are given."""
    rows = tuple(rows)
    shown = tuple(words(title) for title in titles)
    if data is None:
        data = pd.DataFrame(rows, columns=list(titles))
    return Table(name, caption, shown, rows, data, anchors)


def short_keys(keys: Iterable[str]) -> str:
    """Return record keys with each file named once: "a.json #0 #1, b.json #0"."""
    by_file: dict[str, list[str]] = {}
    for key in sorted(keys):
        file, _, entry = key.rpartition("#")
        by_file.setdefault(file or key, []).append(f"#{entry}" if file else "")
    return ", ".join(" ".join([file, *entries]).strip() for file, entries in by_file.items())


def sorted_rows(frame: pd.DataFrame, by: Sequence[str], infos: Infos) -> pd.DataFrame:
    """Return the rows sorted by columns: optimizers as the report orders them, sizes' axes as in its text."""
    places = {c.OPTIMIZER: list(infos), "axis": list(SIGNS)}

    def place(column: pd.Series) -> pd.Series:
        order = places.get(str(column.name))
        return column if order is None else column.map({name: place for place, name in enumerate(order)})

    return frame.sort_values(list(by), kind="stable", key=place).reset_index(drop=True)


def span_text(values: Iterable[float]) -> str:
    """Return the least and the largest of values that are known, e.g. "32 to 1,024"; one where they are the same."""
    known = pd.Series(values).dropna()
    return " to ".join(dict.fromkeys(quantities.count(float(end)) for end in (known.min(), known.max())))


def level_text(value: float) -> str:
    """Return a swept value, "ideal" where there is none."""
    return "ideal" if pd.isna(value) else quantities.level(value)


def size_text(row: Any) -> str:
    """Return e.g. "digits-mlp, N = 1,000"."""
    return f"{row.problem}, N = {quantities.count(row.parameters)}"


def size_and_batch(row: Any) -> str:
    """Return the size of a model and its batch: "N = 1,234, b = 32, d_z = 10"."""
    return f"N = {quantities.count(row[c.PARAMETERS])}, b = {row[c.BATCH_SIZE]}, d_z = {row[c.OUTPUTS]}"


def stated_seconds(value: float) -> Cell:
    """Return the seconds of an item of a device's bill, "not stated" for NaN."""
    return number(value, quantities.seconds, none=NOT_STATED)
