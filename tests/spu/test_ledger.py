"""What a bill says where a price is missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tngd_bench.spu.ledger import Ledger


def test_a_missing_price_leaves_the_total_unstated_and_bounds_it_from_below() -> None:
    ledger = Ledger("J", {"write_gradient": 2.0, "write_arrays": 3.0, "relax": None, "read": 0.5})
    assert (ledger.write, ledger.relax, ledger.read, ledger.total) == (5.0, None, 0.5, None)
    assert ledger.at_least == pytest.approx(5.5)
    assert ledger.not_stated == ("relax",)
    assert Ledger("J", {"relax": None, "read": None}).at_least is None


def test_a_complete_bill_is_its_own_lower_bound() -> None:
    ledger = Ledger("s", {"write_gradient": 2.0, "relax": 4.0, "read": 0.5}, overlapped=3.0)
    assert ledger.total == ledger.at_least == pytest.approx(6.5)
    assert ledger.elapsed(1.0) == pytest.approx(6.5)  # the host's second runs beside the overlapped three
    assert ledger.elapsed(5.0) == pytest.approx(8.5)
    assert (ledger.elapsed_at_least(1.0), ledger.elapsed_at_least(5.0)) == (6.5, 8.5)
    assert ledger.not_stated == ()


def test_a_duration_with_an_item_not_stated_has_a_lower_bound_alone() -> None:
    ledger = Ledger(
        "s", {"write_gradient": 2.0, "write_cells": None, "relax": 4.0, "read": 0.5}, overlapped=3.0
    )
    assert ledger.elapsed(5.0) is None
    assert ledger.elapsed_at_least(5.0) == pytest.approx(8.5)
    assert Ledger("s", {"relax": None}).elapsed_at_least(1.0) is None


@given(
    making=st.floats(0.0, 100.0),
    writing=st.floats(0.0, 100.0),
    blocks=st.integers(1, 60),
)
def test_rows_written_as_they_are_made_take_a_pipeline_of_two_stages(
    making: float, writing: float, blocks: int
) -> None:
    """Against the pipeline itself: a block is written when it is made and the one before has been written."""
    made = written = 0.0
    for _ in range(blocks):
        made += making / blocks
        written = max(made, written) + writing / blocks
    ledger = Ledger("s", {"write_arrays": writing, "relax": 1.0}, streamed=writing)
    assert making + writing - ledger.saved(making, blocks) == pytest.approx(written, abs=1e-9)
