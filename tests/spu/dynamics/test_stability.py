"""The least rate of a device against the eigenvalues of its circuit equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.spu import circuit
from tngd_bench.curvature.operator import Shifted
from tngd_bench.spu import Device
from tngd_bench.spu.dynamics import mismatch, stability
from tngd_bench.spu.dynamics.arrays import Arrays, UnstableDeviceError
from tngd_bench.spu.dynamics.network import LinearNetwork
from tngd_bench.spu.dynamics.programmed import ProgrammedDevice

IDEAL = Device.ideal()
LAMBDA = 0.05


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def separate(rows: int, size: int, seed: int, error: float = 0.5) -> tuple[circuit.Array, circuit.Array]:
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(rows, size))
    return first, first + error * rng.normal(size=(rows, size))


def held(
    first: circuit.Array, last: circuit.Array, lags: circuit.Array | None = None, scale: float = 1.0
) -> Arrays:
    j2, j1 = torch.as_tensor(first), torch.as_tensor(last)
    return Arrays(j2, j1, None, None if lags is None else torch.as_tensor(lags), scale)


@pytest.mark.parametrize(("rows", "size"), [(3, 7), (3, 3), (5, 2), (1, 1)])
@pytest.mark.parametrize("lagging", [False, True])
def test_the_margin_is_the_least_rate_of_the_whole_device(rows: int, size: int, lagging: bool) -> None:
    """The null space relaxes at λ, and where there is none λ is no rate."""
    for seed in range(30):
        first, last = separate(rows, size, seed)
        lags = np.linspace(0.1, 0.4, rows) if lagging else None
        expected = np.linalg.eigvals(circuit.drift(first, last, LAMBDA, lags)).real.min()
        if expected > 0.0:
            network = LinearNetwork(Shifted(held(first, last, lags, scale=0.25), LAMBDA))
            assert network.margin == pytest.approx(0.25 * expected, rel=1e-9)
        else:
            with pytest.raises(UnstableDeviceError) as caught:
                LinearNetwork(Shifted(held(first, last, lags, scale=0.25), LAMBDA))
            assert caught.value.margin == pytest.approx(0.25 * expected, rel=1e-9)


def test_capacitors_decide_the_stability_of_separate_arrays() -> None:
    """Stable with equal capacitors, growing at −0.134/τ with these: the drift is C⁻¹Â."""
    rng = np.random.default_rng(29)
    first = rng.normal(size=(3, 5))
    last = first + 0.5 * rng.normal(size=(3, 5))
    capacitance = np.clip(1.0 + 0.3 * rng.normal(size=5), 0.05, None)
    equal = np.linalg.eigvals(circuit.drift(first, last, LAMBDA)).real.min()
    expected = np.linalg.eigvals(circuit.drift(first, last, LAMBDA, capacitance=capacitance)).real.min()
    assert equal > 0.0 > expected
    arrays = held(first, last)
    modes = stability.modes(Shifted(arrays, LAMBDA), torch.as_tensor(1.0 / capacitance))
    with pytest.raises(UnstableDeviceError) as caught:
        stability.least_rate(arrays, modes)
    assert caught.value.margin == pytest.approx(expected, rel=1e-9)


def test_a_device_with_capacitors_and_errors_reports_the_margin_of_its_own_drift() -> None:
    rng = np.random.default_rng(0)
    factor = 0.3 * rng.normal(size=(2, 4))
    device = IDEAL.override(programming_error=0.02, capacitor_mismatch=0.2, conductance_max_siemens=2e-4)
    programmed = ProgrammedDevice(device, circuit.Factor(factor, np.ones(4)), None, 0.2, generator=seeded())
    generator = seeded()
    full_scale = np.abs(factor).max()
    written = [
        values + 0.02 * full * torch.randn(values.shape, generator=generator, dtype=torch.float64).numpy()
        for values, full in ((factor, full_scale), (factor, full_scale), (np.eye(2), 1.0))
    ]
    rates = mismatch.node_rates(0.2, 0, torch.ones(4, dtype=torch.float64)).numpy()
    matrix = circuit.drift(written[0], written[1], 0.2, middle=written[2], capacitance=1.0 / rates)
    scale = min(1.0, 0.2 / full_scale) ** 2 * 0.2
    assert programmed.margin == pytest.approx(scale * np.linalg.eigvals(matrix).real.min(), rel=1e-9)


def test_beyond_the_dense_limit_the_slowest_mode_is_still_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mismatch, "LARGEST_DIAGONALISED", 4)
    unstable = 0
    for seed in range(40):
        first, last = separate(3, 12, seed, error=2.5)
        capacitance = np.clip(1.0 + 0.2 * np.random.default_rng(seed).normal(size=12), 0.05, None)
        exact = np.linalg.eigvals(circuit.drift(first, last, LAMBDA, capacitance=capacitance)).real
        arrays, rates = held(first, last), torch.as_tensor(1.0 / capacitance)
        found = stability.modes(Shifted(arrays, LAMBDA), rates).real.min()
        if exact.min() < 0.0:
            unstable += 1
            assert float(found) == pytest.approx(exact.min(), rel=1e-8)
        else:
            assert float(found) == pytest.approx(exact.min(), abs=LAMBDA * float(rates.max() - rates.min()))
    assert 5 <= unstable <= 35


@pytest.mark.parametrize(
    "fields",
    [
        {"amplifier_gain": 1e3},
        {"amplifier_bandwidth_hz": 1e7},
        {"temperature_kelvin": 300.0, "row_sum_noise": True},
    ],
)
@pytest.mark.parametrize("damping", [1e-8, 0.0])
def test_one_array_for_both_directions_is_never_called_unstable(
    fields: dict[str, object], damping: float
) -> None:
    """In single precision rounding of J Jᵀ is far above λ = 10⁻⁸, to which a damping rule may go."""
    device = IDEAL.override(shared_array=True, hessian_array=False, **fields)
    for seed in range(5):
        factor = np.random.default_rng(seed).normal(size=(20, 60))
        mixed = np.random.default_rng(seed + 100).normal(size=(10, 10))
        factor[10:] = mixed @ factor[:10]  # rows that depend on each other, as those of softmax do
        operator = circuit.Factor(factor, np.ones(60), torch.float32)
        programmed = ProgrammedDevice(device, operator, None, damping, generator=seeded())
        assert programmed.margin == pytest.approx(damping, rel=1e-9)


def test_errors_as_large_as_the_damping_are_judged_by_the_arrays_and_not_by_their_precision() -> None:
    for seed in range(10):
        first, last = (part.astype(np.float32) for part in separate(6, 40, seed, error=0.2))
        expected = np.linalg.eigvals(circuit.drift(first.astype(float), last.astype(float), 1e-8)).real.min()
        arrays = held(first, last)
        assert arrays.first.dtype == torch.float32
        assert float(stability.modes(Shifted(arrays, 1e-8)).real.min()) == pytest.approx(expected, abs=1e-12)
