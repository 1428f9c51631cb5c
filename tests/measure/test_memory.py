import math
import multiprocessing
from pathlib import Path

import pytest
import torch

from tngd_bench.measure.memory import measure_peak

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
