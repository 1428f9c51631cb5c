"""Checks of a problem."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tngd_bench.check.conformance.small_run import NotApplicable, copies, next_draws, require, same
from tngd_bench.curvature import GGN
from tngd_bench.curvature.losses import evaluate
from tngd_bench.curvature.model_call import run_model
from tngd_bench.datasets.splits import DataSplits, take
from tngd_bench.measure import training
from tngd_bench.measure.operations import count_operations
from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.measure.problem_instance import ProblemInstance
from tngd_bench.problems import registry as problems
from tngd_bench.problems.entry import ProblemEntry
from tngd_bench.studies.plan.candidates import HONEST_FACTOR

_SAMPLES = 16, 8
"""Of the training and of the test data: few, as all of a small data set may be."""
_PARAMETERS, _FINER, _TRIED = 10_000, 1.04, 120
"""Size asked for first, then by powers of 1.04 up to a factor of 100: each model is within 2 % of one of them."""


def _size(entry: ProblemEntry) -> int:
    """Return the number of parameters of a model near 10,000, of which a coarse knob may have none within 2 %."""
    if entry.size is not None:
        return entry.size()
    refused = []
    for power in sorted(range(-_TRIED, _TRIED + 1), key=abs):
        try:
            return entry.search(entry.outputs, round(_PARAMETERS * _FINER**power)).parameters
        except ValueError as error:
            refused.append(error)
    raise refused[0]


def _sized(name: str, batch_size: int = 8, processor: str = "cpu") -> tuple[ProblemInstance, DataSplits]:
    """Return a problem at its only size, or near 10,000 parameters, on a few samples."""
    entry = problems.get(name)
    instance = ProblemInstance(
        name, _size(entry), entry.outputs, batch_size, "float32", ("conformance", 0), processor=processor
    )
    return instance, entry.load(*_SAMPLES, outputs=entry.outputs).to(instance.device)


def sizes(name: str) -> str:
    """The model has as many parameters and outputs as its widths say, within 2 % of what is asked for."""
    instance, data = _sized(name)
    entry = instance.entry
    widths = entry.widths(instance.parameters, instance.outputs)
    model = entry.model(widths, 0)  # refuses a model of another size
    outputs = run_model(model, take(data.train_inputs, slice(3)))
    per_sample = math.prod(outputs.shape[1:])
    require(outputs.shape[0] == 3, f"three samples give outputs {tuple(outputs.shape)}")
    require(
        per_sample == instance.outputs,
        f"the model has {per_sample} outputs per sample, the problem {instance.outputs}",
    )
    return f"N = {widths.parameters:,} ({widths.describe()}), d_z = {per_sample}"


def data(name: str) -> str:
    """Data have the sizes and the dtype asked for, are finite, and have the same checksum at each reading."""
    instance, one = _sized(name)
    other = instance.entry.load(*_SAMPLES, "float64", outputs=instance.outputs)
    require(one.checksum == other.checksum, "two readings have different checksums")
    found = len(one.train_targets), len(one.test_targets)
    require(found == _SAMPLES, f"{found} training and test samples, {_SAMPLES} were asked for")
    for splits, dtype in ((one, torch.float32), (other, torch.float64)):
        for tensor in _tensors(splits):
            require(tensor.isfinite().all(), "there are values that are not finite")
            wrong = tensor.is_floating_point() and tensor.dtype != dtype
            require(not wrong, f"a tensor is in {tensor.dtype}, not in {dtype}")
    return f"checksum {one.checksum[:12]}"


def _tensors(splits: DataSplits) -> list[Tensor]:
    found: list[Any] = []
    for inputs in (splits.train_inputs, splits.test_inputs):
        found += [*inputs.values()] if isinstance(inputs, Mapping) else [inputs]
    return [each for each in (*found, splits.train_targets) if isinstance(each, Tensor)]


def starts(name: str) -> str:
    """A start follows from its seed alone, and making one leaves the global random generators as they were."""
    instance, _ = _sized(name)
    draws = next_draws()
    widths = instance.entry.widths(instance.parameters, instance.outputs)
    one, again, other = (copies(instance.entry.model(widths, seed)) for seed in (1, 1, 2))
    require(same(one, again), "one seed gave two starts")
    require(not same(one, other), "two seeds gave one start")
    require(next_draws() == draws, "a global random generator was drawn from, or seeded")
    return "two seeds"


def scores(name: str) -> str:
    """The loss is finite and has a gradient, and the score gives it and every metric."""
    instance, splits = _sized(name)
    model, loss, part = instance.model(), instance.loss(), splits.test()
    outputs = run_model(model, part.inputs)
    value = evaluate(loss, outputs, part.targets)
    gradients = torch.autograd.grad(
        value, [p for p in model.parameters() if p.requires_grad], allow_unused=True
    )
    require(any(each is not None and each.any() for each in gradients), "the gradient is zero")
    entry = instance.entry
    scored = training.evaluate(model, loss, splits, score=entry.score(), batch_size=entry.evaluation_batch)
    found = {name.removeprefix("test_"): number for name, number in scored.items()}
    wanted = ("loss", *(metric.name for metric in entry.metrics))
    for key in wanted:
        require(key in found, f"the score lacks {key!r}; it gives {', '.join(found)}")
        require(math.isfinite(found[key]), f"{key} = {found[key]} is not finite")
    for metric in entry.metrics:
        within = 0.0 <= found[metric.name] <= 1.0
        require(
            within or not metric.share, f"{metric.name} = {found[metric.name]} is no share between 0 and 1"
        )
    return ", ".join(f"{key} {found[key]:.3g}" for key in wanted)


def curvature(name: str) -> str:
    """Second-order optimizers can use the model: the rows of its curvature agree with autograd."""
    instance, splits = _sized(name, batch_size=2)
    inputs, targets = next(instance.batches(splits))
    model, loss = instance.model(), instance.loss()
    try:
        ggn = GGN(model, loss, inputs, targets, verify=True)
        ggn.gram()
    except (ValueError, TypeError) as error:
        raise NotApplicable(f"second-order optimizers refuse it: {error}") from error
    slow = ", ".join(each.module for each in ggn.fallbacks)
    return "rows by layers" if not slow else f"right, but slower for {slow}"


def stated_layers(name: str) -> str:
    """The layers that predictions take say the operations of a forward pass within a factor of two."""
    instance, splits = _sized(name)
    inputs, _ = next(instance.batches(splits))
    model = instance.model()
    counted = count_operations(lambda: run_model(model, inputs)).flops
    widths = instance.entry.widths(instance.parameters, instance.outputs)
    stated = sum(layer.forward(instance.batch_size) for layer in widths.layers)
    found = f"{counted:.3g} counted, {stated:.3g} stated"
    if math.isnan(counted):
        raise NotApplicable("its operations cannot be counted")
    require(counted / HONEST_FACTOR <= stated <= HONEST_FACTOR * counted, found)
    return found


def problem_on_cuda(name: str) -> str:
    """A step of SGD on the GPU, if there is one, gives a finite loss."""
    if not torch.cuda.is_available():
        raise NotApplicable("torch sees no GPU here")
    instance, splits = _sized(name, processor="cuda")
    value = instance.optimizer(OptimizerConfig.of("sgd"), instance.model()).step(
        *next(instance.batches(splits))
    )
    require(math.isfinite(value), f"loss {value}")
    return torch.cuda.get_device_name()
