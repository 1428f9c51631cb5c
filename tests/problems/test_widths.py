import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tngd_bench.problems import digits_mlp, mnist_cnn, mnist_mlp
from tngd_bench.problems.widths import conv_and_hidden, two_hidden

# The oracles count models one by one, longer than hypothesis allows by default on a busy machine.

ENTRIES = [digits_mlp.ENTRY, mnist_cnn.ENTRY, mnist_mlp.ENTRY]


def reachable_by_brute_force(entry, outputs, limit):
    """Every parameter count up to `limit`, written out from the definition of each network."""
    if entry is mnist_cnn.ENTRY:
        pairs = ((c, h) for c in range(1, 9) for h in range(1, limit // (169 * c + 1) + 1))
        counts = (10 * c + (169 * c + 1) * h + (h + 1) * outputs for c, h in pairs)
    else:
        inputs = 64 if entry is digits_mlp.ENTRY else 784
        pairs = ((a, b) for a in range(1, limit // (inputs + 1) + 1) for b in range(1, limit // (a + 1) + 1))
        counts = ((inputs + 1) * a + (a + 1) * b + (b + 1) * outputs for a, b in pairs)
    return sorted({count for count in counts if count <= limit})


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
@given(parameters=st.integers(1, 20_000), outputs=st.integers(10, 30))
def test_a_search_hits_within_two_percent_exactly_when_a_model_does(entry, parameters, outputs):
    counts = reachable_by_brute_force(entry, outputs, 2 * parameters + 12_000)
    possible = any(abs(count - parameters) <= 0.02 * parameters for count in counts)
    if possible:
        widths = entry.widths(parameters, outputs)
        assert abs(widths.parameters - parameters) <= 0.02 * parameters
        assert widths.parameters in counts
        assert widths.outputs == outputs
    elif parameters < counts[0]:
        with pytest.raises(ValueError, match=rf"{entry.name}.*at least {counts[0]}, .*not {parameters}"):
            entry.widths(parameters, outputs)
    else:
        below = max(count for count in counts if count <= parameters)
        above = min(count for count in counts if count > parameters)
        with pytest.raises(ValueError, match=rf"nearest have {below} and {above}"):
            entry.widths(parameters, outputs)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
@given(parameters=st.integers(300, 200_000), outputs=st.integers(10, 30), seed=st.integers(0, 2**31))
def test_the_count_is_that_of_the_model_built(entry, parameters, outputs, seed):
    try:
        widths = entry.widths(parameters, outputs)
    except ValueError:
        return
    model = entry.model(widths, seed, outputs)
    assert widths.parameters == sum(p.numel() for p in model.parameters())


@given(parameters=st.integers(900, 60_000))
def test_two_hidden_widths_are_as_equal_as_the_tolerance_allows(parameters):
    inputs, outputs = 64, 10
    first, second = (layer.d_out for layer in two_hidden(inputs, outputs, parameters).layers[:2])
    narrowest = min(first, second)
    for difference in range(abs(first - second)):
        for smaller in range(1, narrowest + math.isqrt(parameters) + 1):
            for a, b in ((smaller, smaller + difference), (smaller + difference, smaller)):
                count = (inputs + 1) * a + (a + 1) * b + (b + 1) * outputs
                assert abs(count - parameters) > 0.02 * parameters


@given(parameters=st.integers(200, 40_000))
def test_fewer_channels_only_where_more_cannot_hit(parameters):
    try:
        channels = conv_and_hidden(28, 3, 2, 10, parameters).layers[0].d_out
    except ValueError:
        return
    for c in range(channels + 1, 9):
        for hidden in range(1, parameters // (169 * c) + 2):
            assert abs(10 * c + (169 * c + 1) * hidden + (hidden + 1) * 10 - parameters) > 0.02 * parameters


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_search_is_instant_at_a_hundred_million(entry):
    start = time.perf_counter()
    widths = entry.widths(10**8)
    assert time.perf_counter() - start < 0.05
    assert abs(widths.parameters - 10**8) <= 2 * 10**6


def test_the_network_of_the_paper():
    widths = mnist_cnn.ENTRY.widths(43_706)
    assert widths.parameters == 43_706
    assert widths.describe() == "8 channels, 32 hidden"
    assert tuple(layer[:3] for layer in widths.layers) == ((9, 8, 26 * 26), (1352, 32, 1), (32, 10, 1))


@pytest.mark.parametrize("parameters", [10**3, 10**4, 10**5, 10**6])
def test_digits_reach_every_decade(parameters):
    assert abs(digits_mlp.ENTRY.widths(parameters).parameters - parameters) <= 0.02 * parameters


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0,), ValueError, "parameters must be an integer >= 1"),
        ((1e4,), TypeError, "parameters must be an integer"),
        ((10_000, 9), ValueError, "outputs must be an integer >= 10"),
    ],
)
def test_bad_requests_name_the_argument(arguments, error, message):
    with pytest.raises(error, match=message):
        digits_mlp.ENTRY.widths(*arguments)
