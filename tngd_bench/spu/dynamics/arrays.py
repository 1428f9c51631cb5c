"""Values of the device's arrays after programming: levels, programming error, dead cells, range, amplifiers.

The host loads the factor B = Sᵀ J of the loss Hessian H = S Sᵀ into the first array and, transposed, into the last, and
the identity into the middle one: as many cells as J, H, Jᵀ (S is square), and the same ideal drift BᵀB = Jᵀ H J. Full
scale of an array is its largest |value|: the gain stage behind it sets the unit.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tngd_bench.spu.device import Device
from tngd_bench.spu.dynamics import chip
from tngd_bench.spu.dynamics.circuit.amplifiers import Stage
from tngd_bench.spu.dynamics.circuit.wires import with_wires
from tngd_bench.spu.dynamics.converters import LIFT, full_scale, quantize
from tngd_bench.spu.dynamics.gaussian import standard_normal
from tngd_bench.spu.dynamics.route import arrays_are_alike, has_amplifiers, middle_errs

LARGEST_ARRAY_BYTES = 4 * 2**30
"""Memory of one array (m, N) up to which single cells are simulated."""
REMEDY = "raise damping, program more precisely, or use a shared array with hessian_array off"


class UnstableDeviceError(RuntimeError):
    """The drift as programmed has a growing mode; `margin` < 0 is its least rate, in 1/τ."""

    def __init__(self, margin: float, remedy: str = REMEDY) -> None:
        super().__init__(
            f"the device is unstable: its slowest mode has the rate {margin:.3g}/τ, which must be > 0; {remedy}"
        )
        self.margin = margin


@dataclass(frozen=True)
class Arrays:
    """Drift J₁ᵀ u + λx with u = Ĥ y and y = ρ J₂ x (lagging by ε), as the device holds it, in units of A.

    `first` J₂ and `last` J₁, (m, N) (the same tensor when shared) · `middle` Ĥ with its amplifiers' gain error, (m, m),
    None: identity · `lag` ε, (m,), time constants of the first stage in units of τ/s, None: none · `later_lags` those
    of the middle one, (m,), None where it is wires, and of the last, (N,), if they lag too · `noise` intensities at the
    outputs of the three stages · `scale` s ≤ 1 by which the conductance range shrinks A · `unit` conductance × R of a
    one in the outer arrays, `offset` that of the least conductances of a node.
    """

    first: Tensor
    last: Tensor
    middle: Tensor | None
    lag: Tensor | None
    scale: float = 1.0
    unit: float = 1.0
    offset: float = 0.0
    later_lags: tuple[Tensor | None, Tensor] | None = None
    noise: tuple[Tensor | None, Tensor | None, Tensor | None] = (None, None, None)

    @property
    def node_conductance(self) -> Tensor:
        """Σ_j|G_ij| R of the last array, (N,)."""
        held: Tensor = torch.linalg.vector_norm(self.last, 1, dim=0)
        return self.unit * held + self.offset

    def matvec(self, v: Tensor) -> Tensor:
        """J₁ᵀ Ĥ J₂ v, the amplifiers settled."""
        rows = self.first @ v
        return self.last.T @ (rows if self.middle is None else self.middle @ rows)

    @property
    def symmetric(self) -> bool:
        """Whether the drift is Jᵀ J + λI with one J, positive semi-definite whatever the errors."""
        return self.first is self.last and self.middle is None and self.lag is None

    @property
    def certainly_stable(self) -> bool:
        """Whether one J serves both directions with rows weighed by positive numbers: no mode of it can grow."""
        if self.first is not self.last:
            return False
        if self.middle is None:
            return True
        weights = self.middle.diagonal()
        return bool((weights > 0).all()) and not bool((self.middle - torch.diag(weights)).any())


def refuse_too_large(rows: int, parameters: int, itemsize: int) -> None:
    """ValueError where one array (m, N) is beyond LARGEST_ARRAY_BYTES."""
    needed = rows * parameters * itemsize
    if needed > LARGEST_ARRAY_BYTES:
        raise ValueError(
            f"this device's imperfections act on single cells: an array of {rows} × {parameters} takes "
            f"{needed / 2**30:.1f} GiB, more than the {LARGEST_ARRAY_BYTES / 2**30:.0f} GiB that are simulated; "
            "reduce N or the batch"
        )


def program(
    factor: Tensor,
    device: Device,
    generator: torch.Generator | None = None,
    member: tuple[int, int] = (0, 1),
) -> Arrays:
    """Write the factor B, (m, N), onto the device's arrays.

    `generator` (None: torch's default one) draws the programming error, anew at each call. `member` (k, K) is the place
    in an ensemble of K programmings with different rounding events (arXiv 2401.16231): rounding up or down is drawn
    once per cell and shifted by k/K, so that the K arrays average to the wanted values within 1/K of a level.
    """
    largest = float(full_scale(factor))
    first = programmed(factor, largest, device, generator, 0, member)
    alike = arrays_are_alike(device, ensemble=member[1])
    last = first if alike else programmed(factor, largest, device, generator, 1, member)
    middle: Tensor | None = None
    if middle_errs(device):
        identity = torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
        middle = programmed(identity, 1.0, device, generator, 2, member)
    outer, inner = largest_unit(device, largest), largest_unit(device, 1.0)
    scale = outer**2 * (inner if device.hessian_array else 1.0)
    offset = 2.0 * len(factor) * (device.conductance_min_siemens or 0.0) * device.resistance_ohm
    return _amplified(Arrays(first, last, middle, None, scale, outer, offset), inner, device)


def _amplified(held: Arrays, inner: float, device: Device) -> Arrays:
    """The arrays with the amplifiers behind them: their gain in the middle one, their lags and their noise."""
    if not has_amplifiers(device):
        return held
    outer, scale, one = held.unit, held.scale, held.middle
    if one is None and device.hessian_array:
        one = torch.eye(len(held.first), dtype=held.first.dtype, device=held.first.device)
    first = Stage.behind(held.first, outer, outer, device)
    second = None if one is None else Stage.behind(one, inner, outer * inner, device)
    third = Stage.behind(held.last.T, outer, scale, device)
    middle, left = held.middle, first.weakened(device)
    right = None if second is None else second.weakened(device)
    if left is not None:
        middle = torch.diag(left) if right is None or one is None else right.unsqueeze(1) * one * left
    second_noise = None if second is None else second.noise(device, scale)
    if second_noise is not None and right is not None:
        second_noise = second_noise * right**2
    noise = (first.noise(device, scale, device.first_stage_noise), second_noise, third.noise(device, scale))
    later: tuple[Tensor | None, Tensor] | None = None
    lag, last_lag = first.lag(device, scale), third.lag(device, scale)
    if device.lagging_stages == "all" and last_lag is not None:
        later = (None if second is None else second.lag(device, scale), last_lag)
    return replace(held, middle=middle, lag=lag, later_lags=later, noise=noise)


def programmed(
    values: Tensor,
    largest: float,
    device: Device,
    generator: torch.Generator | None,
    place: int,
    member: tuple[int, int],
) -> Tensor:
    """Return what the cells of array `place` hold of `values`, whose full scale is `largest`: levels and errors."""
    if device.cells_per_value == 1:
        return _cells(values, largest, device, generator, (place, member), chip.DEAD_CELLS)
    plus, minus = (
        _cells(part.clamp_min(0.0), largest, device, generator, (place, member), purpose)
        for part, purpose in ((values, chip.DEAD_CELLS), (-values, chip.DEAD_SECOND_CELLS))
    )
    if not device.wire_ohm:
        return plus - minus
    return with_wires(plus, minus, device, largest_unit(device, largest))


def _cells(
    values: Tensor,
    largest: float,
    device: Device,
    generator: torch.Generator | None,
    where: tuple[int, tuple[int, int]],
    purpose: int,
) -> Tensor:
    (place, member), is_pair = where, device.cells_per_value == 2
    if device.array_bits is None:
        held = values
    elif member[1] == 1:
        held = quantize(values, value_bits(device), largest if is_pair else None)
    else:
        held = _rounding_event(values, largest, device, place, member)
    if device.programming_error:
        error = standard_normal(values.numel(), generator, values).view(values.shape)
        held = torch.add(held, error, alpha=device.programming_error * largest, out=error)
    if device.stuck_off or device.stuck_on:
        # the same cells at every programming: they belong to the chip, not to the run
        fate = chip.uniform(device.instance, purpose, place, values)
        off, on = device.stuck_off or 0.0, device.stuck_on or 0.0
        positive = on if is_pair else on / 2  # a single cell holds the sign too
        held = torch.where(fate < off, 0.0, held)
        held = torch.where((fate >= off) & (fate < off + positive), largest, held)
        held = torch.where((fate >= off + positive) & (fate < off + on), -largest, held)
    return held


def value_bits(device: Device) -> int | None:
    """Return the bits of a signed value, of which a pair of cells has one more than a cell."""
    return None if device.array_bits is None else device.array_bits + device.cells_per_value - 1


def _rounding_event(
    values: Tensor, largest: float, device: Device, place: int, member: tuple[int, int]
) -> Tensor:
    bits = value_bits(device)
    assert bits is not None
    if not largest > 0.0:
        return values.clone()
    half_levels = float(2 ** (bits - 1) - 1)
    if largest < half_levels * torch.finfo(values.dtype).tiny:
        return _rounding_event(values * LIFT, largest * LIFT, device, place, member).div_(LIFT)
    scaled = values * (half_levels / largest)
    threshold = chip.uniform(device.instance, chip.ROUNDING, place, values).to(values.dtype)
    threshold = (threshold + member[0] / member[1]) % 1.0
    below = torch.floor(scaled)
    return (below + (scaled - below > threshold)).clamp_(-half_levels, half_levels) * (largest / half_levels)


def largest_unit(device: Device, largest: float) -> float:
    """Conductance × R of one unit of an array: 1, or less where its `largest` value exceeds the range."""
    if device.conductance_max_siemens is None:
        return 1.0
    span = (device.conductance_max_siemens - (device.conductance_min_siemens or 0.0)) * device.resistance_ohm
    return min(1.0, span / largest) if largest > 0.0 else 1.0
