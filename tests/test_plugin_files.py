"""Plug-ins of one file: run as modules of their own, found by type, replaced when their text changes."""

import gc
import inspect
import signal
import sys
import warnings
from pathlib import Path

import pytest

from tngd_bench import plugin_files, plugins
from tngd_bench.plugin_files import PluginFile


@pytest.fixture(autouse=True)
def forgotten():
    before = list(sys.path)
    yield
    plugin_files.forget()
    sys.path[:] = before


def installed(folder, text, name="mine.py"):
    path = folder / name
    path.write_text(text)
    file = plugin_files.read(path)
    plugin_files.install(file)
    return file


def names(kind):
    return [point.name for point in plugin_files.points(kind, "group")]


def test_objects_of_a_type_are_found_once_in_their_order_and_load_to_themselves(tmp_path):
    file = installed(tmp_path, "b = 2.5\na = 1.5\nagain = b\ntext = 'no'\nwhole = 3\n")
    points = plugin_files.points(float, "group")
    assert [(point.name, point.load()) for point in points] == [("b", 2.5), ("a", 1.5)]
    assert {plugin_files.file_of(point) for point in points} == {file}
    assert (plugins.package_of(points[0]), plugins.version_of(points[0])) == ("mine.py", "")


def test_a_changed_file_replaces_its_former_self_and_clears_what_was_kept(tmp_path):
    calls = []

    @plugin_files.cached
    def known():
        calls.append(1)
        return names(float)

    installed(tmp_path, "a = 1.5\n")
    assert known() == known() == ["a"]
    installed(tmp_path, "b = 1.5\n")
    assert known() == ["b"]
    assert len(calls) == 2
    assert len(plugin_files.loaded()) == 1


def test_files_of_one_name_in_two_folders_are_two_plugins(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        installed(tmp_path / folder, f"{folder} = 1.5\n")
    assert names(float) == ["x", "y"]


def test_a_file_named_like_an_installed_module_hides_nothing(tmp_path):
    installed(tmp_path, "found = 1.5\n", "json.py")
    import json

    assert json.loads("[1]") == [1]
    assert names(float) == ["found"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = 1\nb = (\n", "mine.py, line 2 cannot be loaded: SyntaxError"),
        (
            "a = 1\n\nraise RuntimeError('no\\nluck')\n",
            "mine.py, line 3 cannot be loaded: RuntimeError: no luck",
        ),
        ("import sys\nsys.exit(3)\n", "mine.py, line 2 cannot be loaded: SystemExit: 3"),
        ("import no_such_module_at_all\n", "line 1 cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_a_file_that_fails_is_named_with_its_line_and_leaves_nothing(tmp_path, text, said):
    with pytest.raises(ValueError, match="cannot be loaded") as error:
        installed(tmp_path, text)
    assert said in str(error.value)
    assert plugin_files.loaded() == ()
    assert not [name for name in sys.modules if name.startswith("tngd_plugin_mine")]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("mine.txt", b"", "must be a Python file"),
        ("mine.py", b"\xff\xfe", "is not a text file"),
        ("mine.py", None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=said):
        plugin_files.read(tmp_path / name)


def test_a_mark_of_utf_8_at_its_beginning_is_no_part_of_it(tmp_path):
    """As editors on Windows write it; Python takes such a file too."""
    (tmp_path / "mine.py").write_bytes("a = 'κ'\n".encode("utf-8-sig"))
    assert plugin_files.read(tmp_path / "mine.py").text == "a = 'κ'\n"


def test_what_it_prints_stays_off_the_standard_output(tmp_path, capsys):
    installed(tmp_path, "print('hello')\na = 1.5\n")
    assert capsys.readouterr() == ("", "hello\n")


def test_modules_beside_it_are_found_and_its_code_can_be_quoted(tmp_path):
    (tmp_path / "beside_the_plugin.py").write_text("VALUE = 2.5\n")
    file = installed(tmp_path, "from beside_the_plugin import VALUE\ndef f():\n    return VALUE\n")
    assert names(float) == ["VALUE"]
    assert "return VALUE" in inspect.getsource(sys.modules[file.module].f)


def test_what_loading_it_changes_of_the_process_is_put_back_and_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "mine.py").write_text(
        "import gc, os, signal, warnings\n"
        "gc.disable()\nos.chdir('data')\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "warnings.simplefilter('error')\na = 1.5\n"
    )
    handler, first = signal.getsignal(signal.SIGINT), warnings.filters[0]
    said = plugin_files.install(plugin_files.read("mine.py"))
    assert f"the current folder from {tmp_path} to {tmp_path / 'data'}" in said
    assert "Python's garbage collection from True to False" in said
    assert "SIGINT" in said
    assert (gc.isenabled(), Path.cwd(), signal.getsignal(signal.SIGINT)) == (True, tmp_path, handler)
    assert warnings.filters[0] == first
    assert plugin_files.install(plugin_files.read("mine.py")) == ""


def test_a_module_beside_it_that_another_one_hides_is_refused(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "of_two_plugins.py").write_text(f"VALUE = '{folder}'\n")
    installed(tmp_path / "x", "import of_two_plugins\n")
    with pytest.raises(
        ValueError, match=r"of_two_plugins is .*already, so of_two_plugins.py beside it is not read"
    ):
        installed(tmp_path / "y", "from of_two_plugins import VALUE\n")
    del sys.modules["of_two_plugins"]


def test_a_machine_without_the_file_runs_its_text():
    plugin_files.install(PluginFile("/no/such/folder/mine.py", "a = 1.5\n"))
    assert names(float) == ["a"]


def test_the_checksum_is_that_of_the_text(tmp_path):
    import hashlib

    file = installed(tmp_path, "a = 'é'\n")
    assert file.checksum == hashlib.sha256(Path(file.path).read_bytes()).hexdigest()
    assert plugin_files.as_records([file]) == [{"path": file.path, "sha256": file.checksum}]
