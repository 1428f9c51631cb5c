"""The sizes of a network that a function of a file makes, counted on torch's meta device: no memory, no work."""

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree

from tngd_bench import plugin_files, plugins
from tngd_bench.curvature.kronecker.batch_statistics import uses_batch_statistics
from tngd_bench.optimizers.network_size import Model
from tngd_bench.problems.outside.traced_layers import traced_layers


def model_in_file(path: str, function: str) -> Model:
    """Return the sizes of the model that `function` of the file at `path` makes.

    It returns a `torch.nn.Module` and a batch of its inputs, made on the meta device where it names none. ValueError
    where it cannot be loaded, fails, or returns something else.
    """
    file = plugin_files.read(path)
    plugin_files.install(file)
    build = vars(sys.modules[file.module]).get(function)
    where = f"{file.name}:{function}"
    if not callable(build):
        raise ValueError(
            f"{file.name} has no function {function}; accepted: FILE.py:FUNCTION, or FILE.py for its function build"
        )
    try:
        with torch.device("meta"):
            model, inputs = _pair(build)
            layers, outputs = traced_layers(model.to("meta"), _pytree.tree_map(_on_meta, inputs))
    except (Exception, SystemExit) as error:  # whatever outside code does
        raise ValueError(f"{where} cannot be counted: {plugins.said(error)}") from error
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if not trained:
        raise ValueError(f"{where} makes a model without trained parameters; accepted: one with at least one")
    coupled = any(map(uses_batch_statistics, model.modules()))
    text = f"{where}, {type(model).__name__}"
    return Model(trained, layers, text, outputs=outputs, batch_statistics=coupled)


def _pair(build: Callable[[], Any]) -> tuple[nn.Module, Any]:
    made = build()
    if not (isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], nn.Module)):
        raise TypeError(
            f"it must return a torch.nn.Module and a batch of its inputs, (model, inputs), not {made!r:.80}"
        )
    return made


def _on_meta(value: Any) -> Any:
    return value.to("meta") if isinstance(value, torch.Tensor) else value
