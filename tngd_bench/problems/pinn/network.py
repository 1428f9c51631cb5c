"""A tanh network that carries its first and second derivatives by the inputs through every layer (Taylor mode)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tngd_bench.datasets.poisson import solution
from tngd_bench.datasets.splits import Subset
from tngd_bench.problems.widths import Widths

VALUES = (1.0, 0.0, 0.0, 0.0, 1.0)
"""By component, whether a bias acts on it: u, ∂u/∂x, ∂u/∂y and Δu at the point inside, u at the point on the edge."""
COMPONENTS = len(VALUES)


class PoissonNetwork(nn.Module):
    """−Δu inside and u on the edge, (b, 2), for points (b, 4); in evaluation mode also u inside, (b, 3).

    A layer maps value, gradient and Laplacian alike, so it is one linear layer at five positions, its bias the weight
    of a constant input: curvature has the layer's own rule for it and K-FAC its factors. The forward Laplacian is that
    of arXiv 2307.08214; K-FAC shares factors over the components as arXiv 2405.15603 does.
    """

    constant: Tensor

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Linear(each.d_in + 1, each.d_out, bias=False) for each in widths.layers
        )
        self.register_buffer("constant", torch.tensor(VALUES).view(1, COMPONENTS, 1), persistent=False)

    def forward(self, points: Tensor) -> Tensor:
        """Return the left-hand sides of the equation and of the boundary condition."""
        inside, edge = points[:, None, :2], points[:, None, 2:]
        slopes = torch.eye(2, dtype=points.dtype, device=points.device).expand(len(points), 2, 2)
        state = torch.cat([inside, slopes, torch.zeros_like(inside), edge], 1)
        constant = self.constant.expand(len(points), COMPONENTS, 1)
        first, *rest = self.layers
        state = first(torch.cat([state, constant], 2))
        for layer in rest:
            state = layer(torch.cat([tanh(state), constant], 2))
        u, _, laplacian, edge = parts(state)
        outputs = [-laplacian, edge] if self.training else [-laplacian, edge, u]
        return torch.cat(outputs, 1).squeeze(2)


def parts(state: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return value, slopes and Laplacian inside and the value on the edge, of components (b, 5, d)."""
    return state[:, :1], state[:, 1:3], state[:, 3:4], state[:, 4:]


def tanh(state: Tensor) -> Tensor:
    """Return the components (b, 5, d) of tanh z from those of z."""
    u, slopes, laplacian, edge = parts(state)
    value = torch.tanh(u)
    first = 1.0 - value * value
    second = -2.0 * value * first
    bend = first * laplacian + second * (slopes * slopes).sum(1, keepdim=True)
    return torch.cat([value, first * slopes, bend, torch.tanh(edge)], 1)


def score(loss: nn.Module, outputs: Tensor, part: Subset) -> Mapping[str, float]:
    """Return "loss", that of the residuals, and "l2_error", ‖u − u*‖ / ‖u*‖ over the points inside."""
    assert isinstance(part.inputs, Tensor)
    true = solution(part.inputs[:, :2])
    error = torch.linalg.vector_norm(outputs[:, 2] - true) / torch.linalg.vector_norm(true)
    return {"loss": float(loss(outputs[:, :2], part.targets)), "l2_error": float(error)}
