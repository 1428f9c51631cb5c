import subprocess
import sys

import pytest

from tngd_bench.measure.threads import use_threads


@pytest.mark.parametrize("count", [1, 2])
def test_threads_are_what_was_asked_for(count):
    code = (
        f"from tngd_bench.measure.threads import use_threads; use_threads({count}); import torch;"
        "print(torch.get_num_threads(), torch.get_num_interop_threads())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == [str(count), "1"]


@pytest.mark.parametrize("bad", [0, -1, 1.0, True])
def test_other_counts_are_refused(bad):
    with pytest.raises((ValueError, TypeError), match="threads must be an integer >= 1"):
        use_threads(bad)
