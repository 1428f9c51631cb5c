"""Points by column hold what points by row do."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tngd_bench.studies.store.columnar import by_column, column, count

NAMES = ("iteration", "loss", "test_loss", "measured_s")
VALUES = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(
    st.lists(
        st.fixed_dictionaries({"iteration": st.integers(0, 9)}, optional=dict.fromkeys(NAMES[1:3], VALUES))
    )
)
def test_what_goes_in_comes_out(points):
    columns = json.loads(json.dumps(by_column(points)))
    assert count(columns) == len(points)
    assert set(columns) == {name for point in points for name in point}
    for name in NAMES:
        # equal as the float32 that they are
        read = [None if value is None else np.float32(value) for value in column(columns, name)]
        assert read == [None if name not in point else np.float32(point[name]) for point in points]


def test_a_column_that_some_points_lack_says_which_have_it():
    points = [{"iteration": 0, "test_loss": 2.5}, {"iteration": 1}, {"iteration": 2, "test_loss": 1.5}]
    assert by_column(points) == {"iteration": [0, 1, 2], "test_loss": {"at": [0, 2], "values": [2.5, 1.5]}}


def test_numbers_keep_nine_digits_however_small_they_are():
    columns = by_column([{"write_s": 1.2345678912345e-12, "loss": 1234.5678912345, "iteration": 12345678912}])
    assert columns == {"write_s": [1.23456789e-12], "loss": [1234.56789], "iteration": [12345678912]}


def test_no_points_are_no_columns():
    assert by_column([]) == {}
    assert count({}) == 0
    assert column({}, "loss") == []


@given(st.lists(st.integers(0, 10_000), min_size=4, max_size=40), st.floats(1e-9, 1e9))
def test_a_column_in_proportion_to_the_count_says_so_and_reads_the_same(iterations, factor):
    points = [{"iteration": n, "epoch": n * factor, "loss": 1.0 / (1 + n)} for n in iterations]
    columns = json.loads(json.dumps(by_column(points)))
    assert column(columns, "epoch") == pytest.approx([point["epoch"] for point in points], rel=1e-8, abs=0.0)
    assert column(columns, "loss") == pytest.approx([point["loss"] for point in points], rel=1e-8, abs=0.0)


def test_a_proportion_is_a_number_and_what_it_is_of():
    columns = by_column([{"iteration": n, "epoch": n / 8, "measured_s": n / 8 + (n == 2)} for n in range(5)])
    assert columns["epoch"] == {"times": 0.125, "of": "iteration"}
    assert columns["measured_s"] == [0.0, 0.125, 1.25, 0.375, 0.5]
    assert by_column([{"iteration": 0, "epoch": 0.0}] * 5)["epoch"] == [0.0] * 5, "nothing to divide by"
