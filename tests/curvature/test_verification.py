"""No silently wrong curvature: models from the wild and random ones against the dense float64 oracle."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn

from tests import oracles
from tests.curvature.wild_models import F64, RandomGraph, Residual, perceptron, seeded, wild
from tngd_bench.curvature import GGN, FallbackWarning, Verification, verification
from tngd_bench.optimizers import KFAC, NGD
from tngd_bench.solvers import CG, Gram

WILD = wild()


def dense_oracle(model: nn.Module, loss, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(∇ℓ, G) by one plain backward pass a row: no torch.func, which in-forward derivatives exclude."""
    parameters = [p for p in model.parameters() if p.requires_grad]

    def flat(scalar: Tensor) -> Tensor:
        pieces = torch.autograd.grad(scalar, parameters, retain_graph=True, allow_unused=True)
        return torch.cat(
            [
                (torch.zeros_like(p) if g is None else g.to_dense()).reshape(-1)
                for p, g in zip(parameters, pieces, strict=True)
            ]
        )

    outputs = model(inputs)
    jacobian = torch.stack([flat(value) for value in outputs.reshape(-1)])
    hessian = torch.autograd.functional.hessian(
        lambda z: loss(z.view_as(outputs), targets), outputs.detach().reshape(-1)
    )
    return flat(loss(outputs, targets)), jacobian.T @ hessian @ jacobian


def problem(model: nn.Module, inputs: Tensor) -> tuple[nn.Module, Tensor]:
    outputs = model(inputs)
    return nn.MSELoss(), torch.randn(outputs.shape, dtype=F64, generator=seeded(3))


@pytest.mark.filterwarnings("ignore::tngd_bench.curvature.FallbackWarning")
@pytest.mark.parametrize("name", WILD)
def test_models_from_the_wild_have_the_right_matrix_and_direction(name: str) -> None:
    model, inputs = WILD[name]
    loss, targets = problem(model, inputs)
    gradient, matrix = dense_oracle(model, loss, inputs, targets)
    ggn = GGN(model, loss, inputs, targets)
    assert oracles.relative_error(ggn.dense(), matrix) < 1e-9
    assert oracles.relative_error(ggn.gradient, gradient) < 1e-12
    truth = torch.linalg.solve(matrix + 0.01 * torch.eye(len(gradient), dtype=F64), gradient)
    for solver in (Gram(), CG(rtol=1e-12)):
        found = solver.solve(GGN(model, loss, inputs, targets), damping=0.01).solution
        assert oracles.relative_error(found, truth) < 1e-7


@pytest.mark.filterwarnings("ignore::tngd_bench.curvature.FallbackWarning")
@pytest.mark.parametrize("name", WILD)
def test_kfac_of_large_damping_is_the_gradient_of_every_parameter(name: str) -> None:
    model, inputs = wild()[name]
    loss, targets = problem(model, inputs)
    gradient, _ = dense_oracle(model, loss, inputs, targets)
    fisher = "mc" if name in ("learned queries", "statistics of the batch") else "exact"  # these mix samples
    optimizer = KFAC(
        model, loss, lr=1e-30, damping=1e8, momentum=0.0, fisher=fisher, inverse="eigen", kl_clip=None
    )
    optimizer.step(inputs, targets)
    assert optimizer.natural_gradient is not None
    pieces = zip(
        optimizer.parameters.views(gradient),
        optimizer.parameters.views(optimizer.natural_gradient),
        strict=True,
    )
    for true, found in pieces:
        if float(true.norm()) > 1e-12:
            assert float((true * found).sum() / (true.norm() * found.norm())) > 1 - 1e-6


def silent_errors(seeds: range) -> list[int]:
    """Seeds of random graphs whose G is wrong by more than 1e-8."""
    wrong = []
    for seed in seeds:
        model = RandomGraph(seed).double()
        inputs = torch.randn(4, 4, dtype=F64, generator=seeded(seed))
        loss, targets = problem(model, inputs)
        _, matrix = dense_oracle(model, loss, inputs, targets)
        if oracles.relative_error(GGN(model, loss, inputs, targets).dense(), matrix) > 1e-8:
            wrong.append(seed)
    return wrong


@pytest.mark.filterwarnings("ignore::tngd_bench.curvature.FallbackWarning")
def test_random_graphs_have_no_silent_error() -> None:
    assert silent_errors(range(40)) == []


@pytest.mark.slow(reason="five hundred models")
@pytest.mark.filterwarnings("ignore::tngd_bench.curvature.FallbackWarning")
def test_no_silent_error_in_five_hundred_random_graphs() -> None:
    assert silent_errors(range(40, 540)) == []


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_kfac_of_large_damping_is_the_gradient_of_random_graphs() -> None:
    for seed in range(25):
        model = RandomGraph(seed).double()
        inputs = torch.randn(4, 4, dtype=F64, generator=seeded(seed))
        loss, targets = problem(model, inputs)
        gradient = oracles.gradient(model, loss, inputs, targets)
        optimizer = KFAC(
            model, loss, lr=1e-30, damping=1e8, momentum=0.0, fisher="mc", inverse="eigen", kl_clip=None
        )
        optimizer.step(inputs, targets)
        assert optimizer.natural_gradient is not None
        views = optimizer.parameters.views
        for true, found in zip(views(gradient), views(optimizer.natural_gradient), strict=True):
            if float(true.norm()) > 1e-10:
                assert float((true * found).sum() / (true.norm() * found.norm())) > 1 - 1e-6


def test_random_graphs_need_the_check() -> None:
    """The property above would be empty if rules alone were right on such graphs."""
    wrong = 0
    for seed in range(20):
        model = RandomGraph(seed).double()
        inputs = torch.randn(4, 4, dtype=F64, generator=seeded(seed))
        loss, targets = problem(model, inputs)
        _, matrix = dense_oracle(model, loss, inputs, targets)
        found = GGN(model, loss, inputs, targets, verify=False).dense()
        wrong += oracles.relative_error(found, matrix) > 1e-8
    assert wrong >= 5


def test_one_warning_names_the_module_and_fallbacks_list_it() -> None:
    model, inputs = WILD["a replaced forward"]
    loss, targets = problem(model, inputs)
    ggn = GGN(model, loss, inputs, targets)
    assert ggn.fallbacks == ()
    with pytest.warns(FallbackWarning, match=r"'0' \(0\.5\)") as said:
        ggn.gram()
    assert len(said) == 1
    (found,) = ggn.fallbacks
    assert (found.module, found.parameters) == ("0", ("0.weight", "0.bias"))


def test_rules_that_hold_are_kept_in_silence() -> None:
    model = perceptron()
    loss = nn.CrossEntropyLoss()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ggn = GGN(model, loss, torch.randn(6, 4), torch.randint(3, (6,)))
        ggn.gram()
    assert ggn.fallbacks == ()


def test_derivatives_inside_forward_take_one_pass_a_column_not_one_a_row() -> None:
    """The rows of a physics-informed network come from its graph's matrix products, not row by row."""
    model = Residual().double()
    inputs = torch.randn(30, 2, dtype=F64)
    verification = Verification()
    targets = torch.zeros(30, 1, dtype=F64)
    ggn = GGN(model, nn.MSELoss(), inputs, targets, verify=verification)
    _, matrix = dense_oracle(model, nn.MSELoss(), inputs, targets)
    with pytest.warns(FallbackWarning):
        found = ggn.dense()
    assert oracles.relative_error(found, matrix) < 1e-9
    weights = [name for name in ggn._source._names.values() if name.endswith("weight")]
    assert not any(verification.products_failed(name) for name in weights)


def test_the_probe_leaves_torchs_generator_alone() -> None:
    model, inputs = WILD["pruned"]
    loss, targets = problem(model, inputs)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        GGN(model, loss, inputs, targets).gram()
        NGD(model, loss, lr=1e-9).step(inputs, targets)
    assert torch.equal(before, torch.get_rng_state())


def checks(optimizer: NGD, steps: list[tuple[Tensor, Tensor]]) -> list[bool]:
    """Whether each step made a check."""
    made = []
    for inputs, targets in steps:
        before = optimizer.verification._probes
        optimizer.step(inputs, targets)
        made.append(optimizer.verification._probes > before)
    return made


REORDERED = {
    "slices": lambda h, k: torch.cat([h[k:], h[:k]]),
    "single samples": lambda h, k: torch.stack([h[(i + k) % len(h)] for i in range(len(h))]),
    "transposed": lambda h, k: h.transpose(0, k),
    "permuted": lambda h, k: h.permute((1, 0) if k else (0, 1)),
}


@pytest.mark.filterwarnings("ignore::tngd_bench.curvature.FallbackWarning")
@pytest.mark.parametrize("reorder", REORDERED.values(), ids=REORDERED)
def test_samples_that_come_in_another_order_at_a_later_step_are_found(reorder) -> None:
    """The operations and the shapes are those of the first step, where the layers' rules hold."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last, self.k = nn.Linear(4, 4), nn.Linear(4, 3), 0

        def forward(self, x: Tensor) -> Tensor:
            return self.last(reorder(torch.tanh(self.first(x)), self.k))

    model, loss = Model().double(), nn.CrossEntropyLoss()
    inputs, targets = torch.randn(4, 4, dtype=F64, generator=seeded(1)), torch.tensor([0, 1, 2, 0])
    optimizer = NGD(model, loss, lr=1e-12, damping=0.01)
    optimizer.step(inputs, targets)
    model.k = 1
    optimizer.step(inputs, targets)
    gradient, matrix = dense_oracle(model, loss, inputs, targets)
    truth = torch.linalg.solve(matrix + 0.01 * torch.eye(len(gradient), dtype=F64), gradient)
    assert oracles.relative_error(optimizer.natural_gradient, truth) < 1e-7


def test_an_optimizer_checks_at_first_when_something_changes_and_now_and_then() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Dropout(0.1), nn.Linear(5, 3))
    optimizer = NGD(model, nn.CrossEntropyLoss())
    optimizer.verification.interval = 5
    batch = (torch.randn(6, 4), torch.randint(3, (6,)))
    short = (batch[0][:5], batch[1][:5])
    assert checks(optimizer, [batch, short, batch, short, batch]) == [True, True, True, True, False]
    model.eval()
    assert checks(optimizer, [batch] * 8) == [True, True, False, True, False, False, False, True]
    handle = model[0].register_forward_hook(lambda module, inputs, output: None)
    assert checks(optimizer, [batch, batch, batch]) == [True, True, False]
    handle.remove()
    assert checks(optimizer, [batch] * 9) == [False, False, False, True, False, False, False, True, False]
    optimizer.verification.paused = True
    model.train()
    assert checks(optimizer, [batch]) == [False]


def test_a_hook_that_comes_later_is_found_at_the_next_step() -> None:
    model = perceptron().double()
    inputs, targets = torch.randn(6, 4, dtype=F64), torch.randint(3, (6,))
    loss = nn.CrossEntropyLoss()
    optimizer = NGD(model, loss, lr=1e-12)
    optimizer.step(inputs, targets)
    model[0].forward = lambda x: nn.functional.linear(x, model[0].weight, model[0].bias) * 3
    with pytest.warns(FallbackWarning):
        optimizer.step(inputs, targets)
    gradient, matrix = dense_oracle(model, loss, inputs, targets)
    truth = torch.linalg.solve(matrix + 0.01 * torch.eye(len(gradient), dtype=F64), gradient)
    assert optimizer.natural_gradient is not None
    assert oracles.relative_error(optimizer.natural_gradient, truth) < 1e-7


def test_samples_reordered_by_their_values_are_checked_at_every_step() -> None:
    """The first batch is in order already, so its check passes; the second is not."""
    model, inputs = WILD["sorted inside"]
    inputs = inputs[inputs[:, 0].argsort()]
    loss, targets = problem(model, inputs)
    optimizer = NGD(model, loss, lr=1e-12)
    optimizer.step(inputs, targets)
    assert not optimizer.verification.fallbacks
    with pytest.warns(FallbackWarning):
        optimizer.step(inputs.flip(0), targets)


def test_a_resumed_run_knows_what_failed() -> None:
    model, inputs = WILD["a replaced forward"]
    loss, targets = problem(model, inputs)
    first, second = NGD(model, loss, lr=1e-12), NGD(model, loss, lr=1e-12)
    with pytest.warns(FallbackWarning):
        first.step(inputs, targets)
    second.load_state_dict(first.state_dict())
    assert second.verification.fallbacks == first.verification.fallbacks
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second.step(inputs, targets)


def test_a_backward_pass_that_is_not_differentiable_is_refused_for_many_outputs() -> None:
    class Frozen(torch.autograd.Function):
        """tanh whose backward pass forgets that it depends on the input."""

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return torch.tanh(x)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return (g.detach() if g.requires_grad else g) * (1 - torch.tanh(x.detach()) ** 2)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 300)

        def forward(self, x):
            return self.last(Frozen.apply(self.first(x)))

    ggn = GGN(Model(), nn.MSELoss(), torch.randn(3, 4), torch.randn(3, 300))
    assert ggn.matrix_free
    with pytest.raises(ValueError, match=r"differentiat"):
        ggn.matvec(torch.randn(ggn.size))


def test_what_is_a_rounding_error_is_no_failure() -> None:
    """A bias before a softmax over positions and one before a normalisation have a gradient of rounding alone."""
    attention = nn.MultiheadAttention(4, 1, batch_first=True)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value = (nn.Linear(4, 4) for _ in range(3))
            self.before, self.norm, self.last = nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 3)
            self.attention = attention

        def forward(self, x):
            q, k, v = self.query(x), self.key(x), self.value(x)
            mixed = torch.softmax(q @ k.transpose(1, 2), -1) @ v
            mixed = mixed + self.attention(x, x, x, need_weights=False)[0]
            return self.last(self.norm(self.before(mixed).mean(1)))

    for dtype in (torch.float32, F64):
        model = Model().to(dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("error", FallbackWarning)
            GGN(
                model, nn.CrossEntropyLoss(), torch.randn(8, 5, 4, dtype=dtype), torch.randint(3, (8,))
            ).gram()


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("size", [0, 1, 7, 8, 20])
def test_norms_taken_in_parts_are_those_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, size: int, scale: float
) -> None:
    """In single precision a square of 1e±30 would overflow, or vanish."""
    monkeypatch.setattr(verification, "VALUES_AT_ONCE", 7)
    generator = torch.Generator().manual_seed(size)
    one, other = (scale * torch.randn(size, generator=generator) for _ in range(2))
    assert verification._norm(one) == pytest.approx(float(one.double().norm()), rel=1e-12)
    assert verification._norm(one.view(1, -1), other) == pytest.approx(
        float((one - other).double().norm()), rel=1e-12
    )
