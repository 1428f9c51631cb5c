"""Loss of signal on the wires of a crossbar, to first order in their resistance.

A signed value is a pair of cells side by side, on lines that carry x and −x; the row's wire collects the currents of
both. A cell at row i and line c (from 1, nearest to the drivers and to the amplifier) then sees the drop that the
currents of its line and of its row make,

    Ĝ_ic = G_ic (1 − r Σ_i' min(i, i') G_i'c − r Σ_c' min(c, c') G_ic'),

the exact solution of the network's nodes to O(r²). It is the same read along the other direction, by reciprocity.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from tngd_bench.spu.description import DeviceDescription
from tngd_bench.spu.parts import Array

LARGEST_LOSS = 0.1
"""Share of a cell's signal up to which first order is used: what is left out is at most its square, 1 %."""


def with_wires(plus: Tensor, minus: Tensor, device: DeviceDescription, unit: float) -> Tensor:
    """Return the signed values, (m, N), that pairs holding `plus` and `minus` act as; a value of one is `unit`/R.

    ValueError where a cell loses more than `LARGEST_LOSS`.
    """
    assert device.wire_ohm is not None
    m, n = plus.shape
    rows, columns = Array(m, n).tile(device)
    least = (device.conductance_min_siemens or 0.0) * device.resistance_ohm / unit
    share = device.wire_ohm * unit / device.resistance_ohm
    found, largest = torch.empty_like(plus), 0.0
    for top in range(0, m, rows):
        some = slice(top, min(top + rows, m))
        pairs = torch.stack([plus[some], minus[some]], 2) + least
        # whole tiles: cells that are not there conduct nothing
        high = len(pairs)
        tiles = pad(pairs, (0, 0, 0, -n % columns)).view(high, -1, 2 * columns)
        loss = share * (_drops(tiles, 0) + _drops(tiles, 2))
        largest = max(largest, float(loss.max()))
        held = (tiles * (1.0 - loss)).view(high, -1, 2)[:, :n]
        found[some] = held[..., 0] - held[..., 1]
    if largest > LARGEST_LOSS:
        raise ValueError(
            f"wire_ohm = {device.wire_ohm:g} makes a cell lose {largest:.0%} of its signal on a tile of {rows} × "
            f"{2 * columns} cells; accepted: up to {LARGEST_LOSS:.0%}, as on smaller tiles (tile_rows, tile_columns) "
            "or with less conductance (resistance_ohm, conductance_max_siemens)"
        )
    return found


def _drops(conductances: Tensor, dim: int) -> Tensor:
    """Σ_k' min(k, k') G_k' along one dimension, k from 1."""
    shape = [1] * conductances.dim()
    shape[dim] = -1
    place = torch.arange(1, conductances.shape[dim] + 1, device=conductances.device).to(conductances)
    place = place.view(shape)
    nearer = (place * conductances).cumsum(dim)
    through = conductances.cumsum(dim)
    farther = through.narrow(dim, -1, 1) - through
    return nearer + place * farther
