"""What null runs left is kept for one class of machine and threads, and found for no other."""

import json

import pytest

from tngd_bench.studies.errors import StoreError, StoreWriteError
from tngd_bench.studies.store.run_spread import FIELD, keep, kept

HERE = {"cpu": "one", "torch": "2.13.0", "threads_cost": 1, "cores": 2}
LEFT = {"value": 0.02, "runs": 3, "ratios": 60, "measured": "2026-11-29"}


def test_what_is_kept_is_found_for_the_same_processor_torch_gpu_and_threads_alone(cache):
    assert kept(HERE) == {}
    place = keep(HERE, LEFT)
    assert place.is_relative_to(cache)
    assert kept(HERE) == kept(HERE | {"cores": 64}) == {FIELD: LEFT}
    for name, other in {"cpu": "two", "torch": "2.14.0", "gpu": "H200", "threads_cost": 2}.items():
        assert kept(HERE | {name: other}) == {}
    keep(HERE, LEFT | {"value": 0.03})
    assert kept(HERE)[FIELD]["value"] == 0.03
    assert json.loads(place.read_text())["cpu"] == "one"


@pytest.mark.parametrize("content", ["", "{}", "[1]", "{"])
def test_a_file_that_holds_none_is_named(cache, content):
    place = keep(HERE, LEFT)
    place.write_text(content)
    with pytest.raises(StoreError, match=f"{place.name} does not hold run_spread"):
        kept(HERE)


def test_a_cache_that_cannot_be_written_is_named(cache):
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("a file")
    with pytest.raises(StoreWriteError, match="is a file, not a folder"):
        keep(HERE, LEFT)
