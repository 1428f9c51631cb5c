"""A problem from a plain model and its data, for plug-ins."""

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from tngd_bench import arguments
from tngd_bench.curvature.losses import evaluate
from tngd_bench.datasets import DType
from tngd_bench.datasets.splits import DataSplits, Samples, Subset, take
from tngd_bench.optimizers.forward_state import draws_kept
from tngd_bench.problems.entry import ProblemEntry
from tngd_bench.problems.metrics import ACCURACY, Metric
from tngd_bench.problems.outside.traced_layers import traced_layers
from tngd_bench.problems.scores import classification
from tngd_bench.problems.widths import Widths, is_hit, no_such_size

Part = TensorDataset | tuple[Samples, Tensor]
"""Inputs and targets, sample first; inputs may be tensors by name, passed as model(**inputs)."""
Values = Callable[[Tensor, Tensor], Mapping[str, float]]
_LARGEST_WIDTH = 1 << 20


@dataclass(frozen=True)
class ModelWidths(Widths):
    """A model of given code at one width, None where it has no size knob, and what was counted on it."""

    width: int | None
    counted: int
    per_sample: int

    @property
    def parameters(self) -> int:
        """The number of its trained parameters."""
        return self.counted

    @property
    def outputs(self) -> int:
        """Outputs per sample, d_z."""
        return self.per_sample


def problem_of(
    name: str,
    model: Callable[..., nn.Module],
    data: Callable[[], tuple[Part, Part]],
    outputs: int,
    *,
    loss: Callable[[], nn.Module] = nn.CrossEntropyLoss,
    metrics: Sequence[Metric] | None = None,
    values: Values | None = None,
    title: str = "",
    summary: str = "",
) -> ProblemEntry:
    """Return the problem of training `model` on the training part of `data`, evaluated on its test part.

    Parameters
    ----------
    name : str
        Name in studies.
    model : callable
        `model()` makes the model; where it takes an argument, `model(width)` makes it at a whole number that the
        number of parameters grows with, and a study may ask for any size within 2 % of one.
    data : callable
        `data()` returns both parts, (n, …) each.
    outputs : int
        d_z, the model's outputs per sample.
    loss : callable
        Makes the mean-reduced loss.
    metrics, values : sequence of Metric, callable
        `values(outputs, targets)` returns the `metrics` of n evaluated samples besides the loss; without it a
        cross-entropy has the accuracy.
    title, summary : str
        Words for reports and lists.

    Raises
    ------
    TypeError, ValueError
        An argument is of another kind; the message names it.
    """
    _check_arguments(name, outputs, {"model": model, "data": data, "loss": loss, "values": values})
    accuracy = values is None and isinstance(loss(), nn.CrossEntropyLoss)
    by_width = any(
        each.default is each.empty and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        for each in inspect.signature(model).parameters.values()
    )
    widths = cache(partial(_widths, model, cache(lambda: take(_of(data()[0])[0], slice(2)))))
    return ProblemEntry(
        name=name,
        title=title or name,
        summary=summary or f"{getattr(model, '__name__', 'a model')} of a plug-in",
        data_source="as read by its plug-in",
        classes=outputs,
        search=partial(_search, widths, by_width),
        read=partial(_read, data),
        build=lambda found: _made(model, getattr(found, "width", None)),
        metrics=tuple(metrics or ((ACCURACY,) if accuracy else ())),
        make_loss=loss,
        size=None if by_width else lambda: widths(None).parameters,
        make_score=lambda: classification if accuracy else partial(_score, values),
    )


def _check_arguments(name: object, outputs: object, functions: Mapping[str, object]) -> None:
    arguments.text("name", name)
    arguments.integer("outputs", outputs, minimum=1)
    for argument, function in functions.items():
        if isinstance(function, nn.Module):
            raise TypeError(
                f"{argument} must be a function or class that makes it, not one that is made: {function!r:.80}"
            )
        if not (argument == "values" and function is None):
            arguments.function(argument, function)


def _made(model: Callable[..., nn.Module], width: int | None) -> nn.Module:
    return model() if width is None else model(width)


def _widths(model: Callable[..., nn.Module], sample: Callable[[], Samples], width: int | None) -> ModelWidths:
    with draws_kept(torch.device("cpu")):
        built = _made(model, width)
        layers, outputs = traced_layers(built, sample())
    counted = sum(each.numel() for each in built.parameters() if each.requires_grad)
    text = type(built).__name__ + ("" if width is None else f" of width {width}")
    return ModelWidths(layers, text, width, counted, outputs)


def _search(
    widths: Callable[[int | None], ModelWidths], by_width: bool, outputs: int, parameters: int
) -> ModelWidths:
    """Return the model nearest to `parameters`; ValueError where none comes within 2 %, or has other outputs."""
    near = list(_around(widths, parameters)) if by_width else [widths(None)]
    best = min(near, key=lambda found: abs(found.parameters - parameters))
    if best.outputs != outputs:
        raise ValueError(
            f"the model has {best.outputs} outputs per sample; accepted: outputs = {best.outputs}"
        )
    if not is_hit(best.parameters, parameters):
        counts = " and ".join(str(found.parameters) for found in near)
        raise no_such_size(parameters, counts)
    return best


def _around(widths: Callable[[int | None], ModelWidths], parameters: int) -> Iterator[ModelWidths]:
    """Yield the largest model with at most `parameters`, where there is one, and the next one."""
    low, high = 0, 1
    while widths(high).parameters < parameters and high < _LARGEST_WIDTH:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if widths(middle).parameters < parameters else (low, middle)
    yield from (widths(width) for width in (low, high) if width)


def _of(part: Part) -> tuple[Samples, Tensor]:
    """Return inputs and targets; TypeError for data of another kind."""
    pair: Any = part.tensors if isinstance(part, TensorDataset) else part
    if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[1], Tensor)):
        raise TypeError(
            "each part of the data must be a TensorDataset of inputs and targets, or that pair, not"
            f" {type(part).__name__}"
        )
    inputs, targets = pair
    for name, values in (inputs if isinstance(inputs, Mapping) else {"inputs": inputs}).items():
        if not isinstance(values, Tensor) or values.shape[:1] != targets.shape[:1]:
            found = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise TypeError(
                f"{name} must be a tensor with an entry for each of the targets {tuple(targets.shape)}, not {found}"
            )
    return inputs, targets


def _read(
    data: Callable[[], tuple[Part, Part]],
    train_size: int | None,
    test_size: int | None,
    dtype: DType,
    outputs: int,
) -> DataSplits:
    digest = hashlib.sha256()
    parts: list[Any] = []
    for name, part, size in zip(("train_size", "test_size"), data(), (train_size, test_size), strict=True):
        inputs, targets = _of(part)
        if size is not None:
            arguments.integer(name, size, minimum=1, maximum=len(targets))
        for tensor in (*(inputs.values() if isinstance(inputs, Mapping) else (inputs,)), targets):
            digest.update(str(tuple(tensor.shape)).encode())
            digest.update(tensor.detach().contiguous().cpu().view(-1).view(torch.uint8).numpy().tobytes())
        kept = slice(size)
        parts += [_cast(take(inputs, kept), dtype), _cast(targets[kept], dtype)]
    train_inputs, train_targets, test_inputs, test_targets = parts
    return DataSplits(train_inputs, train_targets, test_inputs, test_targets, digest.hexdigest(), "a plug-in")


def _cast(samples: Samples, dtype: DType) -> Samples:
    """Return floating-point tensors in `dtype`, others as they are."""
    if isinstance(samples, Mapping):
        return {name: _cast(values, dtype) for name, values in samples.items()}
    return samples.to(getattr(torch, dtype)) if samples.is_floating_point() else samples


def _score(values: Values | None, loss: nn.Module, outputs: Tensor, part: Subset) -> Mapping[str, float]:
    further = {} if values is None else values(outputs, part.targets)
    return {"loss": float(evaluate(loss, outputs, part.targets)), **further}
