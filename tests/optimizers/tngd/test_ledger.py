"""TNGD's ledger: the device's bill for the step that was taken."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.optimizers.tngd.small_network import LOSS, batches, model
from tngd_bench.curvature import GGN
from tngd_bench.optimizers import TNGD
from tngd_bench.spu import Device


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
