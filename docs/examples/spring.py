"""SPRING (arXiv 2401.10190) by hand: an optimizer on `tngd_bench.curvature.GGN`, in one file.

x = argmin ‖B x − w‖² + λ‖x − μ x₋‖² = μ x₋ + Bᵀ (K + λI)⁻¹ (w − μ B x₋), where G = BᵀB, K = BBᵀ, ∇ℓ = Bᵀw and x₋ is the
last direction.
"""

import torch

from tngd_bench.curvature import GGN, Verification
from tngd_bench.optimizers import DivergedError, registry
from tngd_bench.optimizers.entry import OptimizerEntry, Setting, Style
from tngd_bench.optimizers.settings import FRACTION, POSITIVE


class Spring:
    """One `step` a batch is all that a study asks of an optimizer."""

    def __init__(self, model, loss, *, generator, lr, damping, memory):
        self.model, self.loss = model, loss
        self.lr, self.damping, self.memory = lr, damping, memory
        self.iteration = 0
        self.direction = None
        self.verification = Verification(100)  # rows of B are held against autograd at the first of 100 steps

    def step(self, inputs, targets):
        """Update the parameters; return the loss before."""
        ggn = GGN(self.model, self.loss, inputs, targets, verify=self.verification)
        if not torch.isfinite(ggn.loss):
            raise DivergedError("the loss", self.iteration)
        kept = ggn.gradient.new_zeros(ggn.size) if self.direction is None else self.memory * self.direction
        weights, rest = ggn.gradient_weights  # rest: of classes that vanish, none for a squared error
        gram = ggn.gram()
        gram.diagonal().add_(self.damping)
        solved = torch.cholesky_solve(
            (weights - ggn.factor_matvec(kept)).unsqueeze(1), torch.linalg.cholesky(gram)
        )
        direction = kept + ggn.factor_rmatvec(solved.squeeze(1))
        self.direction = direction if rest is None else direction + rest / self.damping
        with torch.no_grad():
            for p, piece in zip(ggn.parameters.tensors, ggn.parameters.views(self.direction), strict=True):
                p.sub_(self.lr * piece)
        self.iteration += 1
        return float(ggn.loss)

    def state_dict(self):
        """What the next steps depend on."""
        return {"direction": self.direction, "iteration": self.iteration}

    def load_state_dict(self, state):
        """Go on where `state` was taken."""
        self.direction, self.iteration = state["direction"], state["iteration"]


ENTRY = OptimizerEntry(
    name="spring-by-hand",
    title="SPRING by hand",
    summary="exact natural gradient with a memory of its last direction, written in one file",
    family="natural-gradient",
    factory=f"{__name__}:Spring",
    settings={
        "lr": Setting(0.01, POSITIVE),
        "damping": Setting(0.01, POSITIVE),
        "memory": Setting(0.9, FRACTION),
    },
    cost=registry.get(
        "spring"
    ).cost,  # it makes the same products as ours; else a function, as in the template
    style=Style("#5b2a86", "#c9a0e8", "d"),
)
