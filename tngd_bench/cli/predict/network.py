"""The network that the options of `predict` and `require` ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from tngd_bench.layers import Layer
from tngd_bench.spu.analog_settings import BILLED_FIELDS, AnalogSettings

if TYPE_CHECKING:
    from tngd_bench.optimizers.network_size import Model


def network(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `predict` for the network that was asked for.

    It is a model by name, one of a problem, or N square layers used as often as --positions or --forward-flops say.
    """
    from tngd_bench.optimizers.network_size import positions_of

    given = {name: value for name, value in asked.items() if value is not None and name not in BILLED_FIELDS}
    given["analog"] = AnalogSettings.of(asked)
    named = ("--model", "--problem", "--forward-flops", "--positions")
    chosen = [option for option in named if option[2:].replace("-", "_") in given]
    if len(chosen) > 1:
        both = " and ".join(chosen)
        raise click.UsageError(f"{both} each say how often weights are used; accepted: one of them")
    name, problem = given.pop("model", None), given.pop("problem", None)
    if (name or problem) is not None and "depth" in given:
        raise click.UsageError(f"{chosen[0]} has layers of its own; accepted: --depth without it")
    if name is None and "parameters" not in given:
        raise click.UsageError("Missing option '--parameters'; only a --model has a number of its own")
    if name is not None:
        return given | _checked(name, _model(name), given.pop("parameters", None), given.get("outputs"))
    if problem is not None:
        return given | _problem(problem, given.pop("parameters"), given.get("outputs"))
    if "outputs" not in given:
        raise click.UsageError(
            "Missing option '--outputs'; only a --problem or --model has a number of its own"
        )
    if "forward_flops" in given:
        given["positions"] = positions_of(given.pop("forward_flops"), given["parameters"])
    return given


def _model(name: str) -> Model:
    """Return a published network, or the one that a function FILE.py:build makes."""
    from tngd_bench.problems.outside import published

    path, colon, function = name.rpartition(":")
    if not colon and not name.endswith(".py"):
        try:
            return published.published(name)
        except ValueError as error:
            raise ValueError(f"{error} (or your own, as FILE.py:build)") from None
    from tngd_bench.problems.outside.from_file import model_in_file

    return model_in_file(path or name, function if colon else "build")


def _checked(name: str, model: Model, parameters: int | None, outputs: int | None) -> dict[str, Any]:
    """Return the model and its outputs; ValueError where the sizes that are asked for are not its own."""
    from tngd_bench.problems.widths import TOLERANCE_PERCENT, is_hit

    if parameters is not None and not is_hit(model.parameters, parameters):
        raise ValueError(
            f"{name} has {model.parameters:,} parameters; accepted: --parameters within {TOLERANCE_PERCENT} % of "
            f"them or left out, not {parameters:,}"
        )
    assert model.outputs is not None
    if outputs is not None and outputs > model.outputs:
        raise ValueError(
            f"{name} has {model.outputs:,} outputs a sample; accepted: --outputs up to them, the number that the "
            f"loss takes, not {outputs:,}"
        )
    return {"model": model, "outputs": model.outputs if outputs is None else outputs}


def _problem(name: str, parameters: int, outputs: int | None) -> dict[str, Any]:
    """Return the problem's model whose N is nearest to `parameters`, and its outputs; ValueError where it has none."""
    from tngd_bench.optimizers.network_size import Model
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
