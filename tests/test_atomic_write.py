"""A file is whole or absent, and durable where that is asked for."""

import errno
import os

import pytest

from tngd_bench.atomic_write import replacing, write


@pytest.mark.parametrize("before", [None, b"old"])
def test_a_failed_write_leaves_what_was_there_and_nothing_else(tmp_path, before):
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)

    def fail_halfway():
        with replacing(path) as file:
            file.write(b"half of the new con")
            file.flush()
            assert (path.read_bytes() if path.exists() else None) == before
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == (
        [] if before is None else [("file", before)]
    )


def test_a_written_file_is_whole_and_readable_by_others(tmp_path):
    previous = os.umask(0o022)
    try:
        path = write(tmp_path / "made" / "file", b"content")
    finally:
        os.umask(previous)
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_content_is_synced_before_the_name_and_the_name_after(tmp_path, monkeypatch):
    calls = []
    real_sync, real_replace = os.fsync, os.rename

    def sync(descriptor):
        calls.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "content")  # noqa: PTH112
        real_sync(descriptor)

    def replace(self, target):
        calls.append("rename")
        real_replace(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(type(tmp_path), "replace", replace)
    write(tmp_path / "file", b"content", sync=True)
    write(tmp_path / "other", b"content")
    assert calls == ["content", "rename", "folder", "rename"]


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
@pytest.mark.parametrize("of_folders_alone", [True, False])
def test_a_file_system_without_fsync_stops_nothing(tmp_path, monkeypatch, code, of_folders_alone):
    """SMB and FUSE refuse it for folders, some for every file."""
    sync = os.fsync

    def refusing(descriptor):
        if of_folders_alone and not os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112
            return sync(descriptor)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refusing)
    assert write(tmp_path / "file", b"content", sync=True).read_bytes() == b"content"


def test_a_disk_that_fails_is_told(tmp_path, monkeypatch):
    def failing(descriptor):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="Input/output"):
        write(tmp_path / "file", b"content", sync=True)
    assert list(tmp_path.iterdir()) == []


def test_a_name_as_long_as_the_system_takes_can_be_written(tmp_path):
    assert write(tmp_path / ("x" * 255), b"content").read_bytes() == b"content"
