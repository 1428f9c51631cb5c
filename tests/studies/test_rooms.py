"""The rooms of studies import one another in one direction only."""

import ast
from pathlib import Path

import pytest

import tngd_bench.studies

ORDER = ("errors", "engines", "plugin", "file", "store", "plan", "run", "tuning", "runnable")
PACKAGE = "tngd_bench.studies."


def rooms_imported(text):
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{name.name}" for name in node.names}
        elif isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
    return {name.removeprefix(PACKAGE).split(".")[0] for name in names if name.startswith(PACKAGE)}


@pytest.mark.parametrize("room", ORDER)
def test_a_room_imports_from_itself_and_from_those_before_it(room):
    home = Path(tngd_bench.studies.__file__).parent
    files = [*home.glob(f"{room}.py"), *home.glob(f"{room}/*.py")]
    assert files
    allowed = set(ORDER[: ORDER.index(room) + 1])
    upward = {file.name: rooms_imported(file.read_text()) - allowed for file in files}
    assert {name: rooms for name, rooms in upward.items() if rooms} == {}


def test_imports_of_every_form_are_seen():
    text = "def late():\n    from tngd_bench.studies.run import engine\nimport tngd_bench.studies.plan.trials"
    assert rooms_imported(text) == {"run", "plan"}
