import pytest
from hypothesis import given
from hypothesis import strategies as st

from tngd_bench.problems import mnist_mlp3

ENTRY = mnist_mlp3.ENTRY


def count(width, outputs):
    return 785 * width + 2 * (width + 1) * width + (width + 1) * outputs


@given(parameters=st.integers(1, 3_000_000), outputs=st.integers(10, 40))
def test_the_nearest_equal_width_is_taken_or_the_request_refused(parameters, outputs):
    counts = [count(width, outputs) for width in range(1, 1200)]
    nearest = min(counts, key=lambda n: abs(n - parameters))
    if abs(nearest - parameters) <= 0.02 * parameters:
        assert abs(ENTRY.widths(parameters, outputs).parameters - parameters) == abs(nearest - parameters)
    else:
        with pytest.raises(ValueError, match="mnist-mlp3"):
            ENTRY.widths(parameters, outputs)


def test_the_model_has_three_equal_hidden_layers_and_its_count():
    widths = ENTRY.widths(10_000)
    model = ENTRY.model(widths, seed=0)
    shapes = [tuple(module.weight.shape) for module in model if hasattr(module, "weight")]
    width = shapes[0][0]
    assert shapes == [(width, 784), (width, width), (width, width), (10, width)]
    assert sum(p.numel() for p in model.parameters()) == widths.parameters


def test_a_hundred_million_parameters_are_within_reach_of_the_search():
    assert abs(ENTRY.widths(10**8).parameters - 10**8) < 0.001 * 10**8


def test_it_reads_flat_images(real_mnist):
    assert ENTRY.load(train_size=5, test_size=2).train_inputs.shape == (5, 784)
