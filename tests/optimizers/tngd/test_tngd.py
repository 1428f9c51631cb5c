"""TNGD's limits, its analog memory, and resuming."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests import oracles
from tngd_bench.curvature import GGN
from tngd_bench.optimizers import NGD, TNGD, DivergedError, registry
from tngd_bench.optimizers.tngd.step_errors import UnstableStepError
from tngd_bench.solvers.thermodynamic import Thermodynamic
from tngd_bench.spu import Device
from tngd_bench.spu.dynamics.arrays import UnstableDeviceError

LOSS = nn.CrossEntropyLoss()


def model(dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4)).to(dtype)


def batches(count: int, dtype: torch.dtype = torch.float64) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.rand(6, 5, generator=generator, dtype=dtype), torch.randint(0, 4, (6,), generator=generator))
        for _ in range(count)
    ]


def flat(network: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in network.parameters()])


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


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"delay": 1.0},
        {"rule": "adam", "betas": (0.9, 0.99)},
        {"momentum": 0.9},
        {"samples": 3, "spacing": 0.5},
        {"damping_rule": "levenberg-marquardt", "damping_interval": 2, "damping": 0.1},
        {
            "device": Device.ideal().override(
                programming_error=0.01, adc_noise_volts=0.01, temperature_kelvin=300.0, stuck_off=0.01
            )
        },
        {"device": Device.ideal().override(array_bits=8), "ensemble": 3},
        {"scope": "layer", "delay": 1.0},
        {"scope": "layer", "device": Device.ideal().override(programming_error=0.01, stuck_off=0.01)},
    ],
)
def test_a_resumed_run_gives_the_same_bits(settings: dict[str, object]) -> None:
    def fresh(network: nn.Module) -> TNGD:
        return TNGD(
            network,
            LOSS,
            lr=0.05,
            analog_time=3.0,
            noise_variance=0.01,
            generator=torch.Generator().manual_seed(3),
            **settings,  # type: ignore[arg-type]
        )

    whole = model()
    straight = fresh(whole)
    stream = batches(6)
    for inputs, targets in stream[:3]:
        straight.step(inputs, targets)
    saved = copy.deepcopy((whole.state_dict(), straight.state_dict()))
    for inputs, targets in stream[3:]:
        straight.step(inputs, targets)

    half = model()
    half.load_state_dict(saved[0])
    resumed = fresh(half)
    resumed.load_state_dict(saved[1])
    for inputs, targets in stream[3:]:
        resumed.step(inputs, targets)
    assert torch.equal(flat(half), flat(whole))
    assert resumed.iteration == straight.iteration == 6


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


def test_ledger_is_the_devices_bill_for_this_problem() -> None:
    tngd = TNGD(model(), LOSS, analog_time=7.0)
    assert tngd.ledger is None
    tngd.step(*batches(1)[0])
    assert tngd.ledger == Device.preset("paper").latency(parameters=74, rows=24, analog_time=7.0)


def test_the_ledger_bills_samples_programmings_scale_and_factored_upload() -> None:
    device = Device.preset("paper").override(
        upload="factored", hessian_array=False, conductance_max_siemens=1e-6, array_bits=10
    )
    tngd = TNGD(model(), LOSS, analog_time=7.0, device=device, samples=4, spacing=2.0, ensemble=3)
    tngd.step(*batches(1)[0])
    ledger = tngd.ledger
    assert ledger is not None
    words = 24 * (7 + 4) + 6 * (5 + 7)  # m Σd_out + b Σd_in
    assert ledger.items["write_arrays"] == pytest.approx(3 * words * 16 / 50e9)
    largest = float(GGN(model(), LOSS, *batches(1)[0]).factor().abs().max())
    slower = (largest / 1e-3) ** 2
    assert slower > 1
    assert ledger.items["relax"] == pytest.approx(3 * 7e-6 * slower)
    assert ledger.items["relax_average"] == pytest.approx(3 * 3 * 2e-6 * slower)


def test_devices_of_layers_are_billed_with_the_sizes_of_their_modules() -> None:
    """A device of 42 parameters and one of 32, on tiles of 8 × 8 cells, not two of 37."""
    device = Device.preset("paper").override(
        tile_rows=8, tile_columns=8, cell_write_time_s=1e-6, dac_rate_hz=1e6, nodes_per_converter=100
    )
    network = model()
    tngd = TNGD(network, LOSS, device=device, scope="layer", analog_time=1.0)
    tngd.step(*batches(1)[0])
    assert tngd.ledger is not None
    m = tngd._rows
    sizes = [sum(p.numel() for p in layer.parameters()) for layer in network if isinstance(layer, nn.Linear)]
    assert sizes == [42, 32]
    tiles = sum(-(-m // 8) * (2 * -(-n // 8) + -(-m // 8)) for n in sizes)
    assert tngd.ledger.items["write_cells"] == pytest.approx(tiles * 8 * 1e-6)
    assert tngd.ledger.items["write_convert"] == pytest.approx(max(sizes) * 1e-6)


def test_layers_of_a_convolution_are_recorded_with_their_positions() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 4)).double()
    device = Device.preset("paper").override(upload="factored", hessian_array=False)
    tngd = TNGD(network, LOSS, device=device)
    tngd.step(torch.rand(5, 1, 6, 6, dtype=torch.float64), torch.arange(5) % 4)
    words = 20 * (2 * 16 + 4) + 5 * (9 * 16 + 32)
    assert tngd.ledger is not None
    assert tngd.ledger.items["write_arrays"] == pytest.approx(words * 16 / 50e9)
    assert not any(module._forward_hooks for module in network.modules())
    normed = nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4)).double()
    with pytest.raises(ValueError, match="the model trains a LayerNorm"):
        TNGD(normed, LOSS, device=device).step(*batches(1)[0])


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


def adapting(network: nn.Module, **settings: object) -> TNGD:
    return TNGD(network, LOSS, damping_rule="levenberg-marquardt", **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9}, {"rule": "adam", "betas": (0.0, 0.0)}])
def test_the_reduction_ratio_is_that_of_dense_matrices(settings: dict[str, object]) -> None:
    network = model()
    tngd = adapting(network, lr=0.3, damping=0.1, damping_interval=3, **settings)
    for step, (inputs, targets) in enumerate(batches(6)):
        matrix = oracles.ggn(network, LOSS, inputs, targets)
        gradient = oracles.gradient(network, LOSS, inputs, targets)
        before, damping, kept = flat(network), tngd.settings["damping"], tngd.reduction_ratio
        value = tngd.step(inputs, targets)
        if (step + 1) % 3:
            assert tngd.settings["damping"] == damping
            assert tngd.reduction_ratio is kept
            continue
        delta = flat(network) - before
        model_change = gradient @ delta + 0.5 * (delta @ (matrix @ delta) + damping * delta @ delta)
        gained = float(LOSS(network(inputs), targets).detach()) - value
        ratio = gained / float(model_change)
        assert tngd.reduction_ratio == pytest.approx(ratio if float(model_change) < 0 else -np.inf, rel=1e-6)
        factor = 1.0 if 0.25 <= tngd.reduction_ratio <= 0.75 else 0.95**3
        expected = damping * factor if tngd.reduction_ratio > 0.75 else damping / factor
        assert tngd.settings["damping"] == pytest.approx(expected)


def test_damping_falls_where_the_model_is_right_and_rises_where_the_step_is_too_long() -> None:
    linear = nn.Linear(5, 3).double()
    inputs, targets = batches(1)[0][0], torch.rand(6, 3, dtype=torch.float64)
    # a quadratic loss is its own model: ρ → 1 for a small enough λ
    tngd = TNGD(
        linear, nn.MSELoss(), lr=1.0, damping=1e-3, analog_time=1e5,
        damping_rule="levenberg-marquardt", damping_interval=1,
    )  # fmt: skip
    tngd.step(inputs, targets)
    assert tngd.reduction_ratio == pytest.approx(1.0, abs=0.05)
    assert tngd.settings["damping"] == pytest.approx(1e-3 * 0.95)
    network = model()
    far = adapting(network, lr=3.0, damping=1e-3, damping_interval=1, analog_time=1e5)
    far.step(*batches(1)[0])
    assert far.reduction_ratio is not None
    assert far.reduction_ratio < 0.25
    assert far.settings["damping"] == pytest.approx(1e-3 / 0.95)


def test_adapting_costs_one_forward_pass_an_interval_and_no_randomness() -> None:
    network = nn.Sequential(nn.Linear(5, 7), nn.Dropout(0.5), nn.Linear(7, 4)).double()
    calls: list[int] = []
    network.register_forward_hook(lambda *_: calls.append(1))
    tngd = adapting(network, damping=0.1, damping_interval=4)
    plain = TNGD(copy.deepcopy(network), LOSS, damping=0.1)
    calls.clear()
    torch.manual_seed(0)
    for inputs, targets in batches(4):
        tngd.step(inputs, targets)
    assert len(calls) == 5
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    for inputs, targets in batches(4):
        plain.step(inputs, targets)
    assert torch.equal(torch.random.get_rng_state(), state)


class Counting(nn.Module):
    """Scales its inputs by a buffer that a pass changes in place, and counts in one that a pass replaces."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, outputs))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.scale += 1.0
        self.count = self.count + 1.0
        return self.net(x * self.scale.clone())


@pytest.mark.parametrize("outputs", [4, 300], ids=["rows", "products"])
def test_a_second_look_at_the_loss_is_through_the_same_buffers_and_leaves_them(outputs: int) -> None:
    network = Counting(outputs).double()
    tngd = adapting(network, lr=1e-6, damping=0.1, damping_interval=2)
    inputs, targets = batches(1)[0]
    for _ in range(4):
        tngd.step(inputs, targets)
        assert network.count == tngd.iteration == network.scale - 1.0
    assert tngd.reduction_ratio == pytest.approx(1.0, rel=1e-3)  # of a step so short that its slope is all


class Drawing(nn.Module):
    """Scales its inputs by a random number from one of several generators."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 4))
        self.own = torch.Generator().manual_seed(3)
        self.draw = {
            "torch": lambda: float(torch.rand(())),
            "own": lambda: float(torch.rand((), generator=self.own)),
            "python": random.random,
            "numpy": np.random.random,
        }[source]

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x * (0.5 + self.draw()))


@pytest.mark.parametrize("source", ["torch", "own", "python", "numpy"])
def test_a_second_look_at_the_loss_draws_what_the_first_drew(source: str) -> None:
    network = Drawing(source).double()
    tngd = adapting(network, lr=1e-6, damping=0.1, damping_interval=1)
    for _ in range(3):
        tngd.step(*batches(1)[0])
        assert tngd.reduction_ratio == pytest.approx(1.0, rel=1e-3)
    before = network.own.get_state(), random.getstate()
    tngd.check_curvature(*batches(1)[0])
    assert torch.equal(network.own.get_state(), before[0])
    assert random.getstate() == before[1]


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


NOISY = Device.ideal().override(
    programming_error=0.01, shared_array=True, adc_noise_volts=0.01, hessian_array=False
)


@pytest.mark.parametrize("settings", [{}, {"samples": 2}, {"device": NOISY}])
def test_without_a_generator_noise_comes_from_torchs_default_one(settings: dict[str, object]) -> None:
    """A default state, as with dropout, is the caller's: seeded alike a run repeats, saved with torch's it resumes."""

    def made(network: nn.Module, generator: torch.Generator | None) -> TNGD:
        return TNGD(network, LOSS, analog_time=3.0, noise_variance=0.01, generator=generator, **settings)  # type: ignore[arg-type]

    network, named = model(), model()
    by_default, by_name = made(network, None), made(named, torch.Generator().manual_seed(7))
    torch.manual_seed(7)
    stream = batches(4)
    for inputs, targets in stream[:2]:
        by_default.step(inputs, targets)
        by_name.step(inputs, targets)
    assert torch.equal(flat(network), flat(named))
    saved, drawn = copy.deepcopy((network.state_dict(), by_default.state_dict())), torch.get_rng_state()
    assert saved[1]["carried"]["generator"] is None
    for inputs, targets in stream[2:]:
        by_default.step(inputs, targets)
    resumed_network = model()
    resumed_network.load_state_dict(saved[0])
    resumed = made(resumed_network, None)
    resumed.load_state_dict(saved[1])
    torch.set_rng_state(drawn)
    for inputs, targets in stream[2:]:
        resumed.step(inputs, targets)
    assert torch.equal(flat(network), flat(resumed_network))
    with pytest.raises(ValueError, match="generator must be given to resume"):
        made(model(), None).load_state_dict(by_name.state_dict())


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
