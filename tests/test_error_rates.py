"""Each statement of a report is wrong as often as it says, on data of known truth."""

import dataclasses
import math

import numpy as np
import pytest

from benchmarks.error_rates import RUNS, STATEMENTS, row
from benchmarks.known_truth import Statement, measure

AUDITED = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22}
"""The statements of the audit; 21, an interval of a tolerance, is not made any more: levels are judged as in 6."""


def draws(statement):
    """Few enough for the default tests: the rest is the script's, and that of the slow ones."""
    return 6 if statement.share == 1.0 else 2


def test_every_statement_of_the_audit_is_drawn():
    assert {statement.audit for statement in STATEMENTS} == AUDITED
    named = {(statement.audit, statement.name) for statement in STATEMENTS}
    assert len(named) == len(STATEMENTS)


@pytest.mark.parametrize(
    "place", range(len(STATEMENTS)), ids=lambda place: f"{place} {STATEMENTS[place].name}"
)
def test_a_statement_keeps_its_rate_in_a_few_draws(place):
    assert measure(STATEMENTS[place], draws(STATEMENTS[place])).kept


@pytest.mark.slow(reason="draws each statement many times")
@pytest.mark.parametrize(
    "place", range(len(STATEMENTS)), ids=lambda place: f"{place} {STATEMENTS[place].name}"
)
def test_a_statement_keeps_its_rate(place):
    found = measure(STATEMENTS[place], RUNS, seed=1)
    assert found.number > 10
    assert found.kept, f"{found.rate:.3f} ± {found.error:.3f}, said {found.statement.says:.3f}"


def test_a_rate_that_is_not_kept_is_seen_and_one_never_made_says_so():
    def coin(share):
        return Statement(0, "c", 0.05, lambda generator: (int(generator.random() < share), 1))

    bad, good = measure(coin(0.3), 400), measure(coin(0.05), 400)
    assert (bad.verdict, good.verdict) == ("BROKEN", "kept")
    assert bad.rate == pytest.approx(0.3, abs=4 * bad.error)
    assert bad.error == pytest.approx(math.sqrt(bad.rate * (1 - bad.rate) / 399))
    assert good.error >= math.sqrt(0.05 * 0.95 / 400) * 0.999
    shown = measure(dataclasses.replace(coin(0.3), promised=False), 400)
    assert (shown.verdict, shown.kept) == ("not promised", True)
    assert "  –" in row(shown, 5)
    never = measure(Statement(0, "n", 0.05, lambda generator: (0, 0)), 10)
    assert (never.verdict, never.number) == ("never made", 0)
    assert not np.isnan(never.rate)
