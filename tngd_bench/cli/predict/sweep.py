"""`tngd-bench predict --sweep`: one quantity run through values, as a table or a figure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from tngd_bench.analysis import quantities
from tngd_bench.spu.analog_settings import BILLED_FIELDS
from tngd_bench.spu.description import DEVICE_FIELDS
from tngd_bench.spu.field_info import UNLIMITED

if TYPE_CHECKING:
    from tngd_bench.optimizers.roofline import Prediction

SIZES = {
    "parameters": "parameters",
    "batch": "batch_size",
    "outputs": "outputs",
    **{name: name for name in BILLED_FIELDS},
    "positions": "positions",
    "cg_iterations": "cg_iterations",
    "damping": "damping",
    "overlap": "overlap",
    "host_precision": "host_precision",
}
"""Quantities that are no field of the device, with the argument of `predict` that each is."""
ALIASES = {"link_rate": "link_rate_bits_per_s", "bits": "word_bits"}
TIME_CONSTANT = ("tau", "time_constant_s")
DEVICE = "device"
FLAGS = {"true": True, "false": False}
_ACCEPTED = {name: info.accepted for name, info in {**BILLED_FIELDS, **DEVICE_FIELDS}.items()}
COUNTS = (
    "parameters",
    "batch",
    "outputs",
    "cg_iterations",
    *(name for name, accepted in _ACCEPTED.items() if accepted.whole),
)
POINTS, MOST_POINTS = 13, 400
UNFIT = "does_not_fit"
_TKFAC = "tkfac_"


def canonical(name: str) -> str:
    """Return the full name of a quantity of --sweep or --set: link-rate is link_rate_bits_per_s.

    UsageError, with the nearest name, for what is none.
    """
    from tngd_bench import arguments

    plain = name.strip().replace("-", "_")
    short = [*SIZES, *ALIASES, *TIME_CONSTANT, DEVICE]
    if plain not in short and plain not in DEVICE_FIELDS:
        near = arguments.suggestion(plain, [*short, *DEVICE_FIELDS])
        raise click.UsageError(
            f"--set and --sweep know no {name.strip()!r}{near} (accepted: {', '.join(short)}, and a device's fields)"
        )
    return ALIASES.get(plain, plain)


def parse(text: str) -> tuple[str, tuple[float | str, ...]]:
    """Return the name and values of "NAME=V1,V2,…" or "NAME=LOW:HIGH[:POINTS]", the latter evenly spaced in log.

    Values are numbers, "unlimited" for a rate, or words for the device preset and for what takes words.
    """
    name, equals, values = (part.strip() for part in text.partition("="))
    name = canonical(name)
    if not equals or not values:
        raise click.UsageError(f"--sweep takes NAME=V1,V2,… or NAME=LOW:HIGH[:POINTS], not {text!r}")
    accepted = words().get(name)
    if accepted is not None:
        given = tuple(dict.fromkeys(value.strip() for value in values.split(",")))
        for each in given:
            if each not in accepted and not (name == DEVICE and ":" in each):  # FILE.toml:NAME
                raise click.UsageError(f"--sweep: {each!r} in {text!r} is not one of {', '.join(accepted)}")
        return name, given
    if ":" in values:
        return name, _spaced(name, values.split(":"), text)
    endless = (UNLIMITED, "inf") if name in DEVICE_FIELDS and UNLIMITED in _ACCEPTED[name].text else ()
    return name, tuple(
        UNLIMITED if value.strip().lower() in endless else _number(value, text) for value in values.split(",")
    )


def words() -> dict[str, tuple[str, ...]]:
    """Return the names whose values are words, with the words."""
    from tngd_bench.spu.device import Device
    from tngd_bench.spu.processor import NUMBER_BYTES

    described = {name: accepted.words for name, accepted in _ACCEPTED.items() if accepted.words}
    of_host = {"overlap": tuple(FLAGS), "host_precision": tuple(NUMBER_BYTES)}
    return {DEVICE: Device.presets(), **of_host, **described}


def word(value: float | str) -> object:
    """Return a word as the value that it stands for."""
    return FLAGS.get(value, value) if isinstance(value, str) else value


def _spaced(name: str, parts: Sequence[str], text: str) -> tuple[float, ...]:
    if len(parts) > 3:
        raise click.UsageError(f"--sweep takes NAME=LOW:HIGH[:POINTS], not {text!r}")
    low, high = (_number(part, text) for part in parts[:2])
    points = POINTS if len(parts) == 2 else int(_number(parts[2], text))
    if not (0 < low < high and 2 <= points <= MOST_POINTS):
        raise click.UsageError(f"--sweep needs 0 < LOW < HIGH and 2 to {MOST_POINTS} points, not {text!r}")
    values = [low * (high / low) ** (place / (points - 1)) for place in range(points)]
    values[-1] = high
    return tuple(dict.fromkeys(round(value) for value in values)) if name in COUNTS else tuple(values)


def _number(value: str, text: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise click.UsageError(f"--sweep: {value.strip()!r} in {text!r} is not a number")
    return number


def predictions(
    name: str,
    values: Sequence[float | str],
    predict: Callable[[Mapping[str, Any], Mapping[str, Any]], Prediction],
    farads: float,
) -> list[Prediction]:
    """Return the prediction at each value.

    `predict(sizes, fields)` predicts with other sizes and device fields, a field "device" naming another preset. A time
    constant is reached by the resistance, at a capacitance of `farads`.
    """
    from tngd_bench import arguments

    def predicted(value: float | str) -> Prediction:
        read = word(value)
        if name in COUNTS and isinstance(value, float) and value == int(value):
            read = int(value)
        if name in SIZES:
            return predict({SIZES[name]: read}, {})
        if name in TIME_CONSTANT:
            return predict({}, {"resistance_ohm": arguments.real(name, read, above=0.0) / farads})
        return predict({}, {name: read})

    return [predicted(value) for value in values]


def rows(name: str, values: Sequence[float | str], predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Return a row per value: seconds and joules of device, host, iteration and of every digital optimizer.

    With items that are `not_stated`, device and iteration have no seconds, only `_at_least_s`, which are lower bounds.
    What a processor has too little memory for has none either, and is named under `does_not_fit`. Seconds of the host
    and of digital optimizers are lower bounds, and so are those of `tkfac_C`, thermodynamic K-FAC with C copies.
    """
    from tngd_bench.optimizers.factor_roofline import factors_of

    found = []
    for value, p in zip(values, predictions, strict=True):
        row: dict[str, Any] = {name: value, "rows": p.work.rows}
        row |= {"device_s": p.seconds.total, "device_at_least_s": p.seconds.at_least}
        row |= {"host_s": p.host_seconds, "iteration_s": p.iteration_seconds}
        row |= {"iteration_at_least_s": p.iteration_at_least_seconds}
        row["not_stated"] = " ".join(p.seconds.not_stated)
        lacking = {"host": p.host_missing_bytes} | {each.name: each.missing_bytes for each in p.alternatives}
        row[UNFIT] = " ".join(each for each, missing in lacking.items() if missing)
        row |= {f"{item}_s": seconds for item, seconds in p.seconds.items.items()}
        row |= {f"{each.name}_s": each.seconds for each in p.alternatives}
        row |= {"device_j": p.joules.total, "device_at_least_j": p.joules.at_least, "host_j": p.host_joules}
        row |= {"iteration_j": p.iteration_joules, "iteration_at_least_j": p.iteration_at_least_joules}
        row["no_price"] = " ".join(p.joules.not_stated)
        row |= {f"{item}_j": joules for item, joules in p.joules.items.items()}
        row |= {f"{each.name}_j": each.joules for each in p.alternatives}
        factors = None if p.processor is None else factors_of(p)
        by_copies = () if factors is None else factors.rows
        found.append(row | {f"{_TKFAC}{each.copies}_s": each.iteration_seconds for each in by_copies})
    return found


def as_text(rows: Sequence[Mapping[str, Any]], name: str, predictions: Sequence[Prediction]) -> str:
    """Return the rows as a table of text; digital optimizers only where a processor gives their times."""
    from tngd_bench.cli.predict.text import wrapped

    first = predictions[0]
    timed = (
        () if first.processor is None else ("host", "iteration", *(each.name for each in first.alternatives))
    )
    copies = [key.removesuffix("_s") for key in rows[0] if key.startswith(_TKFAC)]
    owners = ("device", *timed, *copies[:: max(len(copies) - 1, 1)])  # the fewest copies and the most
    lines = ["modelled, nothing was run", "", f"{name:>22}" + "".join(f"{owner:>20}" for owner in owners)]
    for row in rows:
        lines.append(f"{_shown(row[name]):>22}" + "".join(f"{_cell(row, owner):>20}" for owner in owners))
    unstated = quantities.items(item for row in rows for item in row["not_stated"].split())
    if unstated:
        lines += ["", f"≥: a lower bound, the device states no time for: {unstated}"]
    assumed = _assumed(rows, name, predictions)
    if copies:
        from tngd_bench.optimizers.factor_roofline import RECONSTRUCTION

        assumed.append(
            f"{_TKFAC}C: thermodynamic K-FAC with C copies of each array, {RECONSTRUCTION}; lower bounds."
        )
    return "\n".join([*lines, "", "assumed", *wrapped(assumed)])


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,.6g}"


def _cell(row: Mapping[str, Any], owner: str) -> str:
    """Return one time of the table: a figure, its lower bound with "≥", or why there is none."""
    from tngd_bench.cli.predict.text import DOES_NOT_FIT, bounded

    unfit = row[UNFIT].split()
    if owner in unfit:
        return DOES_NOT_FIT
    if owner == "iteration" and "host" in unfit:
        return "no host"
    at_least = row.get(f"{owner}_at_least_s", row[f"{owner}_s"])
    exact = row["device_s"] if owner == "device" else None  # a processor's time is a lower bound
    return bounded(exact, at_least, "s")


def _assumed(rows: Sequence[Mapping[str, Any]], name: str, predictions: Sequence[Prediction]) -> list[str]:
    """Return the assumptions of all predictions, then those of the first and the last alone, with their values."""
    from tngd_bench.optimizers.roofline_table import assumptions

    each = [assumptions(p) for p in predictions]
    shared = [sentence for sentence in each[0] if all(sentence in others for others in each)]
    ends = {0: each[0], len(each) - 1: each[-1]}
    return shared + [
        f"At {name} = {_shown(rows[place][name])}: {sentence}"
        for place, own in ends.items()
        for sentence in own
        if sentence not in shared
    ]
