"""Record of changes to the numbers of processes and seeds after the first results.

Adding processes until a ratio is decided finds a difference in about 1 of 7 cases where there is none. So the numbers
are fixed before the first result, and a later change is written into the store's study and reported on its page.
"""

from collections.abc import Iterator, Mapping
from typing import Any

FIELD = "numbers_changed"
"""Entry of a store's study: section, what ("processes" or "seeds") and each number that it had, in order."""
_COUNTED = (("cost", "processes"), ("training", "seeds"))


def numbers_changed(earlier: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a store's study says of changes, `earlier` being the study whose results are in the store."""
    if earlier is None:
        return []
    changes = {(each["section"], each["what"]): list(each["numbers"]) for each in earlier.get(FIELD, ())}
    before = {(section, what): number for section, what, number in _numbers(earlier)}
    for section, what, number in _numbers(now):
        number_before = before.get((section, what), number)
        if number_before != number:
            changes[section, what] = [*(changes.get((section, what)) or [number_before]), number]
    return [
        {"section": section, "what": what, "numbers": numbers} for (section, what), numbers in changes.items()
    ]


def changes_in_words(study: Mapping[str, Any]) -> str:
    """Return e.g. "size: 3, then 5 processes"; "" where all numbers are those of the first results."""
    return "; ".join(
        f"{each['section']}: {', then '.join(map(str, each['numbers']))} {each['what']}"
        for each in study.get(FIELD, ())
    )


def _numbers(study: Mapping[str, Any]) -> Iterator[tuple[str, str, int]]:
    for kind, what in _COUNTED:
        for section in study.get(kind) or ():
            if what in section:
                yield str(section["name"]), what, int(section[what])
