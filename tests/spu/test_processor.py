"""Digital processors: every number has a source, a rate goes by its precision, and a step has lower bounds."""

from __future__ import annotations

import dataclasses

import pytest

from tngd_bench.spu.processor import NUMBER_BYTES, Processor
from tngd_bench.spu.sources import GRADES


@pytest.mark.parametrize("name", Processor.names())
def test_every_number_has_a_source(name: str) -> None:
    processor = Processor.named(name)
    numbers = {
        field.name
        for field in dataclasses.fields(processor)
        if isinstance(getattr(processor, field.name), float)
    }
    assert set(processor.sources) == numbers | set(processor.rates)
    assert all(source.grade in GRADES and source.source for source in processor.sources.values())


def test_times_are_the_longest_of_the_limits() -> None:
    processor = Processor.named("h100")
    assert processor.seconds(66.9e12, 0.0) == pytest.approx(1.0)
    assert processor.seconds(0.0, 2 * 3.35e12) == pytest.approx(2.0)
    assert processor.seconds(0.0, 0.0) == processor.launch_s
    assert Processor.named("h100", "bf16").seconds(989e12, 0.0) == pytest.approx(1.0)
    assert "launch" not in Processor.named("epyc-7763").limits(1.0, 1.0)


def test_a_rate_of_ones_own_has_no_source_and_replaces_one() -> None:
    own = Processor.named("a100", "tf32", 1e14)
    assert own.flops_per_s == 1e14
    assert "tf32" not in own.sources
    assert "fp32" in own.sources
    assert Processor.named("a100", "tf32").flops_per_s == 156e12


@pytest.mark.parametrize("precision", sorted(NUMBER_BYTES))
def test_a_precision_without_a_rate_asks_for_one(precision: str) -> None:
    assert Processor.named("epyc-7763", precision, 1e12).itemsize == NUMBER_BYTES[precision]
    if precision != "fp32":
        with pytest.raises(
            ValueError, match=rf"no {precision} rate of AMD EPYC 7763 is known \(known: fp32\)"
        ):
            Processor.named("epyc-7763", precision)


@pytest.mark.parametrize("flops", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_must_be_a_positive_number(flops: float) -> None:
    with pytest.raises(ValueError, match="flops must be a finite number > 0"):
        Processor.named("a100", "fp32", flops)


def test_memory_that_is_missing() -> None:
    processor = Processor.named("a100")
    assert processor.missing_bytes(80e9) == 0.0
    assert processor.missing_bytes(81e9) == pytest.approx(1e9)
    assert dataclasses.replace(processor, memory_bytes=None).missing_bytes(1e30) == 0.0
