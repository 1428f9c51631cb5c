"""The columns of records: one module names them, and the rest asks it."""

import ast
from pathlib import Path

import pandas as pd
import pytest

import tngd_bench
from tngd_bench.problems.metrics import OWN_CURVES
from tngd_bench.studies.store import columns as c

ROOT = Path(tngd_bench.__file__).parent
NAMES = {*c.TRIAL_COLUMNS, *c.COST_COLUMNS, *c.CURVE_COLUMNS} - {each.column for each in OWN_CURVES}
FLOORS = ("analysis", "report")
HEADINGS = ("Column", "words", "add_column")
"""Functions whose first argument is the heading of a table's column, in words."""
OTHER_MEANINGS = {
    "analysis/cost/recorded_devices.py": {"device"},  # a setting
    "analysis/training/device_pairs.py": {"device", "iteration"},
    "analysis/training/final_scores.py": {"finished"},  # how many finished
    "analysis/training/time_to_target.py": {"problem"},  # keys of a study
    "analysis/families.py": {"problem"},
    "analysis/findings/convergence.py": {"iteration"},  # a word
    "report/tuning/tuning_charts.py": {"problem", "batch_size", "parameters"},
    "analysis/map/plane.py": {"batch_size", "outputs"},  # a literal type
    "report/map/map_view.py": {"batch_size", "outputs"},
    "report/claims/paper_charts.py": {"seed"},  # words
    "report/study_tables.py": {"optimizer", "settings"},
    "report/render/terminal.py": {"optimizer"},  # a word, and a heading
    "report/training/training_section.py": {"finished"},  # how many finished
    "analysis/design/machine.py": {"optimizer"},  # an argument
    "analysis/design/levers.py": {"precision"},  # a field of a machine
    "analysis/compare.py": {"problem"},  # a table of a study
    "report/compare/comparison.py": {"code", "optimizer"},  # an entry of an environment, a word
    "report/torch_classes.py": {"optimizer", "problem", "parameters"},  # headings
    "report/map/energy_chart.py": {"device"},  # a column of its own table
}
"""Names that are written out where they mean something else than a column of records, by module."""


def written(text):
    """Return the names of columns that Python source writes out as text, headings apart."""
    tree = ast.parse(text)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    headings = [
        call.args[0]
        for call in calls
        if (getattr(call.func, "id", "") or getattr(call.func, "attr", "")) in HEADINGS
    ]
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node not in headings)
    return {node.value for node in nodes if isinstance(node.value, str) and node.value in NAMES}


def test_a_column_that_is_written_out_is_found():
    assert written('frame[frame["optimizer"] == "sgd"].groupby(["seed", "x"])') == {"optimizer", "seed"}
    assert written("frame[c.OPTIMIZER]") == set()


def test_names_of_columns_are_written_in_one_module():
    paths = (path for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py")))
    found = {path.relative_to(ROOT).as_posix(): written(path.read_text("utf-8")) for path in paths}
    assert {path: names for path, names in found.items() if names} == OTHER_MEANINGS


def test_every_column_of_records_has_a_constant_of_its_name():
    assert {name for name in NAMES if getattr(c, name.upper(), None) != name} == set()


def test_rows_are_selected_by_the_values_of_columns():
    frame = pd.DataFrame({"optimizer": ["sgd", "adam", "sgd"], "seed": [0, 0, 1]})
    assert c.only(frame, optimizer="sgd", seed=1).index.tolist() == [2]
    assert c.only(frame).equals(frame)
    assert [row.optimizer for row in c.each(frame)] == ["sgd", "adam", "sgd"]
    with pytest.raises(KeyError, match="optimiser"):
        c.only(frame, optimiser="sgd")


def test_text_is_kept_as_it_is_whether_rows_are_few_or_many():
    dtypes = {"optimizer": "str", "seed": "int64"}
    for rows, storage in ((3, "python"), (30_000, "pyarrow")):
        words = [None, "ü, 1", ""] * (rows // 3)
        frame = c.typed({"optimizer": words, "seed": range(rows)}, dtypes)
        assert frame["optimizer"].dtype == pd.StringDtype(storage, na_value=float("nan"))
        assert frame["optimizer"].isna().sum() == rows / 3
        assert frame["optimizer"].dropna().tolist() == ["ü, 1", ""] * (rows // 3)
        assert frame["seed"].tolist() == list(range(rows))


def test_rows_outside_sweeps_have_no_swept_parameter():
    frame = pd.DataFrame({"sweep_parameter": [None, "adc_bits"]})
    assert c.outside_sweeps(frame).index.tolist() == [0]


def test_levels_are_told_apart_whatever_they_are():
    levels = [
        (None, None, None, None, None, None),
        ("adc_bits", None, None, None, None, None),
        ("adc_bits", 4.0, "few", None, None, None),
        ("start", None, "zero", None, None, None),
        ("start", None, "gradient", None, None, None),
        ("adc_bits", 4.0, "4", "start", None, "zero"),
        ("adc_bits", 4.0, "4", "noise_variance", 0.001, "0.001"),
    ]
    found = c.swept_levels(pd.DataFrame(levels, columns=c.SWEEP)).tolist()
    assert found == [
        "",
        "adc_bits = ideal",
        "adc_bits = 4",
        "start = zero",
        "start = gradient",
        "adc_bits = 4, start = zero",
        "adc_bits = 4, noise_variance = 0.001",
    ]
