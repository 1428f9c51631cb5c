"""A device for each layer against the block-diagonal process written down densely in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests import oracles
from tests.curvature.architectures import ARCHITECTURES, case, dense_case
from tests.solvers.test_prior_and_layers import layers_of, layerwise, normal
from tngd_bench.curvature import GGN
from tngd_bench.curvature.operator import ExplicitFactor
from tngd_bench.optimizers import TNGD
from tngd_bench.solvers import Thermodynamic
from tngd_bench.solvers.layer_operators import layer_operators, layer_places
from tngd_bench.spu import Device
from tngd_bench.spu.dynamics.chip import instance_of
from tngd_bench.spu.dynamics.programmed import ProgrammedDevice

DAMPING, T = 0.3, 1.7


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blocks_of(architecture: str, batch: int) -> tuple[GGN, Tensor, Tensor, list[list[int]]]:
    """The GGN, and as dense oracles G, ∇ℓ, and the places of each layer."""
    model, loss, inputs, targets = case(architecture, "cross-entropy", batch)
    dense = dense_case(architecture, "cross-entropy", batch)
    gradient = oracles.gradient(model, loss, inputs, targets)
    return GGN(model, loss, inputs, targets), dense, gradient, layers_of(model)


@pytest.mark.parametrize("batch", [2, 5])  # layers of fewer and of more parameters than rows
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_operators_of_layers_are_the_diagonal_blocks(architecture: str, batch: int) -> None:
    ggn, dense, gradient, places = blocks_of(architecture, batch)
    layers = layer_operators(ggn)
    assert [list(range(each.start, each.stop)) for each in layer_places(ggn.parameters).values()] == places
    for layer, place in zip(layers, places, strict=True):
        index = torch.tensor(place)
        block, v, u = dense[index.unsqueeze(1), index], normal(len(place)), normal(ggn.rows)
        scale = float(block.norm()) + 1e-3
        factor = layer.factor()
        assert float((layer.dense() - block).norm()) < 1e-10 * scale
        assert float((layer.matvec(v) - block @ v).norm()) < 1e-9 * scale
        assert float((layer.gram() - factor @ factor.T).norm()) < 1e-10 * scale
        assert float((layer.factor_matvec(v) - factor @ v).norm()) < 1e-10 * scale
        assert float((layer.factor_rmatvec(u) - factor.T @ u).norm()) < 1e-10 * scale
        for several in (u, torch.stack([u, normal(ggn.rows, 4)], 1)):
            wanted = factor @ (factor.T @ several)
            assert float((layer.gram_matvec(several) - wanted).norm()) < 1e-9 * scale
        assert float((layer.gradient - gradient[index]).norm()) < 1e-12
        weights, rest = layer.gradient_weights
        found = factor.T @ weights + (0.0 if rest is None else rest)
        assert float((found - gradient[index]).norm()) < 1e-10


def noise_of(matrix: Tensor, variance: float, t: float, places: list[list[int]], seed: int) -> Tensor:
    """√Σ(t) z of every layer alone, the z drawn layer by layer."""
    generator, noise = seeded(seed), torch.zeros(len(matrix), dtype=torch.float64)
    for place in places:
        index = torch.tensor(place)
        covariance = oracles.ou_covariance(matrix[index.unsqueeze(1), index], variance, t)
        values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
        root = vectors @ np.diag(np.sqrt(values.clip(0.0))) @ vectors.T
        drawn = torch.randn(len(place), generator=generator, dtype=torch.float64)
        noise[index] = torch.from_numpy(root @ drawn.numpy())
    return noise


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_relaxation_by_layers_has_the_mean_and_the_covariance_of_the_block_diagonal_process(
    architecture: str,
) -> None:
    ggn, dense, gradient, places = blocks_of(architecture, 2)
    matrix = layerwise(dense, places) + DAMPING * torch.eye(len(dense), dtype=torch.float64)
    state, variance = normal(len(dense)), 0.2
    device = Thermodynamic(analog_time=T, noise_variance=variance, generator=seeded(5), scope="layer")
    noise = noise_of(matrix, variance, T, places, 5)
    for rhs in (None, normal(len(dense), 4)):
        mean = oracles.ou_mean(matrix, gradient if rhs is None else rhs, state, T)
        still = Thermodynamic(analog_time=T, scope="layer").relax(ggn, rhs, DAMPING, state)
        assert oracles.relative_error(still.readout, mean) < 1e-9
        assert torch.equal(still.state, still.readout)
        assert device.generator is not None
        device.generator.manual_seed(5)
        noisy = device.relax(ggn, rhs, DAMPING, state)
        assert oracles.relative_error(noisy.readout, torch.from_numpy(mean) + noise) < 1e-9


@pytest.mark.parametrize("method", ["gram", "dense", "krylov", "euler-maruyama"])
def test_every_method_relaxes_each_layer(method: Any) -> None:
    ggn, dense, gradient, places = blocks_of("conv, pool", 5)
    matrix = layerwise(dense, places) + DAMPING * torch.eye(len(dense), dtype=torch.float64)
    state = normal(len(dense))
    found = Thermodynamic(analog_time=T, method=method, scope="layer").relax(ggn, None, DAMPING, state)
    assert found.method == method
    assert bool(found.products) is (method == "krylov")
    bound = {"krylov": 1e-5, "euler-maruyama": 0.1}.get(method, 1e-9)
    assert oracles.relative_error(found.readout, oracles.ou_mean(matrix, gradient, state, T)) < bound


def test_state_and_delay_are_carried_layer_by_layer() -> None:
    """Algorithm 1 with a delay and two readouts, replayed with scipy on block-diagonal matrices."""
    torch.manual_seed(0)
    model, loss = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4)).double(), nn.CrossEntropyLoss()
    t, delay, spacing = 2.0, 0.5, 0.7
    tngd = TNGD(
        *(model, loss),
        lr=0.1,
        damping=0.05,
        analog_time=t,
        delay=delay,
        samples=2,
        spacing=spacing,
        scope="layer",
    )
    state = old = None
    for step in range(3):
        inputs, targets = torch.rand(6, 5, generator=seeded(step), dtype=torch.float64), torch.arange(6) % 4
        dense = layerwise(oracles.ggn(model, loss, inputs, targets), layers_of(model))
        pair = (
            dense + 0.05 * torch.eye(len(dense), dtype=torch.float64),
            oracles.gradient(model, loss, inputs, targets),
        )
        if state is None or old is None:
            first = oracles.ou_mean(*pair, pair[1], t)
        else:
            first = oracles.ou_mean(*pair, torch.from_numpy(oracles.ou_mean(*old, state, delay)), t - delay)
        second = oracles.ou_mean(*pair, torch.from_numpy(first), spacing)
        tngd.step(inputs, targets)
        assert tngd.natural_gradient is not None
        assert oracles.relative_error(tngd.natural_gradient, (first + second) / 2) < 1e-9
        state, old = torch.from_numpy(second), pair


class Alone:
    """The dense factor of a layer, as an operator that knows nothing of other layers."""

    def __init__(self, inner: ExplicitFactor) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def factor(self) -> Tensor:
        return self.inner.factor


DEVICES: dict[str, dict[str, Any]] = {
    "ideal": {},
    "converters": {"dac_bits": 6, "adc_bits": 7},
    "one array": {
        "array_bits": 5,
        "shared_array": True,
        "stuck_off": 0.1,
        "hessian_array": False,
        "instance": 3,
    },
    "three arrays": {
        "array_bits": 8,
        "programming_error": 1e-3,
        "stuck_on": 0.01,
        "temperature_kelvin": 300.0,
    },
    "capacitors": {"capacitor_mismatch": 0.1, "instance": 2},
    "range": {"conductance_max_siemens": 1e-4, "array_bits": 8, "shared_array": True, "hessian_array": False},
    "amplifiers": {"amplifier_bandwidth_hz": 1e8, "amplifier_gain": 1e4},
}


@pytest.mark.parametrize("name", DEVICES)
def test_each_layer_is_on_a_device_of_its_own_with_all_imperfections(name: str) -> None:
    """The same as devices that are made and run by hand, one for the dense factor of each layer."""
    model, loss, inputs, targets = case("mlp", "cross-entropy")
    device, ggn = Device.ideal().override(**DEVICES[name]), GGN(model, loss, inputs, targets)
    found = Thermodynamic(
        analog_time=T,
        start="gradient",
        noise_variance=0.01,
        device=device,
        generator=seeded(1),
        scope="layer",
    ).relax(ggn, None, DAMPING, None)
    generator, readouts, scales, margins = seeded(1), [], [], []
    for number, place in enumerate(layer_places(ggn.parameters).values()):
        alone = Alone(ExplicitFactor(ggn.factor()[:, place]))
        own = device.override(instance=instance_of(device.instance, number))
        programmed = ProgrammedDevice(own, alone, ggn.gradient[place], DAMPING, 0.01, generator=generator)
        readouts.append(programmed.read(programmed.sample(programmed.rhs, T, generator), generator))
        scales.append(programmed.scale)
        margins += [] if programmed.margin is None else [programmed.margin]
    assert oracles.relative_error(found.readout, torch.cat(readouts)) < 1e-9
    assert found.scale == pytest.approx(min(scales), rel=1e-9)
    assert (found.margin is not None) == (name in ("three arrays", "amplifiers"))
    assert [found.margin] == pytest.approx([min(margins)], rel=1e-6) if margins else found.margin is None
    if name == "range":
        assert max(scales) > 1.2 * min(scales)


def test_dead_cells_and_capacitors_of_two_layers_have_nothing_in_common() -> None:
    instances = [instance_of(chip, place) for chip in range(20) for place in range(20)]
    assert len(set(instances)) == len(instances)
    assert [instance_of(chip, 0) for chip in range(3)] == [0, 1, 2]


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_model_of_one_layer_has_one_device_bit_for_bit(name: str, dtype: torch.dtype) -> None:
    flat = []
    for scope in ("model", "layer"):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(6, 4)).to(dtype)
        device = Device.ideal().override(**DEVICES[name])
        tngd = TNGD(
            *(model, nn.CrossEntropyLoss()), lr=0.1, damping=DAMPING, analog_time=T, noise_variance=0.01,
            device=device, generator=seeded(2), scope=scope,
        )  # fmt: skip
        for step in range(3):
            tngd.step(torch.rand(5, 6, generator=seeded(step), dtype=dtype), torch.arange(5) % 4)
        flat.append(torch.cat([p.detach().reshape(-1) for p in model.parameters()]))
    assert torch.equal(*flat)


class Choosing(nn.Module):
    """Two experts; the sign of the first input chooses one for the whole batch, as a router may."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList([nn.Linear(3, 4), nn.Linear(3, 4)])

    def forward(self, x: Tensor) -> Tensor:
        chosen: Tensor = self.experts[int(x[0, 0] > 0)](x)
        return chosen


def test_a_layer_without_a_use_in_a_batch_forgets_at_the_rate_of_the_damping() -> None:
    torch.manual_seed(0)
    model = Choosing().double()
    inputs = torch.rand(5, 3, dtype=torch.float64)
    ggn = GGN(model, nn.CrossEntropyLoss(), inputs, torch.arange(5) % 4)
    state = normal(ggn.size)
    relaxed = Thermodynamic(analog_time=T, scope="layer").relax(ggn, None, DAMPING, state)
    idle = layer_places(ggn.parameters)["experts.0"]
    assert oracles.relative_error(relaxed.readout[idle], math.exp(-DAMPING * T) * state[idle]) < 1e-12
    # one device for both does not couple them either
    whole = Thermodynamic(analog_time=T).relax(ggn, None, DAMPING, state)
    assert oracles.relative_error(relaxed.readout, whole.readout) < 1e-9


def test_the_bill_adds_the_writes_of_all_modules_and_takes_one_relaxation() -> None:
    model = nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.Tanh(), nn.Linear(7, 4)).double()
    device = Device.preset("paper")
    bills = {
        scope: TNGD(model, nn.CrossEntropyLoss(), device=device, scope=scope).bill(24, 6).items
        for scope in ("model", "layer")
    }
    more = bills["layer"]["write_arrays"] - bills["model"]["write_arrays"]  # type: ignore[operator]
    assert more == pytest.approx(2 * 24 * 24 * 16 / 50e9)  # an H for each of three modules
    others = bills["model"].keys() - {"write_arrays"}
    assert {name: bills["layer"][name] for name in others} == {name: bills["model"][name] for name in others}
