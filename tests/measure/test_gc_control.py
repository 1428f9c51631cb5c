"""The collector is off inside, and as it was afterwards."""

import gc

import pytest

from tngd_bench.measure.gc_control import collected_by_hand


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("apart", [True, False])
def test_the_collector_is_off_inside_and_as_it_was_afterwards(on, apart):
    (gc.enable if on else gc.disable)()
    gc.unfreeze()
    if apart:
        gc.freeze()
    try:
        with collected_by_hand():
            assert not gc.isenabled()
            assert gc.get_freeze_count() > 0
        assert gc.isenabled() is on
        assert (gc.get_freeze_count() > 0) is apart
    finally:
        gc.enable()
        gc.freeze()  # as for the other tests
