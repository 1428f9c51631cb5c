"""The number behind a cell as it is printed, so that a table can be sorted by it."""

from __future__ import annotations

import math
import re

_PLAIN = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")
_NUMBER = re.compile(
    r"^[<>≈≤≥×/÷ ]*(?P<mantissa>[−-]?\d[\d,]*(?:\.\d+)?)(?:·10(?P<power>[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?(?P<bare>[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?"
    r"\s*(?P<unit>[^\s\[\d·,]+)?"
)
_UNITS = {
    "ns": 1e-9,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "pJ": 1e-12,
    "nJ": 1e-9,
    "µJ": 1e-6,
    "mJ": 1e-3,
    "J": 1.0,
    "kJ": 1e3,
    "B": 1.0,
    "KiB": 2.0**10,
    "MiB": 2.0**20,
    "GiB": 2.0**30,
    "TiB": 2.0**40,
    "b/s": 1.0,
    "kb/s": 1e3,
    "Mb/s": 1e6,
    "Gb/s": 1e9,
    "Tb/s": 1e12,
    "Pb/s": 1e15,
}


def sort_key(text: str) -> float | None:
    """Return the first number of a cell in its base unit (seconds, bytes, …); None where it holds none."""
    stripped = text.strip()
    if stripped.startswith("∞"):
        return math.inf
    found = _NUMBER.match(stripped)
    if found is None:
        return None
    mantissa = float(found["mantissa"].translate(_PLAIN).replace(",", ""))
    if found["power"]:
        mantissa *= 10.0 ** int(found["power"].translate(_PLAIN))
    elif found["bare"]:
        mantissa = mantissa ** int(found["bare"].translate(_PLAIN))
    return mantissa * _UNITS.get(found["unit"] or "", 1.0)
