"""A disk that is really full, and one that cannot be written; in memory, where this process may mount one."""

import os
import subprocess

import pytest

from tngd_bench.studies.errors import StoreError, StoreWriteError
from tngd_bench.studies.store import documents
from tngd_bench.studies.store.records import read_records
from tngd_bench.studies.store.store import Store


@pytest.fixture
def disk(tmp_path):
    """A disk of 1 MB of its own; also what it takes to make it read-only."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no right to mount a disk here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def filled(disk):
    """A store with trials until the disk is full, and the keys of those told to be written."""
    store = Store(disk / "store")
    store.create()
    written: list[str] = []

    def fill():
        for number in range(1000):
            store.write_trial(f"k{number}", {"entries": [{"status": "ok", "x": "x" * 50_000}]})
            written.append(f"k{number}")

    with pytest.raises(StoreWriteError) as error:
        fill()
    return store, written, str(error.value)


def test_a_full_disk_stops_the_study_and_keeps_what_was_stored(disk, monkeypatch):
    monkeypatch.setattr(documents, "RESERVE_BYTES", -(10**9))  # as if others had filled it since we looked
    store, written, said = filled(disk)
    assert "No space left on device; what was stored before is intact" in said
    assert len(written) > 5
    assert store.finished(written) == set(written)
    assert sorted(path.stem for path in store.trials_folder.iterdir()) == sorted(written), "and no debris"
    for key in written[:5]:
        (store.trials_folder / f"{key}.json").unlink()
    store.write_trial("more", {"entries": []})  # goes on once there is room


def test_a_small_disk_is_refused_before_anything_is_measured(disk):
    with pytest.raises(StoreError, match=r"MB free, and 10 trials need about"):
        Store(disk / "store").check_space(10)
    assert list(disk.iterdir()) == []


def test_a_read_only_store_is_read_and_not_written(disk, monkeypatch):
    monkeypatch.setattr(documents, "RESERVE_BYTES", 0)
    store = Store(disk / "store")
    store.create()
    store.write_study({"name": "a", "trials": []})
    store.write_environment({"cpu": "here"})
    store.write_trial("k1", {"entries": []})
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(StoreError, match=r"output .* cannot be written: Read-only file system"):
        store.check_writable()
    with pytest.raises(StoreWriteError, match="Read-only file system"):
        store.write_trial("k2", {"entries": []})
    with pytest.raises(StoreError, match="Read-only file system"), store.locked():
        pass
    assert store.finished(["k1", "k2"]) == {"k1"}
    assert read_records(disk).environment == {"cpu": "here"}
