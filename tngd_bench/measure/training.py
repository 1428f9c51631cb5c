"""One training run: its curve against iterations, measured and modelled time, evaluation off the clock."""

import math
import statistics
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, fields
from itertools import islice
from typing import Literal

import torch
from torch import nn

from tngd_bench import arguments
from tngd_bench.curvature.model_call import run_model
from tngd_bench.datasets.splits import DataSplits, Subset
from tngd_bench.measure.clock import Clock, OwnClock
from tngd_bench.measure.containment import checked_loss
from tngd_bench.measure.host_time import host_side
from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.measure.problem_instance import ProblemInstance
from tngd_bench.measure.step_limit import StepLimit
from tngd_bench.measure.step_timer import Routing
from tngd_bench.optimizers import DivergedError
from tngd_bench.optimizers.forward_state import draws_kept
from tngd_bench.optimizers.registry import Stepper
from tngd_bench.optimizers.torch_class.optimizer import TorchOptimizer
from tngd_bench.problems.entry import EVALUATION_BATCH, Score
from tngd_bench.problems.metrics import TRAINING_LOSS
from tngd_bench.problems.scores import classification
from tngd_bench.spu.ledger import Ledger

HOST_PASSES = 5
LONG_PASS_S = 2.0


@dataclass(frozen=True)
class CurvePoint:
    """State after `iteration` updates.

    `loss` is the mini-batch loss before the last of them. `scores` are the evaluated metrics by column ("test_loss"),
    empty where none was made. `measured_s` is wall time inside step(), `modelled_s` measured digital plus modelled
    device time.
    """

    iteration: int
    epoch: float
    loss: float
    measured_s: float
    modelled_s: float
    scores: Mapping[str, float] = field(default_factory=dict)

    def columns(self) -> dict[str, float]:
        """Return all values by column."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "scores"}
        return values | dict(self.scores)


@dataclass(frozen=True)
class TrainingResult:
    """A curve, and the `reason` where it diverged: the curve ends there.

    `bill` is the device's of the last iteration, None for a digital optimizer. `stability_margin`, in 1/τ, is the least
    of all iterations made, where the simulation computes one (arrays that are programmed apart); None elsewhere.
    `first_step_s` and `routing` are of an optimizer named by its class: seconds of a first step made beforehand, so
    that what it loads, sets up and compiles is on no clock of the curve, and which optimizer has which parameters.
    `weights` are the model's `state_dict` at the end, as it is evaluated, where they were asked for.
    """

    reason: str | None
    curve: tuple[CurvePoint, ...]
    solver_iterations: int | None
    bill: Ledger | None = None
    stability_margin: float | None = None
    first_step_s: float | None = None
    routing: Routing | None = None
    weights: Mapping[str, torch.Tensor] | None = None

    @property
    def status(self) -> Literal["ok", "diverged"]:
        """How the run ended."""
        return "ok" if self.reason is None else "diverged"


def evaluation_points(iterations: int, evaluations: int) -> tuple[int, ...]:
    """Return the iterations after which the model is evaluated: 0, the last, and `evaluations` − 1 between."""
    arguments.integer("evaluations", evaluations, minimum=1, maximum=iterations)
    return tuple(round(k * iterations / evaluations) for k in range(evaluations + 1))


def train(
    instance: ProblemInstance,
    data: DataSplits,
    config: OptimizerConfig,
    *,
    epochs: float,
    evaluations: int,
    evaluation_size: int | None = None,
    keep_weights: bool = False,
    limit: StepLimit | None = None,
) -> TrainingResult:
    """Train for `epochs` passes over the data and return the curve.

    Evaluates, off the clock, at iteration 0, at the end and between: on all test data and on the first
    `evaluation_size` training samples, all where it is None. A non-finite loss, gradient or direction ends the run
    as diverged. `limit`: the deadline of a first step is announced by it.
    """
    per_epoch = len(data.train_targets) // instance.batch_size
    total = max(1, round(epochs * per_epoch))
    model, loss, entry, clock = instance.model(), instance.loss(), instance.entry, Clock(instance.device)
    optimizer = instance.optimizer(config, model)
    data = data.to(instance.device)
    host_s = _host_seconds(instance, data, clock, config) if config.simulated else 0.0
    first_step_s, routing = _first_step(optimizer, instance, data, config, clock, limit)
    evaluating = getattr(optimizer, "evaluating", nullcontext)
    score, size = entry.score(), entry.evaluation_batch

    def evaluated_now() -> dict[str, float]:
        with evaluating():
            return evaluate(model, loss, data, evaluation_size, score=score, batch_size=size)

    points = set(evaluation_points(total, min(evaluations, total)))
    curve = [CurvePoint(0, 0.0, math.nan, 0.0, 0.0, evaluated_now())]
    measured_s = with_device_s = 0.0
    bill: Ledger | None = None
    margins: list[float] = []
    reason = None
    for iteration, (inputs, targets) in enumerate(islice(instance.batches(data), total), start=1):
        start = clock.now()
        try:
            with _within(limit, optimizer) if iteration == 1 else nullcontext():
                value = checked_loss(optimizer.step(inputs, targets), iteration - 1)
        except DivergedError as error:
            reason = str(error)
            break
        measured_s += clock.now() - start
        modelled_s = measured_s
        if config.simulated:
            bill = getattr(optimizer, "ledger", None)
            modelled_s = with_device_s = with_device_s + _seconds_together(bill, host_s)
        margin = getattr(optimizer, "stability_margin", None)
        margins += [] if margin is None else [margin]
        scores = evaluated_now() if iteration in points else {}
        curve.append(CurvePoint(iteration, iteration / per_epoch, value, measured_s, modelled_s, scores))
        if not math.isfinite(scores.get(TRAINING_LOSS.column, 0.0)):
            reason = f"the training loss is not finite after iteration {iteration}"
            break
    weights = _weights(model, evaluating()) if keep_weights else None
    solved, least = getattr(optimizer, "iterations", None), min(margins, default=None)
    return TrainingResult(reason, tuple(curve), solved, bill, least, first_step_s, routing, weights)


def evaluate(
    model: nn.Module,
    loss: nn.Module,
    data: DataSplits,
    train_size: int | None = None,
    *,
    score: Score = classification,
    batch_size: int = EVALUATION_BATCH,
) -> dict[str, float]:
    """Return `score` of the first `train_size` training and all test data, "train_loss" … "test_loss" ….

    The model runs in evaluation mode on `batch_size` samples at a time, and is left in the mode it was in.
    """
    was_training = model.training
    model.eval()
    try:
        parts = {"train": data.train(train_size), "test": data.test()}
        with _channels_last(model):
            outputs = {name: _outputs(model, part, batch_size) for name, part in parts.items()}
        return {
            f"{name}_{metric}": value
            for name, part in parts.items()
            for metric, value in score(loss, outputs[name], part).items()
        }
    finally:
        model.train(was_training)


def probe_evaluation(instance: ProblemInstance, data: DataSplits) -> float:
    """Return the seconds that an evaluation takes for a sample: the better of two passes over one batch of test data.

    The score, which is not made, takes next to nothing.
    """
    model, size, clock = instance.model().eval(), instance.entry.evaluation_batch, OwnClock(instance.device)
    part = data.to(instance.device).test().first(size)
    with _channels_last(model):
        return min(clock.time(lambda: _outputs(model, part, size))[0] for _ in range(2)) / len(part)


@contextmanager
def _channels_last(model: nn.Module) -> Iterator[None]:
    """Keep the kernels of 2-D convolutions with their channels last meanwhile; the very tensors come back.

    The images between layers then are so too, which torch evaluates 2.4 times as fast on a CPU (mnist-cnn). Outputs
    agree to rounding. Only in a model of torch's own modules: another's `forward` may ask for channels first.
    """
    own = all(type(module).__module__.startswith("torch.nn.") for module in model.modules())
    kernels = [(one, one.data) for one in model.parameters() if own and one.dim() == 4 and one.is_cpu]
    for parameter, data in kernels:
        parameter.data = data.to(memory_format=torch.channels_last)
    try:
        yield
    finally:
        for parameter, data in kernels:
            parameter.data = data


def _weights(model: nn.Module, evaluating: AbstractContextManager[None]) -> dict[str, torch.Tensor]:
    """Return a copy of the state of a model as it is evaluated."""
    with evaluating:
        return {name: value.cpu().clone() for name, value in model.state_dict().items()}


@torch.no_grad()
def _outputs(model: nn.Module, part: Subset, batch_size: int) -> torch.Tensor:
    """The model's outputs (n, …) for all samples of a part."""
    cuts = (part.cut(slice(first, first + batch_size)) for first in range(0, len(part), batch_size))
    return torch.cat([_evaluated(model, piece) for piece in cuts])


def _evaluated(model: nn.Module, part: Subset) -> torch.Tensor:
    try:
        return run_model(model, part.inputs).detach()
    except ValueError:
        # A model that differentiates inside `forward` needs its graph; other errors come again.
        with torch.enable_grad():
            return run_model(model, part.inputs).detach()


def _seconds_together(bill: Ledger | None, host_s: float) -> float:
    """Return the seconds of an iteration of host and device, NaN where they are not known."""
    seconds = None if bill is None else bill.elapsed(host_s)
    return math.nan if seconds is None else seconds


def _first_step(
    optimizer: Stepper,
    instance: ProblemInstance,
    data: DataSplits,
    config: OptimizerConfig,
    clock: Clock,
    limit: StepLimit | None,
) -> tuple[float | None, Routing | None]:
    """Return the seconds of the first step of a twin and the routing of a class; None of other optimizers.

    Global generators are left as they were.
    """
    if not isinstance(optimizer, TorchOptimizer):
        return None, None
    twin = instance.optimizer(config, instance.model())
    inputs, targets = next(instance.batches(data))
    start = clock.now()
    with draws_kept(instance.device), suppress(DivergedError), _within(limit, twin):  # the training will tell
        twin.step(inputs, targets)
    return clock.now() - start, optimizer.routing


def _within(limit: StepLimit | None, optimizer: Stepper) -> AbstractContextManager[None]:
    """Return the announcement that one step is made."""
    return nullcontext() if limit is None else limit.around(int(getattr(optimizer, "cycle", 1)))


def _host_seconds(
    instance: ProblemInstance, data: DataSplits, clock: Clock, config: OptimizerConfig
) -> float:
    """Return the median seconds of the digital side of one iteration of a simulated optimizer, warm-up apart.

    Where one pass alone takes long, it is the only one.
    """
    model, loss = instance.model(), instance.loss()
    optimizer, batches = instance.optimizer(config, model), instance.batches(data)
    times = []
    with draws_kept(instance.device):  # the training sees the dropout that all others see
        if getattr(optimizer, "host_products", 0) is None:
            with suppress(DivergedError):  # the training itself will tell
                optimizer.step(*next(batches))  # whose solve says how many products there are
        for number in range(HOST_PASSES + 1):
            host = host_side(optimizer, model, loss, next(batches), instance.outputs)
            times.append(host.seconds(clock))
            if number > 0 and times[-1] > LONG_PASS_S:
                break
    return statistics.median(times[1:])
