"""A statement of a report as something that data of known truth can refute, and how often they do."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Generator = np.random.Generator
Draw = Callable[[Generator], tuple[float, float]]


def at_settings(draw: Callable[..., tuple[float, float]]) -> Callable[..., Draw]:
    """Make a function of settings that returns the draw at these settings: `draw(3, 7)(generator)`."""
    return lambda *settings, **named: lambda generator: draw(generator, *settings, **named)


@dataclass(frozen=True)
class Statement:
    """A statement whose error is drawn: `draw` returns the wrong ones and how many were made, of one data set.

    `audit` is its number in the audit of the statements, `says` how often it may be wrong. One that is not `promised`
    is shown for comparison: a page does not make it, or says that it does not hold. `share` of the runs is enough,
    where a data set takes long.
    """

    audit: int
    name: str
    says: float
    draw: Draw
    share: float = 1.0
    promised: bool = True


@dataclass(frozen=True)
class Rate:
    """The rate found for a statement, over `number` data sets that made it."""

    statement: Statement
    rate: float
    error: float
    number: int

    @property
    def kept(self) -> bool:
        """Whether the rate is at most the stated one, to three Monte-Carlo errors, or nothing was promised."""
        return not self.statement.promised or self.rate <= self.statement.says + 3.0 * self.error

    @property
    def verdict(self) -> str:
        """Return whether the rate is kept; a statement that no data set led to says nothing of its rate."""
        if not self.statement.promised:
            return "not promised"
        return "never made" if not self.number else "kept" if self.kept else "BROKEN"


def measure(statement: Statement, runs: int, seed: int = 0) -> Rate:
    """Draw `runs` data sets (the statement's share of them) and return the rate of wrong statements."""
    generator = np.random.default_rng([seed, *statement.name.encode()])
    shares = []
    for _ in range(max(2, round(runs * statement.share))):
        wrong, made = statement.draw(generator)
        if made:
            shares.append(wrong / made)
    rate = float(np.mean(shares)) if shares else 0.0
    # the error is at least that of the stated rate, as few draws may have none
    seen = float(np.std(shares, ddof=1)) if len(shares) > 1 else 0.0
    spread = max(seen, math.sqrt(statement.says * (1 - statement.says)))
    return Rate(statement, rate, spread / math.sqrt(max(len(shares), 1)), len(shares))
