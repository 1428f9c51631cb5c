"""Descriptions of fields: a name in words, accepted values, unit and effect, kept as the metadata of a dataclass.

A field is described once, where it is declared. Argument checks, study settings, options of `predict`, names and units
in reports, the direction of a tolerance, and the tables of docs/device.md derive from it.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from types import MappingProxyType
from typing import Any, Literal

from tngd_bench import arguments
from tngd_bench.field_docstrings import field_docstrings

Milder = Literal["larger", "smaller", ""]
UNLIMITED = "unlimited"
"""Infinity as a word, for study files and stored JSON, which have no number for it."""


def in_words(value: Any) -> Any:
    """Return `value` as JSON can hold it: infinity as the word for it."""
    return UNLIMITED if isinstance(value, float) and value == math.inf else value


@dataclass(frozen=True)
class Accepted:
    """The values that a field takes: in `text` for the docs, and as a check that returns the value."""

    text: str
    check: Callable[[str, object], object]
    words: tuple[str, ...] = ()
    """All accepted words, where the values are words."""
    whole: bool = False
    """Whether the values are whole numbers."""


def whole(minimum: int, maximum: int | None = None) -> Accepted:
    """Whole numbers from `minimum` to `maximum`."""
    text = f"≥ {minimum}" if maximum is None else f"{minimum} to {maximum}"
    return Accepted(text, partial(arguments.integer, minimum=minimum, maximum=maximum), whole=True)


def bits(minimum: int = 1) -> Accepted:
    """Resolutions in bits."""
    return Accepted(f"{minimum} to 32", partial(arguments.bits, minimum=minimum), whole=True)


def choice(*words: str) -> Accepted:
    """One of `words`."""
    return Accepted(", ".join(words), lambda name, value: arguments.choice(name, value, words), words)


def _rate(name: str, value: object) -> float:
    if value in (math.inf, UNLIMITED):
        return math.inf
    try:
        return arguments.real(name, value, above=0.0)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{error}; {UNLIMITED!r} means no time") from None


POSITIVE = Accepted("> 0", partial(arguments.real, above=0.0))
NON_NEGATIVE = Accepted("≥ 0", partial(arguments.real, minimum=0.0))
FRACTION = Accepted("≥ 0 and < 1", partial(arguments.real, minimum=0.0, below=1.0))
RATE = Accepted(f"> 0, or {UNLIMITED}", _rate)
LINK_RATE = Accepted(
    RATE.text, lambda name, value: None if (rate := _rate(name, value)) == math.inf else rate
)
"""As a rate, with None for a link that takes no time."""
FLAG = Accepted("true, false", arguments.flag, ("true", "false"))


@dataclass(frozen=True)
class FieldInfo:
    """Description of one field; what it means in a sentence or two is the docstring below it."""

    title: str
    """The name in words, as reports print it."""
    accepted: Accepted
    part: str = ""
    """The part of the device that it describes."""
    milder: Milder = ""
    """Which values make a better device."""
    symbol: str = ""
    unit: str = ""
    scale: str = ""
    """What a value without a unit is measured in, for the axis of a chart."""
    absent: str = "ideal"
    """The meaning of None, for a field that may be None."""
    random: str = ""
    """When its random part is drawn; empty for a field without one."""
    imperfection: bool = False
    """Whether, neither None nor zero, it makes the solution differ from an ideal device's."""

    @property
    def needs_arrays(self) -> bool:
        """Whether it is an imperfection of single cells, so that a simulation must form the arrays."""
        return self.imperfection and self.part in ("array", "amplifier")


def described(
    title: str, accepted: Accepted, part: str = "", milder: Milder = "", *, default: Any = None, **info: Any
) -> Any:
    """A dataclass field with a `default` and a description; the further keywords are fields of `FieldInfo`."""
    return dataclasses.field(
        default=default, metadata={"info": FieldInfo(title, accepted, part, milder, **info)}
    )


imperfection = partial(described, imperfection=True)
"""A field that makes the solution differ from an ideal device's."""


def price(title: str, part: str, unit: str) -> Any:
    """A field for a time or an energy, None where it is not stated."""
    return described(title, NON_NEGATIVE, part, "smaller", unit=unit, absent="not stated")


@cache
def field_infos(owner: type) -> Mapping[str, FieldInfo]:
    """Return the described fields of a dataclass, by name."""
    found = {field.name: field.metadata.get("info") for field in dataclasses.fields(owner)}
    return MappingProxyType({name: info for name, info in found.items() if info is not None})


def check_fields(owner: Any) -> None:
    """Check the described fields of a new, frozen `owner`: TypeError or ValueError for a value that is not accepted."""
    for field in dataclasses.fields(owner):
        info: FieldInfo | None = field.metadata.get("info")
        value = getattr(owner, field.name)
        if info is None or (value is None and field.default is None):
            continue
        checked = info.accepted.check(field.name, value)
        if value in (UNLIMITED, math.inf):
            object.__setattr__(owner, field.name, checked)


def markdown_table(owner: type) -> str:
    """Return the described fields of a class as a table in Markdown, a row each, in the order of the class."""
    texts, rows = field_docstrings(owner), []
    defaults = {field.name: field.default for field in dataclasses.fields(owner)}
    for name, info in field_infos(owner).items():
        value = info.absent if defaults[name] is None else defaults[name]
        default = f"{value:g}" if isinstance(value, float) else str(value).lower()
        meaning = f"{info.symbol}: {texts[name]}" if info.symbol else texts[name]
        marks = (info.milder, info.random, "yes" if info.imperfection else "")
        rows.append((f"`{name}`", info.part, meaning, info.unit, info.accepted.text, default, *marks))
    columns = ("field", "part", "meaning", "unit", "accepted", "default", "milder", "random", "imperfection")
    used = [place for place in range(len(columns)) if any(row[place] for row in rows)]
    lines = [columns, ("---",) * len(columns), *rows]
    cells = [[line[place].replace("|", r"\|") for place in used] for line in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)
