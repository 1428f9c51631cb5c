"""Verdicts on claims: each is judged by its test, on the records of the sections that it names.

A verdict is "confirmed" where the test holds in all its parts, "conditional" where it holds in some (the condition
names them), "not confirmed" where it holds in none (the condition says whether the data show the contrary or do not
decide), and "not tested" where the records hold nothing, or too few seeds, to test it on. Of what was measured nothing
is decided by an estimate alone: a part holds if its whole interval lies on the claimed side, or its exact one-sided
p-value is at most 5 %. Only counts, which have no noise, are.
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files

from tngd_bench.analysis.claims import cost_tests, device_tests, training_tests
from tngd_bench.analysis.claims.types import Claim, Finding, Test, Verdict
from tngd_bench.analysis.results import Results
from tngd_bench.studies.store import columns as c

TESTS: Mapping[str, Test] = {**cost_tests.TESTS, **training_tests.TESTS, **device_tests.TESTS}
"""The tests by the name that `claims.toml` uses."""


def load_claims() -> tuple[Claim, ...]:
    """Return the claims of this package, in the order of their file."""
    text = files("tngd_bench.analysis.claims").joinpath("claims.toml").read_text(encoding="utf-8")
    return tuple(
        Claim(**{**entry, "groups": tuple(entry["groups"])}) for entry in tomllib.loads(text)["claim"]
    )


def judge(results: Results, claims: Sequence[Claim] | None = None) -> tuple[Verdict, ...]:
    """Return the verdicts on `claims` (those of this package where left out) from `pooled` results, in their order.

    A claim has one verdict for each problem that its groups were run on, in the order of the studies; one on all
    problems together where its file says so, and one "not tested" where no study has its groups.
    """
    chosen, within = load_claims() if claims is None else claims, cache(results.within)
    return tuple(verdict for claim in chosen for verdict in _verdicts(claim, results, within))


def _verdicts(claim: Claim, results: Results, within: Callable[..., Results]) -> list[Verdict]:
    """Return the verdicts on one claim; `within` is that of `results`, so that claims on the same sections share it."""
    if results.trials.empty:
        return [Verdict(claim, Finding((), "", missing="no study was run"))]
    here = within(claim.groups, None)
    if here.trials.empty:
        sections = ", ".join(claim.groups)
        return [Verdict(claim, Finding((), "", missing=f"no study with the section {sections} was run"))]
    problems = [None] if claim.together else list(dict.fromkeys(here.trials[c.PROBLEM]))
    return [
        Verdict(claim, TESTS[claim.test](within(claim.groups, problem), claim.parameters), problem or "")
        for problem in problems
    ]
