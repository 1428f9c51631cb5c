import os

import pytest

from tngd_bench.measure import cpu_affinity


@pytest.mark.skipif(not cpu_affinity.can_bind(), reason="this system does not bind processes")
def test_every_core_comes_before_the_second_thread_of_any(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3, 5})
    for number, siblings in {0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3", 5: "4-5"}.items():
        folder = tmp_path / f"cpu{number}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    assert cpu_affinity.usable_processors(tmp_path) == (0, 2, 5, 1, 3)
    assert cpu_affinity.usable_processors(tmp_path / "unknown") == (0, 1, 2, 3, 5)


@pytest.mark.parametrize(
    ("count", "taken", "loads", "chosen"),
    [
        (1, (), (0, 0, 0, 0), {2}),
        (2, (), (0, 0, 0, 0), {2, 0}),
        (1, (2,), (0, 0, 0, 0), {0}),
        (1, (), (0, 0, 90, 0), {0}),
        (1, (), (3, 0, 9, 0), {2}),  # as good as idle both: the order decides
        (2, (), (80, 0, 90, 30), {1, 3}),
        (1, (), (), {2}),
        (3, (0, 1), (0, 0, 0, 0), None),
        (2, (0, 1), (99, 99, 99, 99), {2, 3}),
    ],
)
def test_the_idlest_free_processors_are_chosen(count, taken, loads, chosen):
    assert cpu_affinity.choose(count, (2, 0, 1, 3), taken, loads) == chosen


def test_a_sandbox_that_forbids_both_leaves_processes_unbound(monkeypatch):
    def forbidden(*arguments, **options):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", forbidden, raising=False)
    monkeypatch.setattr("psutil.cpu_percent", forbidden)
    assert not cpu_affinity.can_bind()
    assert cpu_affinity.processor_loads() == ()
