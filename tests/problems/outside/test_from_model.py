"""A problem from a plain model and its data."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from tngd_bench.problems.metrics import ACCURACY, Metric
from tngd_bench.problems.outside.from_model import problem_of


def mlp(width):
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3))


def fixed():
    return nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.Linear(5, 3))


def labelled(seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(50, 6, generator=generator)
    return TensorDataset(inputs, inputs[:, :3].argmax(dim=1))


def both():
    return labelled(0), labelled(1)


@pytest.mark.parametrize("parameters", [13, 33, 104, 997, 10_000])
def test_a_width_is_found_whose_exact_count_is_nearest(parameters):
    entry = problem_of("toy", mlp, both, outputs=3)
    counts = {width: 10 * width + 3 for width in range(1, 2000)}
    best = min(counts.values(), key=lambda count: abs(count - parameters))
    widths = entry.widths(parameters)
    assert widths.parameters == best
    assert sum(p.numel() for p in entry.model(widths, 0).parameters()) == best
    assert widths.outputs == 3


def test_sizes_between_two_widths_are_refused_with_both():
    entry = problem_of("toy", mlp, both, outputs=3)
    with pytest.raises(ValueError, match=r"toy, 3 outputs: parameters = 28: .* have 23 and 33"):
        entry.widths(28)
    with pytest.raises(ValueError, match="have 13"):
        entry.widths(2)


def test_a_model_without_a_knob_has_one_size():
    entry = problem_of("toy", fixed, both, outputs=3)
    assert entry.size() == 6 * 5 + 5 + 10 + 15 + 3
    assert entry.widths(63).parameters == 63
    with pytest.raises(ValueError, match="the nearest have 63"):
        entry.widths(100)
    with pytest.raises(ValueError, match="has 3 outputs per sample; accepted: outputs = 3"):
        problem_of("toy", fixed, both, outputs=2).widths(63)


@pytest.mark.parametrize("draw", [random.random, np.random.rand, lambda: float(torch.rand(()))])
def test_a_start_is_a_function_of_its_seed_alone_whoever_draws_it(draw):
    def drawn():
        model = fixed()
        torch.nn.init.constant_(model[0].weight, draw())
        return model

    entry = problem_of("toy", drawn, both, outputs=3)
    widths = entry.widths(63)
    before = random.getstate(), torch.get_rng_state()
    one, again, other = (entry.model(widths, seed)[0].weight[0, 0].item() for seed in (5, 5, 6))
    assert one == again != other
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_data_keep_their_bits_and_their_checksum_is_of_both_parts():
    entry = problem_of("toy", mlp, both, outputs=3)
    splits = entry.load(20, 10, "float64")
    assert torch.equal(splits.train_inputs, labelled(0).tensors[0][:20].double())
    assert torch.equal(splits.test_targets, labelled(1).tensors[1][:10])
    assert splits.train_targets.dtype == torch.int64
    assert splits.checksum == entry.load().checksum
    other = problem_of("toy", mlp, lambda: (labelled(0), labelled(2)), outputs=3)
    assert other.load().checksum != splits.checksum
    with pytest.raises(ValueError, match=r"test_size .* <= 50"):
        entry.load(None, 51)


def test_inputs_by_name_are_passed_by_name():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 2)

        def forward(self, left, right):
            return self.linear(left + right)

    def data():
        x = torch.arange(40.0).reshape(10, 4)
        part = {"left": x, "right": -x}, torch.zeros(10, dtype=torch.int64)
        return part, part

    entry = problem_of("toy", Sum, data, outputs=2)
    assert entry.widths(10).parameters == 10
    assert entry.load(5).train_inputs["right"].shape == (5, 4)


def test_data_of_another_kind_are_refused():
    entry = problem_of("toy", fixed, lambda: ([1, 2], [3]), outputs=3)
    with pytest.raises(
        TypeError, match="must be a TensorDataset of inputs and targets, or that pair, not list"
    ):
        entry.load()
    x, y = torch.zeros(5, 4), torch.zeros(5, dtype=torch.int64)
    for inputs, said in (((x, x), "not tuple"), (x[:4], r"not \(4, 4\)"), ({"a": x, "b": [1]}, "not list")):
        entry = problem_of("toy", fixed, lambda inputs=inputs: ((inputs, y), (inputs, y)), outputs=3)
        with pytest.raises(TypeError, match=f"a tensor with an entry for each of the targets .*{said}"):
            entry.load()


def test_data_of_any_precision_have_a_checksum():
    part = torch.zeros(5, 4, dtype=torch.bfloat16), torch.zeros(5, dtype=torch.int64)
    assert problem_of("toy", fixed, lambda: (part, part), outputs=3).load().checksum


def test_the_score_is_the_accuracy_of_a_classification_and_otherwise_what_is_given():
    entry = problem_of("toy", mlp, both, outputs=3)
    assert entry.metrics == (ACCURACY,)
    error = Metric("error", "error", larger_is_better=False, share=False)
    regression = problem_of(
        "toy",
        mlp,
        both,
        outputs=3,
        loss=nn.MSELoss,
        metrics=(error,),
        values=lambda outputs, targets: {"error": float((outputs - targets).abs().max())},
    )
    part = both()[0].tensors
    outputs, targets = torch.zeros(50, 3), part[0][:, :3]
    from tngd_bench.datasets.splits import Subset

    found = regression.score()(regression.loss(), outputs, Subset(part[0], targets))
    assert found["loss"] == pytest.approx(float(targets.square().mean()))
    assert found["error"] == pytest.approx(float(targets.abs().max()))
    assert problem_of("toy", mlp, both, outputs=3, loss=nn.MSELoss).metrics == ()


class Slope(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, points):
        points = points.detach().requires_grad_(True)
        return torch.autograd.grad(self.net(points).sum(), points, create_graph=True)[0]


def test_a_model_that_calls_autograd_inside_forward_is_a_problem():
    points = torch.randn(20, 2)
    entry = problem_of(
        "slope", Slope, lambda: (TensorDataset(points, points),) * 2, outputs=2, loss=nn.MSELoss
    )
    assert entry.widths(101).outputs == 2
    assert entry.metrics == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"outputs": "3"}, "outputs must be an integer >= 1, not '3'"),
        ({"outputs": 0}, "outputs must be an integer >= 1, not 0"),
        ({"name": ""}, "name must be text"),
        ({"model": 3}, "model must be a function, not 3"),
        ({"model": nn.Linear(6, 3)}, "model must be a function or class that makes it"),
        ({"data": labelled()}, "data must be a function"),
        ({"loss": nn.MSELoss()}, "loss must be a function or class that makes it"),
        ({"loss": "mse"}, "loss must be a function, not 'mse'"),
        ({"values": 3}, "values must be a function, not 3"),
    ],
)
def test_an_argument_of_another_kind_is_named_as_it_was_given(given, said):
    with pytest.raises((TypeError, ValueError)) as error:
        problem_of(**{"name": "toy", "model": mlp, "data": both, "outputs": 3} | given)
    assert said in str(error.value)
