"""Points of the Poisson problem: where they lie, and that solution and right-hand side belong together."""

import pytest
import torch

from tngd_bench.datasets import poisson


@pytest.fixture(scope="module")
def data():
    return poisson.load(None, None, "float64")


def parts(data):
    return data.train(), data.test()


def test_a_sample_is_a_point_inside_and_one_on_the_edge(data):
    for part in parts(data):
        inside, edge = part.inputs[:, :2], part.inputs[:, 2:]
        assert float(inside.min()) > 0.0
        assert float(inside.max()) < 1.0
        assert bool((((edge == 0.0) | (edge == 1.0)).sum(1) >= 1).all())
        assert bool(((edge >= 0.0) & (edge <= 1.0)).all())


def test_points_go_all_the_way_around_the_edge():
    corners = poisson.on_edge(torch.tensor([0.0, 0.25, 0.5, 0.75]))
    assert corners.tolist() == [[0, 0], [1, 0], [1, 1], [0, 1]]
    places = poisson.on_edge((torch.arange(400, dtype=torch.float64) + 0.5) / 400)
    steps = places.diff(dim=0).abs().sum(1)
    assert torch.allclose(steps, torch.full_like(steps, 0.01))  # evenly, around corners too
    assert [int((places[:, axis] == end).sum()) for axis in (0, 1) for end in (0.0, 1.0)] == [100] * 4


def test_the_right_hand_side_is_that_of_the_solution(data):
    """−Δ of the solution by differentiation twice, and its values on the edge."""

    def solution(point):
        return torch.sin(torch.pi * point).prod()

    for part in parts(data):
        some = part.inputs[:50]
        curved = torch.func.vmap(torch.func.hessian(solution))(some[:, :2])
        assert torch.allclose(-torch.einsum("nii->n", curved), part.targets[:50, 0], atol=1e-12)
        edge = torch.func.vmap(solution)(some[:, 2:])
        assert torch.allclose(edge, part.targets[:50, 1], atol=1e-12)


def test_the_first_test_points_lie_all_over_the_square(data):
    first = data.test().first(250).inputs[:, :2]
    quarters = (first > 0.5).long() @ torch.tensor([1, 2])
    assert int(torch.bincount(quarters, minlength=4).min()) > 40
    assert len(torch.unique(data.test_inputs[:, :2], dim=0)) == poisson.GRID**2


def test_sizes_checksum_and_precision(data):
    small = poisson.load(100, 40, "float32")
    assert (len(small.train_targets), len(small.test_targets)) == (100, 40)
    assert small.train_inputs.dtype == small.train_targets.dtype == torch.float32
    assert torch.equal(small.train_inputs, data.train_inputs[:100].float())
    assert small.checksum != data.checksum
    assert poisson.load(100, 40, "float64").checksum == small.checksum
    for sizes in ((4097, None), (None, 2501), (0, None)):
        with pytest.raises(ValueError, match=r"_size must be an integer >= 1 and <= "):
            poisson.load(*sizes, "float32")
