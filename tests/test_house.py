"""Rules that keep the package a house: arrows down, no circles, small rooms, short functions, one name a concept."""

import ast
import importlib
import itertools
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import tngd_bench

ROOT = Path(tngd_bench.__file__).parent
PACKAGE = ROOT.name
FLOORS = (
    "curvature",
    "spu",
    "solvers",
    "optimizers",
    "datasets",
    "problems",
    "measure",
    "studies",
    "analysis",
    "check",
    "report",
    "cli",
)
"""From the ground up: a module imports from its own floor and from those below."""
LONGEST_FUNCTION = 60
LARGEST_FOLDER = 20


@cache
def modules() -> dict[str, ast.Module]:
    """Return the syntax tree of every module, by dotted name."""
    trees = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        trees[".".join(part for part in parts if part != "__init__")] = ast.parse(path.read_text("utf-8"))
    return trees


@cache
def imports() -> dict[str, set[str]]:
    """Return the package's modules that each module imports, in functions and for type checking too."""
    found = {}
    for name, tree in modules().items():
        named = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                whole = {f"{node.module}.{alias.name}" for alias in node.names}
                named |= {each if each in modules() else node.module for each in whole}
        found[name] = {each for each in named if each in modules()} - {name}
    return found


def floor(module: str) -> int | None:
    """Return the floor of a module, None for one at the top level."""
    room = module.split(".")[1] if "." in module else ""
    return FLOORS.index(room) if room in FLOORS else None


def test_every_folder_of_the_package_is_a_floor():
    folders = {path.parent.relative_to(ROOT).parts[0] for path in ROOT.glob("*/__init__.py")}
    assert folders == set(FLOORS)


def test_arrows_between_floors_point_down():
    upward = [
        f"{name} imports {other}"
        for name, others in imports().items()
        for other in others
        if floor(name) is not None and floor(other) is not None and floor(other) > floor(name)
    ]
    assert upward == []


def test_top_level_modules_import_no_floor():
    # The command line's entry is the exception, and what a plug-in's name is looked up in.
    upward = [
        f"{name} imports {other}"
        for name, others in imports().items()
        for other in others
        if floor(name) is None and floor(other) is not None and name != f"{PACKAGE}.__main__"
    ]
    assert upward == []


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected parts of a graph that have several nodes (Tarjan's algorithm)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in graph[node]:
            if other not in order:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], order[other])
        if low[node] == order[node]:
            place = stack.index(node)
            part, stack[place:] = stack[place:], []
            if len(part) > 1:
                found.append(sorted(part))

    for node in graph:
        if node not in order:
            visit(node)
    return found


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_no_circle_of_modules():
    assert circles(imports()) == []


def test_no_folder_has_too_many_modules():
    sizes = {
        folder.relative_to(ROOT.parent).as_posix(): len(list(folder.glob("*.py"))) - 1
        for folder in [ROOT, *(path.parent for path in ROOT.rglob("__init__.py"))]
    }
    assert {name: size for name, size in sizes.items() if size > LARGEST_FOLDER} == {}


def test_no_function_is_too_long():
    long = [
        f"{name}.{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION
    ]
    assert long == []


def test_no_class_name_stands_for_two_concepts():
    homes = defaultdict(list)
    for name, tree in modules().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(name)
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


def test_docstrings_begin_with_what_the_thing_is_or_does():
    """A module's first line is a noun phrase or an imperative, no riddle."""
    riddles = ("What ", "How ", "Which ", "Whether ", "Where ", "Why ", "When ")
    opened = {name: (ast.get_docstring(tree) or "").partition("\n")[0] for name, tree in modules().items()}
    assert [name for name, line in opened.items() if line.startswith(riddles) or not line] == []


def test_public_names_are_exported_and_documented():
    """What `__all__` of a floor names is there and has a docstring."""
    rooms = [importlib.import_module(f"{PACKAGE}.{room}") for room in FLOORS]
    public = [(room, name) for room in rooms for name in getattr(room, "__all__", ())]
    assert [name for room, name in public if not (getattr(room, name).__doc__ or "").strip()] == []


def test_floors_are_in_the_order_of_the_architecture_page():
    page = (ROOT.parent / "docs" / "architecture.md").read_text("utf-8")
    places = [page.index(f"{room}/") for room in FLOORS]
    assert all(lower > upper for lower, upper in itertools.pairwise(places)), (
        "the page lists them from the top down"
    )


def test_every_slow_test_says_why():
    """A reason or a comment behind the mark."""
    texts = [path.read_text("utf-8") for path in Path(__file__).parent.rglob("test_*.py")]
    marked = [found for text in texts for found in re.findall(r"pytest\.mark\.slow.*", text)]
    bare = [
        found for text in texts for found in re.findall(r"pytest\.mark\.slow(?!\(\s*reason=|  # ).*", text)
    ]
    assert len(marked) > 50
    assert bare == []
