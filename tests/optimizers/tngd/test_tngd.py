"""TNGD's limits, its analog memory and noise, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests import oracles
from tests.optimizers.tngd.small_network import LOSS, batches, flat, model
from tngd_bench.curvature import GGN
from tngd_bench.optimizers import NGD, TNGD, DivergedError, registry
from tngd_bench.optimizers.tngd.step_errors import UnstableStepError
from tngd_bench.solvers.thermodynamic import Thermodynamic
from tngd_bench.spu import Device
from tngd_bench.spu.dynamics.arrays import UnstableDeviceError


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_no_analog_time_from_the_gradient_is_sgd_bit_for_bit(dtype: torch.dtype, momentum: float) -> None:
    ours, theirs = model(dtype), model(dtype)
    tngd = TNGD(ours, LOSS, lr=0.1, momentum=momentum, analog_time=0.0, start="gradient")
    sgd = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=momentum)
    for inputs, targets in batches(4, dtype):
        tngd.step(inputs, targets)
        sgd.zero_grad()
        LOSS(theirs(inputs), targets).backward()
        sgd.step()
        assert torch.equal(flat(ours), flat(theirs))


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-8), (torch.float32, 1e-5)])
@pytest.mark.parametrize("start", ["previous", "gradient", "zero"])
@pytest.mark.parametrize(("scope", "solver"), [("model", "gram"), ("layer", "layer")])
def test_long_analog_time_is_exact_natural_gradient(
    dtype: torch.dtype, bound: float, start: str, scope: str, solver: str
) -> None:
    ours, theirs = model(dtype), model(dtype)
    tngd = TNGD(ours, LOSS, lr=0.1, analog_time=1e6, start=start, scope=scope)
    ngd = NGD(theirs, LOSS, lr=0.1, solver=solver)
    for inputs, targets in batches(3, dtype):
        assert tngd.step(inputs, targets) == pytest.approx(ngd.step(inputs, targets), rel=bound)
        assert tngd.natural_gradient is not None
        assert ngd.natural_gradient is not None
        assert oracles.relative_error(tngd.natural_gradient, ngd.natural_gradient) < bound


def test_state_is_carried_from_batch_to_batch_and_delay_relaxes_under_the_old_pair() -> None:
    """Algorithm 1 with a delay, replayed with scipy on dense matrices."""
    network, damping, t, delay = model(), 0.05, 2.0, 0.5
    tngd = TNGD(network, LOSS, lr=0.1, damping=damping, analog_time=t, delay=delay)
    state: np.ndarray | None = None
    old: tuple[Tensor, Tensor] | None = None
    for inputs, targets in batches(3):
        matrix = oracles.ggn(network, LOSS, inputs, targets) + damping * torch.eye(74, dtype=torch.float64)
        gradient = oracles.gradient(network, LOSS, inputs, targets)
        before = flat(network)
        tngd.step(inputs, targets)
        if state is None or old is None:
            state = oracles.ou_mean(matrix, gradient, gradient, t)
        else:
            held = torch.from_numpy(oracles.ou_mean(old[0], old[1], torch.from_numpy(state), delay))
            state = oracles.ou_mean(matrix, gradient, held, t - delay)
        old = (matrix, gradient)
        assert tngd.natural_gradient is not None
        assert oracles.relative_error(tngd.natural_gradient, state) < 1e-9
        assert oracles.relative_error(flat(network), before - 0.1 * torch.from_numpy(state)) < 1e-9


def test_learning_rate_schedulers_and_user_gradients_are_respected() -> None:
    network = model()
    tngd = TNGD(network, LOSS, lr=1.0, analog_time=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(tngd, step_size=1, gamma=0.5)
    marker = torch.ones_like(next(network.parameters()))
    next(iter(network.parameters())).grad = marker
    for rate, (inputs, targets) in zip((1.0, 0.5, 0.25), batches(3), strict=True):
        before = flat(network)
        tngd.step(inputs, targets)
        schedule.step()
        assert tngd.natural_gradient is not None
        assert oracles.relative_error(flat(network), before - rate * tngd.natural_gradient) < 1e-14
    assert next(iter(network.parameters())).grad is marker
    tngd.zero_grad()


def test_noise_comes_from_the_generator_and_has_the_stationary_variance() -> None:
    network = model()
    inputs, targets = batches(1)[0]
    ggn = GGN(network, LOSS, inputs, targets)
    exact = Thermodynamic(analog_time=1e6).solve(ggn, damping=1.0).solution
    generator = torch.Generator().manual_seed(5)
    noisy = Thermodynamic(analog_time=1e6, noise_variance=0.2, generator=generator)
    draws = torch.stack([noisy.solve(ggn, damping=1.0).solution for _ in range(1500)]) - exact
    matrix = ggn.dense() + torch.eye(ggn.size, dtype=torch.float64)
    expected = 0.2 * torch.linalg.inv(matrix).diagonal()
    assert bool(((draws.var(0) / expected - 1.0).abs() < 6 * (2 / 1500) ** 0.5).all())
    again = Thermodynamic(analog_time=1e6, noise_variance=0.2, generator=torch.Generator().manual_seed(5))
    repeated = again.solve(ggn, damping=1.0).solution - exact
    assert torch.equal(repeated, draws[0])


@pytest.mark.parametrize("name", Device.presets())
def test_every_shipped_device_takes_a_step(name: str) -> None:
    network = model()
    before = flat(network)
    tngd = TNGD(network, LOSS, lr=0.05, damping=0.5, device=name, generator=torch.Generator().manual_seed(0))
    for inputs, targets in batches(2):
        tngd.step(inputs, targets)
    assert tngd.ledger is not None
    assert tngd.ledger.at_least is not None
    assert not torch.equal(flat(network), before)
    assert tngd.method == {"board": "arrays"}.get(name, "gram")


def test_an_unstable_device_is_named_with_its_margin_and_changes_nothing() -> None:
    network = model()
    device = Device.ideal().override(programming_error=0.5)
    tngd = TNGD(network, LOSS, damping=1e-3, device=device, generator=torch.Generator().manual_seed(0))
    before = flat(network)
    with pytest.raises(
        DivergedError, match=r"the device is unstable.*raise damping.*\(iteration 0\)"
    ) as caught:
        tngd.step(*batches(1)[0])
    assert isinstance(caught.value, UnstableStepError)
    assert isinstance(caught.value, UnstableDeviceError)
    assert caught.value.margin < 0
    assert caught.value.iteration == 0
    assert torch.equal(flat(network), before)
    assert tngd.natural_gradient is None
    assert tngd.iteration == 0


def test_divergence_is_raised_and_leaves_the_parameters_alone() -> None:
    network = model()
    tngd = TNGD(network, LOSS)
    tngd.step(*batches(1)[0])
    before = flat(network)
    with pytest.raises(DivergedError, match="the loss is not finite at iteration 1") as caught:
        tngd.step(torch.full((6, 5), float("inf"), dtype=torch.float64), torch.zeros(6, dtype=torch.long))
    assert caught.value.iteration == 1
    assert torch.equal(flat(network), before)


def test_bad_arguments_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="lr must be a finite number > 0, not 0"):
        TNGD(model(), LOSS, lr=0.0)
    with pytest.raises(ValueError, match="damping must be"):
        TNGD(model(), LOSS, damping=-1.0)
    with pytest.raises(ValueError, match="rule must be one of: sgd, adam; not 'Adam'"):
        TNGD(model(), LOSS, rule="Adam")
    with pytest.raises(ValueError, match="momentum must be 0 with rule='adam'"):
        TNGD(model(), LOSS, rule="adam", momentum=0.5)
    with pytest.raises(ValueError, match="device must be one of"):
        TNGD(model(), LOSS, device="papre")
    with pytest.raises(ValueError, match="'carried' is missing"):
        TNGD(model(), LOSS).load_state_dict(torch.optim.SGD(model().parameters()).state_dict())
    with pytest.raises(ValueError, match="has one parameter group"):
        TNGD(model(), LOSS).add_param_group({"params": [nn.Parameter(torch.zeros(2))]})
    with pytest.raises(ValueError, match="damping_rule must be one of: constant, levenberg-marquardt"):
        TNGD(model(), LOSS, damping_rule="lm")
    with pytest.raises(ValueError, match="damping must be > 0 with damping_rule"):
        TNGD(model(), LOSS, damping=0.0, damping_rule="levenberg-marquardt")
    with pytest.raises(ValueError, match="delay must be 0 with ensemble = 2"):
        TNGD(model(), LOSS, delay=1.0, ensemble=2)


def test_settings_of_a_study_reach_the_device() -> None:
    made = registry.get("tngd").create(
        model(),
        LOSS,
        {
            "device": "board",
            "array_bits": 6,
            "programming_error": 0.02,
            "shared_array": True,
            "link_rate_bits_per_s": 1e9,
            "samples": 4,
            "damping_rule": "levenberg-marquardt",
        },
        torch.Generator(),
    )
    assert isinstance(made, TNGD)
    assert made.device == Device.preset("board").override(
        array_bits=6, programming_error=0.02, shared_array=True, link_rate_bits_per_s=1e9
    )
    assert made.solver.samples == 4
    for name, value in (("shared_array", 1), ("programming_error", -1), ("samples", 0), ("upload", "half")):
        with pytest.raises((ValueError, TypeError), match=f"{name} must be"):
            registry.get("tngd").check({name: value})
