"""Each statement of a report is wrong as often as it says, on data of known truth."""

import math

import numpy as np
import pytest

from benchmarks.error_rates import RUNS, STATEMENTS, Statement, measure

QUICK = [statement for statement in STATEMENTS if statement.share == 1.0]
"""Those whose data sets cost next to nothing."""


@pytest.mark.parametrize("statement", QUICK, ids=lambda each: each.name)
def test_a_statement_keeps_its_rate_in_a_few_draws(statement):
    assert measure(statement, 15).kept


@pytest.mark.slow
@pytest.mark.parametrize(
    "place", range(len(STATEMENTS)), ids=lambda place: f"{place} {STATEMENTS[place].name}"
)
def test_a_statement_keeps_its_rate(place):
    found = measure(STATEMENTS[place], RUNS, seed=1)
    assert found.number > 10
    assert found.kept, f"{found.rate:.3f} ± {found.error:.3f}, said {found.statement.says:.3f}"


def test_a_rate_that_is_not_kept_is_seen_and_one_never_made_says_so():
    def coin(share):
        return Statement("c", 0.05, lambda generator: (int(generator.random() < share), 1))

    bad, good = measure(coin(0.3), 400), measure(coin(0.05), 400)
    assert (bad.verdict, good.verdict) == ("BROKEN", "kept")
    assert bad.rate == pytest.approx(0.3, abs=4 * bad.error)
    assert bad.error == pytest.approx(math.sqrt(bad.rate * (1 - bad.rate) / 400))
    never = measure(Statement("n", 0.05, lambda generator: (0, 0)), 10)
    assert (never.verdict, never.number) == ("never made", 0)
    assert not np.isnan(never.rate)
