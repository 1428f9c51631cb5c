"""Values of swept settings: every combination of one sweep or two."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tngd_bench.studies.file.optimizer_label import IDEAL, as_setting
from tngd_bench.studies.file.schema import Sweep


@dataclass(frozen=True)
class Level:
    """One value of a swept setting; `value` None is an ideal device, `label` what reports call it."""

    parameter: str
    value: object
    label: str

    @property
    def identity(self) -> object:
        """What tells this level from the others of its setting: the number, or the word or flag."""
        return self.value if self.number is None else self.number

    @property
    def number(self) -> float | None:
        """The value where it is a number, None where it is ideal, a word or a flag."""
        numeric = isinstance(self.value, int | float) and not isinstance(self.value, bool)
        return float(self.value) if numeric else None  # type: ignore[arg-type]  # just checked


def levels_of(sweeps: Sequence[Sweep] | None) -> Iterator[tuple[Level, ...]]:
    """Yield every combination of levels, the last sweep varying fastest; one empty combination without a sweep."""
    yield from itertools.product(*(_levels(sweep) for sweep in sweeps or ()))


def number_text(value: float) -> str:
    """Return a number in six digits where it has no more, else in all that it has: no two are written alike."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def settings_of(levels: Sequence[Level]) -> Mapping[str, object]:
    """Return the swept settings by name."""
    return {level.parameter: level.value for level in levels}


def swept_columns(levels: Sequence[Level]) -> dict[str, str | float | None]:
    """Return what a record says of its levels: parameter, number and label of the first, and of the second as "…_2".

    The number is missing where the value is ideal, a word or a flag; the label tells these apart.
    """
    columns: dict[str, str | float | None] = {}
    for mark, level in itertools.zip_longest(("", "_2"), levels):
        columns[f"sweep_parameter{mark}"] = None if level is None else level.parameter
        columns[f"sweep_value{mark}"] = None if level is None else level.number
        columns[f"sweep_label{mark}"] = None if level is None else level.label
    return columns


def _levels(sweep: Sweep) -> list[Level]:
    labels = sweep.labels or tuple(map(_written, sweep.values))
    return [
        Level(sweep.parameter, as_setting(sweep.parameter, value), label)
        for value, label in zip(sweep.values, labels, strict=True)
    ]


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return number_text(value) if isinstance(value, float) else IDEAL if value is None else str(value)
