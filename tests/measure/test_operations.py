import math

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from tngd_bench.measure.operations import count_operations

A = torch.eye(20) * 2.0
WIDE = torch.ones(7, 20)
VECTOR = torch.ones(20)
RIGHT = torch.ones(20, 3)


@pytest.mark.parametrize(
    ("name", "work", "expected"),
    [
        ("mm", lambda: WIDE @ A, 2 * 7 * 20 * 20),
        ("mv", lambda: A @ VECTOR, 2 * 20 * 20),
        ("addmv", lambda: torch.addmv(VECTOR, A, VECTOR), 2 * 20 * 20),
        ("dot", lambda: VECTOR @ VECTOR, 2 * 20),
        ("bmm", lambda: torch.bmm(A.expand(3, 20, 20), A.expand(3, 20, 20)), 3 * 2 * 20**3),
        ("cholesky", lambda: torch.linalg.cholesky_ex(A), round(20**3 / 3)),
        ("cholesky, batch", lambda: torch.linalg.cholesky(A.expand(5, 20, 20)), round(5 * 20**3 / 3)),
        ("cholesky_solve", lambda: torch.cholesky_solve(RIGHT, A), 2 * 20 * 20 * 3),
        ("triangular", lambda: torch.linalg.solve_triangular(A, RIGHT, upper=False), 20 * 20 * 3),
        (
            "triangular, right",
            lambda: torch.linalg.solve_triangular(A, RIGHT.T, upper=False, left=False),
            20 * 20 * 3,
        ),
        ("eigh", lambda: torch.linalg.eigh(A), 9 * 20**3),
        ("svd", lambda: torch.linalg.svd(A), 22 * 20**3),
        ("svd, wide", lambda: torch.linalg.svd(WIDE, full_matrices=False), 14 * 20 * 7**2 + 8 * 7**3),
        ("solve", lambda: torch.linalg.solve(A, RIGHT), round(2 / 3 * 20**3) + 2 * 20 * 20 * 3),
        ("inverse", lambda: torch.linalg.inv(A), 2 * 20**3),
        ("addmm_", lambda: torch.zeros(7, 20).addmm_(WIDE, A), 2 * 7 * 20 * 20),
        (
            "baddbmm_",
            lambda: torch.zeros(3, 7, 20).baddbmm_(WIDE.expand(3, 7, 20), A.expand(3, 20, 20)),
            3 * 2 * 7 * 20 * 20,
        ),
        ("elementwise", lambda: (A + A).sqrt().exp(), 0),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_counts_equal_closed_forms(name, work, expected):
    assert count_operations(work).flops == expected


def attention(*inputs):
    """Two samples, three heads, five queries, six keys of four numbers: a product takes 2·2·3·5·6·4 operations."""
    return nn.functional.scaled_dot_product_attention(*inputs)


HEADS = [torch.rand(2, 3, length, 4, requires_grad=True) for length in (5, 6, 6)]
LSTM, STEPS = nn.LSTM(3, 4, 2, bidirectional=True), torch.rand(7, 2, 3, requires_grad=True)
BILINEAR, PAIR = nn.Bilinear(4, 5, 3), [torch.rand(6, width, requires_grad=True) for width in (4, 5)]
KERNELS = {
    # forward: scores and their sum; backward: the scores again, and two products for each of the two
    "attention": (lambda: attention(*HEADS), 2 * (2 * 2 * 3 * 5 * 6 * 4), 5 * (2 * 2 * 3 * 5 * 6 * 4)),
    # two directions of two layers, a product by inputs and one by states; backward: inputs and weights
    "LSTM": (lambda: LSTM(STEPS)[0], 28 * 2 * 16 * (7 + 12), 2 * 28 * 2 * 16 * (7 + 12)),
    "bilinear": (lambda: BILINEAR(*PAIR), 2 * 6 * 4 * 5 * 3, 3 * (2 * 6 * 4 * 5 * 3)),
}


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_of_several_products_are_counted_forward_and_backward(name):
    work, forward, backward = KERNELS[name]
    assert count_operations(work).flops == forward
    assert count_operations(lambda: work().sum().backward()).flops == forward + backward


def test_attention_in_one_kernel_has_the_operations_of_its_products():
    with sdpa_kernel(SDPBackend.MATH):
        apart = count_operations(lambda: attention(*HEADS)).flops
    assert count_operations(lambda: attention(*HEADS)).flops == apart


def test_forward_and_backward_of_a_perceptron():
    model = nn.Sequential(nn.Linear(30, 20), nn.Tanh(), nn.Linear(20, 10))
    inputs = torch.ones(8, 30)

    def work():
        model(inputs).sum().backward()

    forward = 2 * 8 * (30 * 20 + 20 * 10)
    backward = forward + 2 * 8 * 20 * 10  # weights of both layers, inputs of the second alone
    assert count_operations(work).flops == forward + backward


def test_convolution_is_counted():
    layer = nn.Conv2d(3, 4, 5)
    inputs = torch.ones(2, 3, 12, 12)
    with torch.no_grad():
        assert count_operations(lambda: layer(inputs)).flops == 2 * 2 * 8 * 8 * 4 * 3 * 5 * 5


def test_batched_reverse_mode_is_counted():
    weight = torch.ones(20, 10, requires_grad=True)
    inputs = torch.ones(6, 20, requires_grad=True)
    outputs = inputs @ weight
    columns = torch.ones(5, 6, 10)

    def work():
        torch.autograd.grad(outputs, inputs, columns, is_grads_batched=True, retain_graph=True)

    assert count_operations(work).flops == 5 * 2 * 6 * 10 * 20


@pytest.mark.parametrize(
    ("work", "name"),
    [
        (lambda: torch.linalg.lstsq(A, RIGHT), "aten.linalg_lstsq"),
        (lambda: torch.linalg.eig(A), "aten.linalg_eig"),
        (lambda: torch.fft.fft(VECTOR), "aten._fft_r2c"),
    ],
    ids=["lstsq", "eig", "fft"],
)
def test_heavy_work_without_a_formula_is_named_not_zero(work, name):
    count = count_operations(work)
    assert math.isnan(count.flops)
    assert name in count.uncounted
    assert name in count.reason


def test_models_that_differentiate_inside_forward_are_counted():
    class Slope(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Linear(4, 1, bias=False)

        def forward(self, points):
            points = points.detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(self.net(points).sum(), points, create_graph=True)
            return slope

    model, points = Slope(), torch.randn(3, 4)
    assert count_operations(lambda: model(points)).flops == 2 * 3 * 4 * 2  # there, and back by the inputs
    assert count_operations(lambda: model(points).sum().backward()).flops == 2 * 3 * 4 * 3
