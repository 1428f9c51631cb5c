"""The cost of programmed arrays is that of the route which their simulation takes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tngd_bench.optimizers import TNGD
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.optimizers.tngd.array_costs import array_cost
from tngd_bench.solvers.cg_iterations import CGIterations
from tngd_bench.spu import Device

IT = Iteration(31, 12, 4, 3, None, CGIterations())


@pytest.mark.parametrize("ensemble", [1, 2])
@pytest.mark.parametrize(
    "fields",
    [
        {"array_bits": 5},
        {"array_bits": 5, "shared_array": True},
        {"programming_error": 0.01},
        {"programming_error": 0.01, "shared_array": True, "hessian_array": False},
        {"amplifier_gain": 1e5},
        {"stuck_off": 0.1},
        {"array_bits": 5, "cells_per_value": 2},
        {"wire_ohm": 0.1, "cells_per_value": 2},
        {"wire_ohm": 0.1, "cells_per_value": 2, "hessian_array": False},
        {"amplifier_noise_v_per_rthz": 1e-9},
        {"amplifier_bandwidth_hz": 1e9, "lagging_stages": "all"},
    ],
    ids=str,
)
def test_functions_of_a_gram_matrix_are_priced_where_the_device_takes_them(
    fields: dict[str, object], ensemble: int
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))
    device = Device.ideal().override(**fields)
    optimizer = TNGD(model, nn.CrossEntropyLoss(), damping=1.0, device=device, ensemble=ensemble)
    optimizer.step(torch.randn(4, 3), torch.randint(0, 3, (4,)))
    cost = array_cost(IT, device, ensemble)
    assert cost.spectral is (optimizer.method == "gram")
    cells = IT.rows * IT.parameters
    assert cost.values == (cells if cost.spectral or device.shared_array else 2 * cells)
