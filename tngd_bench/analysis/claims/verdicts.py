"""Claims as data, and their verdicts: what is said, the test of our records that decides, its tolerance.

A verdict is "confirmed" where the test holds in all its parts, "conditional" where it holds in some (the condition
names them), "not confirmed" where it holds in none (the condition says whether the data show the contrary or do not
decide), and "not tested" where the records hold nothing, or too few seeds, to test it on. Of what was measured nothing
is decided by an estimate alone: a part holds if its whole interval lies on the claimed side, or its exact one-sided
p-value is at most 5 %. Only counts, which have no noise, are.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from importlib.resources import files
from typing import Any, Literal, Protocol

import pandas as pd

from tngd_bench.analysis.training.final_scores import final_values

VerdictName = Literal["confirmed", "not confirmed", "conditional", "not tested"]


@dataclass(frozen=True)
class Claim:
    """A claim as read from `claims.toml`; its keys are explained there."""

    id: str
    statement: str
    where: str
    figure: str
    test: str
    groups: tuple[str, ...]
    parameters: Mapping[str, Any]
    fixed: date
    note: str = ""
    together: bool = False


@dataclass(frozen=True)
class Part:
    """One part of a test, named `what`: whether it `holds`, and if not whether the contrary is `decided`.

    `p` is the two-sided p-value where a test over seeds decides.
    """

    what: str
    holds: bool
    text: str
    decided: bool = True
    p: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What the records say of a claim, on `problem` (empty: on all that were measured).

    `evidence` is text with the numbers that decide; `numbers` holds them by name; `figure` names the figure that shows
    them; `keys` are the records behind them, (study, key); `tolerance` states the rule and its fixed numbers;
    `parts` are what was tested one by one, `missing` what could not be. `fixed` is the day on which the rule got its
    present form, `note` what was known by then.
    """

    claim_id: str
    statement: str
    where: str
    verdict: VerdictName
    condition: str
    figure: str
    evidence: str
    numbers: Mapping[str, float]
    problem: str = ""
    tolerance: str = ""
    keys: tuple[tuple[str, str], ...] = ()
    parts: tuple[Part, ...] = ()
    missing: str = ""
    fixed: date | None = None
    note: str = ""


@dataclass(frozen=True)
class Finding:
    """What a test found: its parts (none: there was nothing to test), the rule, the numbers, the records used."""

    parts: tuple[Part, ...]
    rule: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    missing: str = ""


class HasFrames(Protocol):
    """What is asked of a study's records."""

    @property
    def trials(self) -> pd.DataFrame: ...  # noqa: D102  # as in studies.records
    @property
    def costs(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def curves(self) -> pd.DataFrame: ...  # noqa: D102


@dataclass(frozen=True)
class Pool:
    """The records of several studies in one: keys and seeds carry the study's name, so that no two are paired."""

    trials: pd.DataFrame
    costs: pd.DataFrame
    curves: pd.DataFrame

    @cached_property
    def final(self) -> pd.DataFrame:
        """The last values of every training trial."""
        return final_values(self.trials, self.curves)

    def within(self, groups: Sequence[str], problem: str | None = None) -> Pool:
        """Return what belongs to `groups`, and to `problem` where it is given."""
        frames = []
        for frame in (self.trials, self.costs, self.curves):
            here = frame["group"].isin(groups)
            frames.append(frame[here if problem is None else here & (frame["problem"] == problem)])
        return Pool(*frames)

    def keys_of(self, *optimizers: str) -> tuple[str, ...]:
        """Return the keys of the trials of `optimizers`, of all where none is named."""
        trials = self.trials
        own = trials if not optimizers else trials[trials["optimizer"].isin(optimizers)]
        return tuple(sorted(set(own["key"])))


class Test(Protocol):
    """Judges a claim on the records of its groups."""

    def __call__(self, pool: Pool, parameters: Mapping[str, Any]) -> Finding:
        """Return what was found; parts are empty where the records hold nothing to test."""


def load_claims() -> tuple[Claim, ...]:
    """Return the claims of this package, in the order of their file."""
    text = files("tngd_bench.analysis.claims").joinpath("claims.toml").read_text(encoding="utf-8")
    return tuple(
        Claim(**{**entry, "groups": tuple(entry["groups"])}) for entry in tomllib.loads(text)["claim"]
    )


def pool_records(records_by_study: Mapping[str, HasFrames]) -> Pool:
    """Return the records of all studies as one pool."""
    parts: dict[str, list[pd.DataFrame]] = {"trials": [], "costs": [], "curves": []}
    for study, records in records_by_study.items():
        for name, frames in parts.items():
            frame: pd.DataFrame = getattr(records, name)
            frame = frame.assign(key=[f"{study}{_SEPARATOR}{key}" for key in frame["key"]])
            for column in ("seed", "process"):
                if column in frame:
                    known = frame[column].notna()
                    named = (
                        frame[column].astype(object).where(~known, f"{study}/" + frame[column].astype(str))
                    )
                    frame = frame.assign(**{column: named})
            frames.append(frame)
    joined = {}
    for name, frames in parts.items():
        filled = [frame for frame in frames if len(frame)] or frames[:1]
        joined[name] = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()
    return Pool(**joined)


_SEPARATOR = "\n"  # in no file name and no study's name


def judge(
    records_by_study: Mapping[str, HasFrames], claims: Sequence[Claim] | None = None
) -> tuple[Verdict, ...]:
    """Return the verdicts on `claims` (those of this package where left out), in their order.

    A claim has one verdict for each problem that its groups were run on, in the order of the studies; one on all
    problems together where its file says so, and one "not tested" where no study has its groups.
    """
    chosen = load_claims() if claims is None else claims
    pool = pool_records(records_by_study) if records_by_study else None
    return tuple(verdict for claim in chosen for verdict in _verdicts(claim, pool))


def _verdicts(claim: Claim, pool: Pool | None) -> list[Verdict]:
    if pool is None or pool.trials.empty:
        return [_verdict(claim, Finding((), "", missing="no study was run"), "")]
    here = pool.within(claim.groups)
    if here.trials.empty:
        sections = ", ".join(claim.groups)
        return [_verdict(claim, Finding((), "", missing=f"no study with the section {sections} was run"), "")]
    test = tests()[claim.test]
    problems = [None] if claim.together else list(dict.fromkeys(here.trials["problem"]))
    return [
        _verdict(claim, test(here.within(claim.groups, problem), claim.parameters), problem or "")
        for problem in problems
    ]


def tests() -> Mapping[str, Test]:
    """Return the tests by the name that `claims.toml` uses."""
    from tngd_bench.analysis.claims import cost_tests, device_tests, training_tests

    return {**cost_tests.TESTS, **training_tests.TESTS, **device_tests.TESTS}


def _verdict(claim: Claim, finding: Finding, problem: str) -> Verdict:
    name: VerdictName = "not tested"
    if finding.parts:
        holding = {part.holds for part in finding.parts}
        name = "conditional" if len(holding) > 1 else "confirmed" if holding == {True} else "not confirmed"
    condition = _condition(finding.parts)
    evidence = "; ".join(_with_doubt(part) for part in finding.parts)
    if finding.missing:
        evidence = f"{evidence}; {finding.missing}" if evidence else finding.missing
    keys = tuple(tuple(key.split(_SEPARATOR, 1)) for key in finding.keys)
    return Verdict(
        claim.id,
        claim.statement,
        claim.where,
        name,
        condition,
        claim.figure,
        evidence,
        dict(finding.numbers),
        problem,
        finding.rule,
        keys,  # type: ignore[arg-type]  # split in two
        finding.parts,
        finding.missing,
        claim.fixed,
        claim.note,
    )


def _condition(parts: Sequence[Part]) -> str:
    """Return what a verdict that is not "confirmed" depends on."""
    holding = [part.what for part in parts if part.holds]
    against = [part.what for part in parts if not part.holds and part.decided]
    open_ = [part.what for part in parts if not part.holds and not part.decided]
    if not holding and not (against and open_):
        return "the data show the contrary" if against else "the data do not decide" if open_ else ""
    if not against and not open_:
        return ""
    said = (("holds", holding), ("not", against), ("not decided", open_))
    return "; ".join(f"{words} {_listed(names)}" for words, names in said if names)


def _with_doubt(part: Part) -> str:
    return f"{part.what}: {part.text}" + (
        "" if part.holds or part.decided else " (not decided by these data)"
    )


def _listed(names: Sequence[str]) -> str:
    """Return e.g. "for a, b", or "against a, b" where that is what the names of parts say."""
    if all(name.startswith(_AGAINST) for name in names):
        return _AGAINST + ", ".join(name.removeprefix(_AGAINST) for name in names)
    return "for " + ", ".join(names)


_AGAINST = "against "
