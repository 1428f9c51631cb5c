"""Products with the Jacobian by reverse mode alone, for models with too many outputs for a row each.

Jᵀu is one backward pass. It is linear in u, so J v is the backward pass of that backward pass: the graph of u ↦ Jᵀu is
made once and used for every product. Forward mode would do too, but LSTMs on a processor and fused attention have no
forward rule, while double backward fails for fused attention only.
"""

import torch
from torch import Tensor

from tngd_bench.curvature.parameters import TrainableParameters
from tngd_bench.curvature.reverse import reverse_pass
from tngd_bench.curvature.verification import Verification, coarsest


class Linearization:
    """J of `outputs` (b, …) with respect to the parameters, at the point where the graph was made."""

    def __init__(self, outputs: Tensor, parameters: TrainableParameters) -> None:
        self._outputs = outputs
        self._parameters = parameters
        self._cotangent = torch.zeros_like(outputs, requires_grad=True)
        self._seen_finite = False
        try:
            self._pullback = torch.autograd.grad(
                outputs, parameters.tensors, self._cotangent, create_graph=True, allow_unused=True
            )
        except RuntimeError as error:
            raise _not_twice(error) from error

    def matvec(self, v: Tensor) -> Tensor:
        """J v for v (N,), shaped as the outputs."""
        pieces, directions = [], []
        for pulled, direction in zip(self._pullback, self._parameters.views(v), strict=True):
            if pulled is not None and pulled.requires_grad:
                pieces.append(pulled)
                directions.append(direction.to(pulled.dtype))
        try:
            (image,) = torch.autograd.grad(pieces, self._cotangent, directions, retain_graph=True)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise _not_twice(error) from error
        if not self._seen_finite:
            self._check_finite(v, image)
        return image

    def _check_finite(self, v: Tensor, image: Tensor) -> None:
        """Raise ValueError where the first J v is not finite and J is, as a backward pass tells."""
        self._seen_finite = True
        of_j = bool((~image.isfinite()).any()) and bool(v.isfinite().all())
        if of_j and bool(self.rmatvec(torch.ones_like(self._outputs)).isfinite().all()):
            raise ValueError(
                "products with J by differentiating the backward pass are not finite, and the backward pass is: it "
                "masks a slope that is infinite, as of a root at zero (nn.LPPool2d behind a rectifier). Accepted: a "
                "model whose slopes are finite (add a small number under the root), or fewer outputs, whose rows take "
                "the backward pass alone"
            )

    def rmatvec(self, u: Tensor) -> Tensor:
        """Jᵀ u for u shaped as the outputs, (N,)."""
        return self._parameters.flatten(
            reverse_pass(self._outputs, self._parameters.tensors, u.to(self._outputs.dtype))
        )

    def check_adjoint(self, verification: Verification) -> None:
        """Raise ValueError unless ⟨u, J v⟩ = ⟨Jᵀu, v⟩ for Gaussian u, v: J v comes by a second differentiation."""
        u = verification.probe(self._outputs.shape, self._outputs)
        v = verification.probe((self._parameters.count,), self._outputs).to(self._parameters.curvature_dtype)
        image, pulled = self.matvec(v).double(), self.rmatvec(u).double()
        left, right = float((image * u.double()).sum()), float(pulled @ v.double())
        size = float(image.norm() * u.double().norm() + pulled.norm() * v.double().norm())
        dtype = coarsest(self._outputs.dtype, self._parameters.dtype)
        if abs(left - right) > torch.finfo(dtype).eps ** 0.5 * size:
            raise ValueError(
                "products with J by differentiating the backward pass disagree with the backward pass "
                f"(⟨u, Jv⟩ = {left:.6g}, ⟨Jᵀu, v⟩ = {right:.6g}): a custom autograd function's backward must itself be "
                "differentiable"
            )


def _not_twice(error: RuntimeError) -> ValueError:
    return ValueError(
        "the model has an operation that cannot be differentiated twice, which products with many outputs need "
        f"({error})"
    )
