"""Output-space curvature against autograd Hessians."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.oracles import relative_error
from tngd_bench.curvature import GGN, losses

B, C, T = 4, 5, 3
GENERATOR = torch.Generator().manual_seed(0)


def rand(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=GENERATOR, dtype=torch.float64)


LABELS = torch.tensor([0, 3, 4, 1])
SEQUENCE = torch.randint(0, C, (B, T), generator=GENERATOR)
IGNORED = torch.tensor([[0, -100, 2], [1, 1, -100], [-100, -100, -100], [4, 3, 2]])
CASES = {
    "cross-entropy": (nn.CrossEntropyLoss(), rand(B, C), LABELS),
    "weights": (nn.CrossEntropyLoss(weight=rand(C) + 0.1), rand(B, C), LABELS),
    "smoothing": (nn.CrossEntropyLoss(label_smoothing=0.2), rand(B, C), LABELS),
    "weights and smoothing": (nn.CrossEntropyLoss(rand(C) + 0.1, label_smoothing=0.2), rand(B, C), LABELS),
    "ignore_index": (nn.CrossEntropyLoss(ignore_index=3), rand(B, C), LABELS),
    "sequence": (nn.CrossEntropyLoss(), rand(B, C, T), SEQUENCE),
    "sequence, ignored": (nn.CrossEntropyLoss(rand(C) + 0.1, label_smoothing=0.1), rand(B, C, T), IGNORED),
    "distributions": (nn.CrossEntropyLoss(), rand(B, C), torch.softmax(rand(B, C), 1)),
    "distributions, weights": (nn.CrossEntropyLoss(rand(C) + 0.1), rand(B, C), torch.softmax(rand(B, C), 1)),
    "squared error": (nn.MSELoss(), rand(B, C), rand(B, C)),
    "binary": (nn.BCEWithLogitsLoss(), rand(B, C), rand(B, C)),
    "binary, weights": (nn.BCEWithLogitsLoss(weight=rand(C), pos_weight=rand(C) + 0.5), rand(B, C), rand(B, C)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_hessian_factor_and_gradient_equal_autograd(case: str) -> None:
    loss, outputs, targets = CASES[case]
    flat = outputs.reshape(-1)
    expected = torch.func.hessian(lambda z: loss(z.view_as(outputs), targets))(flat)
    slope = torch.func.grad(lambda z: loss(z.view_as(outputs), targets))(flat)
    curvature = losses.output_curvature(loss, outputs, targets)
    units = torch.eye(flat.numel(), dtype=torch.float64).view(-1, *outputs.shape)
    hessian = torch.stack([curvature.matvec(unit).reshape(-1) for unit in units])
    factor = torch.stack([curvature.factor_rmatvec(unit.flatten(1)).reshape(-1) for unit in units], 1)
    transposed = torch.stack([curvature.factor_matvec(unit).reshape(-1) for unit in units], 1)
    weights, rest = curvature.gradient_weights()
    assert rest is None
    assert relative_error(hessian, expected) < 1e-12
    assert relative_error(factor @ factor.T, expected) < 1e-12
    assert relative_error(transposed, factor.T) < 1e-14
    assert relative_error(factor @ weights.reshape(-1), slope) < 1e-12


def test_columns_are_the_factor_of_every_sample_at_once() -> None:
    loss, outputs, targets = CASES["weights"]
    curvature = losses.output_curvature(loss, outputs, targets)
    columns = losses.factor_columns(curvature, outputs, 1, 4)
    assert columns.shape == (3, B, C)
    for column, index in zip(columns, range(1, 4), strict=True):
        unit = torch.zeros_like(outputs)
        unit[:, index] = 1.0
        assert torch.equal(column, curvature.factor_rmatvec(unit.flatten(1)))


@pytest.mark.parametrize("gap", [20.0, 60.0, 200.0])
def test_vanishing_probability_of_the_target_keeps_the_gradient_in_float32(gap: float) -> None:
    outputs = torch.tensor([[gap, 0.0, 0.0], [0.3, 0.1, -0.2]])
    targets = torch.tensor([1, 2])
    loss = nn.CrossEntropyLoss()
    slope = torch.func.grad(lambda z: loss(z, targets))(outputs)
    curvature = losses.output_curvature(loss, outputs, targets)
    weights, rest = curvature.gradient_weights()
    assert rest is not None
    assert weights.abs().max() < 1e4
    assert relative_error(curvature.factor_rmatvec(weights) + rest, slope) < 1e-6


def test_flat_binary_targets_at_saturation_stay_finite() -> None:
    loss, outputs, targets = (
        nn.BCEWithLogitsLoss(),
        torch.tensor([[400.0, -400.0, 400.0]]),
        torch.tensor([[1.0, 1.0, 0.0]]),
    )
    curvature = losses.output_curvature(loss, outputs, targets)
    weights, rest = curvature.gradient_weights()
    assert rest is not None
    slope = torch.func.grad(lambda z: loss(z, targets))(outputs)
    assert torch.isfinite(weights).all()
    assert relative_error(curvature.factor_rmatvec(weights) + rest, slope) < 1e-6


def test_other_reductions_of_torch_losses_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="mean-reduced, not reduction='sum'"):
        losses.output_curvature(nn.MSELoss(reduction="sum"), rand(B, C), rand(B, C))


class Focal(nn.CrossEntropyLoss):
    """Not a cross-entropy, though it is a subclass of one."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        log_p = functional.log_softmax(outputs, 1).gather(1, targets[:, None])[:, 0]
        return (-((1 - log_p.exp()) ** 0.1) * log_p).mean()


class Inherited(nn.MSELoss):
    """A subclass that changes nothing."""


def masked(outputs: Tensor, targets: Tensor) -> Tensor:
    weights = (targets > 0).to(outputs.dtype)
    return (weights * (outputs - targets) ** 2).sum() / weights.sum()


ANY = {
    "lambda": (lambda z, y: ((z - y) ** 4).mean(), False),
    "huber": (nn.HuberLoss(delta=0.5), False),
    "poisson": (nn.PoissonNLLLoss(), False),
    "absolute error": (nn.L1Loss(), False),
    "masked": (masked, False),
    "sum": (lambda z, y: functional.mse_loss(z, y, reduction="sum"), False),
    "subclass with a forward of its own": (Focal(), True),
    "function of labels": (lambda z, y: functional.cross_entropy(z, y, label_smoothing=0.1), True),
    "inherited": (Inherited(), False),
}


@pytest.mark.parametrize("name", ANY)
def test_any_loss_of_convex_per_sample_terms_has_its_exact_hessian(name: str) -> None:
    loss, labels = ANY[name]
    outputs = rand(B, C)
    targets = torch.randint(C, (B,)) if labels else rand(B, C)
    expected = torch.func.hessian(lambda z: loss(z.view(B, C), targets))(outputs.reshape(-1))
    curvature = losses.output_curvature(loss, outputs, targets)
    columns = [
        curvature.matvec(unit.view(B, C)).reshape(-1) for unit in torch.eye(B * C, dtype=outputs.dtype)
    ]
    assert relative_error(torch.stack(columns), expected) < 1e-9
    roots = [
        curvature.factor_matvec(unit.view(B, C)).reshape(-1) for unit in torch.eye(B * C, dtype=outputs.dtype)
    ]
    assert relative_error(torch.stack(roots) @ torch.stack(roots).T, expected) < 1e-9
    weights, rest = curvature.gradient_weights()
    slope = curvature.factor_rmatvec(weights) + (0.0 if rest is None else rest)
    assert relative_error(slope, torch.func.grad(lambda z: loss(z, targets))(outputs)) < 1e-9


@pytest.mark.parametrize("name", ANY)
def test_the_empirical_fisher_takes_any_loss(name: str) -> None:
    loss, labels = ANY[name]
    outputs = rand(B, C)
    targets = torch.randint(C, (B,)) if labels else rand(B, C)
    slope = torch.func.grad(lambda z: loss(z, targets))(outputs)
    curvature = losses.output_curvature(loss, outputs, targets, empirical=True)
    v = rand(B, C)
    assert relative_error(curvature.matvec(v), B * slope * (slope * v).sum(1, keepdim=True)) < 1e-9


def coupled(z: Tensor, y: Tensor) -> Tensor:
    """A contrastive loss: each sample is compared with all others."""
    return functional.cross_entropy(z @ z.T, torch.arange(len(z)))


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (coupled, "per-sample terms"),
        (lambda z, y: (z.mean(0) - y.mean(0)).square().sum(), "per-sample terms"),
        (lambda z, y: torch.cos(z - y).mean(), "convex in the outputs"),
        (lambda z, y: ((z - y) ** 2).mean(1), "must return a scalar tensor, not a tensor"),
        (lambda z, y: float(((z - y) ** 2).mean()), "must return a scalar tensor, not float"),
        (lambda z, y: ((z.detach() - y) ** 2).mean(), "cannot be differentiated"),
    ],
    ids=["contrastive", "of batch means", "not convex", "unreduced", "a number", "detached"],
)
def test_other_losses_are_refused_with_what_is_wrong(loss, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        losses.output_curvature(loss, rand(B, C), rand(B, C))


def test_a_loss_that_draws_or_counts_is_refused() -> None:
    counted: list[int] = []

    def counting(z: Tensor, y: Tensor) -> Tensor:
        counted.append(1)
        return len(counted) * functional.mse_loss(z, y)

    for loss in (counting, lambda z, y: functional.mse_loss(functional.dropout(z), y)):
        outputs, targets = rand(B, C), rand(B, C)
        value = losses.evaluate(loss, outputs, targets)
        with pytest.raises(ValueError, match="when it is evaluated again: curvature needs a function"):
            losses.output_curvature(loss, outputs, targets, value=value)


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (nn.CrossEntropyLoss(), torch.eye(B, C) - 0.1),
        (nn.CrossEntropyLoss(torch.arange(C) - 1.0), LABELS),
        (nn.BCEWithLogitsLoss(weight=torch.arange(C) - 1.0), rand(B, C)),
        (nn.BCEWithLogitsLoss(pos_weight=torch.full((C,), 0.1)), 2 * torch.ones(B, C)),
    ],
)
def test_weights_and_targets_that_make_a_closed_form_not_convex_are_refused(
    loss: nn.Module, targets: Tensor
) -> None:
    with pytest.raises(ValueError, match="must be convex in the outputs"):
        losses.output_curvature(
            loss, rand(B, C), targets.double() if targets.is_floating_point() else targets
        )


def test_a_second_derivative_that_is_not_finite_is_refused() -> None:
    outputs = rand(B, C)
    with pytest.raises(ValueError, match="not finite, at sample 0"):
        losses.output_curvature(lambda z, y: (z - y).abs().pow(1.5).mean(), outputs, outputs.clone())


def test_hessians_that_do_not_fit_are_refused_before_they_are_made() -> None:
    with pytest.raises(MemoryError, match="the 2 Hessians of this loss, 1000000 by 1000000, need 64000"):
        losses.output_curvature(nn.HuberLoss(), torch.zeros(2, 10**6), torch.zeros(2, 10**6))


def test_a_loss_without_curvature_is_told() -> None:
    """The plain gradient in the place of a natural one, as with log-probabilities under NLLLoss."""
    with pytest.warns(UserWarning, match="linear in the outputs on this batch.*return logits"):
        curvature = losses.output_curvature(nn.NLLLoss(), rand(B, C).log_softmax(1), LABELS)
    assert not bool(curvature.matvec(rand(B, C)).any())


@pytest.mark.parametrize("change", ["forward", "hook", "subclass"])
def test_a_changed_torch_loss_is_not_taken_for_the_original(change: str) -> None:
    loss = nn.MSELoss()
    if change == "forward":
        loss.forward = lambda z, y: 3 * functional.mse_loss(z, y)
    elif change == "hook":
        loss.register_forward_hook(lambda module, inputs, output: 3 * output)
    else:
        loss = type("Tripled", (nn.MSELoss,), {"forward": lambda self, z, y: 3 * functional.mse_loss(z, y)})()
    outputs, targets, v = rand(B, C), rand(B, C), rand(B, C)
    assert relative_error(losses.output_curvature(loss, outputs, targets).matvec(v), 6 * v / (B * C)) < 1e-12


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_labels_of_any_integer_type(dtype: torch.dtype) -> None:
    outputs, targets, v = rand(B, C), torch.randint(C, (B,)), rand(B, C)
    loss = nn.CrossEntropyLoss()
    assert float(losses.evaluate(loss, outputs, targets.to(dtype))) == float(loss(outputs, targets))
    found = losses.output_curvature(loss, outputs, targets.to(dtype)).matvec(v)
    assert torch.equal(found, losses.output_curvature(loss, outputs, targets).matvec(v))


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.MSELoss(), nn.BCEWithLogitsLoss()])
def test_float64_targets_beside_a_float32_model(loss: nn.Module) -> None:
    outputs, targets = rand(B, C).float(), torch.rand(B, C, dtype=torch.float64).softmax(1)
    losses.evaluate(loss, outputs, targets)
    curvature = losses.output_curvature(loss, outputs, targets)
    assert curvature.matvec(outputs).dtype == torch.float32
    assert curvature.gradient_weights()[0].dtype == torch.float32


@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.BCEWithLogitsLoss()])
def test_targets_that_would_be_broadcast_over_samples_are_refused(loss: nn.Module) -> None:
    for evaluate in (losses.evaluate, losses.output_curvature):
        with pytest.raises(ValueError, match=r"outputs' shape \(\d+, 1\), not \(\d+,\)"):
            evaluate(loss, rand(B, 1), torch.rand(B, dtype=torch.float64))


def wanting(values: Tensor) -> Tensor:
    return values.clone().requires_grad_()


@pytest.mark.parametrize(
    ("make", "targets"),
    [
        (lambda _: nn.MSELoss(), rand(B, C)),
        (lambda want: nn.BCEWithLogitsLoss(pos_weight=want(torch.ones(C).double())), rand(B, C)),
        (lambda want: nn.CrossEntropyLoss(want(torch.ones(C).double())), torch.softmax(rand(B, C), 1)),
        (lambda _: losses.PerSampleLoss(lambda z, y: ((z - y) ** 4).sum()), rand(B, C)),
        (lambda _: functional.huber_loss, rand(B, C)),
    ],
    ids=["squared error", "binary", "cross-entropy", "per sample", "any"],
)
@pytest.mark.parametrize("empirical", [False, True])
def test_targets_and_weights_that_want_gradients_change_nothing(make, targets, empirical: bool) -> None:
    outputs = rand(B, C)
    plain = losses.output_curvature(make(lambda w: w), outputs, targets, empirical=empirical)
    found = losses.output_curvature(make(wanting), outputs, wanting(targets), empirical=empirical)
    v = rand(B, C)
    for one, other in ((plain.matvec(v), found.matvec(v)), (plain.slope(), found.slope())):
        assert torch.equal(one, other)
        assert not other.requires_grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_any_loss_takes_targets_of_a_half_precision_model(dtype: torch.dtype) -> None:
    model, inputs, targets = nn.Linear(4, C).to(dtype), rand(B, 4).to(dtype), rand(B, C).to(dtype)
    ggn = GGN(model, functional.huber_loss, inputs, targets)
    slope = torch.autograd.grad(functional.huber_loss(model(inputs), targets), model.weight)[0]
    assert relative_error(ggn.gradient[: 4 * C], slope.float().flatten()) < 1e-6
    truth = GGN(
        copy.deepcopy(model).double(), functional.huber_loss, inputs.double(), targets.double()
    ).dense()
    assert relative_error(ggn.dense(), truth) < 0.02
