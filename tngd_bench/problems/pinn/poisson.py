"""poisson-pinn: the Poisson equation on the unit square by a physics-informed network (arXiv 2302.13163, §4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tngd_bench.datasets import DType
from tngd_bench.problems.entry import ProblemEntry, Score
from tngd_bench.problems.metrics import Metric
from tngd_bench.problems.widths import Widths, two_hidden

if TYPE_CHECKING:
    from torch import nn

    from tngd_bench.datasets.splits import DataSplits

RESIDUALS = 2
POSITIONS = 5
"""Value, two slopes and Laplacian at a point inside, and the value at one on the edge."""
L2_ERROR = Metric(
    "l2_error", "relative L2 error", larger_is_better=False, share=False, targets=(1e-1, 1e-2, 1e-3)
)


@dataclass(frozen=True)
class ResidualWidths(Widths):
    """Widths of a network of one output, of which a sample has two residuals."""

    @property
    def outputs(self) -> int:
        """Residuals of a sample."""
        return RESIDUALS


def _search(outputs: int, parameters: int) -> Widths:
    if outputs != RESIDUALS:
        raise ValueError(
            f"outputs must be {RESIDUALS}, one residual inside and one on the edge, not {outputs}"
        )
    plain = two_hidden(2, 1, parameters)
    return ResidualWidths(tuple(layer._replace(positions=POSITIONS) for layer in plain.layers), plain.text)


def _read(train_size: int | None, test_size: int | None, dtype: DType, outputs: int) -> DataSplits:
    from tngd_bench.datasets import poisson

    return poisson.load(train_size, test_size, dtype)


def _build(widths: Widths) -> nn.Module:
    from tngd_bench.problems.pinn.network import PoissonNetwork

    return PoissonNetwork(widths)


def _loss() -> nn.Module:
    from torch import nn

    return nn.MSELoss()


def _score() -> Score:
    from tngd_bench.problems.pinn.network import score

    return score


ENTRY = ProblemEntry(
    name="poisson-pinn",
    title="Poisson equation, PINN",
    summary="−Δu = f on the unit square, two hidden tanh layers; outputs are a residual inside and one on the edge",
    data_source="4,096 random and 2,500 grid points, drawn here; the solution is sin πx · sin πy",
    classes=RESIDUALS,
    search=_search,
    read=_read,
    build=_build,
    metrics=(L2_ERROR,),
    make_loss=_loss,
    make_score=_score,
)
