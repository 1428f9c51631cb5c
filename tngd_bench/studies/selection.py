"""Optimizers as a study writes them: "tngd" or "tngd[analog_time=5, adc_bits=8]"."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

from tngd_bench.measure.contestant import Contestant
from tngd_bench.optimizers import registry
from tngd_bench.studies.errors import StudyError

IDEAL = "ideal"
_FORM = re.compile(r"(?P<name>[^\[\]]+)(\[(?P<settings>[^\[\]]*)\])?")


def parse_selection(label: str) -> tuple[str, dict[str, object]]:
    """Return the name and the settings written in brackets; StudyError when it cannot be read.

    Values are TOML scalars; a bare word is a string; "ideal" and "none" mean None.
    """
    match = _FORM.fullmatch(label.strip())
    if match is None:
        raise StudyError(f"{label!r} cannot be read; accepted: name or name[setting=value, …]")
    settings: dict[str, object] = {}
    for piece in (match["settings"] or "").split(","):
        if not piece.strip():
            continue
        key, equals, text = (part.strip() for part in piece.partition("="))
        if not (key and equals and text):
            raise StudyError(f"{label!r}: {piece.strip()!r} cannot be read; accepted: setting=value")
        if key in settings:
            raise StudyError(f"{label!r}: {key!r} is given twice")
        settings[key] = read_value(text)
    return match["name"].strip(), settings


def read_value(text: str) -> object:
    """Return the TOML value written in `text`; a bare word is a string, "ideal" and "none" are None."""
    if text.lower() in (IDEAL, "none"):
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if any(character in text for character in "\"'[]{}=\n"):
            raise StudyError(f"{text!r} cannot be read as a value") from None
        return text


def as_setting(value: object) -> object:
    """Return a setting's value from a study file, where the word "ideal" stands for None."""
    return None if value == IDEAL else value


def resolve(
    label: str, overrides: Mapping[str, Mapping[str, object]], swept: Mapping[str, object] | None = None
) -> Contestant:
    """Return the optimizer named by `label` with complete, checked settings.

    Later wins: the registry's defaults, the study's `overrides` for that optimizer, the brackets, `swept`.
    """
    name, given = parse_selection(label)
    try:
        entry = registry.get(name)
        from_study = {key: as_setting(value) for key, value in overrides.get(name, {}).items()}
        settings = {**from_study, **given, **(swept or {})}
        entry.check(settings)
        complete = {**entry.defaults, **settings}
        _check_together(complete)
    except (ValueError, TypeError) as error:
        where = f"{label!r}: " if label != name else ""
        raise StudyError(f"{where}{error}") from None
    return Contestant(label, name, complete, entry.simulated)


def _check_together(settings: Mapping[str, object]) -> None:
    """Refuse a delay that the device could not make; each setting alone is checked by the registry."""
    delay, time = settings.get("delay"), settings.get("analog_time")
    if not (isinstance(delay, int | float) and isinstance(time, int | float)):
        return
    if delay > time:
        raise ValueError(f"delay must be <= analog_time = {time:g}, not {delay:g}")
    if delay > 0 and settings.get("start") != "previous":
        raise ValueError(f"delay > 0 needs start = 'previous', not {settings.get('start')!r}")
