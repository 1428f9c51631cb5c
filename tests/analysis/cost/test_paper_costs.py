import math

import pytest

from tngd_bench.analysis.cost.paper_costs import MEMORY, Power, largest_power, table_exponent


def sizes(axis, values, parameters=1e4, batch_size=32.0, outputs=10.0):
    rest = {"parameters": parameters, "batch_size": batch_size, "outputs": outputs}
    return [{**rest, axis: value} for value in values]


def test_a_term_is_a_product_of_powers():
    assert Power(1, 2, 2).at({"parameters": 5, "batch_size": 3, "outputs": 2}) == 5 * 9 * 4


def test_the_largest_powers_are_those_of_the_table():
    assert [largest_power("ngd", axis) for axis in ("parameters", "batch_size", "outputs")] == [3, 1, 1]
    assert [largest_power("ngd-woodbury", axis) for axis in ("parameters", "batch_size", "outputs")] == [
        1,
        3,
        3,
    ]
    assert [largest_power("tngd", axis) for axis in ("parameters", "batch_size", "outputs")] == [1, 1, 1]
    assert largest_power("tngd", "outputs", MEMORY) == 2
    assert math.isnan(largest_power("kfac", "parameters"))


def test_a_single_power_has_its_exponent_at_any_sizes():
    assert table_exponent("tngd", "outputs", sizes("outputs", [10, 50, 400])) == pytest.approx(1.0)
    assert table_exponent("sgd", "outputs", sizes("outputs", [10, 50, 400])) == pytest.approx(0.0)


def test_where_the_second_term_has_not_yet_won_the_slope_lies_between():
    # b d_z = 320 ≪ N: b²d_z²N rules, slope 2 and not the 3 of the limit; at b d_z ≫ N it is 3.
    assert table_exponent("ngd-woodbury", "batch_size", sizes("batch_size", [1, 2, 4])) == pytest.approx(
        2, abs=0.01
    )
    far = sizes("batch_size", [1e5, 2e5, 4e5], parameters=10.0)
    assert table_exponent("ngd-woodbury", "batch_size", far) == pytest.approx(3, abs=0.01)


def test_no_row_and_no_range_give_no_number():
    assert math.isnan(table_exponent("kfac", "parameters", sizes("parameters", [1, 2])))
    assert math.isnan(table_exponent("sgd", "parameters", sizes("parameters", [1, 1])))
