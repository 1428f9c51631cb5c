"""Checks of arguments: one `ValueError` or `TypeError` that names the argument, its value and what is accepted."""

import difflib
import math
import operator
from collections.abc import Iterable


def real(
    name: str,
    value: object,
    *,
    minimum: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """Return `value` as a finite float within the bounds (`minimum` inclusive, `above` and `below` exclusive)."""
    stated = ((">=", operator.ge, minimum), (">", operator.gt, above), ("<", operator.lt, below))
    bounds = [(sign, holds, bound) for sign, holds, bound in stated if bound is not None]
    accepted = "a finite number " + " and ".join(f"{sign} {bound:g}" for sign, _, bound in bounds)
    refused = f"{name} must be {accepted.strip()}, not {value!r}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(refused)
    if not math.isfinite(value) or not all(holds(value, bound) for _, holds, bound in bounds):
        raise ValueError(refused)
    return float(value)


def integer(name: str, value: object, *, minimum: int, maximum: int | None = None) -> int:
    """Return `value` as an int in [minimum, maximum]."""
    accepted = f"an integer >= {minimum}" + (f" and <= {maximum}" if maximum is not None else "")
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be {accepted}, not {value!r}")
    if value < minimum or (maximum is not None and value > maximum):
        raise ValueError(f"{name} must be {accepted}, not {value!r}")
    return value


def bits(name: str, value: object, *, minimum: int = 1) -> int | None:
    """Return a resolution in bits, `minimum` to 32, or None for an ideal one."""
    if value is None:
        return None
    try:
        return integer(name, value, minimum=minimum, maximum=32)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{error}; None means ideal") from None


def text(name: str, value: object) -> str:
    """Return `value`, which must be text that is not empty."""
    if not isinstance(value, str) or not value:
        raise TypeError(f"{name} must be text, not {value!r}")
    return value


def function(name: str, value: object) -> None:
    """Raise TypeError where `value` cannot be called."""
    if not callable(value):
        raise TypeError(f"{name} must be a function, not {value!r}")


def flag(name: str, value: object) -> bool:
    """Return `value`, which must be True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return value


def choice(name: str, value: object, options: Iterable[str]) -> str:
    """Return `value`, which must be one of `options`; a near miss is answered with a suggestion."""
    known = tuple(options)
    if isinstance(value, str) and value in known:
        return value
    raise ValueError(
        f"{name} must be one of: {accepted(value, known)}; not {value!r}{suggestion(value, known)}"
    )


MOST_NAMED = 20
"""Accepted names that an error lists; of more it has the nearest."""


def accepted(word: object, known: Iterable[str], all_of_them: str = "") -> str:
    """Return the accepted names as a list: all of a few; of many those nearest to `word`, and what prints the rest."""
    names = list(known)
    if len(names) <= MOST_NAMED:
        return ", ".join(names) or "none"
    near = _nearest(word, names, 5, 0.4) or names[:5]
    where = f"; `{all_of_them}` prints all" if all_of_them else ""
    return f"{', '.join(near)} and {len(names) - len(near)} more{where}"


def suggestion(word: object, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the nearest of `known`, or an empty string."""
    near = _nearest(word, known, 1, 0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def _nearest(word: object, known: Iterable[str], most: int, cutoff: float) -> list[str]:
    """Return the names that look most like `word` in any case, the nearest first."""
    spelt = {name.casefold(): name for name in known}
    return [spelt[near] for near in difflib.get_close_matches(str(word).casefold(), spelt, most, cutoff)]
