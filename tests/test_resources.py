"""What a container leaves of the machine, from files as Linux lays them out."""

import os

import psutil
import pytest

from tngd_bench import resources

GIB = 2**30
TOTAL = psutil.virtual_memory().total


def lay(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


@pytest.fixture
def machine(tmp_path):
    """A function that lays out (/proc/self/cgroup, files of /sys/fs/cgroup) and returns both places."""

    def make(own, files):
        (tmp_path / "own").write_text(own + "\n")
        (tmp_path / "groups").mkdir()
        lay(tmp_path / "groups", files)
        return tmp_path / "groups", tmp_path / "own"

    return make


def unified(path=""):
    return {
        f"{path}memory.max": GIB,
        f"{path}memory.current": 600 * 2**20,
        f"{path}memory.stat": "anon 1\ninactive_file 104857600",
    }


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("0::/", unified()),
        ("0::/a/b", unified("a/b/") | {"a/memory.max": "max"}),
        ("0::/a/b", unified("a/") | {"a/b/memory.max": "max"}),
        ("0::/host/only", unified()),
        (
            "7:cpu,cpuacct:/x\n4:memory:/docker/1",
            {
                "memory/memory.limit_in_bytes": GIB,
                "memory/memory.usage_in_bytes": 600 * 2**20,
                "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 104857600",
            },
        ),
    ],
)
def test_a_limit_of_memory_holds_wherever_it_is_set(machine, own, files):
    places = machine(own, files)
    assert resources.total_memory_bytes(*places) == GIB
    assert resources.available_memory_bytes(*places) == (1024 - 500) * 2**20


def test_no_limit_is_the_machine_s_memory(machine):
    places = machine(
        "0::/a", {"a/memory.max": "max", "a/memory.current": 5, "memory/memory.limit_in_bytes": 2**63 - 4096}
    )
    assert resources.total_memory_bytes(*places) == TOTAL
    assert 0 < resources.available_memory_bytes(*places) <= TOTAL


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/", {"cpu.max": "50000 100000"}, 1),
        ("0::/", {"cpu.max": "100000 100000"}, 1),
        ("0::/a", {"a/cpu.max": "max 100000", "cpu.max": "150000 100000"}, 1),
        ("0::/", {"cpu.max": "max 100000"}, None),
        ("0::/", {"cpu.max": "99900000 100000"}, None),
        ("3:cpu,cpuacct:/x", {"cpu/cpu.cfs_quota_us": 100000, "cpu/cpu.cfs_period_us": 100000}, 1),
        (
            "3:cpu,cpuacct:/x",
            {"cpu,cpuacct/x/cpu.cfs_quota_us": 100000, "cpu,cpuacct/x/cpu.cfs_period_us": 100000},
            1,
        ),
        ("3:cpu:/x", {"cpu/x/cpu.cfs_quota_us": -1, "cpu/x/cpu.cfs_period_us": 100000}, None),
    ],
)
def test_a_quota_leaves_whole_cores_and_at_least_one(machine, own, files, expected):
    assert resources.available_cores(*machine(own, files)) == (expected or len(os.sched_getaffinity(0)))


def test_where_there_are_no_groups_the_machine_is_all_there_is(tmp_path):
    assert resources.total_memory_bytes(tmp_path, tmp_path / "none") == TOTAL
    assert resources.available_cores(tmp_path, tmp_path / "none") == len(os.sched_getaffinity(0))
