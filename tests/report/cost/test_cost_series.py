"""Series of costs: drawn along what varies, each measured setting once."""

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from tngd_bench.report.cost import cost_series
from tngd_bench.report.document import scales


def summary(rows):
    """`rows`: section, N, b, d_z of every setting; two optimizers each."""
    columns = ["group", "parameters", "batch_size", "outputs"]
    frame = pd.DataFrame(rows, columns=columns).assign(problem="mnist-mlp")
    frame["rows"] = frame["batch_size"] * frame["outputs"]
    return pd.concat([frame.assign(optimizer=name) for name in ("sgd", "tngd")], ignore_index=True)


def described(series):
    return [(one.axis, one.group, one.part[one.axis].nunique(), one.where) for one in series]


def test_a_section_is_drawn_along_what_it_varies():
    frame = summary(
        [
            *[("sizes", n, 32, 10) for n in (1_000, 10_000, 100_000)],
            *[("batches", 99_670, b, 10) for b in (4, 8, 16)],
            ("alone", 500, 1, 2),
        ]
    )
    assert described(cost_series.cover(frame)) == [
        ("parameters", "sizes", 3, "mnist-mlp, b = 32, d_z = 10"),
        ("batch_size", "batches", 3, "mnist-mlp, N ≈ 100,000, d_z = 10"),
        ("parameters", "alone", 1, "mnist-mlp, b = 1, d_z = 2"),
    ]


def test_models_whose_n_differs_by_the_rounding_of_their_width_are_one_series():
    frame = summary([("s", n, 32, d) for n, d in ((43_706, 10), (44_390, 20), (43_150, 40), (90_000, 40))])
    along = cost_series.along(frame, "outputs")
    assert described(along) == [("outputs", "s", 3, "mnist-mlp, N ≈ 43,000, b = 32")]


def test_sections_with_the_same_held_values_have_headings_of_their_own():
    sizes = [(group, n, 32, 10) for group in ("large", "small") for n in (1_000, 10_000)]
    headings = [one.where for one in cost_series.cover(summary([*sizes, ("b64", 1_000, 64, 10)]))]
    assert len(headings) == len(set(headings)) == 3
    assert headings[:2] == [f"mnist-mlp, b = 32, d_z = 10, section {group}" for group in ("large", "small")]


def test_a_grid_is_drawn_along_n_alone_and_no_setting_twice():
    frame = summary([("grid", n, b, 10) for n in (1_000, 10_000) for b in (8, 32)])
    covered = cost_series.cover(frame)
    assert [one.axis for one in covered] == ["parameters", "parameters"]
    assert sum(len(one.part) for one in covered) == len(frame)


@given(st.sets(st.tuples(*map(st.sampled_from, ("ab", (1_000, 1_010, 9_000), (8, 32), (2, 10)))), min_size=1))
def test_every_setting_is_drawn_once_along_several_sizes_or_beside_no_other(settings):
    frame = summary(sorted(settings))
    several, alone = cost_series.several(frame), cost_series.alone(frame)
    assert sorted(i for one in (*several, *alone) for i in one.part.index) == list(frame.index)
    assert all(one.part[one.axis].nunique() > 1 for one in several)
    assert all(len(one.part[["group", *scales.AXES]].drop_duplicates()) == 1 for one in alone)


def test_rows_of_a_series_are_found_in_another_frame():
    frame = summary([("s", 1_000, b, 10) for b in (8, 32)] + [("other", 1_000, 8, 10)])
    (series,) = (one for one in cost_series.cover(frame) if one.group == "s")
    chosen = series.select(frame.assign(value=1.0))
    assert set(chosen["group"]) == {"s"}
    assert len(chosen) == 4


def test_no_costs_make_no_series():
    assert cost_series.cover(summary([])) == []
