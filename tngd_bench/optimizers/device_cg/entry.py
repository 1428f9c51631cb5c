"""Entry of conjugate gradients with a device as preconditioner, and the cost of simulating it."""

from __future__ import annotations

from collections.abc import Mapping

from tngd_bench.optimizers.cost_model import CostModel, Counts, Use
from tngd_bench.optimizers.entry import OptimizerEntry, Setting, Style
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.optimizers.ngd import entry as ngd
from tngd_bench.optimizers.settings import COUNT, FRACTION, NATURAL, POSITIVE
from tngd_bench.optimizers.tngd import entry as tngd
from tngd_bench.solvers.cg_iterations import LIMIT, RTOL
from tngd_bench.spu.description import DEVICE_FIELDS


def _together(settings: Mapping[str, object]) -> None:
    if isinstance(settings["device"], str | Mapping):
        tngd.described_device(settings)


def _as_refinements(it: Iteration, use: Use) -> Use:
    """One relaxation and one product for each of the iterations that plain conjugate gradients would take."""
    rounds = max(round(it.iterations_of_cg), 1) - 1
    return Use({**use.settings, "scope": "model", "ensemble": 1, "refinements": rounds}, use.device)


def _count(it: Iteration, use: Use) -> Counts:
    return tngd.count(it, _as_refinements(it, use))


def _waiting(it: Iteration, use: Use) -> float:
    return tngd.waiting(it, _as_refinements(it, use))


ENTRIES = (
    OptimizerEntry(
        "ngd-cg-device",
        "NGD (CG, device)",
        "natural gradient by conjugate gradients, each residual answered by a simulated analog device",
        "preconditioned",
        "tngd_bench.optimizers.device_cg.optimizer:make_device_cg",
        {
            **NATURAL,
            "memory": ngd.NO_MEMORY,
            "cg_iterations": Setting(LIMIT, COUNT, title="CG iterations"),
            "cg_rtol": Setting(RTOL, FRACTION, title="CG tolerance"),
            "analog_time": Setting(50.0, POSITIVE),
            **{name: tngd.ANALOG[name] for name in ("samples", "noise_variance", "device", *DEVICE_FIELDS)},
        },
        simulated=True,
        together=_together,
        device=tngd.described_device,
        cost=CostModel(_count, _waiting),
        products=lambda it, settings: it.iterations_of_cg,
        bill_needs_step=True,
        style=Style("#4d4d9e", "#9a9ae8", "2"),
    ),
)
