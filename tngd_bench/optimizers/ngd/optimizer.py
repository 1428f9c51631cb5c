"""Exact natural gradient descent: x from a digital solver."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tngd_bench import arguments
from tngd_bench.curvature.losses import Loss
from tngd_bench.curvature.model_call import Inputs
from tngd_bench.optimizers.natural import NaturalOptimizer
from tngd_bench.solvers import CG, Dense, Gram, Layerwise, Solver, Woodbury

SOLVERS: dict[str, Callable[[], Solver]] = {
    "gram": Gram,
    "dense": Dense,
    "woodbury": Woodbury,
    "cg": CG,
    "layer": Layerwise,
}


class NGD(NaturalOptimizer):
    """Natural gradient descent: (G + λI) x = ∇ℓ solved exactly, x fed to `torch.optim.SGD` or `Adam`.

    Parameters
    ----------
    solver : str or Solver
        "gram", "dense", "woodbury", "cg", or "layer" for each layer alone; or a solver object.
    memory : float
        μ of x = argmin ‖B x − w‖² + λ‖x − μ x₋‖², where x₋ is the last step's x and ∇ℓ = Bᵀw: directions that
        this batch says nothing about are kept, decaying (SPRING, arXiv 2401.10190). 0: none. `CG` starts at μ x₋.

    Notes
    -----
    After a step `natural_gradient` holds x and `iterations` the solver's count. Source: arXiv 2405.13817 §2.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        lr: float = 0.01,
        damping: float = 0.01,
        solver: str | Solver = "gram",
        *,
        rule: str = "sgd",
        momentum: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        memory: float = 0.0,
    ) -> None:
        arguments.real("memory", memory, minimum=0.0, below=1.0)
        super().__init__(
            model, loss, lr=lr, damping=damping, rule=rule, momentum=momentum, betas=betas, eps=eps
        )
        self.solver = (
            SOLVERS[arguments.choice("solver", solver, SOLVERS)]() if isinstance(solver, str) else solver
        )
        self.memory = memory
        self._kept: Tensor | None = None

    def _direction(self, inputs: Inputs, targets: Tensor) -> tuple[float, Tensor]:
        value, ggn = self._curvature(inputs, targets)
        result = self.solver.solve(
            ggn, damping=self.settings["damping"], prior=self._kept, memory=self.memory
        )
        self.iterations = result.iterations
        return value, result.solution

    def _apply(self, direction: Tensor) -> None:
        super()._apply(direction)
        if self.memory:
            self._kept = direction

    def _carried(self) -> dict[str, Any]:
        return {**super()._carried(), "kept": None if self._kept is None else self._kept.clone()}

    def _restore(self, carried: Mapping[str, Any]) -> None:
        super()._restore(carried)
        self._kept = self.parameters.adopted(carried.get("kept"))  # states of earlier versions have none


def make_ngd(
    model: nn.Module,
    loss: nn.Module,
    *,
    generator: torch.Generator | None,
    solver: str,
    cg_iterations: int = 200,
    cg_rtol: float = 1e-6,
    cg_space: str = "auto",
    **settings: Any,
) -> NGD:
    """Make NGD from a study's settings; it draws no random numbers, so the generator is not used."""
    chosen: str | Solver = (
        CG(max_iterations=cg_iterations, rtol=cg_rtol, space=cg_space) if solver == "cg" else solver
    )
    return NGD(model, loss, solver=chosen, **settings)
