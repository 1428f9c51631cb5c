"""The options of `tngd-bench predict`: a device with other values, a processor, a network."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from tngd_bench.cli.predict import sweep
from tngd_bench.field_docstrings import field_docstrings
from tngd_bench.layers import Layer
from tngd_bench.spu.analog_settings import BILLED_FIELDS, AnalogSettings

if TYPE_CHECKING:
    from tngd_bench.spu.device import Device

_LARGEST_COUNT = 1e18  # beyond, cubes of b·d_z leave the range of numbers
_MOST_LAYERS = 10_000


def count(value: str, least: int = 1) -> int:
    """Read a whole number from `least` on, 1e12 and 1_000_000 included."""
    number = real(value)
    if not (math.isfinite(number) and number >= least and number == int(number)):
        raise click.BadParameter(f"{value!r} is not a whole number >= {least}")
    if number > _LARGEST_COUNT:
        raise click.BadParameter(f"{value!r} is too large; accepted: up to {_LARGEST_COUNT:.0e}")
    return int(number)


def count_or_none(value: str) -> int:
    """Read a whole number of 0 or more."""
    return count(value, 0)


def _whole(name: str) -> Callable[[str], int]:
    """Return how the whole numbers of an analog setting are read."""
    return count_or_none if getattr(AnalogSettings(), name) == 0 else count


def depth(value: str) -> int:
    """Read a count of layers, which are gone through one by one."""
    layers = count(value)
    if layers > _MOST_LAYERS:
        raise click.BadParameter(f"{value!r} is too large; accepted: up to {_MOST_LAYERS}")
    return layers


def real(value: str) -> float:
    """Read a number."""
    try:
        return float(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a number") from None


count_option = partial(click.option, type=count, metavar="COUNT")
real_option = partial(click.option, type=float)


def analog_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each analog setting that is billed."""
    defaults, texts = AnalogSettings(), field_docstrings(AnalogSettings)
    for name, info in reversed(list(BILLED_FIELDS.items())):
        words = info.accepted.words
        kind: Any = click.Choice(words) if words else _whole(name) if info.accepted.whole else float
        unit = f" [{info.unit}]" if info.unit else ""
        command = click.option(
            f"--{name.replace('_', '-')}",
            type=kind,
            metavar="COUNT" if info.accepted.whole else None,
            default=getattr(defaults, name),
            show_default=True,
            help=f"{texts.get(name, info.title)}{unit}",
        )(command)
    return command


def apart(overrides: tuple[str, ...], device: str) -> tuple[tuple[str, ...], dict[str, Any], str]:
    """Split --set into fields of the device, sizes by argument of `predict`, and the device's name."""
    fields: list[str] = []
    sizes: dict[str, Any] = {}
    for item in overrides:
        name, _, value = item.partition("=")
        known = sweep.canonical(name)
        if known == sweep.DEVICE:
            device = value.strip()
        elif known in sweep.SIZES:
            words = known in BILLED_FIELDS and BILLED_FIELDS[known].accepted.words
            whole = _whole(known) if known in BILLED_FIELDS else count
            read: Callable[[str], object] = str if words else whole if known in sweep.COUNTS else real
            try:
                sizes[sweep.SIZES[known]] = read(value.strip())
            except click.BadParameter as error:
                raise click.UsageError(f"--set {item}: {error}") from None
        else:
            fields.append(item)
    return tuple(fields), sizes, device


def refuse_twice(overrides: tuple[str, ...], swept: str | None) -> None:
    """Raise UsageError for a quantity with two values: by --set, --sweep and its own option.

    An option that has to be given, such as --batch, gives way to --set and --sweep.
    """
    context = click.get_current_context()
    options = {option.name: option for option in context.command.params if option.name is not None}
    places: dict[str, list[str]] = {}
    for name, option in options.items():
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name not in ("parameters", "batch_size", "outputs"):
            places[name] = [option.opts[-1]]
    said = [(f"--set {item}", sweep.canonical(item.partition("=")[0])) for item in overrides]
    said += [] if swept is None else [("--sweep", swept)]
    for text, quantity in said:
        known = "resistance_ohm" if quantity in sweep.TIME_CONSTANT else quantity  # R = τ/C
        places.setdefault(known, []).append(text)
        if len(places[known]) > 1:
            both = " and ".join(places[known])
            raise click.UsageError(f"{both} give one quantity two values; accepted: one of them")


def device(name: str, overrides: tuple[str, ...]) -> Device:
    """Return the device called `name`, or FILE.toml:NAME of a study, with the fields that --set gives it."""
    from tngd_bench import arguments

    if ":" not in name and name.endswith(".toml"):
        raise ValueError(f"device {name!r} names no device of that study; accepted: {name}:NAME")
    described = _own_device(*name.rsplit(":", 1)) if ":" in name else _named_device(name)
    fields: dict[str, object] = {}
    for item in overrides:
        field, equals, value = item.partition("=")
        if not equals:
            raise click.UsageError(f"--set takes FIELD=VALUE, not {item!r}")
        fields[sweep.canonical(field)] = _value(value.strip())
    tau = [fields.pop(each) for each in sweep.TIME_CONSTANT if each in fields]
    described = described.override(**fields)
    if tau:
        seconds = arguments.real("tau", tau[-1], above=0.0)
        described = described.override(resistance_ohm=seconds / described.capacitance_farad)
    return described


def _named_device(name: str) -> Device:
    from tngd_bench.spu.device import Device

    try:
        return Device.preset(name)
    except ValueError as error:
        raise ValueError(
            f"{error}; a device of a plug-in needs --plugin FILE.py, one of a study is named FILE.toml:NAME"
        ) from None


def _own_device(study: str, name: str) -> Device:
    """Return the device `name` of a study's [device.NAME] table; ValueError where there is none."""
    from tngd_bench import arguments
    from tngd_bench.studies.file.reading import load_devices

    known = load_devices(study)
    if not known:
        raise ValueError(f"{study} describes no device; a study has one as a table [device.NAME]")
    return known[arguments.choice(f"the device of {study}", name, known)]


def _value(text: str) -> object:
    """Return None, true, false, an int, a float, or the text itself."""
    words: dict[str, object] = {"none": None, **sweep.FLAGS}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def sizes(asked: Mapping[str, Any], problem: str | None, forward_flops: float | None) -> dict[str, Any]:
    """Return the arguments of `predict` for the network that was asked for.

    It is a model of `problem`, or N square layers used as often as --positions or `forward_flops` say.
    """
    from tngd_bench.optimizers.roofline import positions_of

    given = {name: value for name, value in asked.items() if value is not None and name not in BILLED_FIELDS}
    given["analog"] = AnalogSettings.of(asked)
    named = {"--problem": problem, "--forward-flops": forward_flops, "--positions": given.get("positions")}
    chosen = [option for option, value in named.items() if value is not None]
    if len(chosen) > 1:
        both = " and ".join(chosen)
        raise click.UsageError(f"{both} each say how often weights are used; accepted: one of them")
    if problem is not None:
        if "depth" in given:
            raise click.UsageError("--problem has layers of its own; accepted: --depth without it")
        return given | _problem(problem, given.pop("parameters"), given.get("outputs"))
    if "outputs" not in given:
        raise click.UsageError("Missing option '--outputs'; only a --problem has a number of its own")
    if forward_flops is not None:
        given["positions"] = positions_of(forward_flops, given["parameters"])
    return given


def _problem(name: str, parameters: int, outputs: int | None) -> dict[str, Any]:
    """Return the problem's model whose N is nearest to `parameters`, and its outputs; ValueError where it has none."""
    from tngd_bench.optimizers.roofline import Model
    from tngd_bench.problems import registry

    entry = registry.get(name)
    widths = entry.widths(parameters, outputs)
    if not getattr(widths, "layers", None):
        raise ValueError(
            f"the problem {name!r} does not say what layers its models have; accepted: --positions"
        )
    layers = tuple(Layer(*layer) for layer in widths.layers)
    model = Model(widths.parameters, layers, f"{entry.name}, {widths.describe()}")
    return {"model": model, "outputs": entry.outputs if outputs is None else outputs}
