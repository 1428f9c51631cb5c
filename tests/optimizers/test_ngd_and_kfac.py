"""Digital second-order optimizers: agreement of the solvers, K-FAC against explicit Kronecker solves."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests import oracles
from tngd_bench.optimizers import KFAC, NGD, TNGD, DivergedError
from tngd_bench.optimizers.kfac.notices import AssumptionWarning

LOSS = nn.CrossEntropyLoss()


def model(dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 6), nn.Tanh(), nn.Linear(6, 4)
    ).to(dtype)


def batches(count: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (
            torch.rand(8, 1, 6, 6, generator=generator, dtype=torch.float64),
            torch.randint(0, 4, (8,), generator=generator),
        )
        for _ in range(count)
    ]


def flat(network: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in network.parameters()])


def test_all_solvers_walk_the_same_path() -> None:
    networks = {name: model() for name in ("dense", "woodbury", "gram")}
    optimizers = {name: NGD(network, LOSS, lr=0.1, solver=name) for name, network in networks.items()}
    for inputs, targets in batches(3):
        for optimizer in optimizers.values():
            optimizer.step(inputs, targets)
        for name in ("dense", "woodbury"):
            assert oracles.relative_error(flat(networks[name]), flat(networks["gram"])) < 1e-8


@pytest.mark.parametrize("solver", ["dense", "woodbury", "gram", "cg"])
def test_one_step_is_the_damped_newton_step_of_the_ggn(solver: str) -> None:
    network = model()
    inputs, targets = batches(1)[0]
    dense = oracles.ggn(network, LOSS, inputs, targets)
    wanted = torch.linalg.solve(
        dense + 0.05 * torch.eye(len(dense), dtype=torch.float64),
        oracles.gradient(network, LOSS, inputs, targets),
    )
    optimizer = NGD(network, LOSS, damping=0.05, solver=solver)
    before = flat(network)
    optimizer.step(inputs, targets)
    assert optimizer.natural_gradient is not None
    bound = 1e-5 if solver == "cg" else 1e-10  # CG stops at its tolerance, 1e-6
    assert oracles.relative_error(optimizer.natural_gradient, wanted) < bound
    assert oracles.relative_error(flat(network), before - 0.01 * wanted) < bound
    assert optimizer.iterations is not None
    assert (optimizer.iterations > 0) == (solver == "cg")


def test_kfac_step_equals_the_explicit_kronecker_solve() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 4)).double()
    inputs, targets = torch.rand(8, 5, dtype=torch.float64), torch.arange(8) % 4
    probabilities = torch.softmax(network(inputs).detach(), 1)
    extended = torch.cat([inputs, torch.ones(8, 1, dtype=torch.float64)], 1)
    a = extended.T @ extended / 8
    g = (torch.diag_embed(probabilities) - probabilities[:, :, None] * probabilities[:, None, :]).mean(0)
    pi = float((a.diagonal().mean() / g.diagonal().mean()).sqrt())
    left = g + 0.1 / pi * torch.eye(4, dtype=torch.float64)
    right = a + 0.1 * pi * torch.eye(6, dtype=torch.float64)
    slope = (probabilities - nn.functional.one_hot(targets, 4)).T @ extended / 8
    wanted = torch.linalg.solve(torch.kron(left, right), slope.reshape(-1)).view(4, 6)
    optimizer = KFAC(network, LOSS, lr=0.5, damping=0.01, momentum=0.0, fisher="exact", kl_clip=None)
    before = torch.cat([network[0].weight, network[0].bias[:, None]], 1).detach()
    optimizer.step(inputs, targets)
    after = torch.cat([network[0].weight, network[0].bias[:, None]], 1).detach()
    assert oracles.relative_error(after, before - 0.5 * wanted) < 1e-10


@pytest.mark.parametrize("fisher", ["mc", "exact", "empirical"])
def test_kfac_learns_and_a_resumed_run_gives_the_same_bits(fisher: str) -> None:
    def fresh(network: nn.Module) -> KFAC:
        return KFAC(
            network, LOSS, lr=0.05, factor_interval=3, inverse_interval=7, fisher=fisher,
            generator=torch.Generator().manual_seed(2),
        )  # type: ignore[arg-type]  # fmt: skip

    inputs, targets = batches(1)[0]
    whole = model()
    straight = fresh(whole)
    first = straight.step(inputs, targets)
    for _ in range(10):
        straight.step(inputs, targets)
    saved = copy.deepcopy((whole.state_dict(), straight.state_dict()))
    last = [straight.step(inputs, targets) for _ in range(10)][-1]
    assert last < 0.5 * first
    half = model()
    half.load_state_dict(saved[0])
    resumed = fresh(half)
    resumed.load_state_dict(saved[1])
    for _ in range(10):
        resumed.step(inputs, targets)
    assert torch.equal(flat(half), flat(whole))


@pytest.mark.parametrize("settings", [{"inverse": "eigen"}, {"sharing": "reduce"}])
def test_kfac_variants_learn(settings: dict[str, str]) -> None:
    inputs, targets = batches(1)[0]
    optimizer = KFAC(model(), LOSS, lr=0.05, factor_interval=1, inverse_interval=2, **settings)  # type: ignore[arg-type]
    values = [optimizer.step(inputs, targets) for _ in range(20)]
    assert values[-1] < 0.5 * values[0]


@pytest.mark.parametrize("make", [lambda n: NGD(n, LOSS, lr=0.1), lambda n: KFAC(n, LOSS, lr=0.1)])
def test_bfloat16_models_are_trained_with_float32_curvature(make: Callable[[nn.Module], NGD | KFAC]) -> None:
    inputs, targets = batches(1)[0]
    network = model(torch.bfloat16)
    optimizer = make(network)
    values = [optimizer.step(inputs.bfloat16(), targets) for _ in range(20)]
    assert values[-1] < 0.7 * values[0]
    assert next(network.parameters()).dtype == torch.bfloat16
    assert optimizer.natural_gradient is not None
    assert optimizer.natural_gradient.dtype == torch.float32


def test_kfac_gives_layers_it_does_not_know_the_plain_gradient() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4), nn.Linear(4, 4)).double()
    inputs, targets = torch.rand(8, 5, dtype=torch.float64), torch.arange(8) % 4
    slope = oracles.gradient(network, LOSS, inputs, targets)
    before = network[1].weight.detach().clone()
    KFAC(network, LOSS, lr=0.5, momentum=0.0, kl_clip=None).step(inputs, targets)
    assert oracles.relative_error(network[1].weight.detach(), before - 0.5 * slope[24:28]) < 1e-12


def test_kl_clipping_bounds_the_step() -> None:
    inputs, targets = batches(1)[0]
    steps = {}
    for clip in (None, 1e-6):
        network = model()
        before = flat(network)
        slope = oracles.gradient(network, LOSS, inputs, targets)
        optimizer = KFAC(network, LOSS, lr=0.1, momentum=0.0, kl_clip=clip, fisher="exact")
        optimizer.step(inputs, targets)
        steps[clip] = float((before - flat(network)) @ slope) * 0.1
    assert steps[None] > 1e-6
    assert steps[1e-6] < steps[None]
    # lr²·xᵀ∇ℓ = lr·(Δθ·∇ℓ) after clipping equals √(clip · what it was), by construction of the scale
    assert steps[1e-6] == pytest.approx((1e-6 * steps[None]) ** 0.5, rel=1e-9)


def test_divergence_is_raised_and_leaves_the_parameters_alone() -> None:
    for make in (lambda n: NGD(n, LOSS), lambda n: KFAC(n, LOSS)):
        network = model()
        before = flat(network)
        with pytest.raises(DivergedError, match="the loss is not finite at iteration 0"):
            make(network).step(
                torch.full((8, 1, 6, 6), float("nan"), dtype=torch.float64), torch.zeros(8).long()
            )
        assert torch.equal(flat(network), before)


def test_bad_arguments_are_refused_by_name() -> None:
    with pytest.raises(
        ValueError, match="solver must be one of: gram, dense, woodbury, cg, layer; not 'gramm'; did you mean"
    ):
        NGD(model(), LOSS, solver="gramm")
    with pytest.raises(ValueError, match="damping must be a finite number > 0"):
        KFAC(model(), LOSS, damping=0.0)
    with pytest.raises(ValueError, match="fisher must be one of"):
        KFAC(model(), LOSS, fisher="true")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="factor_interval must be an integer >= 1"):
        KFAC(model(), LOSS, factor_interval=0)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("lr", 0.0),
        ("lr", float("nan")),
        ("damping", -1.0),
        ("momentum", 1.0),
        ("betas", (0.9, 1.0)),
        ("betas", (0.9,)),
        ("eps", 0.0),
    ],
)
def test_all_of_them_refuse_the_same_values_by_name(argument: str, value: object) -> None:
    kinds = (NGD, TNGD) if argument in ("betas", "eps") else (NGD, TNGD, KFAC)
    for kind in kinds:
        with pytest.raises(ValueError, match=rf"^{argument}.* must be .*, not "):
            kind(model(), LOSS, **{argument: value})  # type: ignore[arg-type]


def test_a_run_that_drew_random_numbers_is_not_resumed_without_a_generator() -> None:
    state = TNGD(model(), LOSS, generator=torch.Generator().manual_seed(0)).state_dict()
    with pytest.raises(ValueError, match="generator must be given to resume"):
        TNGD(model(), LOSS).load_state_dict(state)


class Recurrent(nn.Module):
    """An LSTM classifier of sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[0][:, -1])


def normalised() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(4 * 9, 3)),
    )


def plain_gradient(network: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    found = torch.autograd.grad(LOSS(network(x), y), list(network.parameters()))
    return torch.cat([g.reshape(-1) for g in found])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("fisher", ["mc", "exact", "empirical"])
@pytest.mark.parametrize("kind", [Recurrent, normalised])
def test_kfac_at_large_damping_is_the_gradient_on_common_models(kind: Any, fisher: Any) -> None:
    torch.manual_seed(0)
    network = kind().double()
    x = torch.rand(6, *((5, 3) if kind is Recurrent else (1, 8, 8)), dtype=torch.float64)
    y = torch.arange(6) % 3
    gradient = plain_gradient(network, x, y)
    large = KFAC(network, LOSS, damping=1e12, fisher=fisher, kl_clip=None, inverse="eigen")
    large.step(x, y)
    assert large.natural_gradient is not None
    found, wanted = (large.parameters.views(v) for v in (large.natural_gradient, gradient))
    for name, ours, true in zip(large.parameters.names, found, wanted, strict=True):
        outside = name.startswith("1.")  # the normalisation's own parameters
        assert torch.allclose(ours if outside else 1e12 * ours, true, rtol=1e-6, atol=1e-12)
    assert set(large.excluded) == ({"1"} if kind is normalised else set())


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Recurrent, r"shared over them: 'lstm' \(LSTM\)"),
        (normalised, r"mean and variance of the batch are constants: '1' \(BatchNorm2d\)"),
    ],
)
def test_what_the_factors_assume_is_said_once(kind: Any, said: str) -> None:
    torch.manual_seed(0)
    x, y = torch.rand(6, *((5, 3) if kind is Recurrent else (1, 8, 8))), torch.arange(6) % 3
    optimizer = KFAC(kind(), LOSS)
    with pytest.warns(AssumptionWarning, match=said):
        optimizer.step(x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step(x, y)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_batch_statistics_run_once_a_step_and_not_in_a_check() -> None:
    torch.manual_seed(0)
    network, twin = normalised(), normalised()
    twin.load_state_dict(network.state_dict())
    x, y = torch.rand(6, 1, 8, 8), torch.arange(6) % 3
    optimizer = KFAC(network, LOSS)
    optimizer.check_curvature(x, y)
    assert torch.equal(network[1].running_mean, twin[1].running_mean)
    optimizer.step(x, y)
    twin(x)
    assert torch.equal(network[1].running_mean, twin[1].running_mean)
    assert int(network[1].num_batches_tracked) == 1


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", [Recurrent, normalised])
def test_kfac_trains_common_models_faster_than_the_plain_gradient(kind: Any) -> None:
    torch.manual_seed(0)
    x = torch.randn(48, *((5, 3) if kind is Recurrent else (1, 8, 8)))
    y = (x.flatten(1)[:, :12].sum(1) > 0).long()
    ends = {}
    start = kind().state_dict()
    for name in ("kfac", "sgd"):
        network = kind()
        network.load_state_dict(start)
        ours = KFAC(network, LOSS, lr=0.1, damping=0.01, kl_clip=None) if name == "kfac" else None
        plain = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
        for _ in range(30):
            if ours is not None:
                ours.step(x, y)
                continue
            plain.zero_grad()
            LOSS(network(x), y).backward()
            plain.step()
        ends[name] = float(LOSS(network(x), y).detach())
    assert ends["kfac"] < 0.5 * ends["sgd"]


@pytest.mark.parametrize("solver", ["gram", "dense", "woodbury", "cg", "layer"])
def test_memory_keeps_the_last_direction_as_a_decaying_prior(solver: str) -> None:
    network = model()
    optimizer = NGD(network, LOSS, lr=0.1, damping=0.05, solver=solver, memory=0.9)
    kept = torch.zeros(sum(p.numel() for p in network.parameters()), dtype=torch.float64)
    bound = 1e-5 if solver == "cg" else 1e-9
    for inputs, targets in batches(3):
        dense = oracles.ggn(network, LOSS, inputs, targets)
        if solver == "layer":
            places = torch.cat([torch.full((p.numel(),), i // 2) for i, p in enumerate(network.parameters())])
            dense = dense * (places.unsqueeze(0) == places.unsqueeze(1))
        gradient = oracles.gradient(network, LOSS, inputs, targets)
        shifted = dense + 0.05 * torch.eye(len(dense), dtype=torch.float64)
        wanted = torch.linalg.solve(shifted, gradient + 0.05 * 0.9 * kept)
        optimizer.step(inputs, targets)
        assert optimizer.natural_gradient is not None
        assert oracles.relative_error(optimizer.natural_gradient, wanted) < bound
        kept = optimizer.natural_gradient


@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_a_resumed_run_with_memory_gives_the_same_bits(rule: str) -> None:
    whole, half = model(), model()
    straight = NGD(whole, LOSS, memory=0.8, rule=rule)
    data = batches(6)
    for inputs, targets in data[:3]:
        straight.step(inputs, targets)
    half.load_state_dict(copy.deepcopy(whole.state_dict()))
    resumed = NGD(half, LOSS, memory=0.8, rule=rule)
    resumed.load_state_dict(copy.deepcopy(straight.state_dict()))
    for inputs, targets in data[3:]:
        straight.step(inputs, targets)
        resumed.step(inputs, targets)
    assert torch.equal(flat(half), flat(whole))


def test_no_memory_is_the_plain_step_bit_for_bit_and_a_failed_step_keeps_what_was_kept() -> None:
    networks = [model(), model()]
    plain, zero = NGD(networks[0], LOSS), NGD(networks[1], LOSS, memory=0.0)
    for inputs, targets in batches(3):
        plain.step(inputs, targets)
        zero.step(inputs, targets)
    assert torch.equal(flat(networks[0]), flat(networks[1]))
    keeping = NGD(model(), LOSS, memory=0.5)
    inputs, targets = batches(1)[0]
    keeping.step(inputs, targets)
    before = keeping.natural_gradient
    with pytest.raises(DivergedError):
        keeping.step(inputs * float("nan"), targets)
    assert keeping._kept is before
