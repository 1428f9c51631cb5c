"""Options of `predict` and `require` that contradict one another, or that another one leaves without effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from click.core import ParameterSource

from tngd_bench.cli.predict import sweep
from tngd_bench.solvers.cg_iterations import DAMPING
from tngd_bench.spu.analog_settings import AnalogSettings


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


def refuse_idle(asked: Mapping[str, Any], swept: str | None) -> None:
    """Raise UsageError for a quantity that is given or `swept` and that another one leaves without effect."""
    changed = {
        "spacing": asked["spacing"] != AnalogSettings().spacing,
        "damping": asked["damping"] != DAMPING,
    }
    one_readout = asked["samples"] == 1 and swept != "samples"
    if one_readout and (changed["spacing"] or swept == "spacing"):
        raise click.UsageError(
            "spacing lies between readouts, of which there is one; add --samples 2 or more"
        )
    counted = asked["cg_iterations"] is not None or swept == "cg_iterations"
    if counted and (changed["damping"] or swept == "damping"):
        raise click.UsageError(
            "damping and cg_iterations both set the iterations of NGD-CG; accepted: one of them"
        )
