"""Cost of one iteration of thermodynamic K-FAC on a device, in closed form: seconds, joules, words on the link.

Our reconstruction of what the abstract of arXiv 2502.08603 describes. Every factor stays on an array of its own between
refreshes, in `copies` that relax side by side; layers follow one another.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tngd_bench import arguments
from tngd_bench.layers import Layer
from tngd_bench.spu.billing import conversions_s, link_rate_left, transfer_s
from tngd_bench.spu.description import DeviceDescription
from tngd_bench.spu.ledger import Ledger, added, priced
from tngd_bench.spu.parts import Array, Parts
from tngd_bench.spu.upkeep import relax_power_watt, upkeep_j, upkeep_s

NOT_BILLED = ("upload", "shared_array", "hessian_array", "hold_time_s", "hold_power_watt")
"""Fields of a device that concern J, H or a carried state, none of which there is with Kronecker factors."""


@dataclass(frozen=True)
class FactorShape:
    """Orders of a layer's factors, and the scales at which a conductance range has their arrays hold them (≤ 1)."""

    inputs: int
    outputs: int
    scales: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        for name in ("inputs", "outputs"):
            arguments.integer(name, getattr(self, name), minimum=1)

    @classmethod
    def of(cls, layers: Sequence[Layer]) -> tuple[FactorShape, ...]:
        """Those of the layers that have some; plain tuples are layers with a bias."""
        every = (Layer(*layer) for layer in layers)
        return tuple(cls(layer.columns, layer.d_out) for layer in every if layer.factored)

    @property
    def values(self) -> int:
        """Of ∇W."""
        return self.inputs * self.outputs

    @property
    def arrays(self) -> tuple[Array, Array]:
        """Those of A′ and of Γ′."""
        return Array(self.inputs, self.inputs), Array(self.outputs, self.outputs)


@dataclass(frozen=True)
class KroneckerWorkload:
    """One iteration, the mean of those between two refreshes of the arrays; `analog_time` in units of τ.

    `scales_known`: whether those of the factors are meant, where a conductance range sets them. `refinements`: further
    pairs of passes, for residuals.
    """

    factors: tuple[FactorShape, ...]
    analog_time: float
    copies: int = 1
    refresh_interval: int = 1
    scales_known: bool = False
    refinements: int = 0

    def __post_init__(self) -> None:
        arguments.real("analog_time", self.analog_time, above=0.0)
        for name in ("copies", "refresh_interval"):
            arguments.integer(name, getattr(self, name), minimum=1)
        arguments.integer("refinements", self.refinements, minimum=0)
        if not self.factors:
            raise ValueError(
                "factors must not be empty: a model without linear maps has nothing on the device"
            )

    @property
    def values(self) -> int:
        """Numbers sent in one direction: the right-hand sides of all passes, or their answers."""
        return 2 * (1 + self.refinements) * sum(factor.values for factor in self.factors)

    @property
    def arrays(self) -> tuple[Array, ...]:
        """One copy of all arrays."""
        return tuple(array for factor in self.factors for array in factor.arrays)

    @property
    def array_values(self) -> int:
        """Values on them."""
        return sum(array.rows * array.columns for array in self.arrays)

    @property
    def rounds(self) -> int:
        """Relaxations one after another: the n_out of pass 1 and the n_in of pass 2, `copies` at a time."""
        return sum(self.array_rounds)

    @property
    def array_rounds(self) -> tuple[int, ...]:
        """Those on each of `arrays`."""
        return tuple(
            (1 + self.refinements) * -(-right_hand_sides // self.copies)
            for factor in self.factors
            for right_hand_sides in (factor.outputs, factor.inputs)
        )

    @property
    def relaxed_times(self) -> tuple[float, ...]:
        """Duration of those on each of `arrays`, τ."""
        scales = (scale for factor in self.factors for scale in factor.scales)
        counts = zip(self.array_rounds, scales, strict=True)
        return tuple(self.analog_time * count / scale for count, scale in counts)


def words_on_link(work: KroneckerWorkload) -> float:
    """Numbers over the link in one iteration: 4·n_in·n_out a layer and refinement, n_in² + n_out² at a refresh."""
    return 2 * work.values + work.array_values / work.refresh_interval


def latency(device: DeviceDescription, work: KroneckerWorkload) -> Ledger:
    """Modelled seconds of one iteration under the items of `billing.latency`, None where no time is stated.

    Copies of an array are written together from what was sent once, in the time of one; arrays one after another.
    Converters are their own.
    """
    steps = sum(array.write_steps(device) for array in work.arrays)
    conversions = sum(
        rounds * min(device.nodes_per_converter, array.rows)
        for rounds, array in zip(work.array_rounds, work.arrays, strict=True)
    )
    items: dict[str, float | None] = {
        "write_gradient": transfer_s(device, work.values),
        "write_arrays": transfer_s(device, work.array_values / work.refresh_interval),
        "write_cells": priced(device.cell_write_time_s, steps / work.refresh_interval),
        "write_convert": conversions_s(device.dac_rate_hz, conversions),
        "relax": sum(work.relaxed_times) * device.time_constant_s,
    }
    if device.bill_needs_simulation and not work.scales_known:
        items["relax_slowdown"] = None
    items["read_convert"] = conversions_s(device.adc_rate_hz, conversions)
    items["read"] = transfer_s(device, work.values)
    if device.partial_sums_per_tau is not None:
        items["relax_sums"] = added(
            priced(array.sum_s(device), device.partial_sums_per_tau * time)
            for array, time in zip(work.arrays, work.relaxed_times, strict=True)
        )
    return Ledger("s", items | upkeep_s(device))


def energy(device: DeviceDescription, work: KroneckerWorkload) -> Ledger:
    """Modelled joules of one iteration under the items of `latency`; None ("not stated") without a price.

    `relax_power_watt` is that of one array, and all copies relax, those of one factor at a time.
    """
    word = priced(device.link_energy_j_per_bit, device.word_bits)
    seconds = latency(device, work).items
    cells = work.copies * device.cells_per_value * work.array_values / work.refresh_interval
    uses = [
        (array, work.copies * time, device.cells_per_value * array.rows * array.columns)
        for array, time in zip(work.arrays, work.relaxed_times, strict=True)
    ]
    tau, rate = device.time_constant_s, device.partial_sums_per_tau or 0.0
    relaxed = added(priced(relax_power_watt(device, held), tau * time) for _, time, held in uses)
    sums = added(priced(array.sum_j(device), rate * time) for array, time, _ in uses)
    amplifier_s = added(
        priced(added((tau, priced(rate, array.sum_s(device)))), array.amplifiers(device) * time)
        for array, time, _ in uses
    )
    prices: Mapping[str, float | None] = {
        "write_gradient": priced(word, work.values),
        "write_arrays": priced(word, work.array_values / work.refresh_interval),
        "write_cells": priced(device.cell_write_energy_j, cells),
        "write_convert": priced(device.dac_energy_j, work.values),
        "relax": relaxed,
        "relax_sums": sums,
        "relax_slowdown": None,
        "read_convert": priced(device.adc_energy_j, work.values),
        "read": priced(word, work.values),
        **upkeep_j(device, seconds, amplifier_s),
    }
    return Ledger("J", {name: value for name, value in prices.items() if name in seconds})


def parts_of(device: DeviceDescription, work: KroneckerWorkload) -> Parts:
    """Return the parts of a device with so many copies."""
    nodes = [array.rows for array in work.arrays]
    return Parts.of(device, work.arrays, nodes, 1.0 / work.refresh_interval, work.copies)


def break_even_link_rate(
    device: DeviceDescription, work: KroneckerWorkload, competitor_s: float, digital_s: float = 0.0
) -> float | None:
    """Link rate (bits/s) as `billing.break_even_link_rate` has it; None: no rate is enough."""
    bits = device.word_bits * words_on_link(work)
    return link_rate_left(
        latency(device.override(link_rate_bits_per_s=None), work), bits, competitor_s, digital_s
    )


def break_even_copies(
    device: DeviceDescription, work: KroneckerWorkload, competitor_s: float, digital_s: float = 0.0
) -> int | None:
    """Least number of copies with which an iteration takes no longer than a digital optimizer's `competitor_s`.

    None: no number is enough. With an item of the bill not stated it is a lower bound.
    """
    most = max(max(factor.inputs, factor.outputs) for factor in work.factors)

    def is_enough(copies: int) -> bool:
        taken = latency(device, replace(work, copies=copies)).elapsed_at_least(digital_s)
        return taken is not None and taken <= competitor_s

    return bisect_left(range(1, most + 1), True, key=is_enough) + 1 if is_enough(most) else None
