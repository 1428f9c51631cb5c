"""What a step of K-FAC does, and how often."""

import math
from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from tngd_bench.curvature.kronecker.factors import KroneckerFactors
from tngd_bench.optimizers import KFAC, TKFAC
from tngd_bench.optimizers.natural import DivergedError


@pytest.mark.parametrize(("factor_interval", "inverse_interval"), [(10, 100), (1, 1), (5, 20), (20, 5)])
def test_phases_are_the_kinds_of_step_that_a_cycle_has(factor_interval, inverse_interval):
    model = torch.nn.Linear(3, 2)
    optimizer = KFAC(
        model,
        torch.nn.CrossEntropyLoss(),
        lr=1e-3,
        factor_interval=factor_interval,
        inverse_interval=inverse_interval,
    )
    made = []
    optimizer._refresh_factors = record_then(optimizer._refresh_factors, made, "refresh")
    inputs, targets = torch.randn(4, 3), torch.tensor([0, 1, 0, 1])
    optimizer.step(inputs, targets)
    (factors,) = optimizer.factors.values()
    factors.invert = record_then(factors.invert, made, "invert")

    def kinds(iterations):
        for iteration in iterations:
            optimizer.iteration = iteration
            made.clear()
            optimizer.step(inputs, targets)
            yield tuple(made)

    cycle = range(3 * optimizer.cycle, 4 * optimizer.cycle)
    expected = Counter(kinds(cycle))
    representatives, counts = zip(*optimizer.phases, strict=True)
    assert dict(zip(kinds(representatives), counts, strict=True)) == expected
    assert sum(counts) == optimizer.cycle


def record_then(function, log, what):
    def recorded(*arguments):
        log.append(what)
        return function(*arguments)

    return recorded


@pytest.mark.parametrize("inverse", ["cholesky", "eigen"])
@pytest.mark.parametrize("bias", [True, False])
def test_between_refreshes_a_finished_gradient_gives_the_direction_of_the_rows(inverse, bias):
    """A convolution has far more rows than its gradient has values, the linear layer fewer."""
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 2, 3, bias=bias), nn.Tanh(), nn.Flatten(), nn.Linear(32, 30, bias=bias)
    model = nn.Sequential(*layers).double()
    x, y = torch.rand(4, 1, 6, 6).double(), torch.randint(0, 30, (4,))
    optimizer = KFAC(model, nn.CrossEntropyLoss(), inverse=inverse)
    optimizer.step(x, y)
    forward = optimizer._forward(x, y)
    in_rows, rest = optimizer._tracer.passes(forward.maps, forward.loss)
    mixed, others = optimizer._tracer.passes(forward.maps, forward.loss, optimizer.factors)
    assert rest == others == []
    assert {one.map.names[0]: one.rows is None for one in mixed} == {"0.weight": True, "3.weight": False}
    wanted = {one.map.names[0]: one for one in in_rows}
    for one in mixed:
        name = one.map.names[0]
        torch.testing.assert_close(one.gradient, wanted[name].gradient)
        (x, slope), (other, its) = (
            each.preconditioned(optimizer.factors[name]) for each in (one, wanted[name])
        )
        torch.testing.assert_close(x.matrix, other.matrix)
        torch.testing.assert_close(slope, its)
        written = [torch.empty_like(p) for p in one.map.parameters]
        one.map.write(x, 0.5, written)
        for piece, place in zip(one.map.pieces(0.5 * x.matrix), written, strict=True):
            torch.testing.assert_close(place, piece)


def test_a_running_average_is_what_it_says() -> None:
    generator = torch.Generator().manual_seed(0)
    batches = [
        [torch.randn(k, n, generator=generator, dtype=torch.float64) for k, n in ((6, 3), (8, 2))]
        for _ in range(2)
    ]
    factors = KroneckerFactors.of(*batches[0])
    factors.average(*batches[1], 0.9)
    first, second = ([a.T @ a / 6, g.T @ g] for a, g in batches)
    torch.testing.assert_close(factors.inputs, 0.9 * first[0] + 0.1 * second[0])
    torch.testing.assert_close(factors.outputs, 0.9 * first[1] + 0.1 * second[1])


class ConvolvedTwice(nn.Module):
    """One convolution used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.out = nn.Linear(40, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.conv(torch.tanh(self.conv(x)))).flatten(1))


@pytest.mark.parametrize("sharing", ["expand", "reduce"])
def test_the_inputs_of_a_convolution_used_twice_are_its_unfolded_patches(sharing: str) -> None:
    torch.manual_seed(0)
    model, x = ConvolvedTwice().double(), torch.randn(6, 2, 5, 4, dtype=torch.float64)
    seen: list[Tensor] = []
    with model.conv.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach())):
        model(x)
    patches = [nn.functional.unfold(inputs, 3, padding=1).transpose(1, 2) for inputs in seen]
    rows = torch.cat([nn.functional.pad(each, (0, 1), value=1.0) for each in patches], 1)
    a = rows.flatten(0, 1) if sharing == "expand" else rows.mean(1)
    optimizer = KFAC(model, nn.CrossEntropyLoss(), lr=1e-3, sharing=sharing)
    optimizer.step(x, torch.arange(6) % 5)
    assert torch.allclose(optimizer.factors["conv.weight"].inputs, a.T @ a / len(a), rtol=0.0, atol=1e-12)


class Experts(nn.Module):
    """Two experts for the samples of either sign; one without samples is called on none, or with `skips` not at all."""

    def __init__(self, *, skips: bool) -> None:
        super().__init__()
        self.experts, self.head = nn.ModuleList(nn.Linear(4, 5) for _ in range(2)), nn.Linear(5, 3)
        self.skips = skips

    def forward(self, x: Tensor) -> Tensor:
        mixed = x.new_zeros(len(x), 5)
        for number, expert in enumerate(self.experts):
            chosen = ((x[:, 0] > 0) == bool(number)).nonzero()[:, 0]
            if len(chosen) or not self.skips:
                mixed = mixed.index_put((chosen,), torch.tanh(expert(x[chosen])))
        return self.head(mixed)


@pytest.mark.parametrize("make", [KFAC, TKFAC])
def test_a_layer_that_gets_no_rows_is_as_one_that_is_not_called(make) -> None:
    models = []
    for skips in (False, True):
        torch.manual_seed(0)
        models.append(Experts(skips=skips).double())
    optimizers = [make(model, nn.CrossEntropyLoss(), fisher="exact", factor_interval=2) for model in models]
    both = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    one = both.clone()
    one[:, 0] = one[:, 0].abs()
    for inputs in (one, one, both, both, one, one):
        losses = [each.step(inputs, torch.tensor([0, 1, 2, 0, 1, 2])) for each in optimizers]
        assert losses[0] == losses[1]
        assert torch.equal(*(each.natural_gradient for each in optimizers))
    assert not optimizers[0].excluded


def looks(depth: int) -> int:
    """How often a step that refreshes factors, and inverts none, waits for values of tensors."""
    torch.manual_seed(0)
    layers = [layer for _ in range(depth) for layer in (nn.Linear(4, 4), nn.LayerNorm(4), nn.Tanh())]
    optimizer = KFAC(nn.Sequential(*layers, nn.Linear(4, 3)), nn.CrossEntropyLoss(), lr=1e-3)
    inputs, targets = torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1])
    for _ in range(3):
        optimizer.step(inputs, targets)
    optimizer.verification.paused = True
    assert optimizer._refreshes_at(3)
    assert not optimizer._inverts_at(3)
    found = []
    with pytest.MonkeyPatch.context() as patch:
        for name in ("__float__", "__int__", "__bool__", "item", "tolist"):
            patch.setattr(Tensor, name, record_then(getattr(Tensor, name), found, name))
        optimizer.step(inputs, targets)
    return len(found)


def test_a_step_looks_at_values_as_often_for_many_layers_as_for_few() -> None:
    assert looks(1) == looks(6) > 0


@pytest.mark.parametrize(("layer", "named"), [(0, "'0.weight'"), (2, "'0.weight', '2.weight'")])
def test_layers_whose_rows_are_not_finite_are_named(layer: int, named: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    model[layer].register_full_backward_pre_hook(lambda module, gradients: (gradients[0] * math.inf,))
    optimizer = KFAC(model, nn.CrossEntropyLoss())
    with pytest.raises(DivergedError, match=f"the curvature of {named} is not finite"):
        optimizer.step(torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1]))
    assert not optimizer.factors
