"""`tngd-bench predict`: one iteration by formula, at sizes no machine here could run."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tngd_bench.unwritable import cannot_be_written

if TYPE_CHECKING:
    from tngd_bench.optimizers.prediction import Prediction
    from tngd_bench.spu.device import Device
    from tngd_bench.spu.ledger import Ledger

_EPILOG = """\b
Examples:
  tngd-bench predict --parameters 20000 --batch 64 --outputs 10
  tngd-bench predict --parameters 1e12 --batch 1024 --outputs 10 --device rram --processor h100
  tngd-bench predict --parameters 1e6 --batch 64 --outputs 10 --set upload=factored --processor a100 --json
  tngd-bench predict --parameters 1e6 --batch 64 --outputs 10 --sweep link_rate=1e9:1e13 --figure link.svg
  tngd-bench predict --parameters 1e6 --batch 64 --outputs 10 --sweep device=paper,rram,pcm --processor a100

Every figure is modelled: nothing is run. Digital times are the roofline of the processor's rated speed.
"""
_LARGEST_COUNT = 1e18  # beyond, cubes of b·d_z leave the range of numbers
_MOST_LAYERS = 10_000


def _count(value: str) -> int:
    """A positive whole number, 1e12 and 1_000_000 included."""
    try:
        number = float(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a number") from None
    if not (math.isfinite(number) and number >= 1 and number == int(number)):
        raise click.BadParameter(f"{value!r} is not a whole number >= 1")
    if number > _LARGEST_COUNT:
        raise click.BadParameter(f"{value!r} is too large; accepted: up to {_LARGEST_COUNT:.0e}")
    return int(number)


def _depth(value: str) -> int:
    """A count of layers, which are gone through one by one."""
    layers = _count(value)
    if layers > _MOST_LAYERS:
        raise click.BadParameter(f"{value!r} is too large; accepted: up to {_MOST_LAYERS}")
    return layers


@click.command(epilog=_EPILOG)
@click.option(
    "--parameters",
    type=_count,
    metavar="COUNT",
    required=True,
    help="Trainable parameters N; 1e12 is understood.",
)
@click.option("--batch", type=_count, metavar="COUNT", required=True, help="Batch size b.")
@click.option(
    "--outputs",
    type=_count,
    metavar="COUNT",
    required=True,
    help="Outputs per sample d_z; m = b·d_z rows.",
)
@click.option("--device", default="paper", show_default=True, help="Preset, or FILE.toml:NAME of a study.")
@click.option("--processor", help="Host and digital competitor: a100, h100, epyc-7763.")
@click.option(
    "--analog-time", type=float, default=50.0, show_default=True, help="Relaxation t, in units of τ."
)
@click.option("--delay", type=float, default=0.0, show_default=True, help="t_d in τ, beside the host's work.")
@click.option(
    "--samples", type=_count, metavar="COUNT", default=1, show_default=True, help="Readouts averaged."
)
@click.option("--spacing", type=float, default=1.0, show_default=True, help="Between them, in τ.")
@click.option(
    "--ensemble", type=_count, metavar="COUNT", default=1, show_default=True, help="Programmings averaged."
)
@click.option(
    "--depth",
    type=_depth,
    metavar="COUNT",
    default=4,
    show_default=True,
    help="Equal square layers that N stands in.",
)
@click.option(
    "--set", "overrides", multiple=True, metavar="NAME=VALUE", help="Another value of what --sweep can name."
)
@click.option(
    "--sweep",
    "swept",
    multiple=True,
    metavar="NAME=VALUES",
    help="Run one quantity, once, through V1,V2,… or LOW:HIGH[:POINTS]: link_rate, tau, bits, parameters, batch, "
    "outputs, analog_time, device, or a device field, words included: device=paper,rram; upload=full,factored.",
)
@click.option(
    "--figure",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw the sweep into this .svg, .png or .pdf, its data beside it as .csv.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON: one object, or a list of rows with --sweep."
)
def command(
    parameters: int,
    batch: int,
    outputs: int,
    device: str,
    processor: str | None,
    analog_time: float,
    delay: float,
    samples: int,
    spacing: float,
    ensemble: int,
    depth: int,
    overrides: tuple[str, ...],
    swept: tuple[str, ...],
    figure: Path | None,
    as_json: bool,
) -> None:
    """Predict one iteration: the device's ledger, the digital optimizers, the break-even link rate."""
    from tngd_bench.optimizers.prediction import predict
    from tngd_bench.spu.processor import Processor

    if len(swept) > 1:
        raise click.UsageError(f"--sweep is given {len(swept)} times ({', '.join(swept)}); accepted: once")
    if figure is not None and not swept:
        raise click.UsageError("--figure draws a sweep; add --sweep NAME=VALUES")

    overrides, set_sizes, device = _apart(overrides, device)

    def predicted(sizes: Mapping[str, Any], fields: Mapping[str, Any]) -> Prediction:
        asked: dict[str, Any] = {"parameters": parameters, "batch_size": batch, "outputs": outputs}
        asked |= {"analog_time": analog_time, "delay": delay, "samples": samples, "spacing": spacing}
        asked |= {"ensemble": ensemble, "depth": depth, **set_sizes, **sizes}
        described = _device(str(fields.get("device", device)), overrides)
        changed = {name: value for name, value in fields.items() if name != "device"}
        return predict(
            described.override(**changed) if changed else described,
            processor=None if processor is None else Processor.named(processor),
            **asked,
        )

    try:
        if swept:
            farads = _device(device, overrides).capacitance_farad
            click.echo(_swept(swept[0], predicted, farads, figure, as_json))
            return
        prediction = predicted({}, {})
    except (ValueError, TypeError) as error:
        raise click.UsageError(str(error)) from error
    click.echo(json.dumps(_table(prediction), indent=2, ensure_ascii=False) if as_json else _text(prediction))


def _swept(
    text: str,
    predicted: Callable[[Mapping[str, Any], Mapping[str, Any]], Prediction],
    farads: float,
    figure: Path | None,
    as_json: bool,
) -> str:
    from tngd_bench.cli import predict_sweep
    from tngd_bench.optimizers.prediction import DIGITAL

    name, values = predict_sweep.parse(text)
    rows = predict_sweep.sweep(name, values, predicted, lambda seconds: seconds / farads)
    if figure is not None:
        _draw(rows, name, predicted({}, {}), figure)
    if as_json:
        return json.dumps(rows, indent=2, ensure_ascii=False)
    return predict_sweep.as_text(rows, name, DIGITAL, _bounded)


def _draw(rows: list[dict[str, Any]], name: str, p: Prediction, figure: Path) -> None:
    from tngd_bench.report.prediction_chart import formats, write_prediction

    if figure.suffix.lower() not in formats():
        raise click.UsageError(f"--figure takes a name ending in {', '.join(formats())}, not {str(figure)!r}")
    sizes = {"parameters": f"N = {p.work.parameters:,}", "batch": f"b = {p.work.batch_size}"}
    where = ", ".join(text for key, text in sizes.items() if key != name)
    try:
        write_prediction(rows, name, p.device.name if name != "device" else "", where, figure)
    except OSError as error:
        raise click.UsageError(cannot_be_written(f"--figure {figure}", figure, error)) from None


def _device(name: str, overrides: tuple[str, ...]) -> Device:
    from tngd_bench import arguments
    from tngd_bench.cli import predict_sweep
    from tngd_bench.spu.device import Device

    described = _own_device(*name.rsplit(":", 1)) if ":" in name else Device.preset(name)
    fields: dict[str, object] = {}
    for item in overrides:
        field, equals, value = item.partition("=")
        if not equals:
            raise click.UsageError(f"--set takes FIELD=VALUE, not {item!r}")
        known = predict_sweep.canonical(field)
        fields[known] = _value(value.strip())
    tau = [fields.pop(each) for each in predict_sweep.TIME_CONSTANT if each in fields]
    described = described.override(**fields)
    if tau:
        seconds = arguments.real("tau", tau[-1], above=0.0)
        described = described.override(resistance_ohm=seconds / described.capacitance_farad)
    return described


def _apart(overrides: tuple[str, ...], device: str) -> tuple[tuple[str, ...], dict[str, Any], str]:
    """Return what --set says of the device's fields, of sizes by argument of `predict`, and the device it names."""
    from tngd_bench.cli import predict_sweep

    fields: list[str] = []
    sizes: dict[str, Any] = {}
    for item in overrides:
        name, _, value = item.partition("=")
        known = predict_sweep.canonical(name)
        if known == predict_sweep.DEVICE:
            device = value.strip()
        elif known in predict_sweep.SIZES:
            read = float if known == "analog_time" else _count
            try:
                sizes[predict_sweep.SIZES[known]] = read(value.strip())
            except (ValueError, click.BadParameter) as error:
                raise click.UsageError(f"--set {item}: {error}") from None
        else:
            fields.append(item)
    return tuple(fields), sizes, device


def _own_device(study: str, name: str) -> Device:
    """Return the device `name` of a study's [device.NAME] table; ValueError where there is none."""
    from tngd_bench import arguments
    from tngd_bench.studies.devices import own_devices
    from tngd_bench.studies.reading import load_study

    loaded = load_study(study)
    known = own_devices(loaded.study)
    if not known:
        raise ValueError(f"{study} describes no device; a study has one as a table [device.NAME]")
    return known[arguments.choice(f"the device of {study}", name, known)]


def _value(text: str) -> object:
    """None, true, false, an int, a float, or the text itself."""
    words: dict[str, object] = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _table(p: Prediction) -> dict[str, Any]:
    processor = p.processor
    return {
        "modelled": True,
        "parameters": p.work.parameters,
        "batch_size": p.work.batch_size,
        "rows": p.work.rows,
        "analog_time": p.work.analog_time,
        "layers": [list(layer) for layer in p.work.layers or ()],
        "device": {
            "name": p.device.name,
            "sources": {name: dataclasses.asdict(source) for name, source in p.device.sources.items()},
            "seconds": _totals(p.seconds),
            "joules": _totals(p.joules),
            "link_bits": p.link_bits,
            "host_seconds": p.host_seconds,
            "iteration_seconds": p.iteration_seconds,
            "iteration_at_least_seconds": p.iteration_at_least_seconds,
        },
        "processor": None
        if processor is None
        else {
            "name": processor.name,
            "title": processor.title,
            "flops_per_s": processor.flops_per_s,
            "bytes_per_s": processor.bytes_per_s,
            "power_watt": processor.power_watt,
            "sources": {name: dataclasses.asdict(source) for name, source in processor.sources.items()},
        },
        "digital": [
            {
                "name": a.name,
                "flops": a.cost.flops,
                "bytes": a.cost.bytes,
                "seconds": a.seconds,
                "joules": a.joules,
                "break_even_link_bits_per_s": None if p.seconds.not_stated else a.break_even_bits_per_s,
                "break_even_link_at_least_bits_per_s": a.break_even_bits_per_s,
            }
            for a in p.alternatives
        ],
    }


def _totals(ledger: Ledger) -> dict[str, float | None]:
    return {**ledger.items, "total": ledger.total, "at_least": ledger.at_least}


def _text(p: Prediction) -> str:
    work = p.work
    lines = [
        f"modelled, nothing was run: N = {work.parameters:,}, b = {work.batch_size}, m = {work.rows:,}, "
        f"t = {work.analog_time:g} τ",
        "",
        f"{'device ' + p.device.name:<22}{'time':>14}{'energy':>14}",
        *_ledger_lines(p.seconds, p.joules),
        f"  {'bits on the link':<20}{_quantity(float(p.link_bits), 'b'):>14}",
    ]
    if p.processor is None:
        lines += ["", "digital times and the break-even link rate need --processor"]
    else:
        lines += [
            f"  {'host':<20}{_quantity(p.host_seconds, 's'):>14}",
            f"  {'iteration':<20}{_bounded(p.iteration_seconds, p.iteration_at_least_seconds, 's'):>14}",
        ]
        title = f"digital on {p.processor.title}, at rated speed"
        lines += ["", title]
    lines.append(
        f"  {'':<14}{'operations':>12}{'memory':>12}{'time':>14}{'energy':>14}  break-even link rate"
    )
    for a in p.alternatives:
        if a.seconds is None:
            reached = "not stated"
        elif a.break_even_bits_per_s is None:
            reached = "none: the rest of the bill is longer"
        else:
            exact = None if p.seconds.not_stated else a.break_even_bits_per_s
            reached = _bounded(exact, a.break_even_bits_per_s, "b/s")
        lines.append(
            f"  {a.name:<14}{a.cost.flops:>12.2e}{_quantity(a.cost.bytes, 'B'):>12}{_quantity(a.seconds, 's'):>14}"
            f"{_quantity(a.joules, 'J'):>14}  {reached}"
        )
    return "\n".join(lines)


def _ledger_lines(seconds: Ledger, joules: Ledger) -> list[str]:
    lines = [
        f"  {name.replace('_', ' '):<20}{_quantity(time, 's'):>14}{_quantity(joules.items[name], 'J'):>14}"
        for name, time in seconds.items.items()
    ]
    time, energy = (_bounded(each.total, each.at_least, each.unit) for each in (seconds, joules))
    return [*lines, f"  {'total':<20}{time:>14}{energy:>14}"]


def _bounded(value: float | None, at_least: float | None, unit: str) -> str:
    """A figure, or with "≥" the lower bound that is known of it."""
    bound = "≥ " if value is None and at_least is not None else ""
    return bound + _quantity(at_least if value is None else value, unit)


def _quantity(value: float | None, unit: str) -> str:
    """A figure with an SI prefix; "not stated" for None."""
    if value is None:
        return "not stated"
    if value == 0.0:
        return f"0 {unit}"
    if unit == "s":
        from tngd_bench.analysis.quantities import seconds

        return seconds(value, digits=4)
    prefixes = {-12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E"}
    exponent = 3 * math.floor(math.log10(abs(value)) / 3)
    if exponent not in prefixes:
        return f"{value:.3e} {unit}"
    return f"{value / 10.0**exponent:.4g} {prefixes[exponent]}{unit}"
