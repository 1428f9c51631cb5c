"""The text of `tngd-bench predict`: the device's bill, the digital optimizers, and what the figures assume."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tngd_bench.analysis import quantities
from tngd_bench.spu.ledger import ITEM_NAMES, Ledger

if TYPE_CHECKING:
    from tngd_bench.optimizers.roofline import Alternative, Prediction
    from tngd_bench.spu.parts import Parts

_WIDTH = 110
_DIGITS = 4
NOT_STATED, DOES_NOT_FIT = "not stated", "does not fit"


def as_text(p: Prediction) -> str:
    """Return the prediction for the terminal."""
    from tngd_bench.analysis.cost.device_verdict import device_verdict
    from tngd_bench.optimizers.roofline_table import assumptions, factor_assumptions

    work = p.work
    lines = [
        f"modelled, nothing was run: N = {work.parameters:,}, b = {work.batch_size:,}, d_z = {p.outputs:,}, "
        f"m = {work.rows:,}, t = {work.analog.analog_time:g} τ",
        "",
        f"{'device ' + p.device.name:<28}{'time':>14}{'energy':>14}",
        *_ledger_lines(p.seconds, p.joules),
        f"  {'bits on the link':<26}{quantity(float(p.link_bits), 'b'):>14}",
        *wrapped([_parts(p.parts, tiled=p.device.is_tiled)]),
    ]
    if p.processor is None:
        lines += ["", "digital times and the break-even link rate need --processor"]
    else:
        lines += [
            *_host_lines(p),
            "",
            f"digital on {p.processor.title}, at the rated speed below: times are lower bounds",
        ]
    titles = f"{'operations':>12}{'memory':>12}{'time':>14}{'set by':>12}{'energy':>14}  break-even link rate"
    lines += [f"  {'':<14}{titles}", *(_digital_line(p, a) for a in p.alternatives)]
    said = [
        "",
        "assumed",
        *wrapped((*assumptions(p), *factor_assumptions(p))),
        "",
        f"verdict: {device_verdict(p)}",
    ]
    return "\n".join([*lines, *_factor_lines(p), *said])


def _parts(parts: Parts, *, tiled: bool) -> str:
    """Return the parts of the device, and how long its cells last where that is stated."""
    tiles = [f"{parts.tiles:,} tiles"] if tiled else []
    told = [
        f"{parts.cells:,} cells",
        *tiles,
        f"{parts.amplifiers:,} amplifiers",
        f"{parts.converters:,} converters",
    ]
    if parts.area_m2 is not None:
        told.append(f"{1e6 * parts.area_m2:,.4g} mm² of parts whose area is stated")
    worn = "" if parts.worn_out_after is None else f"; worn out after {parts.worn_out_after:,.0f} iterations"
    return f"built of {', '.join(told)}{worn}"


def _factor_lines(p: Prediction) -> list[str]:
    """Thermodynamic K-FAC on the same device, by copies of its arrays."""
    from tngd_bench.optimizers.factor_roofline import RECONSTRUCTION, WIDTHS, factors_of

    found = factors_of(p)
    if found is None:
        return []
    head = (
        f"thermodynamic K-FAC on {p.device.name}, arrays written once in {found.refresh_interval} iterations"
    )
    titles = (
        f"{'device':>14}{'energy':>14}{'iteration':>14}  link rate, layer width at which it matches K-FAC"
    )
    lines = ["", *wrapped([f"{head}: {RECONSTRUCTION}"]), f"  {'copies':<14}{titles}"]
    for row in found.rows:
        time, joules = (bounded(each.total, each.at_least, each.unit) for each in (row.seconds, row.joules))
        taken = NOT_STATED if row.iteration_seconds is None else f"≥ {quantity(row.iteration_seconds, 's')}"
        reached = (
            "no link rate"
            if row.break_even_bits_per_s is None
            else quantity(row.break_even_bits_per_s, "b/s")
        )
        width = (
            f"no width up to {WIDTHS[-1]:,}" if row.break_even_width is None else f"{row.break_even_width:,}"
        )
        told = "" if p.processor is None else f"  {reached}, {width}"
        lines.append(f"  {row.copies:<14,}{time:>14}{joules:>14}{taken:>14}{told}")
    if found.digital_seconds is not None:
        copies = (
            "no number of copies"
            if found.break_even_copies is None
            else f"{found.break_even_copies:,} copies"
        )
        bound = f"K-FAC takes ≥ {quantity(found.digital_seconds, 's')}, reached with {copies} at this link"
        used = f"K-FAC ≥ {quantity(found.digital_joules, 'J')}, the host ≥ {quantity(found.host_joules, 'J')}"
        lines += wrapped([f"{bound}; host and K-FAC are lower bounds, no error is known of their ratio"])
        lines += wrapped([f"energy: {used}, beside the device's"])
    return lines


def wrapped(sentences: Iterable[str]) -> list[str]:
    """Return sentences as indented lines of a terminal."""
    lines = textwrap.TextWrapper(
        _WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
    )
    return [line for sentence in sentences for line in lines.wrap(sentence)]


def _host_lines(p: Prediction) -> list[str]:
    if p.host_missing_bytes:
        lacking = f"{DOES_NOT_FIT}: {quantity(p.host_missing_bytes, 'B')} missing"
        return [f"  {'host':<26}  {lacking}", f"  {'iteration':<26}  not known: the host does not fit"]
    taken = p.iteration_at_least_seconds or 0.0
    ways = {"iteration": taken + p.overlap * p.saved_seconds}
    if not p.work.analog.delay:
        ways["  with pipelined upload"] = ways["iteration"] - p.saved_seconds
    times = [p.host_seconds, *ways.values()]
    joules = [p.host_joules, *[p.iteration_at_least_joules] * len(ways)]
    return [
        f"  {name:<26}{'≥ ' + quantity(seconds, 's'):>14}{'≥ ' + quantity(energy, 'J'):>14}"
        for name, seconds, energy in zip(("host", *ways), times, joules, strict=True)
    ]


def _digital_line(p: Prediction, a: Alternative) -> str:
    if not a.cost.known:
        return f"  {a.name:<14}  not known: the description of its cost fails at this size"
    counted = f"  {a.name:<14}{a.cost.flops:>12.2e}{quantity(a.cost.bytes, 'B'):>12}"
    if a.missing_bytes:
        return f"{counted}  {DOES_NOT_FIT}: {quantity(a.missing_bytes, 'B')} missing"
    if a.seconds is None:
        reached = NOT_STATED
    elif p.host_missing_bytes:
        reached = "not known: the host does not fit"
    elif a.break_even_bits_per_s is None:
        reached = "none: the rest of the bill is longer"
    else:
        exact = None if p.seconds.not_stated else a.break_even_bits_per_s
        reached = bounded(exact, a.break_even_bits_per_s, "b/s")
    time = NOT_STATED if a.seconds is None else f"≥ {quantity(a.seconds, 's')}"
    mark = "  ← the rival: fastest second-order" if a == p.best_rival else ""
    return f"{counted}{time:>14}{a.limit or '':>12}{quantity(a.joules, 'J'):>14}  {reached}{mark}"


def _ledger_lines(seconds: Ledger, joules: Ledger) -> list[str]:
    lines = [
        f"  {ITEM_NAMES.get(name, name):<26}{quantity(time, 's'):>14}{quantity(joules.items[name], 'J'):>14}"
        for name, time in seconds.items.items()
    ]
    time, energy = (bounded(each.total, each.at_least, each.unit) for each in (seconds, joules))
    return [*lines, f"  {'total':<26}{time:>14}{energy:>14}"]


def bounded(value: float | None, at_least: float | None, unit: str) -> str:
    """Return a figure, or with "≥" the lower bound that is known of it."""
    bound = "≥ " if value is None and at_least is not None else ""
    return bound + quantity(at_least if value is None else value, unit)


def quantity(value: float | None, unit: str) -> str:
    """Return a figure with its unit; "not stated" for None."""
    if value is None:
        return NOT_STATED
    return quantities.seconds(value, _DIGITS) if unit == "s" else quantities.si(value, unit, _DIGITS)
