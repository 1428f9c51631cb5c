"""Optimizers by their class: settings from the class, steps those of the class used by hand, faults in one sentence."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tngd_bench.optimizers import DivergedError, costs, registry
from tngd_bench.optimizers.torch_class.known import KNOWN
from tngd_bench.optimizers.torch_class.optimizer import TorchOptimizer, routed
from tngd_bench.studies.tuning.spaces import draws, space_of

LOSS = nn.CrossEntropyLoss()


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 7), nn.Tanh(), nn.Linear(7, 3))


def batches(count: int = 6) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(9, 6, generator=generator), torch.randint(0, 3, (9,), generator=generator))
        for _ in range(count)
    ]


def by_hand(model: nn.Module, optimizers: list[torch.optim.Optimizer]) -> None:
    for inputs, targets in batches():
        for optimizer in optimizers:
            optimizer.zero_grad()
        LOSS(model(inputs), targets).backward()
        for optimizer in optimizers:
            optimizer.step()


def ours(name: str, **settings: object) -> nn.Module:
    model = network()
    optimizer = registry.get(name).create(model, LOSS, settings)
    for inputs, targets in batches():
        optimizer.step(inputs, targets)
    return model


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(one.parameters(), other.parameters(), strict=True))


KINDS = (
    ("torch.optim:AdamW", {"rest": "bias"}),
    ("torch.optim:Muon", {}),
    ("torch.optim:LBFGS", {"line_search_fn": "strong_wolfe", "max_iter": 3}),
    ("pytorch_optimizer:SOAP", {"precondition_frequency": 2}),
    ("pytorch_optimizer:Shampoo", {"preconditioning_compute_steps": 2, "momentum": 0.5}),
    ("pytorch_optimizer:ScheduleFreeAdamW", {}),
)


def made(name: str, settings: dict[str, object], model: nn.Module) -> TorchOptimizer:
    if name.startswith("pytorch_optimizer"):
        pytest.importorskip("pytorch_optimizer")
    optimizer = registry.get(name).create(model, LOSS, settings)
    assert isinstance(optimizer, TorchOptimizer)
    return optimizer


@pytest.mark.parametrize(("name", "settings"), KINDS)
def test_a_saved_run_goes_on_bit_for_bit(name: str, settings: dict[str, object]) -> None:
    whole, half = network(), network()
    first, second = made(name, settings, whole), made(name, settings, half)
    for inputs, targets in batches(7):
        first.step(inputs, targets)
    for inputs, targets in batches(4):
        second.step(inputs, targets)
    kept = io.BytesIO()
    torch.save({"model": half.state_dict(), "optimizer": second.state_dict()}, kept)
    kept.seek(0)
    saved = torch.load(kept, weights_only=True)
    again = network()
    again.load_state_dict(saved["model"])
    resumed = made(name, settings, again)
    resumed.load_state_dict(saved["optimizer"])
    assert resumed.iteration == 4
    for inputs, targets in batches(7)[4:]:
        resumed.step(inputs, targets)
    assert same(again, whole)


def test_a_state_of_other_routes_is_refused() -> None:
    state = made("torch.optim:AdamW", {"rest": "bias"}, network()).state_dict()
    with pytest.raises(ValueError, match="route and rest must be those of the saved run"):
        made("torch.optim:AdamW", {}, network()).load_state_dict(state)


@pytest.mark.parametrize(("name", "settings"), KINDS)
def test_a_scheduler_of_rates_moves_the_class_as_by_hand(name: str, settings: dict[str, object]) -> None:
    model, twin = network(), network()
    optimizer, hand = made(name, settings, model), made(name, settings, twin)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer.optimizer, 0.5)
    rate = hand.optimizer.param_groups[0]["lr"]
    for number, (inputs, targets) in enumerate(batches(), start=1):
        optimizer.step(inputs, targets)
        schedule.step()
        hand.step(inputs, targets)
        hand.optimizer.param_groups[0]["lr"] = rate * 0.5**number
    assert same(model, twin)
    assert not same(model, ours(name, **settings))


@pytest.mark.parametrize(
    ("name", "settings", "make"),
    [
        ("torch.optim:AdamW", {"lr": 0.01, "beta1": 0.8}, lambda p: torch.optim.AdamW(p, 0.01, (0.8, 0.999))),
        ("torch.optim:SGD", {"momentum": 0.9}, lambda p: torch.optim.SGD(p, momentum=0.9)),
        ("torch.optim:Adagrad", {}, torch.optim.Adagrad),
    ],
)
def test_steps_are_those_of_the_class_used_by_hand(
    name: str, settings: dict[str, object], make: Callable[[Any], torch.optim.Optimizer]
) -> None:
    model = network()
    by_hand(model, [make(model.parameters())])
    assert same(ours(name, **settings), model)


def test_muon_gets_the_hidden_matrices_and_adamw_the_rest() -> None:
    model = network()
    hidden = [model[0].weight, model[2].weight]
    others = [model[0].bias, model[2].bias, model[4].weight, model[4].bias]
    by_hand(model, [torch.optim.Muon(hidden, lr=0.02), torch.optim.AdamW(others, lr=0.003)])
    assert same(ours("torch.optim:Muon", lr=0.02, rest_lr=0.003), model)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("SOAP", {}),
        ("SOAP", {"precondition_frequency": 2, "weight_decay": 0.1}),
        ("Shampoo", {}),
        ("Shampoo", {"preconditioning_compute_steps": 2, "momentum": 0.5}),
        ("ScheduleFreeAdamW", {}),
    ],
)
def test_classes_of_pytorch_optimizer_take_their_own_steps(kind: str, settings: dict[str, object]) -> None:
    package = pytest.importorskip("pytorch_optimizer")
    model = network()
    hand = getattr(package, kind)(model.parameters(), **settings)
    if kind == "ScheduleFreeAdamW":
        hand.train()
    by_hand(model, [hand])
    moved = ours(f"pytorch_optimizer:{kind}", **settings)
    assert same(moved, model)
    assert not same(moved, network())


def test_lbfgs_gets_a_closure_and_its_loss_is_that_before_the_step() -> None:
    model, twin = network(), network()
    inputs, targets = batches(1)[0]
    optimizer = registry.get("torch.optim:LBFGS").create(model, LOSS, {"max_iter": 5})
    hand = torch.optim.LBFGS(twin.parameters(), max_iter=5)

    def closure() -> Tensor:
        hand.zero_grad()
        loss = LOSS(twin(inputs), targets)
        loss.backward()
        return loss

    for _ in range(3):
        before = float(LOSS(model(inputs), targets).detach())
        assert optimizer.step(inputs, targets) == before
        hand.step(closure)
    assert same(model, twin)
    with pytest.raises(ValueError, match="must have all parameters"):
        registry.get("torch.optim:LBFGS").create(model, LOSS, {"rest": "4"})


def test_a_diverged_loss_moves_nothing() -> None:
    model = network()
    before = [p.detach().clone() for p in model.parameters()]
    for name in ("torch.optim:AdamW", "torch.optim:LBFGS", "torch.optim:Muon"):
        optimizer = registry.get(name).create(model, LOSS)
        with pytest.raises(DivergedError, match="the loss is not finite at iteration 0"):
            optimizer.step(torch.full((9, 6), float("nan")), torch.zeros(9).long())
        assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))


def test_a_class_that_cannot_be_made_says_why() -> None:
    pytest.importorskip("pytorch_optimizer")
    with pytest.raises(ValueError, match="optimizer 'pytorch_optimizer:Muon' cannot be made: RuntimeError: "):
        registry.get("pytorch_optimizer:Muon").create(network(), LOSS)


def test_what_goes_where_by_dimension_and_by_name() -> None:
    model = nn.Sequential(nn.Embedding(5, 6), nn.Flatten(), nn.Linear(6, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    taken, others = routed(model, "matrices")
    assert [name for name, _ in taken] == ["2.weight", "3.weight"]
    assert {name for name, _ in others} == {"0.weight", "2.bias", "3.bias", "4.weight", "4.bias"}
    assert [name for name, _ in routed(model, "all", "bias|^0")[0]] == ["2.weight", "3.weight", "4.weight"]
    with pytest.raises(ValueError, match=r"rest = '.' leave no parameter to the optimizer, of 0.weight"):
        routed(model, "all", ".")


class Averaging(torch.optim.SGD):
    """Evaluated at zero, as a schedule-free optimizer is evaluated at an average."""

    def train(self) -> None:
        self.said = [*getattr(self, "said", []), "train"]

    def eval(self) -> None:
        self.said = [*getattr(self, "said", []), "eval"]


def test_modes_are_switched_around_an_evaluation() -> None:
    model = network()
    named = list(model.named_parameters())
    optimizer = TorchOptimizer(model, LOSS, Averaging(model.parameters(), lr=0.1), named)
    with optimizer.evaluating():
        assert optimizer.optimizer.said == ["train", "eval"]  # type: ignore[attr-defined]
    assert optimizer.optimizer.said == ["train", "eval", "train"]  # type: ignore[attr-defined]


def test_settings_are_the_arguments_of_the_class() -> None:
    entry = registry.get("torch.optim:AdamW")
    assert {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999}.items() <= entry.defaults.items()
    assert (entry.title, entry.family) == ("AdamW", "torch")
    assert registry.get("torch.optim:Adam").title == "Adam (torch.optim)"  # the suite has an Adam of its own
    for settings, said in (
        ({"beta3": 1.0}, "did you mean"),
        ({"lr": "quick"}, "lr must be a finite number, not 'quick'"),
        ({"amsgrad": 1}, "amsgrad must be"),
        ({"cycle": 1.5}, "cycle must be"),
        ({"route": "vectors"}, "route must be one of: all, matrices"),
        ({"rest": "("}, "rest must be a regular expression"),
        ({"cycle": 0}, "cycle must be"),
    ):
        with pytest.raises((ValueError, TypeError), match=said):
            entry.check_complete(settings)


def test_what_the_class_takes_as_a_whole_number_must_be_one() -> None:
    for name, key in (("torch.optim:LBFGS", "max_iter"), ("torch.optim:Muon", "ns_steps")):
        with pytest.raises(TypeError, match=f"{key} must be a whole number, not 2.5"):
            registry.get(name).check({key: 2.5})
    registry.get("torch.optim:LBFGS").check({"lr": 0.5})  # its default is written 1


def test_who_got_what_is_told_with_shapes_even_where_both_are_adamw() -> None:
    optimizer = registry.get("torch.optim:AdamW").create(network(), LOSS, {"rest": "bias|4"})
    assert optimizer.routing == {  # type: ignore[attr-defined]
        "AdamW": {"0.weight": (8, 6), "2.weight": (7, 8)},
        "AdamW, the others": {"0.bias": (8,), "2.bias": (7,), "4.weight": (3, 7), "4.bias": (3,)},
    }


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_what_is_known_of_a_class_holds_for_it(name: str) -> None:
    if name.startswith("pytorch_optimizer"):
        pytest.importorskip("pytorch_optimizer")
    entry = registry.get(name)
    space = space_of(name)
    assert set(space.axes) == set(KNOWN[name].ranges) <= set(entry.settings)
    for key, axis in space.axes.items():
        assert axis.low <= entry.defaults[key] <= axis.high  # type: ignore[operator]
    drawn = draws(space, 4, seed=0)
    for settings in drawn:
        entry.create(network(), LOSS, settings)
    assert entry.style == registry.styles()[name]


def test_costs_repeat_after_the_interval_of_the_preconditioner() -> None:
    pytest.importorskip("pytorch_optimizer")
    for settings, cycle in (({}, 10), ({"precondition_frequency": 4}, 4), ({"cycle": 7}, 7)):
        entry = registry.get("pytorch_optimizer:SOAP")
        assert entry.create(network(), LOSS, settings).cycle == cycle  # type: ignore[attr-defined]
        assert entry.cycle({**entry.defaults, **settings}) == cycle  # which the plan asks for
    assert registry.get("torch.optim:SGD").create(network(), LOSS).cycle == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("torch.optim:Moun", "Moun is not in torch.optim; did you mean 'Muon'"),
        ("torch.optim:lr_scheduler", "is no torch.optim.Optimizer"),
        ("not_there_at_all:X", "module not_there_at_all cannot be imported"),
    ],
)
def test_a_class_that_is_not_there_is_refused_with_what_is(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        registry.get(name)
    assert not registry.is_known(name)


def test_its_cost_is_unknown_and_never_that_of_another() -> None:
    size = {"parameters": 1000, "rows": 320, "batch_size": 32, "outputs": 10}
    assert not costs.predicted_cost("torch.optim:Muon", **size).known  # type: ignore[arg-type]


def test_naming_classes_costs_no_torch_until_one_is_named() -> None:
    code = "import sys, tngd_bench.optimizers.registry as r; r.names(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
