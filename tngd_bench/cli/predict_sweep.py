"""`tngd-bench predict --sweep`: one quantity run through values, as a table or a figure."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from tngd_bench.analysis import quantities

if TYPE_CHECKING:
    from tngd_bench.optimizers.prediction import Prediction

SIZES = {
    "parameters": "parameters",
    "batch": "batch_size",
    "outputs": "outputs",
    "analog_time": "analog_time",
}
ALIASES = {"link_rate": "link_rate_bits_per_s", "bits": "word_bits"}
TIME_CONSTANT = ("tau", "time_constant_s")
DEVICE = "device"
FLAGS = {"true": True, "false": False}
_COUNTS = ("parameters", "batch", "outputs", "word_bits")
POINTS, MOST_POINTS = 13, 400


def canonical(name: str) -> str:
    """Return what a quantity is called in full, for --sweep and --set alike: link-rate is link_rate_bits_per_s.

    UsageError, with the nearest name, for what is none.
    """
    from tngd_bench import arguments
    from tngd_bench.spu.device import Device

    fields = [f.name for f in dataclasses.fields(Device) if f.name not in ("name", "summary", "sources")]
    plain = name.strip().replace("-", "_")
    short = [*SIZES, *ALIASES, *TIME_CONSTANT, DEVICE]
    if plain not in short and plain not in fields:
        near = arguments.suggestion(plain, [*short, *fields])
        raise click.UsageError(
            f"--set and --sweep know no {name.strip()!r}{near} (accepted: {', '.join(short)}, and a device's fields)"
        )
    return ALIASES.get(plain, plain)


def parse(text: str) -> tuple[str, tuple[float | str, ...]]:
    """Return the name and values of "NAME=V1,V2,…" or "NAME=LOW:HIGH[:POINTS]", the latter evenly spaced in log.

    Values are numbers but for what words are chosen for: the device preset, upload, write_parallel, and flags.
    """
    name, equals, values = (part.strip() for part in text.partition("="))
    name = canonical(name)
    if not equals or not values:
        raise click.UsageError(f"--sweep takes NAME=V1,V2,… or NAME=LOW:HIGH[:POINTS], not {text!r}")
    accepted = _words().get(name)
    if accepted is not None:
        words = tuple(dict.fromkeys(value.strip() for value in values.split(",")))
        for word in words:
            if word not in accepted and not (name == DEVICE and ":" in word):  # FILE.toml:NAME
                raise click.UsageError(f"--sweep: {word!r} in {text!r} is not one of {', '.join(accepted)}")
        return name, words
    if ":" in values:
        return name, _spaced(name, values.split(":"), text)
    return name, tuple(_number(value, text) for value in values.split(","))


def _words() -> dict[str, tuple[str, ...]]:
    """Return the names whose values are words, with the words."""
    from tngd_bench.spu.device import UPLOADS, WRITES, Device

    flags = {f.name: tuple(FLAGS) for f in dataclasses.fields(Device) if isinstance(f.default, bool)}
    return {DEVICE: Device.presets(), "upload": UPLOADS, "write_parallel": WRITES, **flags}


def _spaced(name: str, parts: Sequence[str], text: str) -> tuple[float, ...]:
    if len(parts) > 3:
        raise click.UsageError(f"--sweep takes NAME=LOW:HIGH[:POINTS], not {text!r}")
    low, high = (_number(part, text) for part in parts[:2])
    points = POINTS if len(parts) == 2 else int(_number(parts[2], text))
    if not (0 < low < high and 2 <= points <= MOST_POINTS):
        raise click.UsageError(f"--sweep needs 0 < LOW < HIGH and 2 to {MOST_POINTS} points, not {text!r}")
    values = [low * (high / low) ** (place / (points - 1)) for place in range(points)]
    values[-1] = high
    return tuple(dict.fromkeys(round(value) for value in values)) if name in _COUNTS else tuple(values)


def _number(value: str, text: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise click.UsageError(f"--sweep: {value.strip()!r} in {text!r} is not a number")
    return number


def sweep(
    name: str,
    values: Sequence[float | str],
    predict: Callable[[Mapping[str, Any], Mapping[str, Any]], Prediction],
    resistance: Callable[[float], float],
) -> list[dict[str, Any]]:
    """Return a row per value: device, host and iteration seconds and those of every digital optimizer.

    With items that are `not_stated`, device and iteration have no seconds, only `_at_least_s`, which are lower bounds.
    `predict(sizes, fields)` predicts with other sizes and device fields, a field "device" naming another preset;
    `resistance(τ)` gives R for a time constant.
    """
    rows = []
    for value in values:
        sizes: dict[str, Any] = {}
        fields: dict[str, Any] = {}
        if isinstance(value, str):
            fields[name] = FLAGS.get(value, value)
        elif name in SIZES:
            sizes[SIZES[name]] = int(value) if name in _COUNTS else value
        elif name in TIME_CONSTANT:
            fields["resistance_ohm"] = resistance(value)
        else:
            fields[name] = int(value) if value == int(value) and name.endswith("bits") else value
        found = predict(sizes, fields)
        row: dict[str, Any] = {name: value, "rows": found.work.rows}
        row |= {"device_s": found.seconds.total, "device_at_least_s": found.seconds.at_least}
        row |= {"host_s": found.host_seconds, "iteration_s": found.iteration_seconds}
        row |= {"iteration_at_least_s": found.iteration_at_least_seconds}
        row["not_stated"] = " ".join(found.seconds.not_stated)
        row |= {f"{item}_s": seconds for item, seconds in found.seconds.items.items()}
        rows.append(row | {f"{each.name}_s": each.seconds for each in found.alternatives})
    return rows


def as_text(
    rows: Sequence[Mapping[str, Any]],
    name: str,
    digital: Sequence[str],
    bounded: Callable[[float | None, float | None, str], str],
) -> str:
    """Return the rows as a table of text; digital optimizers only where a processor gives their times.

    `bounded(value, at_least, unit)` writes a figure, or the lower bound that is known of it.
    """

    def at_least(row: Mapping[str, Any], column: str) -> float | None:
        value: float | None = row.get(f"{column.removesuffix('_s')}_at_least_s")
        return value

    columns = ["device_s", "host_s", "iteration_s", *(f"{each}_s" for each in digital)]
    shown = [
        column
        for column in columns
        if any(row.get(column) is not None or at_least(row, column) is not None for row in rows)
    ]
    lines = [
        "modelled, nothing was run",
        "",
        f"{name:>22}" + "".join(f"{c.removesuffix('_s'):>20}" for c in shown),
    ]
    for row in rows:
        cells = "".join(f"{bounded(row.get(column), at_least(row, column), 's'):>20}" for column in shown)
        value = row[name]
        lines.append((f"{value:>22}" if isinstance(value, str) else f"{value:>22,.6g}") + cells)
    unstated = quantities.items(item for row in rows for item in row["not_stated"].split())
    if unstated:
        lines += ["", f"≥: a lower bound, the device states no time for: {unstated}"]
    return "\n".join(lines)
