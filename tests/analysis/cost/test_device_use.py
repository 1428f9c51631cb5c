"""The bill of a device as a study used it, for rows of J and for Kronecker factors."""

from __future__ import annotations

import pytest

from tngd_bench.analysis.cost.device_use import FactorUse, device_use
from tngd_bench.layers import Layer
from tngd_bench.optimizers import registry
from tngd_bench.optimizers.factor_roofline import factors_of
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.optimizers.network_size import Model
from tngd_bench.optimizers.roofline import predict
from tngd_bench.spu import Device, billing
from tngd_bench.spu.analog_settings import AnalogSettings
from tngd_bench.spu.kronecker import billing as kronecker
from tngd_bench.spu.processor import Processor

LAYERS = (Layer(64, 20), Layer(20, 10))
SIZE = (1510, 32, 10, LAYERS)


@pytest.mark.parametrize("name", ["tngd", "tkfac"])
def test_the_bill_is_that_of_what_the_arrays_hold(name: str) -> None:
    settings = dict(registry.get(name).defaults)
    if name == "tkfac":
        settings |= {"copies": 4, "inverse_interval": 20}
    use = device_use("paper", settings)
    assert use is not None
    paper = Device.preset("paper")
    if name == "tkfac":
        work = kronecker.KroneckerWorkload(kronecker.FactorShape.of(LAYERS), 50.0, 4, 20)
        assert isinstance(use, FactorUse)
        assert use.bill(*SIZE) == kronecker.latency(paper, work)
        assert use.joules(*SIZE) == kronecker.energy(paper, work)
        # by hand: 4 (65·20 + 21·10) numbers, and (65² + 20² + 21² + 10²)/20 of the arrays
        assert use.words(*SIZE) == 4 * 1510 + 5166 / 20
    else:
        rows = billing.Workload(1510, 320, layers=LAYERS, batch_size=32)
        assert use.bill(*SIZE) == billing.latency(paper, rows)
        assert use.joules(*SIZE) == billing.energy(paper, rows)
        assert use.words(*SIZE) == 320 * (320 + 2 * 1510) + 2 * 1510
    assert use.not_stated == ()


@pytest.mark.parametrize("refinements", [0, 2])
def test_the_host_at_rated_speed_is_that_of_a_prediction(refinements: int) -> None:
    h100, it = Processor.named("h100"), Iteration(1510, 320, 32, 10, LAYERS)
    predicted = predict(
        Device.preset("paper"),
        model=Model(1510, LAYERS, ""),
        batch_size=32,
        outputs=10,
        processor=h100,
        analog=AnalogSettings(refinements=refinements),
    )
    factors = factors_of(predicted)
    assert factors is not None
    for name, seconds in (("tngd", predicted.host_seconds), ("tkfac", factors.host_seconds)):
        use = device_use("paper", {**registry.get(name).defaults, "refinements": refinements})
        assert use is not None
        assert use.rated_host_seconds(it, h100, "full") == pytest.approx(seconds)
