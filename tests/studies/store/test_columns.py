"""The columns of records: one module names them, and the rest asks it."""

import ast
from pathlib import Path

import pandas as pd
import pytest

import tngd_bench
from tngd_bench.problems.metrics import OWN_CURVES
from tngd_bench.studies.store import columns as col

ROOT = Path(tngd_bench.__file__).parent
NAMES = {*col.TRIAL_COLUMNS, *col.COST_COLUMNS, *col.CURVE_COLUMNS} - {each.column for each in OWN_CURVES}
FLOORS = ("analysis",)
OTHER_MEANINGS = {
    ("analysis/cost/recorded_devices.py", "device"): "a setting",
    ("analysis/training/device_pairs.py", "device"): "a setting",
    ("analysis/training/tuning.py", "settings"): "a column of its own table",
    ("analysis/training/final_scores.py", "finished"): "how many finished, in its own table",
    ("analysis/training/time_to_target.py", "problem"): "a key of a study",
    ("analysis/families.py", "problem"): "a key of a study",
    ("analysis/map/plane.py", "batch_size"): "a type may hold no constant",
    ("analysis/map/plane.py", "outputs"): "a type may hold no constant",
}
"""Words that are written out where they name something else than a column of records."""


def written(text):
    """Return the names of columns that Python source writes out as text."""
    nodes = (node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant))
    return {value for value in nodes if isinstance(value, str) and value in NAMES}


def test_a_column_that_is_written_out_is_found():
    assert written('frame[frame["optimizer"] == "sgd"].groupby(["seed", "x"])') == {"optimizer", "seed"}
    assert written("frame[col.OPTIMIZER]") == set()


def test_names_of_columns_are_written_in_one_module():
    found = {
        (path.relative_to(ROOT).as_posix(), name)
        for floor in FLOORS
        for path in (ROOT / floor).rglob("*.py")
        for name in written(path.read_text("utf-8"))
    }
    assert found == set(OTHER_MEANINGS)


def test_every_column_of_records_has_a_constant_of_its_name():
    assert {name for name in NAMES if getattr(col, name.upper(), None) != name} == set()


def test_rows_are_selected_by_the_values_of_columns():
    frame = pd.DataFrame({"optimizer": ["sgd", "adam", "sgd"], "seed": [0, 0, 1]})
    assert col.only(frame, optimizer="sgd", seed=1).index.tolist() == [2]
    assert col.only(frame).equals(frame)
    assert [row.optimizer for row in col.each(frame)] == ["sgd", "adam", "sgd"]
    with pytest.raises(KeyError, match="optimiser"):
        col.only(frame, optimiser="sgd")


def test_rows_outside_sweeps_have_no_swept_parameter():
    frame = pd.DataFrame({"sweep_parameter": [None, "adc_bits"]})
    assert col.outside_sweeps(frame).index.tolist() == [0]
