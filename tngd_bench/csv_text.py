"""Tables as CSV in which no text becomes a formula when a spreadsheet opens it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
_FORMULA = re.compile(r"[=+\-@\t\n＝＋－＠]")
_NUMBERS = re.compile(r"[+-](inf|[-+\d.,\s%eE×–()\[\]]*)")
"""A text such as "-0.3 [-0.5, -0.1]" can call nothing and stays as it is."""


def harmless(value: T) -> T | str:
    """Return a cell; text that a spreadsheet would take for a formula has an apostrophe in front, as OWASP advises.

    A lone carriage return, which ends a row for some readers and is not quoted, becomes a line end.
    """
    if not isinstance(value, str):
        return value
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if _FORMULA.match(text) and not _NUMBERS.fullmatch(text) else text


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """Return a frame as CSV without its index, every text and heading `harmless`."""
    texts = frame.select_dtypes(exclude=["number", "bool", "datetime"])
    cleaned = frame.assign(**{str(name): texts[name].map(harmless, na_action="ignore") for name in texts})
    return cleaned.rename(columns=harmless).to_csv(index=False, lineterminator="\n").encode()
