"""Brute-force float64 oracles: full Jacobian and Hessian by autograd, dense matrix exponentials by scipy."""

from __future__ import annotations

import numpy as np
import scipy.linalg
import torch
from torch import Tensor, nn
from torch.func import functional_call, hessian, jacrev


def jacobian(model: nn.Module, inputs: Tensor) -> Tensor:
    """All outputs' derivatives, (b·r, N), parameters in `model.parameters()` order, rows sample first."""
    names = {id(p): name for name, p in model.named_parameters()}
    parameters = {names[id(p)]: p.detach() for p in model.parameters() if p.requires_grad}

    def outputs(values: dict[str, Tensor]) -> Tensor:
        return functional_call(model, values, (inputs,))

    rows = outputs(parameters).numel()
    pieces = jacrev(outputs)(parameters)
    return torch.cat([pieces[name].reshape(rows, -1) for name in parameters], 1)


def loss_hessian(model: nn.Module, loss: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """∂²ℓ/∂z², (b·r, b·r)."""
    outputs = model(inputs).detach()
    return hessian(lambda z: loss(z.view_as(outputs), targets))(outputs.reshape(-1))


def ggn(model: nn.Module, loss: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Jᵀ H J, (N, N)."""
    j = jacobian(model, inputs)
    return j.T @ loss_hessian(model, loss, inputs, targets) @ j


def gradient(model: nn.Module, loss: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """∇ℓ by `backward()`, (N,)."""
    model.zero_grad()
    loss(model(inputs), targets).backward()
    flat = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters() if p.requires_grad]
    result = torch.cat([g.reshape(-1) for g in flat])
    model.zero_grad()
    return result


def ou_mean(matrix: Tensor, rhs: Tensor, x0: Tensor, t: float) -> np.ndarray:
    """e^{−At} x0 + (I − e^{−At}) A⁻¹ g by scipy."""
    a = matrix.numpy()
    propagator = scipy.linalg.expm(-a * t)
    return propagator @ x0.numpy() + np.linalg.solve(a, (np.eye(len(a)) - propagator) @ rhs.numpy())


def ou_covariance(matrix: Tensor, noise_variance: float, t: float) -> np.ndarray:
    """κ₀ A⁻¹ (I − e^{−2At}) by scipy."""
    a = matrix.numpy()
    return noise_variance * np.linalg.solve(a, np.eye(len(a)) - scipy.linalg.expm(-2.0 * a * t))


def relative_error(actual: Tensor | np.ndarray, expected: Tensor | np.ndarray) -> float:
    """Largest deviation over the largest expected magnitude."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    return float(np.abs(actual - expected).max() / max(np.abs(expected).max(), 1e-300))
