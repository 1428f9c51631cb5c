"""The options of `tngd-bench predict`: a device with other values, a processor, a network."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

import click

from tngd_bench.cli.option_kinds import default_option, flag_option, several_option
from tngd_bench.cli.predict import sweep
from tngd_bench.cli.predict.contradictions import refuse_idle, refuse_twice
from tngd_bench.cli.predict.network import network
from tngd_bench.cli.study_options import plugin_option
from tngd_bench.field_docstrings import field_docstrings
from tngd_bench.solvers.cg_iterations import DAMPING
from tngd_bench.spu.analog_settings import BILLED_FIELDS, AnalogSettings

if TYPE_CHECKING:
    from tngd_bench.optimizers.roofline import Prediction
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
    """Return the reader of the whole numbers of an analog setting."""
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


_SIZE = (
    plugin_option,
    count_option("--parameters", help="Trainable parameters N; 1e12 is understood. Needed without --model."),
    count_option(
        "--batch", "batch_size", required=True, help="Batch size b: images, or sequences of tokens."
    ),
    count_option(
        "--outputs",
        help="Outputs per sample d_z that the loss takes, of all its positions; m = b·d_z rows. Needed without "
        "--model or --problem.",
    ),
)
_NETWORK = (
    click.option(
        "--model",
        "--module",
        "model",
        metavar="NAME",
        help="A network by name, resnet50 or gpt2, or your own as FILE.py:build, where build() returns a "
        "torch.nn.Module and a batch of inputs. Its layers are counted on torch's meta device.",
    ),
    click.option("--problem", help="Take the layers of this problem's model (`list problems`) nearest to N."),
    real_option(
        "--positions",
        help="Places of a sample at which a weight is used: tokens of a sequence, pixels of an image. [default: 1]",
    ),
    real_option(
        "--forward-flops",
        help="FLOP of one sample's forward pass (2 a multiply-add), in place of --positions: 2N times them.",
    ),
    count_option("--depth", type=depth, help="Equal square layers that N stands in. [default: 4]"),
    count_option("--cg-iterations", help="Iterations of NGD-CG. [default: as a fit expects them]"),
    real_option(
        "--damping", default=DAMPING, show_default=True, help="λ, on which the iterations of NGD-CG depend."
    ),
    analog_options,
    several_option(
        "--set", "overrides", metavar="NAME=VALUE", help="Another value of what --sweep can name."
    ),
)


def question_options(processor: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options that ask for a prediction; `processor` is the default of --processor."""
    machine = (
        default_option(
            "--device", default="paper", help="Preset, name in a --plugin, or FILE.toml:NAME of a study."
        ),
        default_option(
            "--processor",
            default=processor,
            help="Host and digital competitor: a100, h100, epyc-7763.",
        ),
        default_option(
            "--precision",
            default="fp32",
            help="fp64, fp32, tf32, bf16 or fp16: the processor's rate, and the bytes of a number.",
        ),
        click.option(
            "--host-precision",
            type=str.lower,
            metavar="TEXT",
            help="That of the host's passes alone, such as tf32 on tensor cores.",
        ),
        real_option(
            "--flops",
            help="A rate of your own in FLOP/s, for the processor at that precision (2 a multiply-add).",
        ),
        real_option("--host-watts", help="Power of the processor as you measured it.  [default: as rated]"),
        flag_option(
            "--overlap",
            help="Send the rows of a backward pass while the host makes the next: modelled as a pipeline of d_z "
            "blocks, max + min/d_z in place of a sum.",
        ),
    )
    parts = (*_SIZE, *machine, *_NETWORK)
    return lambda command: reduce(lambda wrapped, part: part(wrapped), reversed(parts), command)


@dataclass(frozen=True)
class Asked:
    """The question that the options ask: the `device` with `overrides` of its fields, all other options by name."""

    device: str
    overrides: tuple[str, ...]
    asked: Mapping[str, Any]

    @classmethod
    def of(cls, asked: Mapping[str, Any], swept: str | None = None) -> Asked:
        """Return the question of the values of `question_options`, but for the quantity that is `swept`."""
        for name, what in (("flops", "rate"), ("host_watts", "power")):
            if asked[name] is not None and asked["processor"] is None:
                option = name.replace("_", "-")
                raise click.UsageError(f"--{option} replaces the {what} of a processor; add --processor")
        refuse_twice(asked["overrides"], swept)
        overrides, sizes, device = apart(asked["overrides"], asked["device"])
        refuse_idle(dict(asked) | sizes, swept)
        return cls(device, overrides, dict(asked) | sizes)

    @property
    def named(self) -> tuple[str, ...]:
        """The fields of the device that --set gives."""
        return tuple(sweep.canonical(item.partition("=")[0]) for item in self.overrides)

    @property
    def described(self) -> Device:
        """The device as it is without a sweep."""
        return device(self.device, self.overrides)

    def predict(self, sizes: Mapping[str, Any], fields: Mapping[str, Any]) -> Prediction:
        """Predict with other sizes and device fields, a field "device" naming another preset."""
        from tngd_bench.optimizers.roofline import predict
        from tngd_bench.spu.processor import Processor

        described = device(str(fields.get("device", self.device)), self.overrides)
        changed = {name: value for name, value in fields.items() if name != "device"}
        given = {name: value for name, value in self.asked.items() if name not in _NOT_OF_SIZE}
        precision, flops, watts = (self.asked[name] for name in ("precision", "flops", "host_watts"))
        name = self.asked["processor"]
        return predict(
            described.override(**changed) if changed else described,
            processor=None if name is None else Processor.named(name, precision.lower(), flops, watts),
            precision=precision.lower(),
            **network(given | dict(sizes)),
        )


_NOT_OF_SIZE = ("device", "overrides", "processor", "precision", "flops", "host_watts")


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
            whole = _whole(known) if known in BILLED_FIELDS else count
            words = known in sweep.words()
            read: Callable[[str], object] = sweep.word if words else whole if known in sweep.COUNTS else real
            try:
                sizes[sweep.SIZES[known]] = read(value.strip())
            except click.BadParameter as error:
                raise click.UsageError(f"--set {item}: {error}") from None
        else:
            fields.append(item)
    return tuple(fields), sizes, device


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
    words: dict[str, object] = {"none": None, "ideal": None, **sweep.FLAGS}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text
