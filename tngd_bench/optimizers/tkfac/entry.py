"""Entry of thermodynamic K-FAC: settings of the analog device, and the cost of simulating it."""

from __future__ import annotations

from collections.abc import Mapping

from tngd_bench.curvature.route import EIGENDECOMPOSITION_FLOPS
from tngd_bench.layers import panelled, preconditioning
from tngd_bench.optimizers.cost_model import CostModel, Counts, Use
from tngd_bench.optimizers.entry import OptimizerEntry, Setting, Style
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.optimizers.kfac.entry import SETTINGS as OF_KFAC
from tngd_bench.optimizers.kfac.entry import (
    factor_sides,
    factored_layers,
    kfac_cycle,
    kfac_waiting,
    preconditioned,
    with_factors,
)
from tngd_bench.optimizers.settings import COUNT, POSITIVE
from tngd_bench.optimizers.tngd import entry as tngd
from tngd_bench.spu import field_info
from tngd_bench.spu.description import DEVICE_FIELDS
from tngd_bench.spu.device import Device
from tngd_bench.spu.dynamics.route import cells_err, refuse_beyond_symmetric

_DOUBLE = 2.0
"""Operations in single precision in the time of one in double, in which arrays with errors are decomposed."""
_ROOT = 8.0 / 3.0
"""Operations per n³ of the triangular root of the noise's covariance."""
ANALOG = {
    "analog_time": Setting(50.0, POSITIVE),
    "copies": Setting(1, COUNT, title="copies of the arrays"),
    "unit_diagonal": Setting(False, field_info.FLAG.check, title="unit diagonal"),
    **{name: tngd.ANALOG[name] for name in ("refinements", "noise_variance", "device", *DEVICE_FIELDS)},
}


def described_device(settings: Mapping[str, object]) -> Device:
    """Return the device of complete settings; ValueError for one with imperfections that are not simulated."""
    device = tngd.described_device(settings)
    refuse_beyond_symmetric(device)
    return device


def _together(settings: Mapping[str, object]) -> None:
    if isinstance(settings["device"], str | Mapping):
        described_device(settings)


def _count(it: Iteration, use: Use) -> Counts:
    device, sides = use.device or Device.ideal(), factor_sides(it)
    noisy = bool(use.settings["noise_variance"] or device.thermal_variance)
    errs = cells_err(device)
    copies = use.settings["copies"] if errs else 1
    each = (_DOUBLE if errs or device.array_bits is not None else 1.0) * EIGENDECOMPOSITION_FLOPS
    inverses = sum(
        min(copies, other) * (each + 2.0 + noisy * _ROOT) * side**3
        for a, g, _ in sides
        for side, other in ((a, g), (g, a))
    )
    converted = device.dac_bits or device.adc_bits or device.adc_noise_volts
    refinements = int(use.settings["refinements"])
    by_gradient = bool(noisy or converted or copies > 1 or refinements)
    applied, refined = 0.0, 1.0 + refinements if refinements else 0.0
    for layer in factored_layers(it):
        rows, (a, g) = float(it.batch_size * layer.positions), (layer.columns, layer.d_out)
        noise_in, noise_out = (noisy * panelled(side) * side for side in (layer.columns, g))
        passes = (1.0 + refinements) * (a + g + noise_in + noise_out) + refined * (a + g)
        relaxed = 2.0 * (rows * layer.d_in * g + a * g * passes)
        by_rows, finished = preconditioning(rows, a, g)
        if copies == 1 and not (refinements or device.dac_bits or finished < by_rows):
            # pass 1 answers the rows, and its noise is that of the whole; x is then multiplied along the gradient
            relaxed = 2.0 * (rows * a * (a + 2.0 * g) + a * g * (noise_in + g + noise_out))
        applied += relaxed if by_gradient else preconditioned(rows, layer)
    held = sum(
        (2.0 + (1.0 + noisy) * min(copies, other)) * side**2
        for a, g, _ in sides
        for side, other in ((a, g), (g, a))
    )
    return with_factors(it, use, inverses) + applied, it.held + held


def _count_host(it: Iteration, use: Use) -> Counts:
    """The gradient, the factors and the products of refinements; the device inverts."""
    refinements, sides = float(use.settings["refinements"]), factor_sides(it)
    gradients = sum(2.0 * it.batch_size * t * a * g for a, g, t in sides)
    products = refinements * sum(2.0 * a * g * (a + g) for a, g, _ in sides)
    squares = sum(a * a + g * g for a, g, _ in sides)
    return with_factors(it, use, 0.0) + gradients + products, it.held + squares


ENTRIES = (
    OptimizerEntry(
        "tkfac",
        "Thermodynamic K-FAC",
        "K-FAC with its inverses on a simulated analog device; our reconstruction of arXiv 2502.08603, of which only "
        "the abstract was read",
        "thermodynamic-kfac",
        "tngd_bench.optimizers.tkfac.optimizer:make_tkfac",
        {name: setting for name, setting in OF_KFAC.items() if name != "inverse"} | ANALOG,
        simulated=True,
        together=_together,
        device=described_device,
        cost=CostModel(_count, kfac_waiting),
        host=CostModel(_count_host, kfac_waiting),
        cycle=kfac_cycle,
        style=Style("#7a3e00", "#d9975a", "x"),
    ),
)
