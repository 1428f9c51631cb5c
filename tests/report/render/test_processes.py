import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from tngd_bench.process_state import ENDING_SIGNALS
from tngd_bench.report.render import processes
from tngd_bench.report.render.processes import FEWEST_ITEMS, Ahead, beside, in_processes, usable_processes
from tngd_bench.studies.errors import EngineError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")


@pytest.mark.parametrize("number", [1, 2, 5])
@pytest.mark.parametrize("items", [0, 1, 7, 5000])
def test_results_come_in_the_order_of_the_items_whoever_made_them(number, items):
    assert in_processes(lambda item: item * item, range(items), number) == [n * n for n in range(items)]


def test_the_work_is_shared_and_each_item_done_once(tmp_path):
    def work(item):
        (tmp_path / f"{item}-{os.getpid()}").touch()
        while len({path.name.split("-")[1] for path in tmp_path.glob("*-*")}) < 2:
            time.sleep(0.01)  # whoever comes first waits for the other to take part
        return os.getpid()

    made_by = in_processes(work, range(20), 2)
    assert len(set(made_by)) == 2
    assert sorted(int(path.name.split("-")[0]) for path in tmp_path.glob("*-*")) == list(range(20))


@pytest.mark.parametrize("number", [1, 2])
def test_other_work_is_done_here_while_the_processes_wait_for_it(tmp_path, number):
    told = tmp_path / "told"

    def work(item):
        while not told.exists():
            time.sleep(0.01)
        return item, int(told.read_text())

    def tell():
        replacing = tmp_path / "new"
        replacing.write_text(str(os.getpid()))
        replacing.rename(told)

    assert in_processes(work, range(5), number, tell) == [(item, os.getpid()) for item in range(5)]


def _fail(item):
    if item == 3:
        raise OSError("disk full")
    time.sleep(0.01)


def test_an_error_in_a_process_is_raised_here_with_its_place_and_leaves_no_process_behind():
    with pytest.raises(OSError, match="disk full") as caught:
        in_processes(_fail, range(50), 2)
    assert "_fail" in str(caught.value.__cause__)
    assert multiprocessing.active_children() == []


def test_work_beside_is_done_by_another_process_that_leaves_nothing_behind(monkeypatch):
    monkeypatch.setattr(processes, "usable_processes", lambda items: items)
    threads = threading.active_count()
    with beside(os.getpid, 2) as elsewhere, beside(os.getpid, 1) as here:
        assert elsewhere() != os.getpid() == here()
    with beside(lambda: _fail(3), 2) as failed, pytest.raises(OSError, match="disk full"):
        failed()
    assert multiprocessing.active_children() == []
    assert threading.active_count() == threads  # else nothing would fork after it


def test_a_process_that_is_killed_is_one_error_and_not_a_wait():
    def work(item):
        if item == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.3)

    with pytest.raises(EngineError, match="ended early"):
        in_processes(work, range(6), 2)


def test_ahead_begins_with_the_first_items_and_stops_where_it_is_told_to(tmp_path):
    def work(item):
        (tmp_path / str(item)).touch()
        while item == 2 and not (tmp_path / "go on").exists():
            time.sleep(0.01)
        return item, os.getpid(), bytes(10**6)  # more than a pipe holds

    with contextlib.closing(Ahead(work, range(50))) as ahead:
        while not (tmp_path / "2").exists():
            time.sleep(0.01)
        assert ahead.stop() == 3
        assert ahead.stop() == 3
        (tmp_path / "go on").touch()
        made = ahead.results()
    assert [item for item, _, _ in made] == [0, 1, 2]
    assert os.getpid() not in {process for _, process, _ in made}
    assert multiprocessing.active_children() == []


def test_ahead_gives_all_results_when_it_has_begun_all_before_it_was_stopped(tmp_path):
    def work(item):
        (tmp_path / str(item)).touch()
        return -item

    with contextlib.closing(Ahead(work, range(5))) as ahead:
        while not (tmp_path / "4").exists():
            time.sleep(0.01)
        assert ahead.stop() == 5
        assert ahead.results() == [0, -1, -2, -3, -4]


@pytest.mark.parametrize("ending", ["at work", "within its message"])
def test_ahead_that_is_killed_is_one_error_and_not_a_wait(ending):
    def work(item):
        if ending == "at work":
            os.kill(os.getpid(), signal.SIGKILL)
        return bytes(10**6)  # more than a pipe holds: nobody reads, and it waits in the middle

    with contextlib.closing(Ahead(work, [1])) as killed:
        (process,) = multiprocessing.active_children()
        if ending != "at work":
            assert killed._receiver.poll(None)
            process.kill()
        process.join()
        with pytest.raises(EngineError, match="ended early"):
            killed.results()


def test_work_beside_whose_process_is_killed_is_the_same_error(monkeypatch):
    monkeypatch.setattr(processes, "usable_processes", lambda items: items)
    killed = beside(lambda: os.kill(os.getpid(), signal.SIGKILL), 2)
    with killed as result, pytest.raises(EngineError, match="ended early"):
        result()


def forever(item=0):
    while True:
        time.sleep(0.05)


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.timeout(60)
def test_an_interrupt_does_not_wait_for_the_processes_nor_leave_one(monkeypatch):
    monkeypatch.setattr(processes, "usable_processes", lambda items: items)
    with pytest.raises(KeyboardInterrupt):
        in_processes(forever, range(50), 2, interrupt)
    with contextlib.closing(Ahead(forever, [1])):
        with pytest.raises(KeyboardInterrupt), beside(forever, 2):
            interrupt()
        assert len(multiprocessing.active_children()) == 1, "another's goes on"
    assert multiprocessing.active_children() == []


def test_signals_end_a_process_silently_or_are_ignored_as_under_nohup():
    before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    try:
        for number in ENDING_SIGNALS:
            signal.signal(number, lambda number, frame: interrupt())
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        inside = in_processes(lambda item: {n: signal.getsignal(n) for n in ENDING_SIGNALS}, range(2), 2)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    expected = dict.fromkeys(ENDING_SIGNALS, signal.SIG_DFL) | {signal.SIGHUP: signal.SIG_IGN}
    assert inside == [expected, expected]


KILLED = """
import os, pathlib, sys, time
from tngd_bench.report.render.processes import in_processes

def work(item):
    (pathlib.Path(sys.argv[1]) / str(os.getpid())).touch()
    time.sleep(60)

in_processes(work, range(2), 2)
"""


def runs(process):
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.timeout(60)
def test_processes_end_with_the_one_that_forked_them(tmp_path):
    parent = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)])
    while len(list(tmp_path.iterdir())) < 2:
        assert parent.poll() is None
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    forked = [int(path.name) for path in tmp_path.iterdir()]
    while any(map(runs, forked)):
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("cores", "items", "number"),
    [(1, 100, 1), (2, 100, 2), (8, 3 * FEWEST_ITEMS, 3), (8, FEWEST_ITEMS - 1, 1), (8, 0, 1)],
)
def test_there_are_as_many_processes_as_cores_and_no_more_than_pay(monkeypatch, cores, items, number):
    monkeypatch.setattr(processes, "available_cores", lambda: cores)
    monkeypatch.setattr(processes.threading, "active_count", lambda: 1)
    assert usable_processes(items) == number
    monkeypatch.setattr(processes.threading, "active_count", lambda: 2)
    assert usable_processes(items) == 1
