import time

import pytest
import torch

from tngd_bench.measure.clock import Clock


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
