"""Which code a trial's result comes from, and stored results that other code has measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

from tngd_bench import source
from tngd_bench.optimizers import registry as optimizers
from tngd_bench.optimizers.registry import OptimizerEntry
from tngd_bench.plugins import package_of
from tngd_bench.problems import registry as problems
from tngd_bench.problems.entry import ProblemEntry
from tngd_bench.spu import presets
from tngd_bench.studies.plan.trials import Trial
from tngd_bench.studies.store.store import Store, is_finished

if TYPE_CHECKING:
    from tngd_bench.studies.plan.make_plan import Plan


@dataclass(frozen=True)
class Outdated:
    """A stored result of a trial by other code: its `key` in the store, what has changed, whether it is `finished`."""

    key: str
    why: str
    finished: bool
    ended: str


def code_of(trial: Trial) -> Mapping[str, str]:
    """Return the digests of the code that can change the trial's result, by part: this package's and its plug-ins'."""
    devices = {name for each in trial.candidates for name in _devices(each.config.settings.get("device"))}
    methods = {each.config.method for each in trial.candidates}
    return _code(frozenset(methods), trial.setting.problem, frozenset(devices))


def code_of_all(trials: Iterable[Trial]) -> dict[str, str]:
    """Return the digests of all code that `trials` depend on."""
    return {name: digest for trial in trials for name, digest in code_of(trial).items()}


@cache
def _code(methods: frozenset[str], problem: str, devices: frozenset[str]) -> Mapping[str, str]:
    parts = dict(source.own_parts())
    points = [optimizers.origin(method) for method in methods]
    points += [problems.origin(problem), *(presets.origin(device) for device in devices)]
    for point in points:
        if point is not None:
            package = package_of(point)
            parts[package] = source.plugin_part(point, _modules(package))[1]
    return parts


@cache
def _modules(package: str) -> tuple[str, ...]:
    """Return the modules that an outside package names for all that it gives.

    One digest covers a whole package: trials that use different things of one package have the same.
    """
    found: set[str] = set()
    for registry, names in ((optimizers, optimizers.names()), (problems, problems.names())):
        for name in names:
            point = registry.origin(name)
            if point is not None and package_of(point) == package:
                found |= {_entry_module(point), *map(_module, _made_by(registry.get(name)))}
    points = (presets.origin(name) for name in presets.presets())
    found |= {_entry_module(point) for point in points if point is not None and package_of(point) == package}
    return tuple(sorted(found - {""}))


def _entry_module(point: EntryPoint) -> str:
    return point.value.partition(":")[0]


def _made_by(entry: OptimizerEntry | ProblemEntry) -> tuple[object, ...]:
    """Return the functions of a problem, or what names that of an optimizer."""
    if isinstance(entry, ProblemEntry):
        return entry.search, entry.read, entry.build, entry.make_loss, entry.make_score
    return (entry.factory,)


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


def outdated(store: Store, plan: Plan) -> dict[str, list[Outdated]]:
    """Return by key of the plan's trials what other code has measured of them, the latest first."""
    environment = store.environment() or {}
    by_identity = {identity: key for key, identity in plan.identities.items()}
    before: dict[str, dict[str, str]] = {}
    found: dict[str, list[Outdated]] = {}
    for name, content in store.trials_beside(plan.trials, environment):
        version = str(content.get("version"))
        if "identity" in content:
            key = by_identity.get(str(content["identity"]))
        else:
            if version not in before:
                before[version] = plan.keys_before_code(version)
            key = before[version].get(name)
        if key is not None:
            found.setdefault(key, []).append(_described(name, content, plan.trials[key]))
    return {key: sorted(several, key=lambda one: one.ended, reverse=True) for key, several in found.items()}


def _described(name: str, content: Mapping[str, Any], trial: Trial) -> Outdated:
    why = source.changes(content.get("code"), code_of(trial))
    return Outdated(name, why, is_finished(content), str(content.get("finished") or ""))


@dataclass(frozen=True)
class Held:
    """What a store has of a plan: the keys finished, and by key why a result of other code is not taken."""

    finished: frozenset[str]
    again: Mapping[str, str]


def held(store: Store, plan: Plan) -> Held:
    """Return what a run of the plan into the store would find there; nothing is moved."""
    finished = store.finished(plan.trials) | store.earlier(plan.trials)
    again = {key: several[0].why for key, several in outdated(store, plan).items() if key not in finished}
    return Held(frozenset(finished), again)
