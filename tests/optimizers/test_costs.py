"""Closed-form operation counts against what torch dispatches, and their growth against Table 1 of the paper."""

from __future__ import annotations

import pytest
import torch

from tngd_bench.layers import Layer
from tngd_bench.optimizers import costs


def test_growth_is_that_of_table_1() -> None:
    """Local exponents where the terms in question dominate, on three equal hidden layers."""

    def layers(n: float, outputs: int) -> list[Layer]:
        width = round((n / 2) ** 0.5)
        return [(64, width, 1), (width, width, 1), (width, width, 1), (width, outputs, 1)]

    def exponent(name: str, quantity: str, **change: tuple[float, float]) -> float:
        ends = []
        for end in (0, 1):
            chosen = {"n": 1e8, "b": 32.0, "d": 20.0} | {key: pair[end] for key, pair in change.items()}
            b, d = int(chosen["b"]), int(chosen["d"])
            cost = costs.predicted_cost(
                name,
                parameters=int(chosen["n"]),
                rows=b * d,
                batch_size=b,
                outputs=d,
                layers=layers(chosen["n"], d),
            )
            ends.append(getattr(cost, quantity))
        ((low, high),) = change.values()
        return float(torch.log(torch.tensor(ends[1] / ends[0])) / torch.log(torch.tensor(high / low)))

    n, b, d = (1e8, 1e9), (32.0, 64.0), (20.0, 40.0)
    # runtime: SGD bN; NGD N³; NGD-Woodbury b²d²N; TNGD b·d·N
    assert exponent("sgd", "flops", n=n) == pytest.approx(1.0, abs=0.02)
    assert exponent("sgd", "flops", b=b) == pytest.approx(1.0, abs=0.02)
    assert exponent("ngd", "flops", n=n) == pytest.approx(3.0, abs=0.02)
    assert exponent("ngd-woodbury", "flops", n=n) == pytest.approx(1.0, abs=0.02)
    assert exponent("ngd-woodbury", "flops", b=b) == pytest.approx(2.0, abs=0.05)
    assert exponent("ngd-woodbury", "flops", d=d) == pytest.approx(2.0, abs=0.05)
    assert exponent("tngd", "flops", n=n) == pytest.approx(1.0, abs=0.05)
    assert exponent("tngd", "flops", b=b) == pytest.approx(1.0, abs=0.2)
    assert exponent("tngd", "flops", d=d) == pytest.approx(1.0, abs=0.2)
    # memory: NGD N²; NGD-Woodbury b·d·N
    assert exponent("ngd", "bytes", n=n) == pytest.approx(2.0, abs=0.02)
    assert exponent("ngd-woodbury", "bytes", b=b) == pytest.approx(1.0, abs=0.05)
    # ours, not the paper's: products on rows cost layer widths, not N, so CG grows as its set-up does
    assert exponent("ngd-cg", "flops", n=n) == pytest.approx(1.0, abs=0.05)


def test_the_host_streams_all_values_of_the_jacobian_where_they_are_uploaded() -> None:
    """A multiplication each, which no counter of products sees."""
    size = {"parameters": 20_000, "rows": 640, "batch_size": 64, "outputs": 10, "layers": [(64, 230, 1)]}
    factored = costs.host_cost(**size, upload="factored")  # type: ignore[arg-type]
    full = costs.host_cost(**size, upload="full")  # type: ignore[arg-type]
    assert full.flops - factored.flops == 640 * 20_000
