"""`tngd-bench require`: what a device must reach to be ahead of a digital optimizer, or what stops it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from tngd_bench.analysis import quantities
from tngd_bench.cli.option_kinds import default_option, json_option, print_json
from tngd_bench.cli.predict import options

if TYPE_CHECKING:
    from tngd_bench.analysis.design.levers import Value
    from tngd_bench.analysis.design.required import Required, Together
    from tngd_bench.optimizers.roofline import Prediction

_EPILOG = """\b
Examples:
  tngd-bench require --parameters 1e6 --batch 4096 --outputs 10 --beat best --factor 2
  tngd-bench require --model resnet50 --batch 256 --beat kfac --processor a100 --host-precision tf32
  tngd-bench require --model gpt2 --batch 8 --optimizer tkfac --beat adam --json
  tngd-bench require --model my_net.py:build --batch 64 --device rram --set link_rate=5e11

Each figure of the device is made k times better until an iteration takes the rival's time divided by --factor: alone,
and all of them together by the same k. Word length and the host's precision change values, so they are asked for
alone only. A figure that is in no item of the device's bill and a word that saves no time have no row. Layer inputs
and output gradients are sent, unless --set upload=full asks for whole arrays. Every figure is modelled: nothing is
run. Times of a processor are lower bounds, and times that the device does not state count as none: what is required
is at least this.
"""


@click.command(epilog=_EPILOG)
@options.question_options(processor="h100")
@default_option(
    "--beat",
    default="best",
    help="A digital optimizer, such as kfac or adam; best: the fastest second-order one.",
)
@default_option("--factor", type=float, default=1.0, help="How many times faster than it.")
@default_option("--optimizer", default="tngd", help="tngd, or tkfac: Kronecker factors on the device.")
@options.count_option("--copies", help="Copies of each array, for tkfac.  [default: 1]")
@json_option
def command(
    beat: str, factor: float, optimizer: str, copies: int | None, as_json: bool, **asked: Any
) -> None:
    """Say what a device must reach to be ahead. Link, τ, words, upload, copies: alone, together, or what stops it."""
    from tngd_bench.analysis.design.machine import Design, not_applied
    from tngd_bench.analysis.design.required import required
    from tngd_bench.optimizers.roofline_table import assumptions
    from tngd_bench.spu.kronecker.billing import NOT_BILLED

    if copies is not None and optimizer == "tngd":
        raise click.UsageError("--copies are of the arrays of Kronecker factors; add --optimizer tkfac")
    try:
        question = options.Asked.of(asked)
        unused = [name for name in question.named if name in NOT_BILLED]
        if optimizer == "tkfac" and unused:
            raise ValueError(not_applied(unused))
        p = question.predict({}, {} if "upload" in question.named else {"upload": "factored"})
        found = required(Design(p, optimizer, copies or 1), beat, factor)
    except (ValueError, TypeError) as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        sizes = {"parameters": p.work.parameters, "batch_size": p.work.batch_size, "outputs": p.outputs}
        asked_for = {"optimizer": optimizer, "device": p.device.name, "beat": beat, "factor": factor}
        table = dataclasses.asdict(found) | {"reached": found.reached, "host_times": found.host_times}
        said = {"verdict": verdict(found), "assumptions": list(assumptions(p))}
        print_json({"modelled": True, **sizes, **asked_for, **table, **said})
    else:
        click.echo(as_text(p, found, optimizer, factor))


def as_text(p: Prediction, found: Required, optimizer: str, factor: float) -> str:
    """Return the answer for the terminal."""
    from tngd_bench.cli.predict.text import wrapped
    from tngd_bench.optimizers import registry
    from tngd_bench.optimizers.roofline_table import assumptions

    assert p.processor is not None
    assert p.host_processor is not None
    rival = registry.get(found.rival).title
    sent = f"upload {p.device.upload}, " if optimizer == "tngd" else ""
    lines = [
        f"modelled, nothing was run: N = {p.work.parameters:,}, b = {p.work.batch_size:,}, d_z = {p.outputs:,}, "
        f"m = {p.work.rows:,}",
        "",
        f"{registry.get(optimizer).title} on {p.device.name}, {sent}host {p.host_processor.title} at "
        f"{p.host_processor.precision.upper()}: ≥ {_time(found.now_seconds)} a step, the host's part "
        f"≥ {_time(found.host_seconds)}" + (", if it had the memory" if found.host_missing_bytes else ""),
        f"target: {_as_fast(factor)} {rival} at "
        f"{p.processor.precision.upper()}, which takes ≥ {_time(found.rival_seconds)}: "
        f"{_time(found.target_seconds)} a step",
        f"energy: host ≥ {quantities.joules(found.host_joules)}, {rival} ≥ {quantities.joules(found.rival_joules)} a "
        f"step, at {p.processor.power_watt:g} W",
        "",
        f"{'alone':<34}{'now':>14}{'needed':>22}{'a step then':>16}",
    ]
    for need in found.alone:
        needed = "none is enough" if need.needed is None else shown(need.needed, need.unit)
        lines.append(
            f"  {need.title:<32}{shown(need.now, need.unit):>14}{needed:>22}{'≥ ' + _time(need.seconds):>16}"
        )
    units = {need.title: need.unit for need in found.alone}
    for title, together in (
        ("together, sent and computed as now", found.together_as_is),
        ("together, by the quickest ways", found.together),
    ):
        lines += ["", *_together(title, together, units)]
    return "\n".join([*lines, "", "assumed", *wrapped(assumptions(p)), "", f"verdict: {verdict(found)}"])


def _as_fast(factor: float) -> str:
    if factor < 1.0:
        return f"{quantities.significant(1.0 / factor)} times slower than"
    return "as fast as" if factor == 1.0 else f"{factor:g} times faster than"


def _together(title: str, found: Together | None, units: dict[str, str]) -> list[str]:
    if found is None:
        return [f"{title}: none is enough"]
    if not found.values:
        return [f"{title}: nothing is needed"]
    rows = [
        f"  {name:<32}{shown(now, units[name]):>14}{shown(needed, units[name]):>22}{_times(now, needed)}"
        for name, (now, needed) in found.values.items()
    ]
    rounded = ", whole numbers rounded" if any(_times(*pair) for pair in found.values.values()) else ""
    return [f"{title}: every figure {quantities.significant(found.times)} times better{rounded}", *rows]


def _times(now: Value, needed: Value) -> str:
    """Return the factor by which a whole number is better, which rounding makes another than that of the others."""
    if not all(isinstance(each, int) and not isinstance(each, bool) for each in (now, needed)):
        return ""
    assert isinstance(now, int)
    assert isinstance(needed, int)
    return f"  ({quantities.significant(max(now, needed) / min(now, needed))} times)"


def verdict(found: Required) -> str:
    """Return in a sentence whether the target can be reached, and how or why not."""
    lacking = found.host_missing_bytes
    memory = (
        f"does not run: the host lacks {quantities.si(lacking, 'B')} of memory; if it had it, "
        if lacking
        else ""
    )
    free = (
        f"; counted as no time, none being stated: {quantities.items(found.not_stated)}"
        if found.not_stated
        else ""
    )
    return memory + _verdict(found) + free


def _verdict(found: Required) -> str:
    if found.now_seconds <= found.target_seconds:
        return "reached as it is"
    enough = [
        f"{need.title} (which changes what is computed)" if need.changes_values else need.title
        for need in found.alone
        if need.needed is not None
    ]
    if enough:
        return f"within reach of one change: {quantities.listed(enough)}{' each' * (len(enough) > 1)} alone is enough"
    if found.together is not None:
        times = quantities.significant(found.together.times)
        return f"no change alone is enough; together with every figure {times} times better it is"
    floor = f"even at its best a step takes ≥ {_time(found.floor_seconds)} against ≥ {_time(found.target_seconds)}"
    host = f"the host's passes alone ≥ {_time(found.host_floor_seconds)}"
    if found.host_times is None:
        return f"out of reach: {floor}, of which {host}"
    faster = quantities.significant(found.host_times)
    return f"out of reach: {floor}; what stops it is {host}, which would have to be {faster} times faster"


def shown(value: Value, unit: str) -> str:
    """Return a value with its unit."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if unit == "s":
        return _time(value)
    if unit == "b/s":
        return quantities.bit_rate(value)
    number = f"{value:,}" if isinstance(value, int) else quantities.significant(value)
    return f"{number} {unit}".strip()


def _time(value: float) -> str:
    return quantities.seconds(value)
