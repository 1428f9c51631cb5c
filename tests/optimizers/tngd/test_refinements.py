"""Refinements of TNGD: in training, resumed, refused where they diverge, on the host and in predictions."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests import oracles
from tngd_bench.measure.host_time import HostSide, host_side
from tngd_bench.measure.operations import count_operations
from tngd_bench.optimizers import NGD, TNGD, DivergedError, registry
from tngd_bench.optimizers.costs import host_cost_of, predicted_cost
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.optimizers.roofline import predict
from tngd_bench.spu import Device
from tngd_bench.spu.analog_settings import AnalogSettings

LOSS = nn.CrossEntropyLoss()
WIDTHS = ((64, 30, 1), (30, 10, 1))
LAYERS = tuple(WIDTHS)


def model(dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 30), nn.Tanh(), nn.Linear(30, 10)).to(dtype)


def batch(seed: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(8, 64, dtype=dtype, generator=generator), torch.randint(
        0, 10, (8,), generator=generator
    )


def tngd(**settings: Any) -> TNGD:
    given = {"lr": 0.1, "damping": 0.1, "start": "zero"} | settings
    return TNGD(model(), LOSS, generator=torch.Generator().manual_seed(0), **given)  # type: ignore[arg-type]


def test_an_imprecise_device_takes_the_steps_of_exact_ngd() -> None:
    device = Device.ideal().override(programming_error=0.003, adc_bits=8, dac_bits=8)
    ours, exact = tngd(device=device, refinements=8, analog_time=200.0), NGD(model(), LOSS, 0.1, 0.1)
    for number in range(3):
        ours.step(*batch(number))
        exact.step(*batch(number))
        assert ours.natural_gradient is not None
        assert oracles.relative_error(ours.natural_gradient, exact.natural_gradient) < 1e-4
        assert len(ours.residuals) == 9
        assert ours.residuals[-1] < 1e-4


def test_none_is_what_it_was() -> None:
    plain, zero = tngd(device="rram"), tngd(device="rram", refinements=0)
    for number in range(2):
        plain.step(*batch(number))
        zero.step(*batch(number))
    assert torch.equal(plain.natural_gradient, zero.natural_gradient)  # type: ignore[arg-type]
    assert zero.residuals == ()


def test_a_diverging_refinement_ends_the_step_with_the_parameters_untouched() -> None:
    device = Device.ideal().override(programming_error=0.2, shared_array=True, hessian_array=False)
    optimizer = tngd(device=device, refinements=4, analog_time=1e4)
    before = [p.detach().clone() for p in optimizer.parameters.tensors]
    with pytest.raises(DivergedError, match=r"refinement fails: .* \(iteration 0\)"):
        optimizer.step(*batch(0))
    assert all(torch.equal(p, kept) for p, kept in zip(optimizer.parameters.tensors, before, strict=True))


def test_a_resumed_run_gives_the_same_bits() -> None:
    settings = {"device": Device.ideal().override(programming_error=0.002, dac_bits=8), "start": "previous"}
    settings |= {"refinements": 2, "noise_variance": 1e-9}
    optimizer, resumed = tngd(**settings), tngd(**settings)
    optimizer.step(*batch(1))
    resumed.model.load_state_dict(optimizer.model.state_dict())
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for each in (optimizer, resumed):
        each.step(*batch(2))
    assert torch.equal(optimizer.natural_gradient, resumed.natural_gradient)  # type: ignore[arg-type]


def test_the_host_makes_a_product_each_and_predictions_have_them() -> None:
    network = model(torch.float32)
    host = HostSide(network, LOSS, *batch(0, torch.float32), 10, "factored").operations().flops
    optimizer = TNGD(network, LOSS, refinements=3, ensemble=2)
    side = host_side(optimizer, network, LOSS, batch(0, torch.float32), 10)
    assert isinstance(side, HostSide)
    assert side.products == optimizer.host_products == 6
    it = Iteration(sum(p.numel() for p in network.parameters()), 80, 8, 10, LAYERS)
    settings = {"refinements": 3, "ensemble": 2}
    more = (
        host_cost_of("tngd", it, "factored", settings=settings).flops
        - host_cost_of("tngd", it, "factored").flops
    )
    with_products = count_operations(lambda: side.run()).flops
    # rows are made for them that a factored upload leaves to the device
    assert with_products - host == pytest.approx(more, rel=0.35)


@pytest.mark.parametrize("device", ["ideal", "rram"])
def test_operations_of_a_simulated_step_are_predicted(device: str) -> None:
    network = model(torch.float32)
    found, predicted = {}, {}
    for rounds in (0, 1, 4):
        settings = {"device": device, "refinements": rounds, "start": "zero", "lr": 1e-6, "damping": 10.0}
        optimizer = registry.get("tngd").create(network, LOSS, settings, torch.Generator().manual_seed(0))
        optimizer.step(*batch(0, torch.float32))
        optimizer.verification.paused = True  # type: ignore[attr-defined]
        found[rounds] = count_operations(lambda made=optimizer: made.step(*batch(0, torch.float32))).flops  # type: ignore[misc]
        predicted[rounds] = predicted_cost(
            "tngd", parameters=2260, rows=80, batch_size=8, outputs=10, layers=LAYERS, settings=settings,
            device=Device.preset(device),
        ).flops  # fmt: skip
    # products and relaxations of a round; the eigendecomposition, which no counter sees, is in all alike
    assert predicted[4] - predicted[1] == pytest.approx(found[4] - found[1], rel=0.1)


def test_predict_bills_each_round_and_gives_its_products_to_the_host() -> None:
    size: dict[str, Any] = {"batch_size": 32, "outputs": 10, "parameters": 20_000}
    plain, refined = (
        predict(Device.preset("paper"), analog=AnalogSettings(refinements=k, start="zero"), **size)
        for k in (0, 4)
    )
    for name in ("write_gradient", "relax", "read"):
        assert refined.seconds.items[name] == pytest.approx(5 * plain.seconds.items[name], rel=1e-12)  # type: ignore[operator]
    assert refined.host.flops > plain.host.flops
    assert refined.host.bytes > plain.host.bytes
