"""Read a study by name or file into a checked `Study`; whatever is wrong with it is told in one line."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tngd_bench.problems import registry as problems
from tngd_bench.spu.device import Device
from tngd_bench.studies.file.checks import complete
from tngd_bench.studies.file.devices import own_devices
from tngd_bench.studies.file.grids import expand_training
from tngd_bench.studies.file.merge import SHIPPED, read_table, shipped_studies
from tngd_bench.studies.file.schema import Study
from tngd_bench.studies.file.study_table import StudyTable, shown_path
from tngd_bench.studies.file.toml_lines import KeyPath
from tngd_bench.studies.file.training_costs import with_training_costs
from tngd_bench.studies.file.validation_errors import first_error

__all__ = ["SHIPPED", "LoadedStudy", "load_devices", "load_study", "make_study", "shipped_studies"]

_LARGEST = 2**63
_STEERING = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@dataclasses.dataclass(frozen=True)
class LoadedStudy:
    """A study, where it was read from ("shipped" or a path) and what was given with it.

    `profile` is the one applied, None for the file as written; `profiles` are those it has.
    """

    study: Study
    source: str
    overrides: tuple[str, ...] = ()
    profile: str | None = None
    profiles: tuple[str, ...] = ()
    included: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The default folder for results."""
        profile = "" if self.profile is None else f"-{self.profile}"
        return Path("reports") / f"{self.study.name}{profile}"


def load_study(
    reference: str, overrides: Sequence[str] = (), profile: str | None = None, *, unwritten: str = ""
) -> LoadedStudy:
    """Return the shipped study called `reference`, or the one in the file of that name, with a `profile` applied.

    `overrides` are "path.to.key=value", the last word; sections of `cost` and `training` are addressed by name.
    Included files called `unwritten` may be absent. Raises StudyError.
    """
    read = read_table(reference, profile, overrides, unwritten=unwritten)
    study, source = _make(read), printable(read.source)
    written, included = (tuple(map(printable, texts)) for texts in (overrides, read.included))
    return LoadedStudy(study, source, written, profile, tuple(read.profiles), included)


def printable(text: str) -> str:
    """Return text that any file takes: bytes of a path that are no UTF-8, which Python keeps aside, as escapes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def make_study(table: Mapping[str, Any], name: str = "study") -> Study:
    """Return the checked study of a parsed file; StudyError with `name`, key path, value and what is accepted."""
    return _make(StudyTable(name, SHIPPED, dict(table), {}))


def load_devices(reference: str) -> dict[str, Device]:
    """Return the devices that a study, or a file that may describe nothing else, has as tables [device.NAME].

    Raises StudyError.
    """
    return own_devices(_make(read_table(reference), idle=True))


def _make(read: StudyTable, *, idle: bool = False) -> Study:
    _refuse_odd_values(read, read.table, ())
    expand_training(read.table, read.origins)
    _fill_outputs(read.table)
    try:
        study = TypeAdapter(Study).validate_python(read.table)
    except ValidationError as error:
        raise read.error(*first_error(error, read.table)) from None
    return with_training_costs(complete(study, read, idle=idle))


def _fill_outputs(table: dict[str, Any]) -> None:
    """Write the problem's own number of outputs into sections that name none."""
    for kind in ("cost", "training"):
        sections = table.get(kind)
        options = table.get("problem")
        for section in sections if isinstance(sections, list) else ():
            if not isinstance(section, dict) or "outputs" in section:
                continue
            name = section.get("problem")
            if name not in problems.names():
                continue  # refused by the checks, with its place
            given = options.get(name) if isinstance(options, dict) else None
            try:
                outputs = problems.get(name, given if isinstance(given, dict) else None).outputs
            except (ValueError, TypeError):
                continue  # so are its options
            section["outputs"] = [outputs] if kind == "cost" else outputs


def _refuse_odd_values(read: StudyTable, value: object, path: KeyPath) -> None:
    """Refuse integers beyond 64 bits, which TOML does not promise to carry, and characters that steer a terminal."""
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        what = f"{shown_path(path, read.table)}: an integer of {value.bit_length()} bits"
        raise read.error(path, f"{what}; accepted: up to 64 bits")
    steering = _STEERING.search(value) if isinstance(value, str) else None
    if steering is not None:
        what = f"{shown_path(path, read.table)}: the control character U+{ord(steering.group()):04X}"
        raise read.error(path, f"{what}; accepted: letters, signs, blanks and line ends")
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        _refuse_odd_values(read, key, path)
        _refuse_odd_values(read, part, (*path, key))
