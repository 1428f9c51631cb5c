import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tngd_bench.measure.seeds import derive_seed

parts = st.lists(st.one_of(st.text(max_size=5), st.integers()), min_size=1, max_size=4)


@given(parts, parts)
def test_different_parts_give_different_seeds(first, second):
    assert (derive_seed(*first) == derive_seed(*second)) == (first == second)


@pytest.mark.parametrize(
    ("first", "second"),
    [(("a", "bc"), ("ab", "c")), ((1,), ("1",)), ((1, 2), (2, 1)), (("a",), ("a", ""))],
)
def test_boundaries_types_and_order_count(first, second):
    assert derive_seed(*first) != derive_seed(*second)


def test_seed_is_the_same_in_another_process():
    # Python's own hash() would differ here.
    code = "from tngd_bench.measure.seeds import derive_seed; print(derive_seed('study', 3, 'start'))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(other.stdout) == derive_seed("study", 3, "start")


@given(parts)
def test_seed_is_one_that_torch_takes(some):
    assert 0 <= derive_seed(*some) < 2**63


@pytest.mark.parametrize("bad", [1.5, None, True, b"x"])
def test_other_types_are_refused(bad):
    with pytest.raises(TypeError, match="strings and integers"):
        derive_seed("a", bad)


def test_no_parts_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        derive_seed()
