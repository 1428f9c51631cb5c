"""The Poisson problem against plain automatic differentiation: residuals, rows, factors, predicted operations."""

import time
import warnings

import pytest
import torch
from torch import nn

from tests import oracles
from tngd_bench.curvature import GGN
from tngd_bench.measure.operations import count_operations
from tngd_bench.measure.training import evaluate
from tngd_bench.optimizers import costs, registry
from tngd_bench.optimizers.natural import NaturalOptimizer
from tngd_bench.optimizers.registry import Phased
from tngd_bench.problems.pinn.poisson import ENTRY
from tngd_bench.solvers.cg_iterations import CGIterations

LOSS = nn.MSELoss()
METHODS = (
    *("sgd", "adam", "kfac", "ngd", "ngd-woodbury", "ngd-gram", "ngd-cg", "ngd-layer"),
    *("spring", "tngd", "tngd-adam"),
)


class Differentiated(nn.Module):
    """−Δu inside and u on the edge of a plain network, by second derivatives of torch.func."""

    def __init__(self, model):
        super().__init__()
        first, *rest = [self.plain(layer.weight) for layer in model.layers]
        self.net = nn.Sequential(first, *(module for layer in rest for module in (nn.Tanh(), layer)))

    @staticmethod
    def plain(weight):
        layer = nn.Linear(weight.shape[1] - 1, weight.shape[0]).to(weight.dtype)
        layer.weight.data, layer.bias.data = weight.data[:, :-1].clone(), weight.data[:, -1].clone()
        return layer

    def forward(self, points):
        def value(point):
            return self.net(point)[0]

        laplacian = torch.func.vmap(lambda point: torch.func.hessian(value)(point).trace())(points[:, :2])
        return torch.stack([-laplacian, self.net(points[:, 2:])[:, 0]], 1)

    def joined(self, flat):
        """A vector over these parameters, columns (N, …), in the order of the network with constant inputs."""
        pieces, place = [], 0
        for layer in self.net:
            if isinstance(layer, nn.Linear):
                rows, columns = layer.weight.shape
                weight = flat[place : place + rows * columns].view(rows, columns, -1)
                bias = flat[place + rows * columns : place + rows * (columns + 1)].view(rows, 1, -1)
                pieces.append(torch.cat([weight, bias], 1).flatten(0, 1))
                place += rows * (columns + 1)
        return torch.cat(pieces)


@pytest.fixture(scope="module")
def data():
    return ENTRY.load(64, 30, "float64")


def network(parameters=60, dtype=torch.float64):
    return ENTRY.model(ENTRY.widths(parameters), 0).to(dtype)


def batch(data, size):
    return data.train_inputs[:size], data.train_targets[:size]


@pytest.mark.parametrize("parameters", [7, 60, 1_000, 100_000])
def test_the_count_is_exact(parameters):
    widths = ENTRY.widths(parameters)
    assert abs(widths.parameters - parameters) <= 0.02 * parameters
    assert widths.parameters == sum(p.numel() for p in ENTRY.model(widths, 0).parameters())
    assert widths.outputs == 2


def test_other_outputs_are_refused():
    with pytest.raises(ValueError, match=r"poisson-pinn, 10 outputs: outputs must be 2, .* not 10"):
        ENTRY.widths(1000, 10)


def test_residuals_are_those_of_second_derivatives(data):
    model = network()
    inputs, _ = batch(data, 9)
    assert torch.allclose(model(inputs), Differentiated(model)(inputs), rtol=1e-12, atol=1e-13)


def test_evaluation_gives_the_solution_too_and_its_error(data):
    model = network()
    plain = Differentiated(model).net
    inputs = data.test_inputs
    true = torch.sin(torch.pi * inputs[:, :2]).prod(1)
    values = plain(inputs[:, :2])[:, 0].detach()
    scores = evaluate(model, LOSS, data, score=ENTRY.score(), batch_size=7)
    assert model.training
    assert scores["test_l2_error"] == pytest.approx(float((values - true).norm() / true.norm()), rel=1e-12)
    residuals = LOSS(Differentiated(model)(inputs).detach(), data.test_targets)
    assert scores["test_loss"] == pytest.approx(float(residuals), rel=1e-12)
    assert set(scores) == {"train_loss", "train_l2_error", "test_loss", "test_l2_error"}


@pytest.mark.parametrize(("parameters", "size"), [(60, 5), (60, 40), (300, 6)])
def test_curvature_is_that_of_plain_differentiation(data, parameters, size):
    model = network(parameters)
    inputs, targets = batch(data, size)
    plain = Differentiated(model)
    J = plain.joined(oracles.jacobian(plain, inputs).T).T
    B = J * (2.0 / targets.numel()) ** 0.5
    ggn = GGN(model, LOSS, inputs, targets)
    v, u = torch.randn(ggn.size, dtype=B.dtype), torch.randn(ggn.rows, dtype=B.dtype)
    for found, wanted in (
        (ggn.factor(), B),
        (ggn.gram(), B @ B.T),
        (ggn.matvec(v), B.T @ (B @ v)),
        (ggn.gram_matvec(u), B @ (B.T @ u)),
        (ggn.gradient, plain.joined(oracles.gradient(plain, LOSS, inputs, targets))[:, 0]),
    ):
        assert oracles.relative_error(found.detach(), wanted.detach()) < 1e-12
    assert ggn.fallbacks == ()
    by_model = GGN(model, LOSS, inputs, targets)
    by_model.expect_products(1)
    assert oracles.relative_error(by_model.matvec(v), B.T @ (B @ v)) < 1e-12


def test_k_fac_has_factors_for_all_layers_and_gives_the_gradient_at_a_large_damping(data):
    model = network()
    inputs, targets = batch(data, 20)
    gradient = GGN(model, LOSS, inputs, targets).gradient
    settings = {
        "lr": 1e-30,
        "damping": 1e10,
        "momentum": 0.0,
        "fisher": "exact",
        "inverse": "eigen",
        "kl_clip": None,
    }
    optimizer = registry.get("kfac").create(model, LOSS, settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step(inputs, targets)
    assert optimizer.excluded == {}
    assert list(optimizer.factors) == [f"layers.{place}.weight" for place in range(3)]
    direction = 1e10 * optimizer.natural_gradient
    assert oracles.relative_error(direction, gradient) < 1e-6


@pytest.mark.parametrize("name", METHODS)
def test_every_optimizer_lowers_the_residuals(data, name):
    model = network(300)
    rates = {"sgd": 0.01, "adam": 0.01, "kfac": 1e-4, "tngd-adam": 0.03}
    damping = {} if name in ("sgd", "adam") else {"damping": 1e-3}
    settings = {"lr": rates.get(name, 0.1), **damping}
    optimizer = registry.get(name).create(model, LOSS, settings, torch.Generator().manual_seed(0))
    losses = [optimizer.step(*batch(data, 32)) for _ in range(15)]
    assert losses[-1] < 0.95 * losses[0]


@pytest.mark.parametrize("name", METHODS[:-3])
def test_a_step_takes_the_operations_that_are_predicted(data, name):
    """To 3.5 %: the constant input of a layer, which is its bias, counts among the products."""
    widths, size = ENTRY.widths(3_000), 40
    model, settings = network(3_000), {}
    if name == "ngd-cg":
        settings = {"cg_rtol": 0.0, "cg_iterations": 15}
    optimizer = registry.get(name).create(model, LOSS, {"lr": 1e-6, **settings})
    optimizer.step(*batch(data, size))
    if isinstance(optimizer, NaturalOptimizer):
        optimizer.verification.paused = True
    flops, steps = 0.0, optimizer.phases if isinstance(optimizer, Phased) else [(None, 1)]
    for iteration, number in steps:
        if iteration is not None:
            optimizer.iteration = iteration
        flops += number * count_operations(lambda: optimizer.step(*batch(data, size))).flops
    made = optimizer.iterations if name == "ngd-cg" else None
    predicted = costs.predicted_cost(
        name,
        parameters=widths.parameters,
        rows=2 * size,
        batch_size=size,
        outputs=2,
        layers=widths.layers,
        itemsize=8,
        cg=None if made is None else CGIterations(damping=0.01, rtol=0.0, limit=made),
    )
    assert predicted.flops == pytest.approx(flops / sum(number for _, number in steps), rel=0.035)


@pytest.mark.slow(reason="times two ways in turn, some seconds")
def test_rows_are_at_least_five_times_as_quick_as_a_loop_of_backward_passes(data):
    """The Gram matrix, and for the loop what it takes to have the rows alone."""
    model = network(10_000)
    plain = Differentiated(model)
    inputs, targets = batch(data, 64)

    def ours():
        return GGN(model, LOSS, inputs, targets, verify=False).gram()

    def loop():
        outputs = plain(inputs).flatten()
        parameters = list(plain.parameters())
        return [torch.autograd.grad(row, parameters, retain_graph=True, allow_unused=True) for row in outputs]

    seconds = {ours: [], loop: []}
    for _ in range(6):
        for work, times in seconds.items():
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
    assert min(seconds[loop][1:]) > 5.0 * min(seconds[ours][1:])
