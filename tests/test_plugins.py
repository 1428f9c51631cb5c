"""Outside packages: one that is broken is named and stops nothing else."""

from importlib.metadata import EntryPoint

import pytest

from tngd_bench import plugins


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
    ]
    found = plugins.collect("thing", str, {"own": "ours"}, points)
    assert dict(found.entries) == {"own": "ours", "good": "0123456789"}
    assert list(found.points) == ["good"]
    said = plugins.complaints()
    for name, reason in (
        ("absent", "ModuleNotFoundError"),
        ("gone", "AttributeError"),
        ("other", "must load to a str, not 3.14"),
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
