"""What all second-order optimizers share: the set of parameters, copies, and saved states."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from tngd_bench.curvature import TrainableParameters
from tngd_bench.optimizers import KFAC, NGD, TNGD
from tngd_bench.optimizers.natural import DivergedError, update_rule

LOSS = nn.CrossEntropyLoss()
MAKERS = {
    "ngd": lambda model: NGD(model, nn.CrossEntropyLoss()),
    "ngd, adam": lambda model: NGD(model, nn.CrossEntropyLoss(), rule="adam"),
    "kfac": lambda model: KFAC(model, nn.CrossEntropyLoss(), generator=torch.Generator().manual_seed(4)),
    "kfac, its own draws": lambda model: KFAC(model, nn.CrossEntropyLoss()),
    "tngd": lambda model: TNGD(
        model, nn.CrossEntropyLoss(), noise_variance=1e-4, generator=torch.Generator().manual_seed(5)
    ),
    "tngd, factored": lambda model: TNGD(model, nn.CrossEntropyLoss(), device=factored()),
}


def factored() -> Any:
    from tngd_bench.spu import Device

    return Device.preset("paper").override(upload="factored")


def three() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3))


X, Y = torch.randn(8, 4, generator=torch.Generator().manual_seed(1)), torch.arange(8) % 3


def frozen(model: nn.Sequential) -> None:
    model[0].requires_grad_(False)


def replaced(model: nn.Sequential) -> None:
    model[2] = nn.Linear(4, 4)


def pruned(model: nn.Sequential) -> None:
    prune.l1_unstructured(model[0], "weight", amount=0.5)


def converted(model: nn.Sequential) -> None:
    model.double()


def reshaped(model: nn.Sequential) -> None:
    model[4].weight.data = torch.zeros(2, 4)
    model[4].bias.data = torch.zeros(2)


def extended(model: nn.Sequential) -> None:
    model.append(nn.Linear(3, 3))


@pytest.mark.parametrize("change", [frozen, replaced, pruned, converted, reshaped, extended])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_changed_set_of_parameters_is_refused_and_nothing_moves(make: Any, change: Any) -> None:
    model = three()
    optimizer = make(model)
    optimizer.step(X, Y)
    change(model)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=r"trainable parameter.* make a new optimizer"):
        optimizer.step(X, Y)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_what_was_frozen_at_first_and_then_trained_is_noticed() -> None:
    model = three()
    frozen(model)
    optimizer = NGD(model, nn.CrossEntropyLoss())
    optimizer.step(X, Y)
    model[0].requires_grad_(True)
    with pytest.raises(ValueError, match=r"new \['0.weight', '0.bias'\]"):
        optimizer.step(X, Y)


@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_copies_take_the_same_steps(make: Any, way: str) -> None:
    model = three()
    optimizer = make(model)
    optimizer.step(X, Y)
    if way == "deepcopy":
        twin_model, twin = copy.deepcopy((model, optimizer))
    else:
        twin_model, twin = pickle.loads(pickle.dumps((model, optimizer)))
    for _ in range(2):
        optimizer.step(X, Y)
        twin.step(X, Y)
    for one, other in zip(model.parameters(), twin_model.parameters(), strict=True):
        assert one is not other
        assert torch.equal(one, other)
    scheduler = torch.optim.lr_scheduler.StepLR(twin, 1, gamma=0.5)
    scheduler.step()
    assert twin._rule.param_groups[0]["lr"] == 0.5 * optimizer._rule.param_groups[0]["lr"]


@pytest.mark.parametrize("way", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_copy_made_beside_a_scheduler_steps_its_own_model(make: Any, way: Any) -> None:
    """A scheduler of rates replaces `step` by one that is bound to the optimizer that it was made for."""
    model = three()
    optimizer = make(model)
    torch.optim.lr_scheduler.StepLR(optimizer, 1)
    twin_model, twin = way((model, optimizer))
    before = copy.deepcopy(model.state_dict())
    twin.step(X, Y)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    optimizer.step(X, Y)
    for one, other in zip(model.parameters(), twin_model.parameters(), strict=True):
        assert torch.equal(one, other)


NOISELESS = {name: make for name, make in MAKERS.items() if name != "tngd"}  # draws differ by precision


@pytest.mark.parametrize("make", [*NOISELESS.values(), lambda model: NGD(model, LOSS, memory=0.9)])
def test_a_saved_state_goes_on_in_another_precision(make: Any) -> None:
    model, twin_model = three(), three().double()
    optimizer, twin = make(model), make(twin_model)
    for _ in range(2):
        optimizer.step(X, Y)
    twin_model.load_state_dict(model.state_dict())
    twin.load_state_dict(optimizer.state_dict())
    optimizer.step(X, Y)
    twin.step(X.double(), Y)
    for one, other in zip(model.parameters(), twin_model.parameters(), strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0.0, atol=2e-3)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_loss_that_uses_the_parameters_besides_is_refused(make: Any) -> None:
    """The rows of B know the outputs alone: such a term would be in one solver's gradient and not in another's."""
    model = three()
    optimizer = make(model)
    before = copy.deepcopy(model.state_dict())
    optimizer.loss = lambda z, y: LOSS(z, y) + 0.1 * sum(p.square().sum() for p in model.parameters())
    with pytest.raises(
        ValueError, match=r"through its outputs alone, and it uses '0.weight', '0.bias'.* besides"
    ):
        optimizer.step(X, Y)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_diverged_model_is_told_as_such_under_any_loss(make: Any) -> None:
    model = three()
    optimizer = make(model)
    optimizer.loss = lambda z, y: nn.functional.huber_loss(z, nn.functional.one_hot(y, 3).to(z.dtype))
    with torch.no_grad():
        model[0].weight.fill_(torch.nan)
    with pytest.raises(DivergedError, match="the loss is not finite at iteration 0"):
        optimizer.step(X, Y)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_batch_beyond_all_numbers_leaves_parameters_and_later_steps_alone(make: Any) -> None:
    """Its loss is finite: the first layer saturates. Running averages must not take it in."""
    model = three()
    optimizer = make(model)
    twin_model, twin = copy.deepcopy((model, optimizer))
    huge = X.clone()
    huge[0, 0] = torch.inf
    for each in (optimizer, twin):
        each.step(X, Y)
    with pytest.raises(DivergedError, match="is not finite"):
        optimizer.step(huge, Y)
    pairs = zip(model.parameters(), twin_model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    optimizer.step(X, Y)
    assert all(bool(p.isfinite().all()) for p in model.parameters())
    if isinstance(optimizer, KFAC):
        assert all(
            bool(f.inputs.isfinite().all() and f.outputs.isfinite().all()) for f in optimizer.factors.values()
        )


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_state_that_another_takes_over_is_a_copy(make: Any) -> None:
    models = [three(), three()]
    first, second = map(make, models)
    first.step(X, Y)
    models[1].load_state_dict(models[0].state_dict())
    second.load_state_dict(first.state_dict())
    for _ in range(2):
        for each in (first, second):
            each.step(X, Y)
    pairs = zip(*(each.parameters() for each in models), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_parameters_at_one_place_in_memory_are_refused_and_parts_of_a_buffer_are_not() -> None:
    values = torch.randn(30, generator=torch.Generator().manual_seed(0))

    def over(weight: Tensor, bias: Tensor) -> nn.Linear:
        layer = nn.Linear(4, 3)
        layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
        return layer

    for bias, said in ((values[:3], "'bias' and 'weight' lie at one place"), (values[:1].expand(3), "clone")):
        with pytest.raises(ValueError, match=said):
            NGD(over(values[:12].view(3, 4), bias), nn.CrossEntropyLoss())
    for weight in (values[:12].view(3, 4), values[:12].view(4, 3).T, values[:24].view(3, 8)[:, ::2]):
        NGD(over(weight, values[27:]), nn.CrossEntropyLoss()).step(X, Y)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_saved_state_loads_with_weights_only_and_resumes_bit_for_bit(make: Any) -> None:
    model = three()
    optimizer = make(model)
    optimizer.step(X, Y)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    twin_model = three()
    twin_model.load_state_dict(saved["model"])
    twin = make(twin_model)
    twin.load_state_dict(saved["optimizer"])
    for _ in range(2):
        optimizer.step(X, Y)
        twin.step(X, Y)
    for one, other in zip(model.parameters(), twin_model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_check_ahead_leaves_draws_and_parameters_alone() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 3))
    for make in MAKERS.values():
        optimizer = make(model)
        before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
        optimizer.check_curvature(X, Y)
        assert torch.equal(state, torch.get_rng_state())
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
        probes = optimizer.verification._probes
        optimizer.step(X, Y)
        assert optimizer.verification._probes == probes


def test_the_fused_rule_is_torchs_plain_sgd() -> None:
    models = [three().double(), three().double()]
    plain = torch.optim.SGD(models[0].parameters(), lr=0.1, momentum=0.9)
    rule = {"lr": 0.1, "momentum": 0.9, "betas": (0.9, 0.9), "eps": 1e-8}
    fused = update_rule(TrainableParameters(models[1]), "sgd", **rule, fused=True)
    for step in range(4):
        generator = torch.Generator().manual_seed(step)
        for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
            one.grad = torch.randn(one.shape, generator=generator, dtype=torch.float64)
            other.grad = one.grad.clone()
        plain.step()
        fused.step()
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    "changed", [{}, {"momentum": 0.0}, {"weight_decay": 0.1, "nesterov": True}, {"maximize": True}]
)
def test_a_step_is_that_of_torchs_sgd_along_the_direction_bit_for_bit(changed: dict[str, Any]) -> None:
    model = three()
    optimizer = NGD(model, nn.CrossEntropyLoss(), lr=0.1, momentum=0.9)
    twin = copy.deepcopy(model)
    reference = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9)
    for group in (optimizer.param_groups[0], reference.param_groups[0]):
        group.update(changed)
    for _ in range(3):
        optimizer.step(X, Y)
        assert optimizer.natural_gradient is not None
        pieces = optimizer.parameters.views(optimizer.natural_gradient)
        for p, piece in zip(twin.parameters(), pieces, strict=True):
            p.grad = piece.clone()
        reference.step()
    assert all(map(torch.equal, model.parameters(), twin.parameters()))
    assert all(p.grad is None for p in model.parameters())
    kept = [state.get("momentum_buffer") is not None for state in optimizer.state.values()]
    assert kept == [state.get("momentum_buffer") is not None for state in reference.state.values()]
