"""Checks of an optimizer."""

import io
import math
import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from tngd_bench.check.conformance.small_run import (
    GROUND,
    STEPS,
    Failure,
    NotApplicable,
    SmallRun,
    copies,
    digits,
    next_draws,
    require,
    same,
)
from tngd_bench.curvature.losses import evaluate
from tngd_bench.curvature.model_call import run_model
from tngd_bench.datasets.splits import take
from tngd_bench.measure.inspection import Inspection, inspect_step
from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.measure.problem_instance import ProblemInstance
from tngd_bench.optimizers import DivergedError
from tngd_bench.optimizers import registry as optimizers
from tngd_bench.process_state import changed_state, process_state
from tngd_bench.studies.plan.candidates import HONEST_FACTOR, SizedProblem, predicted, understated

SIZES = (1_000, 10_000, 100_000, 1_000_000)
MOST_OPERATIONS, MOST_BYTES = 1e10, 4e8
"""Stated operations and memory of the largest step that is made."""
MEMORY_FACTOR, MEMORY_SLACK = 3.0, 16e6
"""Peak memory may be three times what is stated, and 16 MB more: of a process, it is known no better."""


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
    return f"{STEPS} steps, twice"


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
    return f"after {STEPS} steps, {STEPS} more"


def same_start_and_batches(name: str) -> str:
    """Neither making it nor a step changes the start, the batch, random generators or the state of the process."""
    SmallRun(name).steps(1)  # modules that are imported for a first step may draw: torch._dynamo does
    torch.rand(()), random.random(), np.random.rand()  # noqa: NPY002, S311  # past any seed that it set
    state, draws = process_state(), next_draws()
    run = SmallRun(name)
    require(same(run.parameters, copies(run.instance.model())), "making it changed the start")
    inputs, targets = next(run.batches)
    kept = inputs.clone(), targets.clone()  # type: ignore[union-attr]  # a tensor, of digits
    training = run.model.training
    run.optimizer.step(inputs, targets)
    require(same(kept, (inputs, targets)), "step changed the batch")  # type: ignore[arg-type]  # as above
    require(run.model.training == training, "step left the model in another mode")
    require(
        next_draws() == draws, "it draws from, or seeds, a global random generator; its own is given to it"
    )
    changed = changed_state(state)
    require(not changed, f"it changed {changed}")
    return "left as they were"


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
    sized = SizedProblem.of(instance)
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
    sized = SizedProblem.of(instance)
    stated, peak = predicted(config, sized)[0].bytes, inspected.memory.peak_bytes
    found = f"{peak / 1e6:.3g} MB measured, {stated / 1e6:.3g} MB stated at N = {sized.widths.parameters:,}"
    require(peak <= MEMORY_FACTOR * stated + MEMORY_SLACK, found)
    return found


def _inspected(name: str, tried: Sequence[int]) -> tuple[ProblemInstance, OptimizerConfig, Inspection]:
    """Inspect a step at the largest of the sizes `tried` whose stated cost is small enough."""
    config, chosen = OptimizerConfig.of(name), None
    for parameters in tried:
        instance = ProblemInstance(GROUND, parameters, 10, 32, "float32", ("conformance", 0))
        cost = predicted(config, SizedProblem.of(instance))[0]
        if not cost.known:
            raise NotApplicable("states no cost: nothing of it is predicted, and maps leave it out")
        if cost.flops <= MOST_OPERATIONS and cost.bytes <= MOST_BYTES:
            chosen = instance
    require(chosen, f"its cost states more than {MOST_OPERATIONS:.0e} operations at N = {SIZES[0]:,}")
    assert chosen is not None
    return chosen, config, inspect_step(chosen, digits(), config)


def on_cuda(name: str) -> str:
    """Steps on the GPU, if there is one, give finite losses."""
    if not torch.cuda.is_available():
        raise NotApplicable("torch sees no GPU here")
    losses = SmallRun(name, processor="cuda").steps()
    require(all(map(math.isfinite, losses)), f"losses {losses}")
    return torch.cuda.get_device_name()
