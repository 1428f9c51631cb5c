"""What a check notes of the revisions that it compares with."""

import pytest

from tngd_bench.check.gate import MetricFilter
from tngd_bench.check.session import CheckSession


def test_a_shallow_clone_is_not_told_that_a_revision_is_no_ancestor(tmp_path, monkeypatch):
    monkeypatch.setattr("tngd_bench.check.session.merge_base", lambda *_: None)
    for shallow, said in (
        (True, "it is not known whether main is an ancestor"),
        (False, "main is no ancestor"),
    ):
        monkeypatch.setattr("tngd_bench.check.session.is_shallow", lambda _, answer=shallow: answer)
        session = CheckSession((), (), MetricFilter(()), 1, print)
        session._note_fork("main", "c" * 40, tmp_path)
        (note,) = session.notes
        assert said in note


@pytest.mark.parametrize(
    ("base", "noted"),
    [(b"a\r\nb\r\n", False), (b"a\nb\n", False), (b"a\nc\n", True), (b"a\n\xff", True), (None, True)],
)
def test_a_lock_with_other_packages_is_noted_and_one_with_other_line_ends_is_not(tmp_path, base, noted):
    """As git writes them into one of two checkouts, by core.autocrlf; whatever bytes a lock has."""
    for name, content in (("base", base), ("head", b"a\nb\n")):
        (tmp_path / name).mkdir()
        if content is not None:
            (tmp_path / name / "requirements-3.11.lock").write_bytes(content)
    session = CheckSession((), (), MetricFilter(()), 1, print)
    session._note_other_locks("main", tmp_path / "base", tmp_path / "head")
    assert bool(session.notes) is noted
