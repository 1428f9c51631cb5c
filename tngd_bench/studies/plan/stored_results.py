"""Results in a store for the trials of a plan: finished ones, and those that other code has measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from tngd_bench import source
from tngd_bench.studies.plan.make_plan import Plan
from tngd_bench.studies.plan.trial_code import code_of
from tngd_bench.studies.store.reader import is_finished
from tngd_bench.studies.store.store import Store


@dataclass(frozen=True)
class Outdated:
    """A stored result of a trial by other code: its `key` in the store, what has changed, when it `ended`."""

    key: str
    why: str
    finished: bool
    ended: str


def outdated(store: Store, plan: Plan) -> dict[str, list[Outdated]]:
    """Return by key of the plan's trials the results of them that other code has measured, the latest first."""
    by_identity = {identity: key for key, identity in plan.identities.items()}
    before_code = cache(plan.keys_before_code)
    results: dict[str, list[Outdated]] = {}
    for stored_key, content in store.trials_beside(plan.trials, store.environment() or {}):
        if "identity" in content:
            key = by_identity.get(str(content["identity"]))
        else:
            key = before_code(str(content.get("version"))).get(stored_key)
        if key is not None:
            why = source.changes(content.get("code"), code_of(plan.trials[key]))
            ended = str(content.get("finished") or "")
            results.setdefault(key, []).append(Outdated(stored_key, why, is_finished(content), ended))
    return {key: sorted(several, key=lambda one: one.ended, reverse=True) for key, several in results.items()}


@dataclass(frozen=True)
class StoredResults:
    """The keys of a plan that a store has `finished`, and by key why a result of other code is not taken."""

    finished: frozenset[str]
    again: Mapping[str, str]


def stored_results(store: Store, plan: Plan) -> StoredResults:
    """Return the results that a run of the plan would find in the store; nothing is moved."""
    finished = store.finished(plan.trials) | store.earlier(plan.trials)
    again = {key: several[0].why for key, several in outdated(store, plan).items() if key not in finished}
    return StoredResults(frozenset(finished), again)
