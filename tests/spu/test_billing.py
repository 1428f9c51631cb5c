"""The ledger's closed forms: items, factored upload, ensembles, overlap, energy and break-even."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tngd_bench.layers import Layer
from tngd_bench.spu import Device
from tngd_bench.spu.analog_settings import AnalogSettings
from tngd_bench.spu.billing import (
    PRICED_BY,
    Workload,
    array_words,
    break_even_link_rate,
    energy,
    latency,
    link_bits,
)

PAPER = Device.preset("paper")
N, M, BATCH, T = 20_000, 640, 64, 50.0
LAYERS = ((784, 24, 1), (24, 10, 1))


def test_factored_upload_sends_both_ends_of_layers() -> None:
    device = PAPER.override(upload="factored", hessian_array=False)
    work = Workload(N, M, layers=LAYERS, batch_size=BATCH)
    assert array_words(device, work) == M * (24 + 10) + BATCH * (784 + 24)
    ledger = device.latency(N, M, T, layers=LAYERS, batch_size=BATCH)
    assert ledger.items["write_arrays"] == pytest.approx((M * 34 + BATCH * 808) * 16 / 50e9)
    assert array_words(device.override(hessian_array=True), work) == M * 34 + BATCH * 808 + M * M
    convolution = Workload(N, M, layers=((9, 8, 676),), batch_size=BATCH)
    assert array_words(device, convolution) == 676 * (M * 8 + BATCH * 9)
    with pytest.raises(ValueError, match="layers and batch_size must be given with upload='factored'"):
        device.latency(N, M, T)


@given(
    layers=st.lists(
        st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4
    ),
    m=st.integers(1, 50),
    batch=st.integers(1, 9),
    copies=st.integers(1, 5),
    hessian=st.booleans(),
)
def test_values_of_the_factored_upload_one_by_one(
    layers: list[tuple[int, int, int]], m: int, batch: int, copies: int, hessian: bool
) -> None:
    """Each row has a g at each output of each position, each sample an a at each input of each position."""
    sent = sum(1 for _, d_out, positions in layers for _ in range(m * d_out * positions))
    sent += sum(1 for d_in, _, positions in layers for _ in range(batch * d_in * positions))
    sent += m * m if hessian else 0
    device = PAPER.override(upload="factored", hessian_array=hessian)
    work = Workload.of(
        N, m, T, layers=tuple(Layer(*layer) for layer in layers), batch_size=batch, ensemble=copies
    )
    items = latency(device, work).items
    assert items["write_arrays"] == pytest.approx(copies * sent * 16 / 50e9)


def test_shared_arrays_and_wires_save_their_cells() -> None:
    assert PAPER.override(shared_array=True).cells(N, M) == M * (M + N)
    assert PAPER.override(hessian_array=False).cells(N, M) == 2 * M * N
    assert PAPER.override(shared_array=True, hessian_array=False).cells(N, M) == M * N


@pytest.mark.parametrize(("parallel", "steps"), [("array", 3), ("row", 3 * M), ("cell", M * (M + 2 * N))])
def test_cells_are_written_an_array_a_row_or_one_at_a_time(parallel: str, steps: int) -> None:
    device = PAPER.override(cell_write_time_s=1e-7, write_parallel=parallel)
    assert device.latency(N, M, T).items["write_cells"] == pytest.approx(steps * 1e-7)


def test_a_price_of_nothing_is_not_a_missing_price() -> None:
    """By hand: 16 bits at 50 Gb/s are 0.32 ns a word; N = 1,000 and m = 10 make 10 (10 + 2,000) cells; 5 τ = 5 µs."""
    free = PAPER.latency(1_000, 10, 5.0)
    linked = {"write_gradient": 0.32e-6, "write_arrays": 20_100 * 0.32e-9, "read": 0.32e-6, "relax": 5e-6}
    for name, seconds in linked.items():
        assert free.items[name] == pytest.approx(seconds, rel=1e-12)
    assert {name: free.items[name] for name in set(free.items) - set(linked)} == {
        "write_cells": 0.0,
        "write_convert": 0.0,
        "read_convert": 0.0,
    }
    assert free.total == free.at_least == pytest.approx(12.072e-6, rel=1e-12)
    unpriced = PAPER.override(cell_write_time_s=None, adc_rate_hz=None).latency(1_000, 10, 5.0)
    assert unpriced.not_stated == ("write_cells", "read_convert")
    assert (unpriced.write, unpriced.read, unpriced.total) == (None, None, None)
    assert unpriced.at_least == free.at_least


def test_each_refinement_is_billed_a_right_hand_side_a_relaxation_and_a_readout() -> None:
    """By hand: N = 1,000 at 16 bits and 50 Gb/s are 0.32 µs a vector; 5 τ = 5 µs; a conversion takes 1 µs."""
    device = PAPER.override(
        dac_rate_hz=1e6, adc_rate_hz=1e6, dac_energy_j=1e-12, adc_energy_j=2e-12, link_energy_j_per_bit=1e-12
    )
    options: dict[str, Any] = {"samples": 2, "spacing": 3.0}
    plain = device.latency(1_000, 10, 5.0, start="zero", **options).items
    refined = device.latency(1_000, 10, 5.0, start="zero", refinements=3, **options).items
    of_rounds = {
        "write_gradient": 4 * 0.32e-6,
        "write_convert": 4e-6,
        "relax": 4 * 5e-6,
        "relax_average": 4 * 3e-6,
        "read_convert": 8e-6,
        "read": 4 * 0.32e-6,
    }
    for name, seconds in of_rounds.items():
        assert refined[name] == pytest.approx(seconds, rel=1e-12), name
    assert {name: refined[name] for name in refined.keys() - of_rounds} == {
        name: plain[name] for name in plain.keys() - of_rounds
    }
    joules = device.energy(1_000, 10, 5.0, start="zero", refinements=3, **options).items
    assert joules["write_gradient"] == joules["read"] == pytest.approx(4 * 16e-9, rel=1e-12)
    assert joules["write_convert"] == pytest.approx(4e-9, rel=1e-12)
    assert joules["read_convert"] == pytest.approx(16e-9, rel=1e-12)
    carried = device.latency(1_000, 10, 5.0, refinements=3, **options).items
    assert carried["write_state"] == pytest.approx(0.32e-6, rel=1e-12)
    assert carried["write_convert"] == pytest.approx(5e-6, rel=1e-12)
    words = link_bits(device, Workload.of(1_000, 10, 5.0, refinements=3, start="zero")) / 16
    assert words == 20_100 + 8 * 1_000


def test_a_break_even_rate_without_every_price_is_a_lower_bound() -> None:
    """By hand: with 0.01 ms of cell writing 0.5 ms are left of 0.56 ms for the link, 0.51 ms if it is not stated."""
    work = Workload(N, M)
    bits = 16 * (26_009_600 + 2 * N)
    stated = PAPER.override(
        cell_write_time_s=1e-5, write_parallel="array", shared_array=True, hessian_array=False
    )
    cells = 16 * (M * N + 2 * N)
    assert break_even_link_rate(stated, work, 0.56e-3) == pytest.approx(cells / 0.5e-3)
    unpriced = stated.override(cell_write_time_s=None)
    assert break_even_link_rate(unpriced, work, 0.56e-3) == pytest.approx(cells / 0.51e-3)
    assert break_even_link_rate(unpriced, work, 49e-6) is None  # shorter than the relaxation alone
    assert break_even_link_rate(PAPER, work, 0.55e-3) == pytest.approx(bits / 0.5e-3)


@pytest.mark.parametrize(
    ("name", "unstated"),
    [
        ("ideal", ()),
        ("paper", ()),
        ("unlimited-link", ()),
        ("board", ("write_cells", "relax_slowdown")),
        ("sram-mdac", ("write_cells", "write_convert")),
        ("rram", ("write_convert", "relax_slowdown")),
        ("pcm", ("write_cells", "write_convert", "relax_slowdown")),
    ],
)
def test_each_preset_names_the_times_it_does_not_state(name: str, unstated: tuple[str, ...]) -> None:
    ledger = Device.preset(name).latency(N, M, T)
    assert ledger.not_stated == unstated
    assert (ledger.total is None) == bool(unstated)
    known = [value for value in ledger.items.values() if value is not None]
    assert ledger.at_least == pytest.approx(sum(known))


def test_converters_take_turns() -> None:
    device = PAPER.override(adc_rate_hz=1e6, dac_rate_hz=2e6, nodes_per_converter=100)
    ledger = device.latency(N, M, T, samples=4, spacing=2.0)
    assert ledger.items["read_convert"] == pytest.approx(4 * 100e-6)
    assert ledger.items["write_convert"] == pytest.approx(50e-6)
    assert ledger.items["relax_average"] == pytest.approx(6e-6)
    assert ledger.read == pytest.approx(4e-4 + 6.4e-6)
    assert ledger.total == pytest.approx(sum(v for v in ledger.items.values() if v is not None))


@given(k=st.integers(1, 50))
def test_each_programming_of_an_ensemble_is_billed(k: int) -> None:
    once, often = PAPER.latency(N, M, T), PAPER.latency(N, M, T, ensemble=k, start="zero")
    for name, value in once.items.items():
        assert often.items[name] == pytest.approx(k * value)  # type: ignore[operator]


@given(k=st.integers(2, 50), n=st.integers(1, 10**6))
def test_an_ensemble_that_starts_from_the_previous_state_writes_it_before_each_programming(
    k: int, n: int
) -> None:
    """By hand: N values of 16 bits at 50 Gb/s and N conversions on one converter a node, K times."""
    priced = PAPER.override(link_energy_j_per_bit=2e-12, dac_energy_j=3e-12, dac_rate_hz=1e6)
    starts = ("gradient", "previous")
    once, carried = (priced.latency(n, M, T, ensemble=k, start=start) for start in starts)
    assert "write_state" not in once.items
    assert carried.items["write_state"] == pytest.approx(k * n * 16 / 50e9)
    assert carried.items["write_convert"] == pytest.approx(2 * k * 1e-6)
    assert carried.total == pytest.approx(once.total + k * n * 16 / 50e9 + k * 1e-6)  # type: ignore[operator]
    joules = priced.energy(n, M, T, ensemble=k).items
    assert joules["write_state"] == pytest.approx(k * n * 16 * 2e-12)
    assert joules["write_convert"] == pytest.approx(2 * k * n * 3e-12)
    bits = [link_bits(priced, Workload.of(n, M, T, ensemble=k, start=start)) for start in starts]
    assert bits[1] - bits[0] == 16 * k * n
    # a single programming finds the state on its nodes
    assert priced.latency(n, M, T).items == priced.latency(n, M, T, start="gradient").items


@pytest.mark.parametrize("scale", [2.0, 1.0 + 1e-9, 0.0, -0.5])
def test_a_scale_that_no_conductance_range_gives_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="scale must be"):
        Workload(N, M, scale=scale)


def test_relaxation_slows_by_the_scale_of_the_arrays() -> None:
    assert PAPER.latency(N, M, T, scale=0.25).relax == pytest.approx(200e-6)


@given(scale=st.floats(1e-6, 1.0), delay=st.floats(0.0, T), digital=st.floats(0.0, 1.0))
def test_a_scale_that_the_data_set_is_not_billed_as_known(scale: float, delay: float, digital: float) -> None:
    limited = PAPER.override(conductance_max_siemens=1e-5, relax_power_watt=1.0)
    unknown = limited.latency(N, M, T, delay=delay)
    assert unknown.not_stated == ("relax_slowdown",)
    assert unknown.total is unknown.relax is unknown.elapsed(digital) is None
    known = limited.latency(N, M, T, delay=delay, scale=scale)
    assert known.total is not None
    assert unknown.at_least is not None
    assert unknown.at_least <= known.total * (1 + 1e-12)
    assert unknown.elapsed_at_least(digital) <= known.elapsed(digital) * (1 + 1e-12)  # type: ignore[operator]
    joules = limited.energy(N, M, T)
    assert (joules.items["relax"], joules.relax) == (pytest.approx(50e-6), None)
    assert PAPER.latency(N, M, T, delay=delay).not_stated == ()  # no range: A fits as it is


@pytest.mark.parametrize(("digital", "hidden"), [(0.0, 0.0), (1e-5, 1e-5), (2e-5, 2e-5), (1.0, 2e-5)])
def test_host_and_delayed_relaxation_overlap_at_most_by_the_delay(digital: float, hidden: float) -> None:
    ledger = PAPER.latency(N, M, T, delay=20.0)
    assert ledger.total == PAPER.latency(N, M, T).total
    elapsed = ledger.elapsed(digital)
    assert elapsed is not None
    assert ledger.total is not None
    assert elapsed == pytest.approx(ledger.total + digital - hidden)
    with pytest.raises(ValueError, match="delay must be <= analog_time = 50"):
        PAPER.latency(N, M, T, delay=51.0)


@given(
    digital=st.floats(0.0, 1e-2),
    slack=st.floats(1e-6, 1.0),
    analog=st.builds(AnalogSettings, delay=st.floats(0.0, 50.0))
    | st.builds(AnalogSettings, ensemble=st.integers(1, 8)),
)
def test_at_the_break_even_rate_both_take_equally_long(
    digital: float, slack: float, analog: AnalogSettings
) -> None:
    work = Workload(N, M, analog)
    floor = latency(PAPER.override(link_rate_bits_per_s=None), work)
    fixed = floor.elapsed(digital)
    assert fixed is not None
    competitor = fixed + slack
    rate = break_even_link_rate(PAPER, work, competitor, digital)
    assert rate is not None
    at_rate = PAPER.override(link_rate_bits_per_s=rate)
    ledger = latency(at_rate, work)
    assert ledger.elapsed(digital) == pytest.approx(competitor, rel=1e-9)
    assert break_even_link_rate(PAPER, work, fixed * (1 - 1e-9), digital) is None


@given(
    parallel=st.sampled_from(["array", "row", "cell"]),
    upload=st.sampled_from(["full", "factored"]),
    shared=st.booleans(),
    widths=st.lists(st.tuples(st.integers(1, 99), st.integers(1, 99)), min_size=1, max_size=5),
)
def test_devices_of_layers_add_their_writes_and_relax_at_once(
    parallel: str, upload: str, shared: bool, widths: list[tuple[int, int]]
) -> None:
    """The bills of devices that each hold one layer, in full; they convert and relax beside one another."""
    device = PAPER.override(
        upload=upload, shared_array=shared, cell_write_time_s=1e-7, write_parallel=parallel, dac_rate_hz=1e6,
        adc_rate_hz=2e6, cell_write_energy_j=1e-11, link_energy_j_per_bit=2e-12, dac_energy_j=3e-12,
        adc_energy_j=4e-12, relax_power_watt=0.5,
    )  # fmt: skip
    layers = tuple(Layer(d_in, d_out) for d_in, d_out in widths)
    sizes = [layer.weights + layer.d_out for layer in layers]
    analog = AnalogSettings(T, scope="layer", ensemble=2, samples=2)
    whole = Workload(sum(sizes), M, analog, layers=layers, batch_size=BATCH)
    alone = [
        Workload(n, M, analog, layers=(layer,), batch_size=BATCH)
        for n, layer in zip(sizes, layers, strict=True)
    ]
    for bill in (latency, energy):
        for name, value in bill(device, whole).items.items():
            bills: list[Any] = [bill(device, each).items[name] for each in alone]
            beside = name.startswith("relax") or (bill is latency and name.endswith("convert"))
            assert value == pytest.approx(max(bills) if beside else sum(bills))
    one_more = dataclasses.replace(whole, modules=len(layers) + 1)
    assert link_bits(device, one_more) - link_bits(device, whole) == 2 * 16 * M * M  # of both programmings


@given(
    scope=st.sampled_from(["model", "layer"]),
    upload=st.sampled_from(["full", "factored"]),
    widths=st.lists(st.tuples(st.integers(1, 99), st.integers(1, 99), st.booleans()), min_size=1, max_size=5),
)
def test_layers_that_are_not_trained_are_not_billed(
    scope: str, upload: str, widths: list[tuple[int, int, bool]]
) -> None:
    """They have no array, and neither of their ends is sent."""
    layers = tuple(Layer(d_in, d_out, 3, trained=trained) for d_in, d_out, trained in (*widths, (5, 4, True)))
    trained = tuple(layer for layer in layers if layer.trained)
    device, analog = PAPER.override(upload=upload), AnalogSettings(T, scope=scope)
    size = sum(layer.parameters for layer in trained)
    all_of_them = Workload(size, M, analog, layers=layers, batch_size=BATCH)
    alone = Workload(size, M, analog, layers=trained, batch_size=BATCH)
    for bill in (latency, energy):
        assert bill(device, all_of_them).items == bill(device, alone).items
    assert link_bits(device, all_of_them) == link_bits(device, alone)


def test_devices_of_layers_need_to_be_counted() -> None:
    with pytest.raises(ValueError, match="layers or modules must be given with scope='layer'"):
        PAPER.latency(N, M, T, scope="layer")
    assert PAPER.latency(N, M, T, scope="layer", modules=1).items == PAPER.latency(N, M, T).items


def test_bits_on_the_link_are_those_of_the_worked_example() -> None:
    assert link_bits(PAPER, Workload(N, M)) == 16 * (26_009_600 + 2 * N)


def test_energy_has_a_figure_where_a_price_is_known_and_none_where_not() -> None:
    device = PAPER.override(
        link_energy_j_per_bit=5e-12, adc_energy_j=1e-11, cell_write_energy_j=1e-11, cell_write_time_s=1e-7
    )
    ledger = device.energy(N, M, T, samples=3, ensemble=2)
    assert ledger.items["write_arrays"] == pytest.approx(2 * 26_009_600 * 16 * 5e-12)
    assert ledger.items["read_convert"] == pytest.approx(2 * 3 * N * 1e-11)
    assert ledger.items["write_cells"] == pytest.approx(2 * 26_009_600 * 1e-11)
    assert ledger.items["relax"] is None
    assert ledger.relax is None
    assert ledger.total is None
    priced = device.override(relax_power_watt=2.0, dac_energy_j=1e-12)
    assert set(priced.energy(N, M, T).items) == set(priced.latency(N, M, T).items)
    assert priced.energy(N, M, T).items["relax"] == pytest.approx(2.0 * 50e-6)
    total = priced.energy(N, M, T).total
    assert total == pytest.approx(sum(v for v in priced.energy(N, M, T).items.values() if v is not None))


def test_each_item_of_the_energy_follows_the_price_that_it_is_said_to():
    work = Workload.of(100, 8, 5.0, ensemble=2, samples=2, spacing=1.0)
    prices = dict.fromkeys(PRICED_BY.values(), 1e-9)
    device = Device.preset("paper").override(**prices, calibration_time_s=0.0)
    before = energy(device, work).items
    for field in set(PRICED_BY.values()):
        after = energy(device.override(**{field: 2e-9}), work).items
        assert {name for name in before if after[name] != before[name]} == {
            name for name in before if PRICED_BY[name] == field
        }


@given(n=st.integers(1, 300), nodes=st.integers(1, 300), layers=st.integers(1, 4))
def test_a_converter_serves_no_more_nodes_than_there_are(n: int, nodes: int, layers: int) -> None:
    """By hand: ⌈N/c⌉ converters share N nodes, c or fewer each, and the busiest takes min(c, N) turns of 1 µs."""
    device = PAPER.override(adc_rate_hz=1e6, dac_rate_hz=1e6, nodes_per_converter=nodes)
    busiest = max(len(range(first, min(first + nodes, n))) for first in range(0, n, nodes))
    items = device.latency(n, 2, T).items
    assert items["read_convert"] == items["write_convert"] == pytest.approx(busiest * 1e-6)
    by_layer = device.latency(layers * n, 2, T, scope="layer", modules=layers).items
    assert by_layer["read_convert"] == pytest.approx(busiest * 1e-6)
