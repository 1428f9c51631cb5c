"""Names of the optimizers, their settings and how to make them; importing this module imports no torch.

Outside packages add an optimizer by an entry point in the group `tngd_bench.optimizers` that loads to an
`OptimizerEntry`; any torch optimizer is there by its class, MODULE:CLASS (`by_class.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, get_args

from tngd_bench import arguments, plugins
from tngd_bench.optimizers.entry import Billed, Family, OptimizerEntry, Phased, Setting, Stepper
from tngd_bench.optimizers.torch_class.entry import entry_of, is_class_name
from tngd_bench.plugins import entry_points
from tngd_bench.spu.analog_settings import ANALOG_FIELDS, AnalogSettings
from tngd_bench.spu.description import DEVICE_FIELDS
from tngd_bench.spu.field_info import FieldInfo

if TYPE_CHECKING:
    from tngd_bench.spu.device import Device

__all__ = ["Billed", "Family", "OptimizerEntry", "Phased", "Setting", "Stepper", "get", "names", "origin"]

ENTRY_POINT_GROUP = "tngd_bench.optimizers"


_POSITIVE = partial(arguments.real, above=0.0)
_NON_NEGATIVE = partial(arguments.real, minimum=0.0)
_FRACTION = partial(arguments.real, minimum=0.0, below=1.0)
_COUNT = partial(arguments.integer, minimum=1)


def _choice(*options: str) -> Callable[[str, object], object]:
    return lambda name, value: arguments.choice(name, value, options)


def _optional(check: Callable[[str, object], object]) -> Callable[[str, object], object]:
    return lambda name, value: None if value is None else check(name, value)


def _device(name: str, value: object) -> object:
    from tngd_bench.spu.device import Device

    return (
        Device.described(value)
        if isinstance(value, Mapping)
        else arguments.choice(name, value, Device.presets())
    )


def _momentum(default: float) -> dict[str, Setting]:
    return {"momentum": Setting(default, _FRACTION)}


def _adam(beta1: float, beta2: float) -> dict[str, Setting]:
    return {
        "beta1": Setting(beta1, _FRACTION),
        "beta2": Setting(beta2, _FRACTION),
        "eps": Setting(1e-8, _POSITIVE),
    }


def _rate(lr: float) -> dict[str, Setting]:
    return {"lr": Setting(lr, _POSITIVE)}


_DAMPING = {"damping": Setting(0.01, _NON_NEGATIVE)}
_NATURAL = {**_rate(0.01), **_momentum(0.0), **_DAMPING}


def _described(infos: Mapping[str, FieldInfo], defaults: Mapping[str, object]) -> dict[str, Setting]:
    """Settings from the descriptions of fields; None, the default where there is no other, means not given."""
    return {
        name: Setting(
            defaults.get(name), info.accepted.check if name in defaults else _optional(info.accepted.check)
        )
        for name, info in infos.items()
    }


_ANALOG = {
    **_described(ANALOG_FIELDS, vars(AnalogSettings())),
    "damping_rule": Setting("constant", _choice("constant", "levenberg-marquardt")),
    "damping_interval": Setting(5, _COUNT),
    "device": Setting("paper", _device),
    **_described(DEVICE_FIELDS, {}),  # None keeps the value of the device
}


def _analog_together(settings: Mapping[str, object]) -> None:
    """Refuse analog settings, and fields of a device, that contradict one another."""
    AnalogSettings.of(settings)
    if isinstance(settings["device"], str | Mapping):
        _described_device(settings)


def _described_device(settings: Mapping[str, object]) -> Device:
    """Return the device of complete settings, its fields over those of the preset where they are not None."""
    from tngd_bench.spu.device import Device

    device = settings["device"]
    assert isinstance(device, str | Mapping)
    given = {name: settings[name] for name in DEVICE_FIELDS if settings.get(name) is not None}
    return Device.described(device).override(**given)


def _ngd(solver: str, title: str, summary: str, **extra: Setting) -> OptimizerEntry:
    name = "ngd" if solver == "dense" else f"ngd-{solver}"
    return OptimizerEntry(
        name,
        title,
        summary,
        "natural-gradient",
        "tngd_bench.optimizers.ngd.optimizer:make_ngd",
        {**_NATURAL, "memory": Setting(0.0, _FRACTION), **extra},
        fixed={"solver": solver},
    )


_OWN = (
    OptimizerEntry(
        "sgd",
        "SGD",
        "stochastic gradient descent (torch.optim.SGD)",
        "first-order",
        "tngd_bench.optimizers.first_order.optimizer:make_sgd",
        {**_rate(0.1), **_momentum(0.0)},
    ),
    OptimizerEntry(
        "adam",
        "Adam",
        "Adam (torch.optim.Adam, fused where torch has it)",
        "first-order",
        "tngd_bench.optimizers.first_order.optimizer:make_adam",
        {**_rate(1e-3), **_adam(0.9, 0.999)},
    ),
    OptimizerEntry(
        "kfac",
        "K-FAC",
        "Kronecker-factored curvature, running averages, π-damping",
        "kfac",
        "tngd_bench.optimizers.kfac.optimizer:KFAC",
        {
            **_rate(0.01),
            **_momentum(0.9),
            **_DAMPING,
            "factor_interval": Setting(10, _COUNT),
            "inverse_interval": Setting(100, _COUNT),
            "factor_decay": Setting(0.95, _FRACTION),
            "fisher": Setting("mc", _choice("mc", "exact", "empirical")),
            "inverse": Setting("cholesky", _choice("cholesky", "eigen")),
            "sharing": Setting("expand", _choice("expand", "reduce")),
            "kl_clip": Setting(1e-3, _optional(_POSITIVE)),
        },
    ),
    _ngd("dense", "NGD (dense)", "exact natural gradient, N×N Cholesky"),
    _ngd("woodbury", "NGD (Woodbury)", "exact natural gradient, explicit factor B, m×m solve"),
    _ngd("gram", "NGD (Gram)", "exact natural gradient from the Gram matrix, B never formed"),
    _ngd(
        "cg",
        "NGD (CG)",
        "natural gradient by conjugate gradients on curvature products",
        cg_iterations=Setting(200, _COUNT),
        cg_rtol=Setting(1e-6, _FRACTION),
        cg_space=Setting("auto", _choice("auto", "rows", "parameters")),
    ),
    _ngd("layer", "NGD (by layers)", "exact natural gradient of each layer alone, one m×m Cholesky a layer"),
    OptimizerEntry(
        "tngd",
        "TNGD",
        "thermodynamic natural gradient: simulated analog device, plain update",
        "thermodynamic",
        "tngd_bench.optimizers.tngd.optimizer:make_tngd",
        {**_NATURAL, **_ANALOG},
        fixed={"rule": "sgd", "overrides": tuple(DEVICE_FIELDS)},
        simulated=True,
        together=_analog_together,
        device=_described_device,
    ),
    OptimizerEntry(
        "tngd-adam",
        "TNGD-Adam",
        "thermodynamic natural gradient fed to Adam; (β₁, β₂) = (0, 0) as in the paper",
        "thermodynamic",
        "tngd_bench.optimizers.tngd.optimizer:make_tngd",
        {**_rate(1e-3), **_DAMPING, **_adam(0.0, 0.0), **_ANALOG},
        fixed={"rule": "adam", "overrides": tuple(DEVICE_FIELDS)},
        simulated=True,
        together=_analog_together,
        device=_described_device,
    ),
)


@cache
def _found() -> plugins.Found[OptimizerEntry]:
    own = {entry.name: entry for entry in _OWN}
    points = entry_points(group=ENTRY_POINT_GROUP)
    return plugins.collect("optimizer", OptimizerEntry, own, points, check=_check_entry)


def _check_entry(entry: OptimizerEntry) -> None:
    """Raise TypeError or ValueError for an outside entry whose fields are not what they have to be."""
    for name in ("name", "title", "summary", "factory"):
        arguments.text(name, getattr(entry, name))
    arguments.choice("family", entry.family, get_args(Family))
    settings: object = entry.settings
    if not isinstance(settings, Mapping):
        raise TypeError(f"settings must be a mapping of names to Setting, not {settings!r:.80}")
    for name, setting in settings.items():
        if not isinstance(setting, Setting):
            raise TypeError(f"settings[{name!r}] must be a Setting, not {setting!r:.80}")
        setting.check(name, setting.default)
    for name in ("together", "device", "cost"):
        if getattr(entry, name) is not None:
            arguments.function(name, getattr(entry, name))


def names() -> tuple[str, ...]:
    """Return the names of all registered optimizers, ours first; those named by their class are not among them."""
    return tuple(_found().entries)


def is_known(name: str) -> bool:
    """Whether `get` has an entry called `name`."""
    try:
        get(name)
    except ValueError:
        return False
    return True


def origin(name: str) -> EntryPoint | None:
    """Return the entry point that adds the optimizer `name`, or that its class would have; None for one of ours."""
    if is_class_name(name):
        return EntryPoint(name, name, ENTRY_POINT_GROUP)
    return _found().points.get(name)


def get(name: str) -> OptimizerEntry:
    """Return the entry called `name`; ValueError with a suggestion when there is none."""
    if is_class_name(name):
        return entry_of(name)
    found = _found()
    try:
        return found.entries[arguments.choice("optimizer", name, found.entries)]
    except ValueError as error:
        raise ValueError(f"{error}{found.why_missing(name)}") from None
