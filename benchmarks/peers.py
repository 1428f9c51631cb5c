"""One step of other optimizers against SGD: exact natural gradient beside what the extra `rivals` installs.

    python -m benchmarks.peers                N = 10⁵ and 10⁶ (minutes); `make bench-core PEERS=1`

Setting and "SGD" are those of `benchmarks.core`. A step has its gradient; where steps differ it is the mean of a cycle.
What a first step loads and sets up is left out. Each optimizer has its class's defaults, but for the rate. Beside it is
what its products in bfloat16 or float16 take, as a multiple of the same in float32: a processor without instructions
for them takes many times as long (torch's Muon uses bfloat16).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from benchmarks.core import THREADS, medians, setting
from tngd_bench.measure.operations import Halves, count_operations
from tngd_bench.optimizers import registry
from tngd_bench.optimizers.entry import Stepper
from tngd_bench.studies.file.optimizer_label import resolve
from tngd_bench.studies.plan.duration_model import cycle_of

PEERS = (
    *("adam", "kfac", "ngd-gram", "spring", "ngd-layer", "ngd-cg", "torch.optim:AdamW", "torch.optim:Muon"),
    *("pytorch_optimizer:SOAP", "pytorch_optimizer:Shampoo"),
    "pytorch_optimizer:Shampoo[preconditioning_compute_steps=10]",
)
ROUNDS = {10**5: 7, 10**6: 3}
"""Rounds by N."""


def multiples(parameters: int, rounds: int) -> dict[str, tuple[float, Halves]]:
    """Return each peer's step as a multiple of SGD's forward and backward pass, and its products of half width."""
    model, loss, inputs, targets = setting(parameters)

    def sgd() -> None:
        model.zero_grad()
        loss(model(inputs), targets).backward()

    calls: dict[str, Callable[[], object]] = {"SGD": sgd}
    cycles, halves = {}, {}
    for label in PEERS:
        config = resolve(label, {})
        settings = {**config.settings, "lr": 1e-9}  # nobody moves: all have the same work in every round
        optimizer = registry.get(config.method).create(setting(parameters)[0], loss, settings)
        cycles[label] = cycle_of(config)
        calls[label] = partial(_steps, optimizer, inputs, targets, cycles[label])
        halves[label] = count_operations(partial(optimizer.step, inputs, targets)).half
    timed = medians(calls, rounds)
    return {label: (timed[label] / cycle / timed["SGD"], halves[label]) for label, cycle in cycles.items()}


def _steps(optimizer: Stepper, inputs: torch.Tensor, targets: torch.Tensor, count: int) -> None:
    for _ in range(count):
        optimizer.step(inputs, targets)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(THREADS)
    print(f"torch {torch.__version__}, {THREADS} threads; a step as a multiple of SGD's")
    for parameters, rounds in ROUNDS.items():
        for label, (multiple, halves) in multiples(parameters, rounds).items():
            said = (
                f"  {name}: {each.seconds / each.float32_seconds:.3g} × float32"
                for name, each in halves.items()
            )
            print(f"{label:62} N ≈ {parameters:<10,} {multiple:8.3g}{''.join(said)}", flush=True)


if __name__ == "__main__":
    main()
