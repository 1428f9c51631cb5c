"""Cells, tiles, amplifiers and converters of a device against tiles cut one by one, and by hand."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tngd_bench.layers import Layer
from tngd_bench.spu import Device
from tngd_bench.spu.billing import Workload, arrays_of, energy, latency, parts_of
from tngd_bench.spu.parts import Array, Parts

IDEAL = Device.ideal()
CHIP = IDEAL.override(
    tile_rows=256, tile_columns=256, cells_per_value=2, cell_write_time_s=1e-6, cell_write_energy_j=1e-12
)
N, M = 20_000, 640
WORK = Workload.of(N, M, 50.0)


def cut(total: int, most: int) -> list[int]:
    """Sizes of the pieces of a row of `total` values, each as large as fits."""
    pieces = []
    while total:
        pieces.append(min(most, total))
        total -= pieces[-1]
    return pieces


@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    tile=st.tuples(st.integers(1, 30), st.integers(2, 30)),
    pairs=st.booleans(),
    digital=st.booleans(),
    both=st.booleans(),
    most=st.none() | st.integers(1, 20),
)
def test_tiles_cut_one_by_one(
    rows: int,
    columns: int,
    tile: tuple[int, int],
    pairs: bool,
    digital: bool,
    both: bool,
    most: int | None,
) -> None:
    cells = 1 + pairs
    device = IDEAL.override(
        tile_rows=tile[0], tile_columns=tile[1], cells_per_value=cells,
        partial_sums_per_tau=10.0 if digital else None, adc_energy_j=1.0, dac_energy_j=0.0, partial_sum_energy_j=0.0,
        converters_per_tile=most,
    )  # fmt: skip
    array = Array(rows, columns, by_columns=both)
    pieces = list(itertools.product(cut(rows, tile[0]), cut(columns, tile[1] // cells)))
    assert array.tiles(device) == len(pieces)
    assert sum(high * wide for high, wide in pieces) == rows * columns
    used = [high for high, _ in pieces] + ([wide for _, wide in pieces] if both else [])
    outputs = rows + (columns if both else 0)
    assert array.amplifiers(device) == (sum(used) if digital else outputs)
    across, down = columns > tile[1] // cells, rows > tile[0]
    used_on_tiles = [max(high * across, wide * (both and down)) for high, wide in pieces]
    kept = [min(used, most or used) for used in used_on_tiles] if digital else []
    assert array.tile_converters(device) == 2 * sum(kept)
    if digital:
        sums = sum(high for high, _ in pieces if columns > tile[1] // cells)
        sums += sum(wide for _, wide in pieces if both and rows > tile[0])
        assert array.sum_j(device) == pytest.approx(sums)
    for parallel, steps in (
        ("array", 1),
        ("cell", min(tile[0], rows) * min(tile[1] // cells, columns) * cells),
    ):
        written = device.override(write_parallel=parallel)
        assert array.write_steps(written) == len(pieces) * steps
        assert array.write_steps(written.override(tiles_written_at_once=3)) == -(-len(pieces) // 3) * steps


def test_a_chip_by_hand() -> None:
    """640 × 20,000 signed values in pairs on tiles of 256 × 256 cells: 3 × 157 tiles, the middle array 3 × 5."""
    parts = parts_of(CHIP, WORK)
    assert parts == Parts(
        cells=2 * M * (M + 2 * N),
        tiles=2 * 3 * 157 + 3 * 5,
        amplifiers=M + M + N,
        converters=2 * N,
        area_m2=None,
        worn_out_after=None,
    )
    seconds, joules = latency(CHIP, WORK).items, energy(CHIP, WORK).items
    assert seconds["write_cells"] == pytest.approx((2 * 471 + 15) * 256 * 1e-6)
    assert joules["write_cells"] == pytest.approx(2 * M * (M + 2 * N) * 1e-12)
    faster = latency(CHIP.override(tiles_written_at_once=157), WORK).items
    assert faster["write_cells"] == pytest.approx((3 + 1 + 3) * 256 * 1e-6)
    # what is sent are values, however many cells hold them
    assert seconds["write_arrays"] == latency(IDEAL, WORK).items["write_arrays"]


def test_unused_outputs_have_neither_amplifiers_nor_converters() -> None:
    """With a converter an output, a tile has as many pairs of converters as amplifiers, at the edge too."""
    device = CHIP.override(partial_sums_per_tau=2.0)
    parts = parts_of(device, WORK)
    assert parts.amplifiers == M * 157 + M * 5 + N * 3
    assert parts.converters == 2 * N + 2 * parts.amplifiers


@given(m=st.integers(1, 40), n=st.integers(1, 40), rows=st.integers(1, 15), columns=st.integers(2, 15))
def test_the_last_array_holds_the_rows_as_the_first_does(m: int, n: int, rows: int, columns: int) -> None:
    device = IDEAL.override(tile_rows=rows, tile_columns=columns, cells_per_value=2, cell_write_time_s=1.0)
    first, middle, last = arrays_of(device, Workload.of(n, m, 1.0))
    shared, _ = arrays_of(device.override(shared_array=True), Workload.of(n, m, 1.0))
    assert first.tiles(device) == last.tiles(device) == shared.tiles(device)
    assert first.write_steps(device) == last.write_steps(device) == shared.write_steps(device)
    assert middle.tiles(device) == len(cut(m, rows)) * len(cut(m, columns // 2))
    assert [outputs for outputs, _, _ in (*first.outputs(device), *last.outputs(device))] == [m, n]
    assert [outputs for outputs, _, _ in shared.outputs(device)] == [m, n]


def test_digital_sums_by_hand() -> None:
    """First array: 640 outputs of 157 partial sums; middle: 640 of 5; last: 20,000 of 3. 500 times in 50 τ."""
    device = CHIP.override(
        partial_sums_per_tau=10.0, adc_rate_hz=1e9, dac_rate_hz=2e9, partial_sum_time_s=5e-9, converters_per_tile=32,
        adc_energy_j=2e-12, dac_energy_j=3e-12, partial_sum_energy_j=0.1e-12,
    )  # fmt: skip
    turns = 256 / 32 + 256 / 32 + 128 / 32
    assert latency(device, WORK).items["relax_sums"] == pytest.approx(500 * (turns * 1.5e-9 + 3 * 5e-9))
    partial = M * 157 + M * 5 + N * 3
    assert energy(device, WORK).items["relax_sums"] == pytest.approx(
        500 * (partial * 2.1e-12 + (M + M + N) * 3e-12)
    )
    for bill in (latency, energy):  # a relaxation that takes 1/s as long has 1/s as many sums
        slower = Workload.of(N, M, 50.0, scale=0.25)
        assert bill(device, slower).items["relax_sums"] == pytest.approx(
            4.0 * (bill(device, WORK).items["relax_sums"] or 0.0)
        )
    parts = parts_of(device, WORK)
    assert parts.amplifiers == partial
    assert parts.converters == 2 * N + 2 * 32 * (471 + 15 + 471)
    unpriced = device.override(partial_sum_time_s=None, partial_sum_energy_j=None)
    assert latency(unpriced, WORK).not_stated == ("relax_sums",)
    assert energy(unpriced, WORK).items["relax_sums"] is None
    whole = device.override(tile_rows=None, tile_columns=None)
    assert latency(whole, WORK).items["relax_sums"] == 0.0  # one tile an array has nothing to sum


def test_wear_and_area_count_what_is_stated() -> None:
    device = CHIP.override(write_endurance=1e6, cell_area_m2=1e-14, converter_area_m2=1e-9)
    parts = parts_of(device, Workload.of(N, M, 50.0, ensemble=4))
    assert parts.worn_out_after == 250_000
    assert parts.area_m2 == pytest.approx(2 * M * (M + 2 * N) * 1e-14 + 2 * N * 1e-9)
    assert parts_of(device.override(converter_area_m2=None), WORK).area_m2 == pytest.approx(
        parts.cells * 1e-14
    )


def test_devices_of_layers_have_arrays_of_their_own() -> None:
    layers = (Layer(784, 24), Layer(24, 10))
    sizes = tuple(layer.parameters for layer in layers)
    own = Workload.of(sum(sizes), M, 50.0, scope="layer", layers=layers)
    assert own.sizes == sizes
    alone = [Workload.of(size, M, 50.0) for size in sizes]
    for device in (
        CHIP,
        CHIP.override(shared_array=True),
        CHIP.override(hessian_array=False),
        CHIP.override(tiles_written_at_once=7),
    ):
        whole = parts_of(device, own)
        each = [parts_of(device, work) for work in alone]
        assert whole.tiles == sum(part.tiles for part in each)
        assert whole.cells == sum(part.cells for part in each)
        assert whole.amplifiers == sum(part.amplifiers for part in each)
        assert sum(array.write_steps(device) for array in arrays_of(device, own)) == sum(
            array.write_steps(device) for work in alone for array in arrays_of(device, work)
        )
    unknown = Workload.of(100, M, 50.0, scope="layer", modules=3)
    assert unknown.sizes == (34, 33, 33)
    assert Workload.of(100, M, 50.0, scope="layer", modules=(7, 93)).sizes == (7, 93)
    assert Workload.of(3, M, 50.0, scope="layer", modules=3).sizes == (1, 1, 1)
    with pytest.raises(ValueError, match=r"parameters must be >= 3 with scope='layer'.*not 2"):
        latency(CHIP, Workload.of(2, M, 50.0, scope="layer", modules=3))


def test_a_tile_that_holds_no_value_is_refused() -> None:
    with pytest.raises(ValueError, match="tile_columns must be >= cells_per_value = 2, not 1"):
        IDEAL.override(tile_columns=1, cells_per_value=2)
