import os
import subprocess
import sys
import time

import pytest
import torch

from tngd_bench.measure.clock import _REFERENCE_S, Clock, OwnClock, interpreter_pace, multiplication_rate


def test_clock_measures_the_call_and_returns_its_result():
    seconds, result = Clock(torch.device("cpu")).time(lambda: time.sleep(0.02) or "done")
    assert 0.02 <= seconds < 0.2
    assert result == "done"


def test_clock_drains_the_queue_of_a_cuda_device(monkeypatch):
    drained = []
    monkeypatch.setattr(torch.cuda, "synchronize", drained.append)
    device = torch.device("cuda", 0)
    Clock(device).time(lambda: drained.append("work"))
    assert drained == [device, "work", device]


def test_cpu_needs_no_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: pytest.fail("no CUDA here"))
    assert Clock(torch.device("cpu")).now() > 0


def test_waiting_for_a_processor_is_no_time_of_ones_own(monkeypatch, tmp_path):
    told, schedule = [5.0], tmp_path / "schedstat"
    monkeypatch.setattr(Clock, "now", lambda clock: told[0])
    schedule.write_text("1000000 2000000000 7\n")
    clock = OwnClock(torch.device("cpu"), schedule)

    def work():
        told[0] = 9.0
        schedule.write_text("2000000 5500000000 9\n")  # of the four seconds three and a half in the queue

    assert clock.time(work)[0] == pytest.approx(0.5)
    elsewhere = OwnClock(torch.device("cpu"), tmp_path / "none")
    assert elsewhere.now() == 9.0


def test_the_speed_of_a_machine_is_that_of_its_undisturbed_moments(monkeypatch):
    readings = iter(
        value for number in range(1, 1000) for value in (number, number + (1e-3 if number % 9 == 0 else 0.5))
    )
    monkeypatch.setattr(Clock, "now", lambda clock: next(readings))
    assert multiplication_rate() == pytest.approx(2 * 1024**2 * 256 / 1e-3, rel=1e-6)


def test_the_pace_of_python_is_that_of_its_undisturbed_moments_and_kept(monkeypatch):
    readings = iter(
        value
        for number in range(1, 41)
        for value in (number, number + (3 * _REFERENCE_S if number == 7 else 0.5))
    )
    monkeypatch.setattr(Clock, "now", lambda clock: next(readings))
    interpreter_pace.cache_clear()
    try:
        assert interpreter_pace() == pytest.approx(3.0)
        assert interpreter_pace() == pytest.approx(3.0)
        assert next(readings) == 21  # two readings for each of the twenty passes
    finally:
        interpreter_pace.cache_clear()


@pytest.mark.slow(reason="compares speeds, for which nothing else but its own load may run")
def test_other_programs_at_work_hardly_change_the_speed_found():
    """One per core beside this process, whose share of the time is then a half."""
    alone = multiplication_rate()
    code = "while True: pass"
    others = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(os.cpu_count() or 1)]
    try:
        assert multiplication_rate() > 0.6 * alone
    finally:
        for other in others:
            other.kill()
            other.wait()
