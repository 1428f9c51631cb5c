"""Conformance: the checks that every optimizer, problem, device and engine has to pass, ours and those of plug-ins.

A check takes a registered name and returns what it found, in words; it raises `Failure` with what is wrong, or
`NotApplicable` with why it was not made. `tngd-bench test` runs each in a process of its own.
"""

import io
import math
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tngd_bench.curvature import GGN
from tngd_bench.curvature.losses import evaluate
from tngd_bench.curvature.model_call import run_model
from tngd_bench.datasets.splits import DataSplits, take
from tngd_bench.measure import training
from tngd_bench.measure.inspection import Inspection, inspect_step
from tngd_bench.measure.operations import count_operations
from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.measure.problem_instance import DType, ProblemInstance
from tngd_bench.optimizers import DivergedError
from tngd_bench.optimizers import registry as optimizers
from tngd_bench.problems import registry as problems
from tngd_bench.process_state import changed_state, process_state
from tngd_bench.spu.billing import Workload, parts_of
from tngd_bench.spu.device import Device
from tngd_bench.studies import engines
from tngd_bench.studies.plan.candidates import HONEST_FACTOR, SizedProblem, predicted, understated
from tngd_bench.studies.plugin import Kind

Check = Callable[[str], str]
GROUND = "digits-mlp"
"""Problem that optimizers and devices are tried on."""
SIZES = (1_000, 10_000, 100_000, 1_000_000)
MOST_OPERATIONS, MOST_BYTES = 1e10, 4e8
"""Stated operations and memory of the largest step that is made."""
MEMORY_FACTOR, MEMORY_SLACK = 3.0, 16e6
"""Peak memory may be three times what is stated, and 16 MB more: of a process, it is known no better."""
_STEPS = 4


class Failure(AssertionError):  # noqa: N818  # a verdict, no error of the program
    """Something that a plug-in has to do and does not."""


class NotApplicable(Exception):  # noqa: N818  # as above
    """The reason why a check is not made."""


def require(holds: object, otherwise: str) -> None:
    """Raise Failure unless something holds."""
    if not holds:
        raise Failure(otherwise)


@cache
def digits(dtype: DType = "float32") -> DataSplits:
    """Return 200 digits to train on and 50 more."""
    return problems.get(GROUND).load(200, 50, dtype)


class SmallRun:
    """An optimizer at its start on 200 digits: its model and its batches, the same for every optimizer."""

    def __init__(self, name: str, *, dtype: DType = "float32", processor: str = "cpu") -> None:
        self.instance = ProblemInstance(GROUND, 500, 10, 16, dtype, ("conformance", 0), processor=processor)
        data = digits(dtype).to(self.instance.device)
        self.batches = self.instance.batches(data)
        self.model = self.instance.model()
        self.optimizer: Any = self.instance.optimizer(OptimizerConfig.of(name), self.model)

    def steps(self, count: int = _STEPS) -> list[float]:
        """Make steps and return their losses."""
        return [self.optimizer.step(*next(self.batches)) for _ in range(count)]

    @property
    def parameters(self) -> list[Tensor]:
        """Copies of the parameters."""
        return copies(self.model)


def copies(model: nn.Module) -> list[Tensor]:
    """Return copies of a model's parameters."""
    return [p.detach().clone() for p in model.parameters()]


def same(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    """Return whether tensors agree in every bit."""
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


# -- optimizers --------------------------------------------------------------------------------------------------------


def contract(name: str) -> str:
    """`step(inputs, targets)` changes the parameters and returns the loss before the change, a float."""
    run = SmallRun(name)
    inputs, targets = next(run.batches)
    before, start = (
        float(evaluate(run.instance.loss(), run_model(run.model, inputs), targets).detach()),
        run.parameters,
    )
    value = run.optimizer.step(inputs, targets)
    require(isinstance(value, float), f"step returned {value!r:.60}, no float")
    require(
        math.isclose(value, before, rel_tol=1e-4), f"step returned {value:.6g}, and the loss was {before:.6g}"
    )
    require(not same(start, run.parameters), "step changed no parameter")
    return f"loss {value:.4g}"


def shapes_and_dtypes(name: str) -> str:
    """Models in float32 and float64 keep shapes and dtypes, stay finite, and frozen parameters stay as they are."""
    for dtype in ("float32", "float64"):
        run = SmallRun(name, dtype=dtype)
        start = run.parameters
        run.steps()
        for before, after in zip(start, run.parameters, strict=True):
            kept = before.shape == after.shape and before.dtype == after.dtype
            require(
                kept,
                f"a parameter {tuple(before.shape)} in {before.dtype} became {tuple(after.shape)} in {after.dtype}",
            )
            require(after.isfinite().all(), f"a parameter is not finite in {dtype}")
    run = SmallRun("sgd")
    frozen = next(iter(run.model.parameters())).requires_grad_(False)
    before = frozen.clone()
    loss = run.instance.loss()
    generator = torch.Generator().manual_seed(0)
    run.optimizer = optimizers.get(name).create(run.model, loss, None, generator)
    run.steps(2)
    require(torch.equal(before, frozen), "a frozen parameter was changed")
    return "float32, float64, a frozen layer"


def determinism(name: str) -> str:
    """The same start, batches and seed give the same parameters, bit for bit."""
    one, other = SmallRun(name), SmallRun(name)
    require(one.steps() == other.steps(), "two equal runs returned different losses")
    require(same(one.parameters, other.parameters), "two equal runs ended at different parameters")
    return f"{_STEPS} steps, twice"


def resume(name: str) -> str:
    """`state_dict` survives `torch.save`, and a run resumed from it gives the same bits as one that went on."""
    straight, broken = SmallRun(name), SmallRun(name)
    if not (hasattr(straight.optimizer, "state_dict") and hasattr(straight.optimizer, "load_state_dict")):
        raise NotApplicable("has no state_dict and load_state_dict: its runs cannot be resumed")
    straight.steps()
    broken.steps()
    file = io.BytesIO()
    torch.save((broken.model.state_dict(), broken.optimizer.state_dict()), file)
    file.seek(0)
    resumed = SmallRun(name)
    resumed.steps(1)  # so that its state is another one
    model, state = torch.load(file, weights_only=False)
    resumed.model.load_state_dict(model)
    resumed.optimizer.load_state_dict(state)
    resumed.batches = broken.batches
    require(straight.steps() == resumed.steps(), "the resumed run returned other losses")
    require(same(straight.parameters, resumed.parameters), "the resumed run ended at other parameters")
    return f"after {_STEPS} steps, {_STEPS} more"


def same_start_and_batches(name: str) -> str:
    """Neither making it nor a step changes the start, the batch, random generators or the state of the process."""
    SmallRun(name).steps(1)  # modules that are imported for a first step may draw: torch._dynamo does
    torch.rand(()), random.random(), np.random.rand()  # noqa: NPY002, S311  # past any seed that it set
    state, draws = process_state(), _draws()
    run = SmallRun(name)
    require(same(run.parameters, copies(run.instance.model())), "making it changed the start")
    inputs, targets = next(run.batches)
    kept = inputs.clone(), targets.clone()  # type: ignore[union-attr]  # a tensor, of digits
    training = run.model.training
    run.optimizer.step(inputs, targets)
    require(same(kept, (inputs, targets)), "step changed the batch")  # type: ignore[arg-type]  # as above
    require(run.model.training == training, "step left the model in another mode")
    require(_draws() == draws, "it draws from, or seeds, a global random generator; its own is given to it")
    changed = changed_state(state)
    require(not changed, f"it changed {changed}")
    return "left as they were"


def _draws() -> tuple[float, ...]:
    """Return what the global generators would draw next; they stay where they are."""
    kept = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002  # the global one
    drawn = float(torch.rand(())), random.random(), float(np.random.rand())  # noqa: NPY002, S311
    torch.set_rng_state(kept[0])
    random.setstate(kept[1])
    np.random.set_state(kept[2])  # noqa: NPY002
    return drawn


def failed_step(name: str) -> str:
    """A batch whose loss is not finite raises DivergedError and leaves every parameter as it was."""
    run = SmallRun(name)
    run.steps(2)
    start = run.parameters
    inputs, targets = next(run.batches)
    try:
        value = run.optimizer.step(torch.full_like(inputs, math.nan), targets)  # type: ignore[arg-type]
    except DivergedError:
        require(same(start, run.parameters), "parameters were changed by a step that failed")
        return "DivergedError, parameters untouched"
    except Exception as error:
        require(same(start, run.parameters), "parameters were changed by a step that failed")
        raise Failure(f"raised {type(error).__name__}, not tngd_bench.optimizers.DivergedError") from error
    raise Failure(f"went on and returned {value!r:.40}, where a DivergedError has to be raised")


def convex_problem(name: str) -> str:
    """With its default settings the loss of a softmax regression falls."""
    run = SmallRun("sgd")
    data = digits()
    model, loss = nn.Linear(64, 10), run.instance.loss()
    for p in model.parameters():
        nn.init.zeros_(p)
    generator = torch.Generator().manual_seed(0)
    optimizer = optimizers.get(name).create(model, loss, None, generator)
    batch = take(data.train_inputs, slice(64)), data.train_targets[:64]
    losses = [optimizer.step(*batch) for _ in range(20)]
    end = float(loss(model(batch[0]), batch[1]).detach())
    require(end < losses[0], f"the loss went from {losses[0]:.4g} to {end:.4g} in {len(losses)} steps")
    return f"{losses[0]:.4g} → {end:.4g} in {len(losses)} steps"


def operations(name: str) -> str:
    """The operations of a step are at most twice, and at least half, of what its cost states."""
    instance, config, inspected = _inspected(name, SIZES[:2])
    if inspected.operations.reason:
        raise NotApplicable(inspected.operations.reason)
    counted = inspected.operations.flops
    sized = SizedProblem(instance, instance.entry.widths(instance.parameters))
    stated = predicted(config, sized)[0].flops
    wrong = understated(config, sized, counted)
    require(not wrong, wrong)
    require(
        counted * HONEST_FACTOR >= stated,
        f"a step takes {counted:.3g} operations, and its cost states {stated:.3g}",
    )
    return f"{counted:.3g} counted, {stated:.3g} stated at N = {sized.widths.parameters:,}"


def memory(name: str) -> str:
    """The peak memory of a step is at most three times what its cost states, and 16 MB."""
    instance, config, inspected = _inspected(name, SIZES)
    if inspected.memory.reason:
        raise NotApplicable(inspected.memory.reason)
    sized = SizedProblem(instance, instance.entry.widths(instance.parameters))
    stated, peak = predicted(config, sized)[0].bytes, inspected.memory.peak_bytes
    found = f"{peak / 1e6:.3g} MB measured, {stated / 1e6:.3g} MB stated at N = {sized.widths.parameters:,}"
    require(peak <= MEMORY_FACTOR * stated + MEMORY_SLACK, found)
    return found


def _inspected(name: str, tried: Sequence[int]) -> tuple[ProblemInstance, OptimizerConfig, Inspection]:
    """Inspect a step at the largest of the sizes `tried` whose stated cost is small enough."""
    config, chosen = OptimizerConfig.of(name), None
    for parameters in tried:
        instance = ProblemInstance(GROUND, parameters, 10, 32, "float32", ("conformance", 0))
        cost = predicted(config, SizedProblem(instance, instance.entry.widths(parameters)))[0]
        if not cost.known:
            raise NotApplicable("states no cost: nothing of it is predicted, and maps leave it out")
        if cost.flops <= MOST_OPERATIONS and cost.bytes <= MOST_BYTES:
            chosen = instance
    require(chosen, f"its cost states more than {MOST_OPERATIONS:.0e} operations at N = {SIZES[0]:,}")
    assert chosen is not None
    return chosen, config, inspect_step(chosen, digits(), config)


def on_cuda(name: str) -> str:
    """Where there is a GPU, steps on it give finite losses."""
    if not torch.cuda.is_available():
        raise NotApplicable("torch sees no GPU here")
    losses = SmallRun(name, processor="cuda").steps()
    require(all(map(math.isfinite, losses)), f"losses {losses}")
    return torch.cuda.get_device_name()


# -- problems ----------------------------------------------------------------------------------------------------------


_SAMPLES = 16, 8
"""Of the training and of the test data: few, as all of a small data set may be."""


def _sized(name: str, batch_size: int = 8, processor: str = "cpu") -> tuple[ProblemInstance, DataSplits]:
    """Return a problem at its only size, or near 10,000 parameters, on a few samples."""
    entry = problems.get(name)
    wanted = 10_000 if entry.size is None else entry.size()
    instance = ProblemInstance(
        name, wanted, entry.outputs, batch_size, "float32", ("conformance", 0), processor=processor
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
    draws = _draws()
    widths = instance.entry.widths(instance.parameters, instance.outputs)
    one, again, other = (copies(instance.entry.model(widths, seed)) for seed in (1, 1, 2))
    require(same(one, again), "one seed gave two starts")
    require(not same(one, other), "two seeds gave one start")
    require(_draws() == draws, "a global random generator was drawn from, or seeded")
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
    try:
        ggn = GGN(instance.model(), instance.loss(), inputs, targets, verify=True)
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
    """Where there is a GPU, a step of SGD there gives a finite loss."""
    if not torch.cuda.is_available():
        raise NotApplicable("torch sees no GPU here")
    instance, splits = _sized(name, processor="cuda")
    value = instance.optimizer(OptimizerConfig.of("sgd"), instance.model()).step(
        *next(instance.batches(splits))
    )
    require(math.isfinite(value), f"loss {value}")
    return torch.cuda.get_device_name()


# -- devices -----------------------------------------------------------------------------------------------------------


def described(name: str) -> str:
    """A study can take it as the base of its own devices."""
    device = Device.preset(name)
    require(
        Device.described({"base": name, "name": name}) == device, "a device on its base is another device"
    )
    return device.summary


def bill(name: str) -> str:
    """Seconds and joules of an iteration are not negative and do not fall with the size."""
    device, told = Device.preset(name), []
    for what, of in (("s", device.latency), ("J", device.energy)):
        small, large = of(1_000, 80), of(100_000, 80)
        for ledger in (small, large):
            wrong = [item for item, value in ledger.items.items() if value is not None and not value >= 0]
            require(not wrong, f"{', '.join(wrong)} < 0 {what}")
        require(
            (large.at_least or 0) >= (small.at_least or 0), f"100,000 parameters take less {what} than 1,000"
        )
        told.append(f"{'≥ ' * bool(small.not_stated)}{small.at_least or 0:.3g} {what}")
    return f"{', '.join(told)} at N = 1,000, m = 80"


def built(name: str) -> str:
    """What it is built of is counted, and does not fall with the size."""
    small, large = (parts_of(Device.preset(name), Workload.of(n, 80, 50.0)) for n in (1_000, 100_000))
    for what in ("cells", "tiles", "amplifiers", "converters"):
        few, many = getattr(small, what), getattr(large, what)
        require(0 < few <= many, f"{few:,} {what} at N = 1,000 and {many:,} at N = 100,000")
    worn = small.worn_out_after
    require(worn is None or worn >= 1, f"its cells are worn out after {worn} iterations")
    return (
        f"{small.cells:,} cells, {small.tiles:,} tiles, {small.amplifiers:,} amplifiers at N = 1,000, m = 80"
    )


def relaxation(name: str) -> str:
    """Thermodynamic steps on it give finite losses."""
    run = SmallRun("sgd")
    config = OptimizerConfig.of("tngd", device=name)
    run.optimizer = run.instance.optimizer(config, run.model)
    losses = run.steps()
    require(all(map(math.isfinite, losses)), f"losses {losses}")
    return f"{_STEPS} steps"


# -- engines -----------------------------------------------------------------------------------------------------------

_STUDY: Mapping[str, Any] = {
    "name": "conformance",
    "title": "Conformance",
    "training": [
        {
            "name": "digits",
            "problem": GROUND,
            "parameters": 500,
            "train_size": 64,
            "test_size": 16,
            "epochs": 0.5,
            "evaluations": 1,
            "seeds": 2,
            "optimizers": ["sgd", "ngd-gram"],
        }
    ],
}


def engine_results(name: str) -> str:
    """A study on it gives the curves that it gives on this machine, bit for bit."""
    curves = []
    for engine in ("local", name):
        with tempfile.TemporaryDirectory(prefix="tngd-bench-") as folder:
            curves.append(_curves(engine, Path(folder)))
    require(curves[0] == curves[1], "the curves differ from those of the local engine")
    return f"{len(curves[0])} points"


def _curves(engine: str, folder: Path) -> list[tuple[object, ...]]:
    from tngd_bench.studies.file.reading import LoadedStudy, make_study
    from tngd_bench.studies.run.audience import PlainAudience
    from tngd_bench.studies.run.run_study import run_study
    from tngd_bench.studies.store.records import read_records

    if engine == "dask":
        raise NotApplicable("needs a cluster; a study's [cluster] table names one")
    study = make_study({**_STUDY, "execution": {"engine": engines.get(engine).name, "workers": 1}})
    run_study(LoadedStudy(study, "conformance"), folder, PlainAudience(lambda text: None))
    records = read_records(folder)
    require(
        set(records.trials["status"]) == {"ok"}, f"trials ended as {', '.join(set(records.trials['status']))}"
    )
    columns = ["optimizer", "seed", "iteration", "train_loss", "test_loss"]
    joined = records.curves.merge(
        records.trials[["key", "optimizer", "seed"]], on="key", suffixes=("", "_of_trial")
    )
    rows = joined[columns].fillna(-1.0).sort_values(columns)
    return list(rows.itertuples(index=False, name=None))


CHECKS: Mapping[Kind, tuple[Check, ...]] = {
    "optimizer": (
        contract,
        shapes_and_dtypes,
        determinism,
        resume,
        same_start_and_batches,
        failed_step,
        convex_problem,
        operations,
        memory,
        on_cuda,
    ),
    "problem": (sizes, data, starts, scores, curvature, stated_layers, problem_on_cuda),
    "device": (described, bill, built, relaxation),
    "engine": (engine_results,),
}
"""The checks of each kind, in the order in which they are made."""
