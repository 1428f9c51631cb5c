"""The route of few products: the cheaper one where its time was measured, the same solution by either."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests import oracles
from tngd_bench.curvature import GGN, route
from tngd_bench.layers import Layer
from tngd_bench.measure.operations import count_operations
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.problems import registry
from tngd_bench.solvers import CG
from tngd_bench.solvers.cg_iterations import CGIterations
from tngd_bench.spu import OUProcess


def perceptron(width: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(784, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, outputs)
    )


def convolutional(outputs: int) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 5), nn.Tanh(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 5), nn.Tanh(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(512, outputs)),
    )


def language_model(outputs: int) -> nn.Module:
    problem = registry.get("causal-lm")
    return problem.build(problem.widths(100_000, outputs))


def few(model: nn.Module, inputs: torch.Tensor, outputs: int, products: int) -> bool:
    ggn = GGN(model, nn.CrossEntropyLoss(), inputs, torch.randint(0, outputs, (len(inputs),)))
    ggn.expect_products(products)
    return ggn.route.name == "model"


@pytest.mark.parametrize(
    ("width", "outputs", "wanted"), [(300, 20, False), (300, 160, True), (1000, 20, False), (1000, 100, True)]
)
def test_perceptrons_take_rows_until_their_outputs_are_many(width: int, outputs: int, wanted: bool) -> None:
    """Measured, 22 products, b = 32, N = 2·10⁶: 129 against 156 ms at 64 columns, 226 against 165 ms at 100."""
    assert few(perceptron(width, outputs), torch.randn(32, 784), outputs, 22) is wanted


@pytest.mark.parametrize(
    ("hidden", "batch", "outputs", "wanted"),
    [
        (34, 4096, 10, True),
        (110, 4096, 10, True),
        (245, 256, 30, True),
        (245, 256, 10, False),
        (34, 32, 10, False),
    ],
)
def test_wide_batches_leave_the_rows_at_fewer_outputs(
    hidden: int, batch: int, outputs: int, wanted: bool
) -> None:
    """Measured, 30 products: 163 against 68, 355 against 229, 105 against 70, 43 against 71, 7 against 15 ms."""
    model = nn.Sequential(
        nn.Linear(64, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, outputs)
    )
    assert few(model, torch.randn(batch, 64), outputs, 30) is wanted


def test_a_convolutional_network_and_a_language_model_take_none_of_the_many_rows() -> None:
    """Measured, 22 products, b = 32, 64 columns: 730 against 194 ms and 1,140 against 74 ms."""
    assert few(convolutional(64), torch.randn(32, 1, 28, 28), 64, 22)
    model = language_model(64)
    assert few(model, torch.randint(0, 64, (32, 16)), 64, 22)


def test_the_problem_of_the_paper_keeps_its_rows_however_few_the_products() -> None:
    """mnist-cnn, b = 32: 14 against 64 ms at 20 columns, 53 against 61 at 160."""
    problem = registry.get("mnist-cnn")
    for outputs in (10, 20, 160):
        model = problem.build(problem.widths(43_000, outputs))
        assert not few(model, torch.randn(32, 1, 28, 28), outputs, 22)


def test_few_products_give_the_solution_that_rows_give() -> None:
    torch.manual_seed(0)
    model = language_model(61).double()
    inputs, targets = torch.randint(0, 61, (5, 16)), torch.randint(0, 61, (5,))
    ggn = GGN(model, nn.CrossEntropyLoss(), inputs, targets)
    found = CG(max_iterations=8, rtol=1e-12).solve(ggn, damping=0.5)
    assert "blocks" not in vars(ggn)
    other = GGN(model, nn.CrossEntropyLoss(), inputs, targets)
    assert other.blocks
    wanted = CG(max_iterations=8, rtol=1e-12).solve(other, damping=0.5)
    assert found.history == pytest.approx(wanted.history, rel=1e-6)
    assert oracles.relative_error(found.solution, wanted.solution) < 1e-9


@pytest.mark.parametrize("products", [4, 22, 202])
@pytest.mark.parametrize("outputs", [10, 64, 160, 250])
def test_what_is_predicted_for_planning_goes_the_same_way(outputs: int, products: int) -> None:
    for width in (40, 300, 1000):
        layers = [(784, width, 1), (width, width, 1), (width, outputs, 1)]
        iteration = Iteration(10**6, 32 * outputs, 32, outputs, layers, CGIterations())
        here = few(perceptron(width, outputs), torch.randn(32, 784), outputs, products)
        assert (iteration.product_route(products).name == "model") is here


@pytest.mark.parametrize("frozen", ["nothing", "weight", "bias"])
@pytest.mark.parametrize("batch_size", [2, 6, 7, 40])
def test_gram_products_of_small_and_wide_batches_are_those_of_the_factor(
    batch_size: int, frozen: str
) -> None:
    """By the b×b similarity of the inputs up to b = 2·d_in, through the weight beyond: three inputs here."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4)).double()
    if frozen != "nothing":
        getattr(model[0], frozen).requires_grad_(False)
    inputs, targets = torch.randn(batch_size, 3).double(), torch.randint(0, 4, (batch_size,))
    ggn = GGN(model, nn.CrossEntropyLoss(), inputs, targets)
    factor = ggn.factor()
    vectors = torch.randn(ggn.rows, 3).double()
    assert oracles.relative_error(ggn.gram_matvec(vectors), factor @ (factor.T @ vectors)) < 1e-12


def test_a_gram_product_of_a_wide_batch_has_no_operations_in_the_square_of_the_batch() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 4))

    def operations(batch_size: int) -> float:
        inputs, targets = torch.randn(batch_size, 8), torch.randint(0, 4, (batch_size,))
        ggn = GGN(model, nn.CrossEntropyLoss(), inputs, targets)
        assert ggn.blocks
        return count_operations(lambda: ggn.gram_matvec(torch.ones(ggn.rows))).flops

    assert operations(512) == pytest.approx(4 * operations(128), rel=1e-9)


@pytest.mark.parametrize("outputs", [2, 10, 60])
@pytest.mark.parametrize("batch_size", [8, 128, 512, 2048])
@pytest.mark.parametrize("parameters", [2_000, 10**5, 10**6])
def test_a_relaxation_is_planned_by_the_route_that_it_takes(
    parameters: int, batch_size: int, outputs: int
) -> None:
    class Sizes:
        size, rows, matrix_free = parameters, batch_size * outputs, False

    planned = Iteration(parameters, Sizes.rows, batch_size, outputs, None, CGIterations())
    assert (OUProcess(Sizes()).method == "gram") is planned.forms_gram


@pytest.mark.parametrize(("columns", "wanted"), [(32, "rows"), (33, "model"), (256, "model"), (257, "model")])
def test_without_layers_rows_are_expensive_wherever_they_may_be(columns: int, wanted: str) -> None:
    assert route.product_route(None, columns, 8, 10**6).name == wanted
    few = route.product_route([Layer(10, 5)], columns, 8, 10**6).name
    assert few == ("model" if columns > 256 else "rows")


def test_functions_of_a_gram_matrix_go_by_lanczos_while_it_pays() -> None:
    assert route.gram_function_route(640, single=True).name == "lanczos"
    others = (
        route.gram_function_route(640, single=False),
        route.gram_function_route(319, single=True),
        route.gram_function_route(640, single=True, application=3),
        route.gram_function_route(640, single=True, stiffness=2e5),
        route.gram_function_route(399, single=True, stiffness=1.0),
    )
    assert {other.name for other in others} == {"eigenvectors"}
    assert len({other.reason for other in others}) == 5
    assert route.gram_function_route(640, single=True, stiffness=5e4).name == "lanczos"


def test_conjugate_gradients_take_rows_where_they_can_and_refuse_where_they_cannot() -> None:
    assert route.cg_route("auto", in_range=True).name == "rows"
    assert route.cg_route("auto", in_range=False).name == "parameters"
    assert route.cg_route("parameters", in_range=True) == route.Route("parameters", "asked for")
    with pytest.raises(ValueError, match="space='rows' needs rhs to be the batch gradient"):
        route.cg_route("rows", in_range=False)
