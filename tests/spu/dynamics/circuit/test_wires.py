"""First-order wire resistance against the exact potentials of every node of a crossbar."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.spu.circuit import Factor
from tngd_bench.spu import Device
from tngd_bench.spu.dynamics.arrays import program
from tngd_bench.spu.dynamics.circuit.wires import LARGEST_LOSS, with_wires
from tngd_bench.spu.dynamics.programmed import ProgrammedDevice

Array = NDArray[np.float64]
R = 1e3
ROWS, VALUES = 5, 4


def crossbar(cells: Array, wire: float, drive_rows: bool = False) -> Array:
    """Currents into the amplifiers for a volt at each driver, from Kirchhoff's law at every node.

    Cells (rows, lines) in siemens; lines are driven at row 1 and read at the rows' first cells, or the other way round.
    """
    rows, lines = cells.shape
    line = np.arange(rows * lines).reshape(rows, lines)
    row = line + rows * lines
    size, segment = 2 * rows * lines, 1.0 / wire
    network = np.zeros((size, size))

    def join(a: int, b: int, conductance: float) -> None:
        network[[a, b], [a, b]] += conductance
        network[[a, b], [b, a]] -= conductance

    for i in range(rows):
        for c in range(lines):
            join(line[i, c], row[i, c], cells[i, c])
            if i:
                join(line[i - 1, c], line[i, c], segment)
            if c:
                join(row[i, c - 1], row[i, c], segment)
    ends = (line[0], row[:, 0])
    network[ends[0], ends[0]] += segment
    network[ends[1], ends[1]] += segment
    driven, read = ends[::-1] if drive_rows else ends
    forces = np.zeros((size, len(driven)))
    forces[driven, np.arange(len(driven))] = segment
    return np.asarray(segment * np.linalg.solve(network, forces)[read])


def pairs(least: float = 0.0) -> tuple[torch.Tensor, torch.Tensor, Array]:
    """Values of pairs, and the cells of their lines, those of x and −x side by side."""
    values = np.random.default_rng(0).uniform(-1.0, 1.0, (ROWS, VALUES))
    plus, minus = np.maximum(values, 0.0), np.maximum(-values, 0.0)
    cells = np.stack([plus, minus], 2).reshape(ROWS, -1) / R + least
    return torch.as_tensor(plus), torch.as_tensor(minus), cells


def exact(cells: Array, wire: float) -> Array:
    """What a pair acts as: the current of the line of x less that of −x, times R."""
    currents = crossbar(cells, wire)
    return R * (currents[:, ::2] - currents[:, 1::2])


@pytest.mark.parametrize("least", [0.0, 1e-4])
def test_to_first_order_the_network_is_exact(least: float) -> None:
    plus, minus, cells = pairs(least)
    errors = []
    for wire in (1.0, 0.5, 0.25):
        device = Device.ideal().override(wire_ohm=wire, cells_per_value=2, conductance_max_siemens=1.0)
        device = device.override(conductance_min_siemens=least)
        found = with_wires(plus, minus, device, 1.0).numpy()
        errors.append(np.abs(found - exact(cells, wire)).max())
    assert np.abs(exact(cells, 1.0) - (plus - minus).numpy()).max() > 10 * errors[0]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.05)


def test_where_it_is_accepted_it_is_right_to_one_percent_of_the_full_scale() -> None:
    plus, minus, cells = pairs()
    # to first order the loss is in proportion to the resistance
    limit = 1e-3 * LARGEST_LOSS / (1.0 - cells_left(cells, 1e-3))
    for wire in np.geomspace(0.01, 0.999, 20) * limit:
        device = Device.ideal().override(wire_ohm=wire, cells_per_value=2)
        found = with_wires(plus, minus, device, 1.0).numpy()
        assert np.abs(found - exact(cells, wire)).max() <= LARGEST_LOSS**2
    device = Device.ideal().override(wire_ohm=1.001 * limit, cells_per_value=2)
    with pytest.raises(ValueError, match="a tile of 5 × 8 cells; accepted: up to 10%"):
        with_wires(plus, minus, device, 1.0)


def cells_left(cells: Array, wire: float) -> float:
    """Least share of its signal that any cell keeps, by sums written out."""
    near = [np.minimum.outer(place, place) for place in (np.arange(1, n + 1) for n in cells.shape)]
    return float((1.0 - wire * (near[0] @ cells + cells @ near[1])).min())


def test_it_is_the_same_read_the_other_way() -> None:
    """Reciprocity, so that one array serves both directions, and two alike err alike."""
    cells = pairs()[2]
    assert np.allclose(crossbar(cells, 3.0), crossbar(cells, 3.0, drive_rows=True).T, rtol=1e-9)


def test_tiles_have_wires_of_their_own() -> None:
    plus, minus, _ = pairs()
    device = Device.ideal().override(wire_ohm=1.0, cells_per_value=2)
    tiled = with_wires(plus, minus, device.override(tile_rows=2, tile_columns=6), 1.0)
    for top in (0, 2, 4):
        for left in (0, 3):
            piece = (slice(top, top + 2), slice(left, left + 3))
            assert torch.allclose(
                tiled[piece], with_wires(plus[piece], minus[piece], device, 1.0), rtol=1e-13
            )


def test_an_array_behind_wires_relaxes_as_what_it_acts_as() -> None:
    values = np.random.default_rng(1).normal(size=(3, 6))
    device = Device.ideal().override(wire_ohm=0.5, cells_per_value=2, shared_array=True, hessian_array=False)
    operator = Factor(values, np.ones(6))
    held = program(operator.factor(), device)
    assert held.first is held.last
    assert not torch.equal(held.first, operator.factor())
    assert ProgrammedDevice(device, operator, None, 0.1).method == "gram"
    middle = program(operator.factor(), device.override(hessian_array=True)).middle
    assert middle is not None
    diagonal = middle.diagonal()
    assert bool((diagonal < 1.0).all())
    # cell (i, i) alone conducts in its line and row: i segments of the line, 2i − 1 of the row
    expected = [1.0 - 0.5 / R * (i + 2 * i - 1) for i in (1, 2, 3)]
    assert torch.allclose(diagonal, torch.tensor(expected, dtype=torch.float64), rtol=1e-12)


def test_the_losses_that_the_documentation_gives() -> None:
    values = torch.randn(256, 128, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values /= values.abs().max()
    device = Device.preset("rram").override(wire_ohm=0.35)

    def loss(tile: int) -> float:
        tiled = device.override(tile_rows=tile, tile_columns=tile)
        held = with_wires(values.clamp_min(0.0), (-values).clamp_min(0.0), tiled, 1.0)
        return float((1.0 - held / values)[values.abs() > 0.5].max())

    assert loss(64) == pytest.approx(0.008, rel=0.1)
    assert loss(128) == pytest.approx(0.027, rel=0.1)
    with pytest.raises(ValueError, match="lose 11% of its signal on a tile of 256 × 256"):
        loss(256)


def test_wires_need_conductances() -> None:
    with pytest.raises(ValueError, match="cells_per_value must be 2 with wire_ohm"):
        Device.ideal().override(wire_ohm=1.0)
