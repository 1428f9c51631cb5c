"""Outside packages: one that is broken is named and stops nothing else."""

import sys
from importlib.metadata import EntryPoint

import pytest

from tngd_bench import plugin_files, plugins


@pytest.fixture(autouse=True)
def nothing_left_out_yet(monkeypatch):
    monkeypatch.setattr(plugins, "_COMPLAINTS", {})


def point(name, value):
    return EntryPoint(name, value, "tngd_bench.things")


def test_good_entries_are_there_and_each_bad_one_is_named_with_the_reason():
    points = [
        point("good", "string:digits"),
        point("absent", "no_such_module_at_all:ENTRY"),
        point("gone", "string:no_such_name"),
        point("other", "math:pi"),
        point("own", "string:digits"),
        point("unreadable", "no target at all!"),
    ]
    found = plugins.collect("thing", str, {"own": "ours"}, points)
    assert dict(found.entries) == {"own": "ours", "good": "0123456789"}
    assert list(found.points) == ["good"]
    said = plugins.complaints()
    for name, reason in (
        ("absent", "ModuleNotFoundError"),
        ("gone", "AttributeError"),
        ("other", "must load to a str, not 3.14"),
        ("unreadable", "accepted are MODULE and MODULE:NAME"),
        ("own", "registers the thing 'own' again"),
    ):
        assert any(f"entry point {name} = " in text and reason in text for text in said)
    assert "entry point gone" in found.why_missing("gone")
    assert found.why_missing("good") == ""


def test_a_package_that_ends_the_program_when_imported_ends_nothing(tmp_path, monkeypatch):
    (tmp_path / "ending_plugin.py").write_text("raise SystemExit(1)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = plugins.collect("thing", str, {}, [point("ending", "ending_plugin:ENTRY")])
    assert dict(found.entries) == {}
    assert "SystemExit" in plugins.complaints()[0]


def installed(folder, name, entry_points, metadata=True):
    """Write what an installed package has beside its modules."""
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(entry_points)
    if metadata:
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")


def test_a_damaged_list_of_entry_points_is_named_and_those_of_others_are_read(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    installed(tmp_path, "whole", "[tngd_bench.things]\nsome = string:digits\n")
    assert [each.name for each in plugins.entry_points("tngd_bench.things")] == ["some"]
    assert plugins.complaints() == ()
    installed(tmp_path, "torn", "[tngd_bench.things]\nno entry point\n")
    plugins._entry_points.cache_clear()  # a process reads the lists once
    (found,) = plugins.entry_points("tngd_bench.things")
    assert (found.name, plugins.package_of(found), plugins.version_of(found)) == ("some", "whole", "1.2")
    (said,) = plugins.complaints()
    assert "entry_points.txt of torn cannot be read" in said


def test_a_package_without_metadata_is_called_by_its_folder_and_has_no_version(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    installed(tmp_path, "bare", "[tngd_bench.things]\nsome = string:digits\n", metadata=False)
    (found,) = plugins.entry_points("tngd_bench.things")
    assert (plugins.package_of(found), plugins.version_of(found)) == ("bare-1.2", "")


def test_what_an_error_says_calls_a_plugin_by_its_file(tmp_path):
    (tmp_path / "mine.py").write_text("import sys\n\ndef fail():\n    sys.modules[__name__].absent\n")
    file = plugin_files.read(tmp_path / "mine.py")
    plugin_files.install(file)
    try:
        with pytest.raises(AttributeError) as error:
            sys.modules[file.module].fail()
        assert plugins.said(error.value) == "AttributeError: module 'mine.py' has no attribute 'absent'"
    finally:
        plugin_files.forget(file)
        sys.path.remove(str(tmp_path))
