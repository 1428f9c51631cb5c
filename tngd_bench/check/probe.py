"""Figures of merit of one source tree, in a process of its own: answers one request per line, in JSON.

    python -P probe.py < requests        with PYTHONPATH naming the tree that holds the `tngd_bench` to be measured

Two of these, with two trees, answer in turn, so that what slows the machine slows both. The tree may be an older
revision: only registered names and the measuring floor are used, and what it lacks is an answer with a reason. The
reference that times are divided by is plain torch, written here, hence the same code whatever the tree holds.

Requests: {"do": "names"} · {"do": "exact", "name": …} · {"do": "time", "name": …} · {"do": "tolerances", "names": […]}.
"""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import torch

PROBLEM, PARAMETERS, BATCH_SIZE, SEED = "digits-mlp", 500, 8, 0
STEPS = 40
"""Steps of the training run at a fixed seed."""
LEARNING_RATES = {"sgd": 0.5, "adam": 0.05, "kfac": 0.01, "tkfac": 0.01, "tngd-adam": 0.05}
NATURAL_LR = 0.1
"""Rates at which a start changed in its sixth digit ends at the same loss: another processor rounds otherwise."""
STILL_LR = 1e-7
"""Learning rate while timing: hundreds of steps, and the work of each stays that of the first."""
_OFTEN: dict[str, object] = {"factor_interval": 1, "inverse_interval": 2}
SETTINGS = {"kfac": _OFTEN, "tkfac": _OFTEN}
"""Short periods for periodic work: each part of it weighs, and a cycle is short."""
_EIGHT: dict[str, object] = {"cg_iterations": 8, "cg_rtol": 0.0}
FIXED_SETTINGS = {"ngd-cg": _EIGHT, "ngd-cg-device": _EIGHT}
"""For exact counts, work that rounding cannot change: how many iterations a tolerance takes differs by processor."""
LARGER = {"ngd-gram": 20_000, "ngd-cg": 20_000, "kfac": 20_000, "tngd": 20_000}
LARGER_BATCH = 32
"""Beyond the panels of a symmetric product and the other switches of route that a batch of 8 stays below."""
TIMED_SETTINGS: dict[str, dict[str, object]] = {"ngd-cg": {"cg_iterations": 8}}
"""Steps of a millisecond or two: on a shared machine, longer ones rarely run through undisturbed."""
REFERENCE_STEPS, TURN_S = 6, 2e-3
"""A turn of the reference in steps; of an optimizer in seconds, one step at least."""
ROUNDS, MOST_ROUNDS, SAME_TIME = 4, 24, 0.02
"""Alternations for one sample, at least and at most, and how near the two least times have to be."""
DEVICE = "paper"
DEVICE_USE: dict[str, Any] = {"parameters": 1_000_000, "rows": 640, "analog_time": 50.0}

STARTS = {
    "package": "tngd_bench",
    "command line": "tngd_bench.cli.main",
    "registries": "tngd_bench.optimizers.registry, tngd_bench.problems.registry",
}
"""Imports that a user waits for before anything is computed."""

TIME = "step time"

Answer = dict[str, Any]


class Case:
    """The problem, its model at the same start on every call, and a batch."""

    def __init__(self, parameters: int = PARAMETERS, batch_size: int = BATCH_SIZE) -> None:
        from tngd_bench.problems import registry

        self.entry = registry.get(PROBLEM)
        self.batch_size = batch_size
        self.widths = self.entry.widths(parameters)
        data = self.entry.load(train_size=STEPS * BATCH_SIZE)
        self.inputs: Any = data.train_inputs
        self.targets = data.train_targets
        self._losses: dict[str, list[float]] = {}

    def batch(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return batch `number`, from 0."""
        chosen = slice(number * self.batch_size, (number + 1) * self.batch_size)
        return self.inputs[chosen], self.targets[chosen]

    def optimizer(self, name: str, **settings: object) -> tuple[torch.nn.Module, Any]:
        """Return a model at its start and the optimizer on it."""
        from tngd_bench.optimizers import registry

        model = self.entry.model(self.widths, seed=SEED)
        generator = torch.Generator().manual_seed(SEED)
        given = {**SETTINGS.get(name, {}), **settings}
        return model, registry.get(name).create(model, self.entry.loss(), given, generator)

    def losses(self, name: str) -> list[float]:
        """Return the losses before each of `STEPS` steps, a batch each; made once."""
        if name not in self._losses:
            _, optimizer = self.optimizer(name, lr=LEARNING_RATES.get(name, NATURAL_LR))
            self._losses[name] = [float(optimizer.step(*self.batch(number))) for number in range(STEPS)]
        return self._losses[name]

    def reference(self) -> Callable[[], None]:
        """Return one step of plain SGD."""
        model, loss = self.entry.model(self.widths, seed=SEED), self.entry.loss()
        optimizer = torch.optim.SGD(model.parameters(), lr=STILL_LR)
        inputs, targets = self.batch(0)

        def step() -> None:
            optimizer.zero_grad()
            loss(model(inputs), targets).backward()
            optimizer.step()

        return step


def names() -> list[str]:
    """Return the names of all metrics of this tree."""
    from tngd_bench.optimizers import registry

    found = []
    for name in registry.names():
        kinds = ["operations", "forward passes", "allocated memory", "loss", "steps to half the loss", TIME]
        if registry.get(name).simulated:
            kinds.insert(1, "host operations")
        if name == "ngd-cg":
            kinds.insert(1, "solver iterations")
        found += [f"{kind}/{name}" for kind in kinds]
    found += [
        f"{kind}/{name}/N={size}, b={LARGER_BATCH}"
        for name, size in LARGER.items()
        if name in registry.names()
        for kind in ("operations", "allocated memory")
    ]
    found += [*(f"modules imported/{name}" for name in STARTS), "page work/report"]
    return found + [f"modelled latency/{DEVICE}/{item}" for item in ("write", "relax", "read", "total")]


def exact(case: Case, name: str) -> float:
    """Return the figure called `name`."""
    kind, _, rest = name.partition("/")
    if kind == "modelled latency":
        from tngd_bench.spu import Device

        device, item = rest.split("/")
        return float(getattr(Device.preset(device).latency(**DEVICE_USE), item))
    if kind == "loss":
        return case.losses(rest)[-1]
    if kind == "steps to half the loss":
        losses = case.losses(rest)
        reached = [number for number, loss in enumerate(losses) if loss <= losses[0] / 2]
        return float(reached[0] if reached else STEPS)
    if kind == "modules imported":
        return _modules_imported(STARTS[rest])
    if kind == "page work":
        return _page_work()
    if kind == "host operations":
        return _host_operations(case, rest)
    if kind == "solver iterations":
        _, optimizer = case.optimizer(rest)
        optimizer.step(*case.batch(0))
        return float(optimizer.iterations)
    method, _, larger = rest.partition("/")
    if kind in ("operations", "forward passes", "allocated memory"):
        return _of_a_cycle(Case(LARGER[method], LARGER_BATCH) if larger else case, method, kind)
    raise ValueError(f"there is no metric {name!r}")


def _of_a_cycle(case: Case, name: str, kind: str) -> float:
    """Return the operations or forward passes of a step, averaged over a cycle, or the peak memory of a cycle.

    The first cycle is left out, and so are checks of the curvature, which come at few steps: they are no cost of a
    step.
    """
    from tngd_bench.measure.memory import measure_allocated
    from tngd_bench.measure.operations import count_operations

    model, optimizer = case.optimizer(name, **FIXED_SETTINGS.get(name, {}))
    cycle = int(getattr(optimizer, "cycle", 1))
    inputs, targets = case.batch(0)

    def steps() -> None:
        for _ in range(cycle):
            optimizer.step(inputs, targets)

    steps()
    if hasattr(optimizer, "verification"):
        optimizer.verification.paused = True
    if kind == "allocated memory":
        return float(measure_allocated(steps))
    if kind == "operations":
        count = count_operations(steps)
        if count.reason:
            raise ValueError(count.reason)
        return count.flops / cycle
    # of the model as a whole; products with the curvature repeat no such pass and are in the operations
    passes: list[None] = []
    handle = model.register_forward_pre_hook(lambda *_: passes.append(None))
    steps()
    handle.remove()
    return len(passes) / cycle


def _host_operations(case: Case, name: str) -> float:
    from tngd_bench.measure.operations import count_operations
    from tngd_bench.spu.host import host_pass, upload_of

    model, optimizer = case.optimizer(name)
    inputs, targets = case.batch(0)
    if hasattr(optimizer, "host_pass"):
        return count_operations(lambda: optimizer.host_pass(inputs, targets)).flops
    upload = upload_of(optimizer)
    return count_operations(lambda: host_pass(model, case.entry.loss(), inputs, targets, upload)).flops


def _modules_imported(names: str) -> float:
    """Return the number of modules outside Python's own library that an import loads, in a process of its own."""
    code = (
        "import sys\nbefore = set(sys.modules)\n"
        f"import {names}\n"
        "new = set(sys.modules) - before\n"
        "print(sum(name.partition('.')[0] not in sys.stdlib_module_names for name in new))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    return float(done.stdout.split()[-1])


def _page_work() -> float:
    """Return the number of calls of Python functions for a page of a fixed study, in a process of its own."""
    command = [sys.executable, "-P", "-m", "tngd_bench.report.render.page_work"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        last = done.stderr.strip().splitlines()
        raise ValueError(f"this tree's page cannot be counted: {last[-1] if last else done.returncode}")
    return float(done.stdout.split()[-1])


def tolerances(names: list[str]) -> dict[str, dict[str, float]]:
    """Return this tree's rules for the metrics that it knows."""
    from tngd_bench.check.metrics import is_known, make_metric

    fields = ("tolerance", "slack", "two_sided")
    known = [make_metric(name, []) for name in names if is_known(name)]
    return {one.name: {field: float(getattr(one, field, 0.0)) for field in fields} for one in known}


class StepTimes:
    """Optimizers kept between requests, each beside the reference."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.reference = case.reference()
        self.steps: dict[str, tuple[Callable[[], object], int]] = {}
        for _ in range(3 * REFERENCE_STEPS):
            self.reference()

    def sample(self, name: str) -> float:
        """Return one sample of a step's time over the reference's: the least of each over their alternations.

        The least, because another process's turn on the processor adds time and never takes any; it has to be seen
        twice, as nearly, before the sample is taken. All happens within a fraction of a second, so that both meet
        the same clock frequency. What comes after the other's work runs once untimed, to find its caches.
        """
        if name not in self.steps:
            self.steps[name] = self._prepared(name)
        step, repeats = self.steps[name]
        steps, references = [], []
        for number in range(1, MOST_ROUNDS + 1):
            steps.append(_least_seconds(step, repeats))
            references.append(_least_seconds(self.reference, REFERENCE_STEPS))
            if number >= ROUNDS and _seen_twice(steps) and _seen_twice(references):
                break
        return min(steps) / min(references)

    def _prepared(self, name: str) -> tuple[Callable[[], object], int]:
        method = name.partition("/")[2]
        _, optimizer = self.case.optimizer(method, lr=STILL_LR, **TIMED_SETTINGS.get(method, {}))
        inputs, targets = self.case.batch(0)
        cycle = int(getattr(optimizer, "cycle", 1))

        def step() -> None:
            for _ in range(cycle):
                optimizer.step(inputs, targets)

        step()
        took = _least_seconds(step, 3)
        return step, max(1, round(TURN_S / took))


def _seen_twice(times: list[float]) -> bool:
    least, second = sorted(times)[:2]
    return second <= (1.0 + SAME_TIME) * least


def _least_seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the least seconds of `repeats` calls, one before them untimed where calls are short."""
    clock, times = time.perf_counter, []
    if repeats > 1:
        work()
    for _ in range(repeats):
        start = clock()
        work()
        times.append(clock() - start)
    return min(times)


def answers(requests: Iterator[str]) -> Iterator[Answer]:
    """Yield the answer to each request: {"value": …}, or {"error": …} when it could not be measured."""
    case = Case()
    times = cache(partial(StepTimes, case))  # made when first asked for
    work: dict[str, Callable[..., Any]] = {
        "names": names,
        "exact": partial(exact, case),
        "tolerances": tolerances,
        "time": lambda name: times().sample(name),
    }
    for line in requests:
        request = json.loads(line)
        try:
            what = request.pop("do")
            if what not in work:
                raise ValueError(f"there is no request {what!r}")
            yield {"value": work[what](**request)}
        except Exception as error:
            # The process boundary: whatever a tree under test raises is its answer.
            yield {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}


def main() -> None:
    """Answer standard input on standard output; what the measured code prints goes to standard error."""
    torch.set_num_threads(1)
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    import tngd_bench

    hello = {"value": {"tree": tngd_bench.__file__, "torch": str(torch.__version__)}}
    for answer in itertools.chain([hello], answers(iter(sys.stdin.readline, ""))):
        out.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
