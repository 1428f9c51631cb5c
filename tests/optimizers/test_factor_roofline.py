"""Thermodynamic K-FAC beside K-FAC by formula: break-even copies, links and widths against direct comparison."""

from __future__ import annotations

import pytest

from tngd_bench.layers import Layer
from tngd_bench.optimizers.costs import cost_of, host_cost_of
from tngd_bench.optimizers.factor_roofline import WIDTHS, FactorQuestion
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.spu.device import Device
from tngd_bench.spu.processor import Processor

LAYERS = (Layer(4096, 4096),) * 2
FAST = Device.preset("unlimited-link")


def question(device: Device, processor: str | None = "a100") -> FactorQuestion:
    return FactorQuestion(device, processor and Processor.named(processor), 256, 10, 50.0)  # type: ignore[arg-type]


def seconds(name: str, processor: str = "a100") -> float:
    n = 2 * (4096 * 4096 + 4096)
    it = Iteration(n, 2560, 256, 10, LAYERS)
    cost = host_cost_of(name, it) if name == "tkfac" else cost_of(name, it)
    return Processor.named(processor).seconds(cost.flops, cost.bytes)


def test_the_rows_are_the_bill_and_the_rated_times_by_hand() -> None:
    """Two layers, 4,097 rows under A′ of the transposed and 4,096 under Γ′: (256 + 257)·50 µs with 16 copies, each."""
    found = question(FAST).predict(LAYERS, copies=(16,))
    assert found.host_seconds == pytest.approx(seconds("tkfac"))
    assert found.digital_seconds == pytest.approx(seconds("kfac"))
    (row,) = found.rows
    assert row.seconds.relax == pytest.approx(2 * (256 + 257) * 50e-6)
    assert row.iteration_seconds == pytest.approx(seconds("tkfac") + 2 * 513 * 50e-6)
    assert found.refresh_interval == 100


def test_the_least_number_of_copies_and_width_are_where_the_device_gets_ahead() -> None:
    asked = question(FAST)
    found = asked.predict(LAYERS)
    assert found.break_even_copies is not None
    assert found.digital_seconds is not None
    few, enough = (
        asked.predict(LAYERS, copies=(found.break_even_copies + k,)).rows[0].iteration_seconds
        for k in (-1, 0)
    )
    assert few is not None
    assert enough is not None
    assert few > found.digital_seconds >= enough
    width = asked.break_even_width(2, 256)
    assert width is not None

    def ahead(order: int) -> bool:
        one = asked.predict((Layer(order, order),) * 2, copies=(256,))
        assert one.digital_seconds is not None
        assert one.rows[0].iteration_seconds is not None
        return one.rows[0].iteration_seconds < one.digital_seconds

    assert ahead(width)
    assert not ahead(WIDTHS[WIDTHS.index(width) - 1])


def test_at_the_break_even_rate_both_take_equally_long() -> None:
    (row,) = question(FAST).predict(LAYERS, copies=(4096,)).rows
    assert row.break_even_bits_per_s is not None
    linked = question(FAST.override(link_rate_bits_per_s=row.break_even_bits_per_s)).predict(LAYERS, (4096,))
    assert linked.rows[0].iteration_seconds == pytest.approx(linked.digital_seconds)


def test_without_a_processor_or_its_memory_there_is_no_digital_time() -> None:
    for found in (question(FAST, None).predict(LAYERS), question(FAST).predict((Layer(10**6, 10**6),))):
        assert found.digital_seconds is None
        assert found.break_even_copies is None
        assert all(row.iteration_seconds is None and row.break_even_width is None for row in found.rows)
