"""The gate is a floor of its own: it reads what is measured and stored, and nothing below it knows of it."""

import ast
from pathlib import Path

import tngd_bench

PACKAGE = Path(tngd_bench.__file__).parent
BELOW = {"measure", "optimizers", "problems", "spu", "studies", "analysis"}
TOP = {"unwritable", "resources", "check"}


def imported(file):
    """The parts of the package that a file imports anything of."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
        found |= {name.split(".")[1] for name in names if name.startswith("tngd_bench.")}
    return found


def test_the_gate_asks_floors_below_it_alone():
    for file in (PACKAGE / "check").glob("*.py"):
        assert imported(file) <= BELOW | TOP, file.name


def test_nothing_below_asks_the_gate():
    files = [file for floor in (*BELOW, "report") for file in (PACKAGE / floor).rglob("*.py")]
    assert len(files) > 200
    assert not [file for file in files if "check" in imported(file)]
