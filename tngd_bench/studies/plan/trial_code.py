"""Digests of the code that a trial's result depends on: this package's parts and its plug-ins."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib.metadata import EntryPoint

from tngd_bench import source
from tngd_bench.optimizers import registry as optimizers
from tngd_bench.plugin_files import cached
from tngd_bench.plugins import package_of
from tngd_bench.problems import registry as problems
from tngd_bench.spu import device
from tngd_bench.studies.plan.trials import Trial


def code_of(trial: Trial) -> Mapping[str, str]:
    """Return the digests of the code that can change the trial's result, by part: this package's and its plug-ins'."""
    return _code(*_used(trial))


def code_of_all(trials: Iterable[Trial]) -> dict[str, str]:
    """Return the digests of all code that `trials` depend on."""
    return {name: digest for trial in trials for name, digest in code_of(trial).items()}


def edited_code(trial: Trial) -> str:
    """Return in words what outside code of the trial is no longer on the disk as `code_of` found it; "" for none."""
    now = _of_plugins(*_used(trial), source.plugin_part_now)
    return source.changes({name: code_of(trial)[name] for name in now}, now)


def _used(trial: Trial) -> tuple[frozenset[str], str, frozenset[str]]:
    """Return the names of a trial's optimizers, its problem and its devices."""
    devices = {name for each in trial.candidates for name in _devices(each.config.settings.get("device"))}
    methods = {each.config.method for each in trial.candidates}
    return frozenset(methods), trial.setting.problem, frozenset(devices)


@cached
def _code(methods: frozenset[str], problem: str, devices: frozenset[str]) -> Mapping[str, str]:
    versions = {
        name: f"{source.installed_version(name)} installed" for name in problems.get(problem).packages
    }
    return {**source.own_parts(), **versions, **_of_plugins(methods, problem, devices, source.plugin_part)}


def _of_plugins(
    methods: frozenset[str],
    problem: str,
    devices: frozenset[str],
    part: Callable[[EntryPoint, tuple[str, ...]], tuple[str, str]],
) -> dict[str, str]:
    points = [optimizers.origin(method) for method in methods]
    points += [problems.origin(problem), *(device.origin(name) for name in devices)]
    return dict(part(point, _modules(package_of(point))) for point in points if point is not None)


@cached
def _modules(package: str) -> tuple[str, ...]:
    """Return the modules that an outside package names for all that it gives.

    One digest covers a whole package: trials that use different things of one package have the same.
    """
    given: list[
        tuple[EntryPoint | None, tuple[object, ...]]
    ] = []  # what makes each thing that a package may give
    for name in optimizers.names():
        given.append((optimizers.origin(name), (optimizers.get(name).factory,)))
    for name, entry in problems.entries().items():
        functions = (entry.search, entry.read, entry.build, entry.make_loss, entry.make_score)
        given.append((problems.origin(name), functions))
    given += [(device.origin(name), ()) for name in device.Device.presets()]
    modules = {
        _module(one)
        for point, functions in given
        if point is not None and package_of(point) == package
        for one in (point.value, *functions)
    }
    return tuple(sorted(modules - {""}))


def _module(function: object) -> str:
    """Return the name of the module that defines a function, what a partial one calls, or "module:function"."""
    if isinstance(function, str):
        return function.partition(":")[0]
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__module__", "") or "")


def _devices(device: object) -> set[str]:
    if isinstance(device, Mapping):
        return {str(device.get("base"))}
    return set() if device is None else {str(device)}
