import ctypes
import math
import multiprocessing
import os
import resource
from pathlib import Path

import pytest
import torch

from tests.studies.recorder import fill_and_free
from tngd_bench.measure.memory import keep_freed_memory, measure_peak
from tngd_bench.studies.run.worker_process import call_in_worker, worker_context

MEGABYTES = 2**20

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(),
    reason="the kernel offers no resettable peak of resident memory",
)


def _allocate(connection, megabytes):
    def work():
        block = torch.ones(megabytes * MEGABYTES // 4)
        del block

    connection.send((measure_peak(work).peak_bytes, measure_peak(lambda: None).peak_bytes))


@needs_proc
@pytest.mark.parametrize("megabytes", [16, 64, 256])
def test_peak_is_what_was_allocated_and_freed_again(megabytes):
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_allocate, args=(theirs, megabytes))
    process.start()
    peak, nothing = ours.recv()
    process.join()
    assert peak == pytest.approx(megabytes * MEGABYTES, abs=4 * MEGABYTES)
    assert nothing < 2 * MEGABYTES


def test_without_proc_there_is_a_reason_and_no_number(tmp_path):
    found = measure_peak(lambda: pytest.fail("must not run"), process=tmp_path / "absent")
    assert math.isnan(found.peak_bytes)
    assert "cannot be measured" in found.reason


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_memory_that_is_kept_is_asked_for_once():
    given = {
        prepare: call_in_worker(worker_context(), fill_and_free, (prepare,))
        for prepare in (os.getpid, keep_freed_memory)
    }
    pages = 3 * 12 * MEGABYTES // resource.getpagesize()
    assert min(given[os.getpid]) > 0.9 * pages
    assert max(given[keep_freed_memory][1:]) < 0.1 * pages
