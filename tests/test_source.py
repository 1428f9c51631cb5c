"""Digests of code: what changes one, what does not, and that every file which runs a trial is in one."""

import ast
import os
import shutil
import subprocess
import sys
import time
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from tngd_bench import plugin_files, source

ROOT = Path(source.__file__).parent


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the package that digests are made of; they are made anew at each call."""
    shutil.copytree(ROOT, tmp_path / "tngd_bench", ignore=shutil.ignore_patterns("__pycache__", "templates"))
    monkeypatch.setattr(source, "__file__", str(tmp_path / "tngd_bench" / "source.py"))
    source.own_parts.cache_clear()
    yield tmp_path / "tngd_bench"
    source.own_parts.cache_clear()


def digests():
    source.own_parts.cache_clear()
    return source.own_parts()


def test_a_copy_elsewhere_with_other_line_ends_has_the_same_digests(copy):
    there = digests()
    for path in copy.rglob("*.py"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert digests() == there
    (copy / "optimizers" / "__pycache__").mkdir()
    (copy / "optimizers" / "__pycache__" / "x.py").write_text("1")
    (copy / "optimizers" / "natural.py.orig").write_text("1")
    assert digests() == there


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("optimizers/natural.py", "tngd_bench/optimizers"),
        ("spu/presets/rram.toml", "tngd_bench/spu"),
        ("studies/run/run_trial.py", "tngd_bench/studies"),
        ("measure/training.py", "tngd_bench/measure"),
        ("arguments.py", "tngd_bench"),
        ("report/document/palette.py", None),
        ("analysis/cost/fits.py", None),
        ("studies/file/reading.py", None),
    ],
)
def test_a_change_shows_in_its_part_alone_and_what_only_reports_in_none(copy, file, part):
    before = digests()
    path = copy / file
    path.write_text(path.read_text() + "\n# changed\n")
    after = digests()
    assert [name for name in after if after[name] != before[name]] == ([] if part is None else [part])
    assert source.changes(before, after) == ("" if part is None else f"{part} has changed")


def test_whatever_a_trial_imports_below_the_studies_is_in_a_digest():
    """The floors that `studies.work` reaches by imports, in functions too, are those that are digested."""
    waiting, seen = ["tngd_bench.studies.run.run_trial"], set()
    while waiting:
        name = waiting.pop()
        path = ROOT.parent / Path(*name.split("."))
        file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
        if name in seen or not file.is_file():
            continue
        seen.add(name)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tngd_bench"):
                waiting += [node.module, *(f"{node.module}.{item.name}" for item in node.names)]
    floors = {name.split(".")[1] for name in seen if name.count(".") > 1}
    assert floors - {"studies"} == set(source.FLOORS)
    assert all((ROOT / "studies" / name).is_file() for name in source.RUNNER)


def test_digests_are_quick_and_need_no_torch():
    code = "import sys; from tngd_bench import source; source.own_parts(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    source.own_parts.cache_clear()
    start = time.perf_counter()
    source.own_parts()
    fresh = time.perf_counter() - start
    start = time.perf_counter()
    source.own_parts()
    assert time.perf_counter() - start < fresh


@pytest.mark.parametrize(
    "text",
    [
        "import numpy\nfrom digested_helper import STEP\n",
        "import numpy; import digested_helper\n",
        "try: import numpy, digested_helper as helper\nexcept ImportError: pass\n",
        "def later():\n    if True: from digested_helper import STEP\n",
    ],
)
def test_a_plugin_s_digest_follows_its_helpers_and_not_installed_packages(tmp_path, monkeypatch, text):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "digested_plugin.py").write_text(f"{text}ENTRY = 1\n")
    (tmp_path / "digested_helper.py").write_text("STEP = 1\n")
    point = EntryPoint("x", "digested_plugin:ENTRY", "tngd_bench.optimizers")

    def part():
        source.plugin_part.cache_clear()
        return source.plugin_part(point)

    name, before = part()
    assert (name, before.rpartition(" ")[0]) == ("digested_plugin", "of no version")
    (tmp_path / "unrelated.py").write_text("1")
    assert part()[1] == before
    (tmp_path / "digested_helper.py").write_text("STEP = -1\n")
    assert part()[1] != before


@pytest.fixture
def loaded(monkeypatch):
    """Load plug-ins of one file from paths; return the digest of the code of a path's plug-in."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def load(*paths):
        for path in paths:
            plugin_files.install(plugin_files.read(path))

        def digest(path):
            points = plugin_files.points(float, "group")
            modules = tuple(point.value.partition(":")[0] for point in points)
            (point,) = (p for p in points if plugin_files.file_of(p).path == str(path))
            return source.plugin_part_now(point, modules)[1]

        return digest

    yield load
    plugin_files.forget()
    for name in [name for name in sys.modules if name.startswith("digested_")]:
        del sys.modules[name]


def test_files_of_one_name_are_both_in_the_digest(tmp_path, loaded):
    paths = [tmp_path / folder / "mine.py" for folder in ("x", "y")]
    for path in paths:
        path.parent.mkdir()
        path.write_text("a = 1.5\n")
    seen = {loaded(*paths)(path) for path in paths}
    for path in paths:
        path.write_text("a = -1.5\n")
        seen |= {loaded(*paths)(each) for each in paths}
    assert len(seen) == 3  # one a state, whichever file was changed


@pytest.mark.parametrize(
    "reads",
    [
        "open(Path(__file__).with_name('digested_file.txt')).read()",
        "(os.chdir(Path(__file__).parent), Path('digested_file.txt').read_text())",
        "importlib.import_module('digested_' + 'file').__doc__",
    ],
)
def test_whatever_a_plugin_reads_beside_it_while_it_loads_is_in_its_digest(
    tmp_path, loaded, reads, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    plugin, data = tmp_path / "mine.py", tmp_path / "digested_file.txt"
    plugin.write_text(f"import importlib, os\nfrom pathlib import Path\na = 1.5\nb = {reads}\n")
    for name in ("digested_file.txt", "digested_file.py"):
        (tmp_path / name).write_text("'1'\n")
    digest = loaded(plugin)
    before = digest(plugin)
    (tmp_path / "unread.txt").write_text("2")
    assert digest(plugin) == before
    for data in (tmp_path / "digested_file.txt", tmp_path / "digested_file.py"):
        data.write_text("'2'\n")
    assert digest(plugin) != before


@pytest.mark.parametrize(
    "reads",
    [
        "(Path(__file__).parents[1] / 'data' / 'd.txt').read_text()",  # beside its folder
        "Path(__file__).with_name('link.txt').read_text()",  # a link out of it
        "sqlite3.connect(Path(__file__).parents[1] / 'data' / 'd.txt')",
        "np.fromfile(Path(__file__).parents[1] / 'data' / 'd.txt', dtype=np.uint8)",
    ],
)
def test_a_file_elsewhere_that_its_code_reads_is_in_the_digest_of_a_plugin(tmp_path, loaded, reads):
    data, plugin = tmp_path / "data" / "d.txt", tmp_path / "plugins" / "mine.py"
    for path in (data, plugin):
        path.parent.mkdir()
    data.write_text("1")
    plugin.with_name("link.txt").symlink_to(data)
    plugin.write_text(f"import sqlite3\nimport numpy as np\nfrom pathlib import Path\na = 1.5\nb = {reads}\n")
    digest = loaded(plugin)
    before = digest(plugin)
    assert digest(plugin) == before
    data.write_text("2")
    assert digest(plugin) != before


def test_a_variable_that_its_code_reads_is_in_the_digest_of_a_plugin_and_no_other_is(
    tmp_path, loaded, monkeypatch
):
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "import os, subprocess, sys\nfrom pathlib import Path\na = 1.5\nb = os.environ.get('DIGESTED_B')\n"
        "c = os.getenv('DIGESTED_C', '1')\nd = 'DIGESTED_D' in os.environ\n"
        "Path('~').expanduser(), subprocess.run([sys.executable, '-c', ''])\n"
    )
    monkeypatch.setenv("DIGESTED_B", "1")

    def digest():
        plugin_files.forget()
        return loaded(plugin)(plugin)

    seen = {digest()}
    for name, value in (("DIGESTED_B", "2"), ("DIGESTED_C", "2"), ("DIGESTED_D", "")):
        monkeypatch.setenv(name, value)
        seen.add(digest())
    assert len(seen) == 4
    for name, value in (("DIGESTED_E", "2"), ("HOME", str(tmp_path))):
        monkeypatch.setenv(name, value)
        assert digest() in seen
    plugin.write_text("import os\na = 1.5\ncopy = dict(os.environ)\n")
    before = digest()
    monkeypatch.setenv("DIGESTED_E", "3")
    assert digest() == before
    assert type(os.environ).__module__ == "os"


def test_what_a_module_of_two_plugins_reads_is_in_the_digest_of_both(tmp_path, loaded):
    """The first has loaded it, and what it reads is not read again for the second."""
    first, second, other = (tmp_path / name for name in ("one.py", "two.py", "three.py"))
    data = tmp_path / "digested_data.txt"
    data.write_text("1")
    (tmp_path / "digested_both.py").write_text(
        "from pathlib import Path\nDATA = Path(__file__).with_name('digested_data.txt').read_text()\n"
    )
    first.write_text("import digested_both\na = 1.5\n")
    second.write_text("import digested_both\na = 2.5\n")
    other.write_text("a = 3.5\n")
    loaded(first, second, other)
    points = plugin_files.points(float, "group")
    before = [source.plugin_part_now(point) for point in points]
    data.write_text("2")
    after = [source.plugin_part_now(point) for point in points]
    assert [old == new for old, new in zip(before, after, strict=True)] == [False, False, True]


def test_the_digest_of_a_plugin_is_that_of_the_text_that_runs(tmp_path, loaded):
    plugin = tmp_path / "mine.py"
    plugin.write_text("a = 1.5\n")
    digest = loaded(plugin)
    before = digest(plugin)
    plugin.write_text("a = 2.5\n")  # edited after it was loaded
    assert digest(plugin) == before
    assert loaded(plugin)(plugin) != before


def test_the_versions_of_installed_packages_that_a_plugin_imports_are_in_its_digest(
    tmp_path, loaded, monkeypatch
):
    plugin = tmp_path / "mine.py"
    plugin.write_text("import math, numpy\na = 1.5\n")
    digest, genuine = loaded(plugin), source.version
    before = digest(plugin)
    for package, differs in (("numpy", True), ("pandas", False)):
        monkeypatch.setattr(source, "version", lambda name, p=package: "0" if name == p else genuine(name))
        assert (digest(plugin) != before) is differs


def test_what_has_changed_is_said():
    assert source.changes(None, {"a": "1"}) == "measured before results named their code"
    assert source.changes({"p": "0.1 ab"}, {"p": "0.2 cd"}) == "p has changed from 0.1 to 0.2"
    assert source.changes({"p": "0.1 ab"}, {"p": "0.1 ab"}) == ""
