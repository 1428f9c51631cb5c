"""What a check notes of the revisions that it compares with."""

import pytest

from tngd_bench.check.gate import MetricFilter
from tngd_bench.check.session import CheckSession


@pytest.mark.parametrize(
    ("base", "noted"), [(b"a\r\nb\r\n", False), (b"a\nb\n", False), (b"a\nc\n", True), (None, True)]
)
def test_a_lock_with_other_packages_is_noted_and_one_with_other_line_ends_is_not(tmp_path, base, noted):
    """As git writes them into one of two checkouts, by core.autocrlf."""
    for name, content in (("base", base), ("head", b"a\nb\n")):
        (tmp_path / name).mkdir()
        if content is not None:
            (tmp_path / name / "requirements-3.11.lock").write_bytes(content)
    session = CheckSession((), (), MetricFilter(()), 1, print)
    session._note_other_locks("main", tmp_path / "base", tmp_path / "head")
    assert bool(session.notes) is noted
