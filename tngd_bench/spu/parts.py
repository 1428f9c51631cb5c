"""The parts of a device: cells, tiles, amplifiers and converters that its arrays take, their area and their wear."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tngd_bench.spu.description import DeviceDescription


@dataclass(frozen=True)
class Array:
    """So many equal arrays of `rows` × `columns` signed values, with outputs at their rows, their columns, or both."""

    rows: int
    columns: int
    number: int = 1
    by_rows: bool = True
    by_columns: bool = False

    def tile(self, device: DeviceDescription) -> tuple[int, int]:
        """Rows and columns of values on a full tile."""
        columns = (device.tile_columns or self.columns * device.cells_per_value) // device.cells_per_value
        return min(self.rows, device.tile_rows or self.rows), min(self.columns, columns)

    def grid(self, device: DeviceDescription) -> tuple[int, int]:
        """Tiles along the rows and along the columns of one array."""
        rows, columns = self.tile(device)
        return -(-self.rows // rows), -(-self.columns // columns)

    def tiles(self, device: DeviceDescription) -> int:
        """Tiles of all of them."""
        return self.number * math.prod(self.grid(device))

    def write_steps(self, device: DeviceDescription) -> int:
        """Steps in which cells are written; a tile at an edge takes as long as a full one."""
        rows, columns = self.tile(device)
        steps = {"array": 1, "row": rows, "cell": rows * columns * device.cells_per_value}
        turns = -(-math.prod(self.grid(device)) // device.tiles_written_at_once)
        return self.number * turns * steps[device.write_parallel]

    def outputs(self, device: DeviceDescription) -> tuple[tuple[int, int, int], ...]:
        """For each direction: outputs of an array, outputs of a tile, digital partial sums that make an output."""
        rows, columns = self.tile(device)
        down, across = (1, 1) if device.partial_sums_per_tau is None else self.grid(device)
        along_rows = ((self.rows, rows, across),) if self.by_rows else ()
        return (*along_rows, (self.columns, columns, down)) if self.by_columns else along_rows

    def amplifiers(self, device: DeviceDescription) -> int:
        """One an output; one an output of each tile where tiles are summed digitally."""
        return self.number * sum(n * tiles for n, _, tiles in self.outputs(device))

    def sum_s(self, device: DeviceDescription) -> float | None:
        """Seconds of summing the partial sums of its tiles once, 0 for a single tile; None where they are not stated.

        Tiles convert side by side, the outputs of each in turn.
        """
        total = 0.0
        for _, on_tile, tiles in self.outputs(device):
            if tiles == 1:
                continue
            turns = -(-on_tile // (device.converters_per_tile or on_tile))
            rates = (device.adc_rate_hz, device.dac_rate_hz)
            if None in rates or device.partial_sum_time_s is None:
                return None
            total += sum(turns / rate for rate in rates if rate is not None) + device.partial_sum_time_s
        return total

    def sum_j(self, device: DeviceDescription) -> float | None:
        """Joules of the same: each partial sum is converted and added, each sum converted back."""
        total = 0.0
        for n, _, tiles in self.outputs(device):
            if tiles == 1:
                continue
            adc, dac, add = device.adc_energy_j, device.dac_energy_j, device.partial_sum_energy_j
            if adc is None or dac is None or add is None:
                return None
            total += self.number * n * (tiles * (adc + add) + dac)
        return total

    def tile_converters(self, device: DeviceDescription) -> int:
        """A/D and D/A converters for partial sums, at most one of each for an output of a tile that is used."""
        if device.partial_sums_per_tau is None:
            return 0
        (down, across), tile = self.grid(device), self.tile(device)
        pairs = 0
        for high, above in _pieces(self.rows, tile[0]):
            for wide, beside in _pieces(self.columns, tile[1]):
                used = max(high * self.by_rows * (across > 1), wide * self.by_columns * (down > 1))
                pairs += above * beside * min(used, device.converters_per_tile or used)
        return 2 * self.number * pairs


def _pieces(total: int, most: int) -> tuple[tuple[int, int], ...]:
    """Sizes of the pieces that a line is cut into, and how many there are of each."""
    rest = total % most
    return ((most, total // most), (rest, 1)) if rest else ((most, total // most),)


@dataclass(frozen=True)
class Parts:
    """What is used of what is built: cells that hold a value, an amplifier an output, converters A/D and D/A.

    Outputs and cells of a tile at an edge that nothing uses are not counted. `area_m2` counts what has a stated area,
    None where nothing has. After `worn_out_after` iterations a cell has had the writes that it endures; None where they
    are not stated.
    """

    cells: int
    tiles: int
    amplifiers: int
    converters: int
    area_m2: float | None
    worn_out_after: float | None

    @classmethod
    def of(
        cls,
        device: DeviceDescription,
        arrays: Sequence[Array],
        nodes: Sequence[int],
        writes: float,
        copies: int = 1,
    ) -> Parts:
        """Count those of `arrays` in so many copies, with `nodes` on each and `writes` of a cell in an iteration."""
        cells = (
            copies * device.cells_per_value * sum(each.number * each.rows * each.columns for each in arrays)
        )
        at_nodes = sum(2 * -(-n // device.nodes_per_converter) for n in nodes)
        converters = copies * (at_nodes + sum(each.tile_converters(device) for each in arrays))
        areas = ((cells, device.cell_area_m2), (converters, device.converter_area_m2))
        stated = [number * area for number, area in areas if area is not None]
        return cls(
            cells,
            copies * sum(each.tiles(device) for each in arrays),
            copies * sum(each.amplifiers(device) for each in arrays),
            converters,
            sum(stated) if stated else None,
            None if device.write_endurance is None else device.write_endurance / writes,
        )
