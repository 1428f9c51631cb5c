"""Claims, findings and verdicts, and the form of the tests that judge claims."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, Protocol

from tngd_bench.analysis.results import Results, study_and_key

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
class ClaimPart:
    """One part of a test, named `what`: whether it `holds`, and if not whether the contrary is `decided`.

    `p` is the two-sided p-value where a test over seeds decides.
    """

    what: str
    holds: bool
    text: str
    decided: bool = True
    p: float | None = None


@dataclass(frozen=True)
class Finding:
    """The result of a test: its `parts` (none: there was nothing to test), and the `rule` with its fixed numbers.

    `numbers` are those that decide, by name, `keys` the records behind them, `missing` says what could not be tested.
    """

    parts: tuple[ClaimPart, ...]
    rule: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    missing: str = ""


@dataclass(frozen=True)
class Verdict:
    """The verdict on a `claim`, on `problem` (empty: on all that were measured), from what its test found."""

    claim: Claim
    finding: Finding
    problem: str = ""

    @property
    def name(self) -> VerdictName:
        """The verdict in a word; see `claims.verdicts`."""
        holding = {part.holds for part in self.finding.parts}
        if not holding:
            return "not tested"
        return "conditional" if len(holding) > 1 else "confirmed" if holding == {True} else "not confirmed"

    @property
    def refuted(self) -> bool:
        """Whether no part holds, and the data show the contrary of one at least."""
        parts = self.finding.parts
        return self.name == "not confirmed" and any(part.decided for part in parts)

    @property
    def condition(self) -> str:
        """The parts that hold, do not, or are open, where the verdict is not "confirmed"."""
        holding = [part.what for part in self.finding.parts if part.holds]
        against = [part.what for part in self.finding.parts if not part.holds and part.decided]
        open_ = [part.what for part in self.finding.parts if not part.holds and not part.decided]
        if not holding and not (against and open_):
            return "the data show the contrary" if against else "the data do not decide" if open_ else ""
        if not against and not open_:
            return ""
        said = (("holds", holding), ("not", against), ("not decided", open_))
        return "; ".join(f"{words} {_listed(names)}" for words, names in said if names)

    @property
    def evidence(self) -> str:
        """The numbers that decide, in words, and what could not be tested."""
        told = [
            f"{part.what}: {part.text}"
            + ("" if part.holds or part.decided else " (not decided by these data)")
            for part in self.finding.parts
        ]
        return "; ".join(filter(None, (*told, self.finding.missing)))

    @property
    def keys(self) -> tuple[tuple[str, str], ...]:
        """The records behind it, (study, key)."""
        return tuple(study_and_key(key) for key in self.finding.keys)


def _listed(names: Sequence[str]) -> str:
    """Return e.g. "for a, b", or "against a, b" where that is what the names of parts say."""
    if all(name.startswith(_AGAINST) for name in names):
        return _AGAINST + ", ".join(name.removeprefix(_AGAINST) for name in names)
    return "for " + ", ".join(names)


_AGAINST = "against "


class Test(Protocol):
    """Judges a claim on the records of its groups."""

    def __call__(self, results: Results, parameters: Mapping[str, Any]) -> Finding:
        """Return what was found; parts are empty where the records hold nothing to test."""
