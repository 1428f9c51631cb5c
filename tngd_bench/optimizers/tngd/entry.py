"""Entries of TNGD and TNGD-Adam: settings of the analog device, and the cost of simulating it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tngd_bench import arguments
from tngd_bench.curvature.route import EIGENDECOMPOSITION_FLOPS, LANCZOS_APPLICATIONS
from tngd_bench.layers import panelled
from tngd_bench.optimizers.cost_model import (
    PAIR_S,
    READ_S,
    WRITE_S,
    CostModel,
    Counts,
    Use,
    counted_by_products,
    products_waiting,
    second_order_waiting,
)
from tngd_bench.optimizers.entry import OptimizerEntry, SearchRange, Setting, Style
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.optimizers.settings import (
    COUNT,
    FRACTION,
    NATURAL,
    POSITIVE,
    choice,
    optional,
)
from tngd_bench.optimizers.tngd.array_costs import DRAWN, array_cost
from tngd_bench.spu.analog_settings import ANALOG_FIELDS, AnalogSettings
from tngd_bench.spu.description import DEVICE_FIELDS
from tngd_bench.spu.device import Device
from tngd_bench.spu.dynamics.route import drawn_in_law, is_one_factor
from tngd_bench.spu.field_info import FieldInfo

LANCZOS_DIMENSION = 24
"""Products that each Krylov space of a relaxation takes: 16 to 32 at t = 50 τ and λ = 0.01, 8 from there on down."""
LANCZOS_SPACES = 2
"""Krylov spaces of a relaxation in rows: the start and the right-hand side."""
INCREMENT_PRODUCTS = 14
"""Products of a relaxation of a few tenths of τ where no rows are made, in one space; longer ones take more."""
_SIMULATION_S, _PROGRAM_S = 3.8e-3, 7.0e-9
"""For the calls of a relaxation, and a value that is drawn anew on an array."""


def count(it: Iteration, use: Use) -> Counts:
    """Return the operations of a simulated step, and the numbers that it holds."""
    alone, ensemble = _devices(it, use), int(use.settings["ensemble"])
    arrays = use.device is not None and use.device.needs_arrays
    refined = ensemble * _refining(it, alone, use, arrays=arrays)
    if use.device is not None and arrays:
        flops, held = _on_arrays(it, alone, use.device, ensemble)
        return ensemble * flops + refined, held
    flops, held = _relaxation(it) if alone == [it] else _relaxations(it, alone)
    return flops + refined, held


def _devices(it: Iteration, use: Use) -> list[Iteration]:
    """The iteration as each device sees it: whole, or a layer of it with all of the rows."""
    if use.settings["scope"] == "model":
        return [it]
    return [replace(it, parameters=layer.parameters, layers=(layer,)) for layer in it.trained]


def _relaxations(it: Iteration, alone: Sequence[Iteration]) -> Counts:
    """The simulation of a device for each layer; the rows are made, however many."""
    flops = it.forward + it.row_passes + it.written + 2.0 * it.lift
    for layer in alone:
        if layer.forms_gram:
            flops += it.formed(layer.trained[0]) + _functions_of_gram(layer)
        else:
            k = float(min(LANCZOS_DIMENSION, it.rows))
            flops += LANCZOS_SPACES * k * layer.gram_product + layer.similarity_for_products
            flops += _orthogonalised(layer)
    return flops, it.held + it.rows * it.widths + 6.0 * float(it.rows) ** 2


def _relaxation(it: Iteration) -> Counts:
    """The simulation of a device without programmed arrays, by the route that `spu.dynamics.ou` takes."""
    m = float(it.rows)
    if it.matrix_free:
        k, n = float(INCREMENT_PRODUCTS), float(it.parameters)
        flops, held = counted_by_products(it, k + 1.0)
        return flops + 4.0 * n * k * k + 2.0 * n * k, held + n * k  # orthogonalised twice
    passes = it.forward + it.row_passes + 2.0 * it.lift
    if it.forms_gram:
        held = it.held + m * it.widths + 6.0 * m * m + 4.0 * it.parameters
        return passes + it.forming + _functions_of_gram(it), held
    k = float(min(LANCZOS_DIMENSION, it.rows))
    made = it.written + LANCZOS_SPACES * k * it.gram_product + it.similarity_for_products
    held = it.held + m * (it.kept + LANCZOS_SPACES * k) + 4.0 * it.parameters
    return passes + made + _orthogonalised(it), held


def _refining(it: Iteration, alone: Sequence[Iteration], use: Use, *, arrays: bool) -> float:
    """Operations of further relaxations from zero under residuals, and of a product by A for each residual.

    `arrays`: those of the device are formed.
    """
    rounds, device = int(use.settings["refinements"]), use.device or Device.ideal()
    if not rounds:
        return 0.0
    m, n = float(it.rows), float(it.parameters)
    lifts = (
        3.0 if use.settings["noise_variance"] or device.thermal_variance else 2.0
    )  # residual, answer, noise
    products = (rounds + 1) * it.product(by_model=it.matrix_free and not arrays)
    if arrays and drawn_in_law(device, it.rows, it.parameters, int(use.settings["ensemble"])):
        # a rotation is drawn as it is asked for
        return products + rounds * lifts * (2.25 * it.lift + 10.0 * m * m) + _further(it, rounds, 2.0 * DRAWN)
    if arrays:
        factors = 1.0 if is_one_factor(device) and not device.row_sum_noise else 2.0
        functions = sum(_further(layer, rounds) for layer in alone) if factors == 1.0 else 0.0
        return products + rounds * lifts * (factors * 2.0 * m * n + len(alone) * 2.0 * m * m) + functions
    if it.matrix_free and alone == [it]:
        k = float(INCREMENT_PRODUCTS)
        return products + rounds * (k * it.product_by_model + 4.0 * n * k * k + 2.0 * n * k)
    found = products
    for layer in alone:
        if layer.forms_gram:
            found += rounds * lifts * (layer.lift + 2.0 * m * m) + _further(layer, rounds)
        else:
            k, size = float(min(LANCZOS_DIMENSION, it.rows)), float(layer.parameters)
            found += rounds * (k * layer.product(by_model=False) + 4.0 * size * k * k + 2.0 * size * k)
    return found


def _on_arrays(it: Iteration, alone: Sequence[Iteration], device: Device, ensemble: int) -> Counts:
    """The simulation of devices whose imperfections act on single cells: B is programmed and then used."""
    costs = [array_cost(each, device, ensemble) for each in alone]
    flops = (
        it.gradient + it.row_passes + (it.all_written if any(cost.formed for cost in costs) else it.written)
    )
    for each, cost in zip(alone, costs, strict=True):
        flops += cost.flops + cost.spectral * _functions_of_gram(each, cost.product)
    return flops, it.held + float(it.rows) * it.widths + max(cost.held for cost in costs)


def _functions_of_gram(it: Iteration, product: float = 2.0) -> float:
    """Functions of K by its eigenvectors or by Lanczos, a `product` with it in operations per m²."""
    m = float(it.rows)
    if it.takes_eigenvectors:
        return EIGENDECOMPOSITION_FLOPS * m**3 + 6.0 * m * m
    return LANCZOS_SPACES * min(LANCZOS_DIMENSION, it.rows) * product * m * m + _orthogonalised(it)


def _further(it: Iteration, rounds: int, product: float = 2.0) -> float:
    """Functions of K in the `rounds` relaxations after the first, where that one leaves no eigenvectors."""
    if it.takes_eigenvectors:
        return 0.0
    by_lanczos = min(rounds, LANCZOS_APPLICATIONS - 1)
    decomposed = EIGENDECOMPOSITION_FLOPS + (DRAWN * panelled(it.rows) if product > 2.0 else 0.0)
    return (
        by_lanczos * _functions_of_gram(it, product)
        + (rounds > by_lanczos) * decomposed * float(it.rows) ** 3
    )


def _orthogonalised(it: Iteration) -> float:
    """The vectors of Krylov spaces in rows, each against those before it, and their sum."""
    m, k = float(it.rows), float(min(LANCZOS_DIMENSION, it.rows))
    return LANCZOS_SPACES * (2.0 * m * k * k + 2.0 * m * k)


def waiting(it: Iteration, use: Use) -> float:
    """Return the seconds that a simulated step waits."""
    m, ensemble, alone = float(it.rows), int(use.settings["ensemble"]), _devices(it, use)
    by_model = it.matrix_free and alone == [it]
    seconds = second_order_waiting(it, by_model=by_model) + len(alone) * ensemble * _SIMULATION_S
    if refinements := int(use.settings["refinements"]):
        products = ensemble * (refinements + 1.0)
        seconds += products * _SIMULATION_S + products_waiting(it, products, by_model=by_model)
    if use.device is not None and use.device.needs_arrays:
        costs = [array_cost(each, use.device, ensemble) for each in alone]
        formed, drawn = sum(cost.formed for cost in costs), sum(cost.values for cost in costs)
        read = sum(
            _read(each, cost.product) for each, cost in zip(alone, costs, strict=True) if cost.spectral
        )
        return seconds + WRITE_S * formed + PAIR_S * m * m + ensemble * (_PROGRAM_S * drawn + READ_S * read)
    return seconds if by_model else seconds + PAIR_S * m * m + READ_S * sum(_read(each) for each in alone)


def _read(it: Iteration, product: float = 2.0) -> float:
    """The numbers that Krylov spaces in rows read: K or, where it is not formed, the rows twice, for each product."""
    if it.forms_gram and it.takes_eigenvectors:
        return 0.0
    once = float(it.rows) * (it.rows * product / 2.0 if it.forms_gram else 2.0 * it.kept)
    return LANCZOS_SPACES * min(LANCZOS_DIMENSION, it.rows) * once


def _device(name: str, value: object) -> object:
    return (
        Device.described(value)
        if isinstance(value, Mapping)
        else arguments.choice(name, value, Device.presets())
    )


def _from(infos: Mapping[str, FieldInfo], defaults: Mapping[str, object]) -> dict[str, Setting]:
    """Return settings from descriptions of fields; None, the default where there is no other, means not given."""
    return {
        name: Setting(
            defaults.get(name), info.accepted.check if name in defaults else optional(info.accepted.check)
        )
        for name, info in infos.items()
    }


ANALOG = {
    **_from(ANALOG_FIELDS, vars(AnalogSettings())),
    "damping_rule": Setting("constant", choice("constant", "levenberg-marquardt")),
    "damping_interval": Setting(5, COUNT),
    "device": Setting("paper", _device),
    **_from(DEVICE_FIELDS, {}),  # None keeps the value of the device
}


def _analog_together(settings: Mapping[str, object]) -> None:
    """Refuse analog settings, and fields of a device, that contradict one another."""
    AnalogSettings.of(settings)
    if isinstance(settings["device"], str | Mapping):
        described_device(settings)


def described_device(settings: Mapping[str, object]) -> Device:
    """Return the device of complete settings, its fields over those of the preset where they are not None."""
    device = settings["device"]
    assert isinstance(device, str | Mapping)
    given = {name: settings[name] for name in DEVICE_FIELDS if settings.get(name) is not None}
    return Device.described(device).override(**given)


def without_device(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are not of the device."""
    return {name: value for name, value in settings.items() if name not in (*DEVICE_FIELDS, "device")}


_ADAM_LR = SearchRange(1e-4, 3e-2, "that of Adam, whose rule makes the step; the default is 1e-3")


def _tngd(
    name: str, title: str, summary: str, rule: str, style: Style, settings: Mapping[str, Setting]
) -> OptimizerEntry:
    return OptimizerEntry(
        name,
        title,
        summary,
        "thermodynamic",
        "tngd_bench.optimizers.tngd.optimizer:make_tngd",
        {**settings, **ANALOG},
        fixed={"rule": rule},
        simulated=True,
        together=_analog_together,
        device=described_device,
        cost=CostModel(count, waiting),
        products=lambda it, settings: float(settings["ensemble"] * settings["refinements"]),
        style=style,
    )


ENTRIES = (
    _tngd(
        "tngd",
        "TNGD",
        "thermodynamic natural gradient: simulated analog device, plain update",
        "sgd",
        Style("#c43d08", "#ff8250", "*", emphasised=True),
        NATURAL,
    ),
    _tngd(
        "tngd-adam",
        "TNGD-Adam",
        "thermodynamic natural gradient fed to Adam; (β₁, β₂) = (0, 0) as in the paper",
        "adam",
        Style("#9a6700", "#eab13d", "p"),
        {
            "lr": Setting(1e-3, POSITIVE, _ADAM_LR),
            "damping": NATURAL["damping"],
            "beta1": Setting(0.0, FRACTION),
            "beta2": Setting(0.0, FRACTION),
            "eps": Setting(1e-8, POSITIVE),
        },
    ),
)
