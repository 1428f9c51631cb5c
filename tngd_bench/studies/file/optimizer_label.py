"""Optimizers as a study writes them: "tngd", "tngd[analog_time=5, adc_bits=8]", "adam[tuned]"."""

import itertools
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tngd_bench import arguments
from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.optimizers import registry
from tngd_bench.spu.description import DEVICE_FIELDS
from tngd_bench.spu.device import Device
from tngd_bench.spu.field_info import in_words
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file import tuned_sets
from tngd_bench.studies.file.schema import Study
from tngd_bench.studies.file.toml_lines import written_key

IDEAL = "ideal"
TUNED = "tuned"
_FORM = re.compile(r"(?P<name>[^\[\]]+)(\[(?P<inside>.*)\])?", re.DOTALL)
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?")
_FORMS = "name, name[setting=value, …] or name[tuned, …]"
_NAMES_A_DEVICE = ("device", "base")
_LARGEST_GRID = 10_000
SettingsByName = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True)
class OptimizerLabel:
    """A label without lists: the optimizer, its settings, and whether those that a search has found are taken too."""

    name: str
    settings: Mapping[str, object]
    tuned: bool = False


def read_label(label: str) -> OptimizerLabel:
    """Return the method and settings of a label without lists; StudyError when it cannot be read.

    Values are TOML scalars; a bare word is a string; "ideal" and "none" mean None.
    """
    name, tuned, texts = _parse_single(label)
    settings = {key: read_value(text) for key, text in texts.items()}
    settings |= {key: IDEAL for key in _NAMES_A_DEVICE if settings.get(key, "") is None}
    return OptimizerLabel(name, settings, tuned)


def label_texts(label: str) -> dict[str, str | bool]:
    """Return what stands in the brackets of a label without lists, as it is written; StudyError if it cannot be read.

    "tngd[delay=1,adc_bits=8]" gives {"delay": "1", "adc_bits": "8"}, "adam[tuned]" gives {"tuned": True}.
    """
    _, tuned, texts = _parse_single(label)
    return {TUNED: True} | texts if tuned else {**texts}


def usual_form(label: str) -> str:
    """Return the label with its blanks as usual: "tngd[delay=1, adc_bits=8]" for "tngd[delay=1,adc_bits=8]"."""
    name, tuned, choices = _parse(label)
    texts = {key: text if isinstance(text, str) else f"[{', '.join(text)}]" for key, text in choices.items()}
    return _written(name, tuned, texts)


def expand_label(label: str) -> tuple[str, ...]:
    """Return the labels that one with lists stands for: every combination, the last list varying fastest.

    "tngd[analog_time=[5, 10]]" is "tngd[analog_time=5]" and "tngd[analog_time=10]"; a label without lists is itself.
    """
    name, tuned, choices = _parse(label)
    if all(isinstance(text, str) for text in choices.values()):
        return (label,)
    lists = [(text,) if isinstance(text, str) else text for text in choices.values()]
    number = math.prod(map(len, lists))
    if number > _LARGEST_GRID:
        raise StudyError(f"{label!r} stands for {number} optimizers; accepted: at most {_LARGEST_GRID}")
    combinations = (dict(zip(choices, texts, strict=True)) for texts in itertools.product(*lists))
    return tuple(_written(name, tuned, texts) for texts in combinations)


def _written(name: str, tuned: bool, texts: Mapping[str, str]) -> str:
    inside = [TUNED] * tuned + [f"{key}={text}" for key, text in texts.items()]
    return f"{name}[{', '.join(inside)}]" if inside else name


def read_value(text: str) -> object:
    """Return the TOML value written in `text`; a bare word is a string, "ideal" and "none" are None."""
    if text.lower() in (IDEAL, "none"):
        return None
    if _DECIMAL.fullmatch(text):  # as TOML reads it, without its parser: a grid has thousands of numbers
        return float(text) if set(text) & set(".eE") else int(text)
    try:
        return in_words(tomllib.loads(f"value = {text}")["value"])
    except (tomllib.TOMLDecodeError, ValueError, RecursionError):
        if any(character in text for character in "\"'[]{}=\n"):
            raise StudyError(f"{text!r} cannot be read as a value") from None
        return text


def as_setting(key: str, value: object) -> object:
    """Return a setting's value from a study file, where the word "ideal" stands for None, but names a device too."""
    return None if value == IDEAL and key not in _NAMES_A_DEVICE else value


def config_of(
    study: Study, label: str, problem: str, swept: Mapping[str, object] | None = None
) -> OptimizerConfig:
    """Return the optimizer that `label` means in a section of `study` on `problem`, with complete, checked settings.

    StudyError where it means none.
    """
    read = read_label(label)
    if read.tuned:
        try:
            tuned_sets.refuse_elsewhere(study, read.name, problem)
        except ValueError as error:
            raise StudyError(f"{label!r}: {error}") from None
    tuned = tuned_sets.settings_on(study, problem)
    return resolve(label, study.optimizer, swept, tuned=tuned, devices=study.device)


def resolve(
    label: str,
    overrides: SettingsByName,
    swept: Mapping[str, object] | None = None,
    *,
    tuned: SettingsByName | None = None,
    devices: SettingsByName | None = None,
) -> OptimizerConfig:
    """Return the optimizer named by `label` with complete, checked settings.

    Later wins: the registry's defaults, the study's `overrides` for that optimizer, its `tuned` settings where the
    label asks for them, the brackets, `swept`. `devices` are the study's own.
    """
    read = read_label(label)
    name = read.name
    try:
        entry = registry.get(name)
        given = {key: as_setting(key, value) for key, value in overrides.get(name, {}).items()}
        if read.tuned:
            given |= _tuned_settings(name, tuned or {})
        given |= {**read.settings, **(swept or {})}
        given = _with_own_device(given, devices or {})
        entry.check(given)
        complete = _without_preset({**entry.defaults, **given}, given)
        entry.check_complete(complete)
    except (ValueError, TypeError) as error:
        where = f"{label!r}: " if label != name else ""
        raise StudyError(f"{where}{error}") from None
    return OptimizerConfig(label, name, complete, entry.simulated)


def _tuned_settings(name: str, tuned: SettingsByName) -> dict[str, object]:
    if name not in tuned:
        raise ValueError(
            f"the study has no [tuned.{written_key(name)}] table; `tngd-bench tune STUDY` makes one, "
            'and include = ["FILE"] takes the file it writes'
        )
    return {key: as_setting(key, value) for key, value in tuned[name].items()}


def _with_own_device(settings: dict[str, object], devices: SettingsByName) -> dict[str, object]:
    """Put the description of a device of the study in the place of its name."""
    device = settings.get("device")
    if not isinstance(device, str):
        return settings
    if device in devices:
        fields = {key: as_setting(key, value) for key, value in devices[device].items() if key != "source"}
        return settings | {"device": {"name": device, **fields}}
    arguments.choice("device", device, (*Device.presets(), *devices))
    return settings


def _without_preset(settings: dict[str, object], given: Mapping[str, object]) -> dict[str, object]:
    """Describe the device again where "ideal" was asked of a field for which it has a value.

    A field that is None among an optimizer's settings keeps the device's own value, so this is said to the device.
    """
    cleared = [name for name, value in given.items() if value is None and name in DEVICE_FIELDS]
    described = settings.get("device")
    if not cleared or not isinstance(described, str | Mapping):
        return settings
    device = Device.described(described)
    to_clear = {name: None for name in cleared if getattr(device, name) is not None}
    if not to_clear:
        return settings
    table = {"name": described, "base": described} if isinstance(described, str) else dict(described)
    return settings | {"device": {**table, **to_clear}}


def _parse_single(label: str) -> tuple[str, bool, dict[str, str]]:
    name, tuned, choices = _parse(label)
    for key, text in choices.items():
        if not isinstance(text, str):
            raise StudyError(f"{label!r}: {key!r} has a list; accepted here: one value")
    return name, tuned, {key: str(text) for key, text in choices.items()}


def _parse(label: str) -> tuple[str, bool, dict[str, str | tuple[str, ...]]]:
    """Return name, whether tuned, and for each setting the text of its value, or a tuple of them for a list."""
    match = _FORM.fullmatch(label.strip())
    if match is None or not match["name"].strip():
        raise StudyError(f"{label!r} cannot be read; accepted: {_FORMS}")
    tuned = False
    choices: dict[str, str | tuple[str, ...]] = {}
    for piece in _split(match["inside"] or "", label):
        if piece == TUNED:
            tuned = True
            continue
        key, equals, text = (part.strip() for part in piece.partition("="))
        if not (key and equals and text):
            raise StudyError(f"{label!r}: {piece!r} cannot be read; accepted: setting=value")
        if key in choices:
            raise StudyError(f"{label!r}: {key!r} is given twice")
        choices[key] = _texts(text, label)
    return match["name"].strip(), tuned, choices


def _texts(text: str, label: str) -> str | tuple[str, ...]:
    if not text.startswith("["):
        return text
    if not text.endswith("]"):
        raise StudyError(f"{label!r}: {text!r} cannot be read; accepted: a value or [value, value, …]")
    texts = tuple(_split(text[1:-1], label))
    if not texts:
        raise StudyError(f"{label!r}: an empty list; accepted: at least one value")
    for item in texts:
        if item.startswith(("[", "{")):
            raise StudyError(f"{label!r}: {item!r} cannot be read; accepted: a list of single values")
    if len(set(texts)) < len(texts):
        raise StudyError(f"{label!r}: a value stands twice in {text}")
    return texts


def _split(text: str, label: str) -> Iterator[str]:
    """Yield the parts between commas that stand in no brackets and no quotes; empty ones are left out."""
    depth, quote, start = 0, "", 0
    for place, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == "[":
            depth += 1
        elif character == "]":
            depth -= 1
        elif character == "," and depth == 0:
            if text[start:place].strip():
                yield text[start:place].strip()
            start = place + 1
        if depth < 0:
            break
    if depth != 0 or quote:
        raise StudyError(f"{label!r} cannot be read: brackets or quotes do not match; accepted: {_FORMS}")
    if text[start:].strip():
        yield text[start:].strip()
