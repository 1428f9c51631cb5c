"""Routes to the law of a programmed device, chosen from its description, without torch: for planning too."""

from tngd_bench.curvature.route import Route
from tngd_bench.spu.description import DEVICE_FIELDS
from tngd_bench.spu.device import Device

ON_SYMMETRIC_ARRAYS = frozenset(
    {
        "temperature_kelvin",
        "array_bits",
        "programming_error",
        "stuck_off",
        "stuck_on",
        "conductance_max_siemens",
        "dac_bits",
        "adc_bits",
        "adc_noise_volts",
        "adc_range_volts",
        "leak_time_constant_s",
    }
)
"""The imperfections that `symmetric_array` simulates; it carries no state that could leak."""
AMPLIFIER_FIELDS = {name: info for name, info in DEVICE_FIELDS.items() if info.part == "amplifier"}


def cells_err(device: Device) -> bool:
    """Whether cells written alike come to hold different values; rounding alone does not."""
    return bool(device.programming_error or device.stuck_off or device.stuck_on)


def middle_errs(device: Device) -> bool:
    """Whether the array of the loss Hessian, an identity, comes to hold something else."""
    return device.hessian_array and (cells_err(device) or bool(device.wire_ohm))


def has_amplifiers(device: Device) -> bool:
    """Whether an imperfection of amplifiers acts."""
    return any(info.needs_arrays and getattr(device, name) for name, info in AMPLIFIER_FIELDS.items())


def arrays_are_alike(device: Device, ensemble: int = 1) -> bool:
    """Whether J and Jᵀ hold the same values; each programming of an ensemble rounds each array in its own way."""
    rounded_apart = ensemble > 1 and device.array_bits is not None
    return device.shared_array or not (cells_err(device) or rounded_apart)


def is_one_factor(device: Device, ensemble: int = 1) -> bool:
    """Whether the drift is JᵀJ + λI of one J, positive semi-definite whatever the errors, with nothing between."""
    return arrays_are_alike(device, ensemble) and not has_amplifiers(device) and not middle_errs(device)


LEAST_NODES = 4
"""Nodes a row from which an array is drawn by its law alone: with fewer there is little to save."""


def drawn_in_law(device: Device, rows: int, parameters: int, ensemble: int = 1) -> bool:
    """Return whether what the cells of a programming hold is drawn only as far as products show it (`ErringFactor`).

    That takes a shared array whose cells err independently by programming alone: levels and dead cells belong to
    single cells, and so do wires, noise by row sums and the finite gain of amplifiers.
    """
    single = device.array_bits is not None or device.stuck_off or device.stuck_on or device.wire_ohm
    plain = device_route(device, ensemble).name == "spectral" and device.programming_error
    return bool(plain and not single and parameters >= LEAST_NODES * rows)


def device_route(device: Device, ensemble: int = 1) -> Route:
    """Return how a relaxation is simulated: by "spectral" functions of A where its imperfections leave it symmetric.

    "mismatch": the same in the coordinates of unequal capacitors · "arrays": the law of a linear network · "stepped
    (rails)" and "stepped (mismatch)": in time, where no exact law is known · "stages": the whole circuit, amplifiers
    of all stages with it, capacitors that differ too.
    """
    symmetric = is_one_factor(device, ensemble)
    if (
        device.amplifier_bandwidth_hz is not None
        and device.lagging_stages == "all"
        and device.rail_volts is None
    ):
        return Route("stages", "amplifiers of all stages lag")
    if device.rail_volts is not None:
        return Route("stepped (rails)", "a node at a rail follows no linear law")
    if device.capacitor_mismatch and not symmetric:
        return Route("stepped (mismatch)", "capacitors differ, and the drift is not symmetric")
    if device.capacitor_mismatch:
        return Route("mismatch", "capacitors differ, and the drift is symmetric in x/√D")
    if device.row_sum_noise or not symmetric:
        return Route(
            "arrays", "noise differs by node" if symmetric else "the drift is not that of one factor"
        )
    return Route("spectral", "the drift is symmetric and the noise even")


def refuse_beyond_symmetric(device: Device) -> None:
    """Raise ValueError for a device with an imperfection that is not simulated on a symmetric array."""
    others = [name for name in device.imperfections if name not in ON_SYMMETRIC_ARRAYS]
    if others:
        raise ValueError(
            f"device {device.name!r} sets {', '.join(others)}, which a symmetric array is not simulated with; "
            f"accepted: {', '.join(name for name in DEVICE_FIELDS if name in ON_SYMMETRIC_ARRAYS)}"
        )
