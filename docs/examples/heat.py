"""A physics-informed network of your own: u_t = u_xx, u = sin πx at t = 0 and 0 at both ends; u = sin πx · e^(−π²t)."""

import dataclasses

import torch
from torch import nn
from torch.func import grad, hessian, vmap
from torch.utils.data import TensorDataset

from tngd_bench.problems import problem_of
from tngd_bench.problems.metrics import Metric

L2_ERROR = Metric("l2_error", "relative L2 error", larger_is_better=False, share=False, targets=(0.1, 0.01))


class Heat(nn.Module):
    """The residual u_t − u_xx at points (b, 2), x and t; in evaluation mode also u. Start and ends hold by form."""

    def __init__(self, width):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 1))

    def solution(self, point):
        """Return u at one point (2,)."""
        x, t = point
        return torch.sin(torch.pi * x) + t * x * (1 - x) * self.net(point)[0]

    def forward(self, points):
        """Return (b, 1), in evaluation mode (b, 2)."""
        slope = vmap(grad(self.solution))(points)[:, 1]
        bend = vmap(hessian(self.solution))(points)[:, 0, 0]
        columns = [slope - bend] if self.training else [slope - bend, vmap(self.solution)(points)]
        return torch.stack(columns, 1)


def data():
    """Return points with t up to 0.3, and the residual that they should have."""
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([1.0, 0.3])
    return tuple(
        TensorDataset(torch.rand(count, 2, generator=generator) * scale, torch.zeros(count, 1))
        for count in (1_000, 400)
    )


def score(loss, outputs, part):
    """Return the loss of the residuals, and the error of u beside the exact solution."""
    x, t = part.inputs.T
    true = torch.sin(torch.pi * x) * torch.exp(-(torch.pi**2) * t)
    error = (outputs[:, 1] - true).norm() / true.norm()
    return {"loss": float(loss(outputs[:, :1], part.targets)), "l2_error": float(error)}


ENTRY = dataclasses.replace(
    problem_of(
        "heat-pinn", Heat, data, outputs=1, loss=nn.MSELoss, metrics=[L2_ERROR], title="Heat equation, PINN"
    ),
    make_score=lambda: score,
)
