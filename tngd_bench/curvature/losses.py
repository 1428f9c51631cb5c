"""Curvature of the loss with respect to the model's outputs.

For a loss ℓ = mean_n L(z_n, y_n) each class below holds, for one batch, the block-diagonal Hessian H = ∂²ℓ/∂z² (the
1/b of the mean included), a factor S with H = S Sᵀ, and weights w with S w = ∂ℓ/∂z. Torch's own cross-entropy, squared
error and binary cross-entropy are in closed form: differentiating log-softmax twice costs memory quadratic in the
classes. Any other callable is differentiated. Source: arXiv 2405.13817 §3 and the exponential-family identities for
the GGN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

SMALLEST_CONDITIONED_PROBABILITY = 1e-6
"""Below it w = (p − y)/√p would lose digits to its own size; such samples are carried as a plain cotangent."""


Loss = Callable[[Tensor, Tensor], Tensor]
"""`loss(outputs, targets) -> scalar`: a loss module, a function, a lambda."""


class OutputCurvature(Protocol):
    """Hessian of the loss in output space and its factor S.

    `v` has the outputs' shape (b, …); `u` is (b, r) with r columns of S per sample.
    """

    @property
    def rows_per_sample(self) -> int:
        """Columns of S per sample, r."""

    def matvec(self, v: Tensor) -> Tensor:
        """H v, (b, …)."""

    def factor_matvec(self, v: Tensor) -> Tensor:
        """Sᵀ v, (b, r)."""

    def factor_rmatvec(self, u: Tensor) -> Tensor:
        """S u, (b, …)."""

    def gradient_weights(self) -> tuple[Tensor, Tensor | None]:
        """(w, q) with ∂ℓ/∂z = S w + q, w (b, r); q is None where the factor's range holds the whole gradient."""


@dataclass(frozen=True)
class SoftmaxCurvature:
    """Softmax cross-entropy: H = c (diag p − p pᵀ) per sample and position, S = √c (diag √p − p √pᵀ).

    `probabilities` (b, …) with classes along `class_dim`; `targets` are distributions of the same shape; `scale` c
    broadcasts against them.
    """

    probabilities: Tensor
    targets: Tensor
    scale: Tensor
    class_dim: int

    @property
    def rows_per_sample(self) -> int:
        """One per output."""
        return math.prod(self.probabilities.shape[1:])

    def matvec(self, v: Tensor) -> Tensor:
        """H v."""
        p = self.probabilities
        return self.scale * p * (v - (p * v).sum(self.class_dim, keepdim=True))

    def factor_matvec(self, v: Tensor) -> Tensor:
        """Sᵀ v."""
        p = self.probabilities
        return ((self.scale * p).sqrt() * (v - (p * v).sum(self.class_dim, keepdim=True))).flatten(1)

    def factor_rmatvec(self, u: Tensor) -> Tensor:
        """S u."""
        p, root, shaped = self.probabilities, self.probabilities.sqrt(), u.view(self.probabilities.shape)
        return self.scale.sqrt() * (root * shaped - p * (root * shaped).sum(self.class_dim, keepdim=True))

    def gradient_weights(self) -> tuple[Tensor, Tensor | None]:
        """w with w_i = √c (√p_i − y_i/√p_i); samples with a target of vanishing probability go into q."""
        p, y = self.probabilities, self.targets
        vanishing = ((p < SMALLEST_CONDITIONED_PROBABILITY) & (y > 0)).any(self.class_dim, keepdim=True)
        safe = p.clamp_min(torch.finfo(p.dtype).tiny)
        w = self.scale.sqrt() * (safe.sqrt() - torch.where(y > 0, y / safe.sqrt(), 0.0))
        if not bool(vanishing.any()):
            return w.flatten(1), None
        rest = torch.where(vanishing, self.scale * (p - y), 0.0)
        return torch.where(vanishing, 0.0, w).flatten(1), rest


@dataclass(frozen=True)
class ElementwiseCurvature:
    """Losses that sum over outputs (squared error, binary cross-entropy): H = diag(h), S = diag(√h).

    `second` h and `first` ∂ℓ/∂z have the outputs' shape.
    """

    second: Tensor
    first: Tensor

    @property
    def rows_per_sample(self) -> int:
        """One per output."""
        return math.prod(self.second.shape[1:])

    def matvec(self, v: Tensor) -> Tensor:
        """H v."""
        return self.second * v

    def factor_matvec(self, v: Tensor) -> Tensor:
        """Sᵀ v."""
        return (self.second.sqrt() * v).flatten(1)

    def factor_rmatvec(self, u: Tensor) -> Tensor:
        """S u."""
        return self.second.sqrt() * u.view(self.second.shape)

    def gradient_weights(self) -> tuple[Tensor, Tensor | None]:
        """w = (∂ℓ/∂z)/√h; elements whose curvature vanishes beside their slope go into q."""
        vanishing = self.second <= SMALLEST_CONDITIONED_PROBABILITY * self.first.abs()
        w = torch.where(vanishing, 0.0, self.first / self.second.sqrt()).flatten(1)
        if not bool((vanishing & (self.first != 0)).any()):
            return w, None
        return w, torch.where(vanishing, self.first, 0.0)


@dataclass(frozen=True)
class SpectralCurvature:
    """A per-sample Hessian by its eigendecomposition: H_n = Q diag(a) Qᵀ, S_n = Q diag(√a).

    `values` (b, d) ≥ 0, `vectors` (b, d, d), `first` ∂ℓ/∂z (b, …) with d outputs per sample.
    """

    values: Tensor
    vectors: Tensor
    first: Tensor

    @property
    def rows_per_sample(self) -> int:
        """One per output."""
        return self.values.shape[1]

    def matvec(self, v: Tensor) -> Tensor:
        """H v."""
        return self.factor_rmatvec(self.factor_matvec(v))

    def factor_matvec(self, v: Tensor) -> Tensor:
        """Sᵀ v."""
        return self.values.sqrt() * torch.einsum("bij,bi->bj", self.vectors, v.flatten(1))

    def factor_rmatvec(self, u: Tensor) -> Tensor:
        """S u."""
        return torch.einsum("bij,bj->bi", self.vectors, self.values.sqrt() * u).view(self.first.shape)

    def gradient_weights(self) -> tuple[Tensor, Tensor | None]:
        """w = a^{−1/2} Qᵀ ∂ℓ/∂z on the eigenvalues that stand beside the slope; the rest goes into q."""
        modal = torch.einsum("bij,bi->bj", self.vectors, self.first.flatten(1))
        vanishing = self.values <= SMALLEST_CONDITIONED_PROBABILITY * modal.abs()
        w = torch.where(vanishing, 0.0, modal / self.values.sqrt())
        kept = torch.where(vanishing, modal, 0.0)
        if not bool(kept.any()):
            return w, None
        return w, torch.einsum("bij,bj->bi", self.vectors, kept).view(self.first.shape)


@dataclass(frozen=True)
class EmpiricalFisher:
    """Rows are per-sample loss gradients over √b, one per sample: H_n = b·(∂ℓ/∂z_n)(∂ℓ/∂z_n)ᵀ.

    `first` is ∂ℓ/∂z (b, …). The gradient is Σ_n of the rows over √b, so w = 1/√b.
    """

    first: Tensor

    @property
    def rows_per_sample(self) -> int:
        """One."""
        return 1

    def matvec(self, v: Tensor) -> Tensor:
        """H v."""
        return self.factor_rmatvec(self.factor_matvec(v))

    def factor_matvec(self, v: Tensor) -> Tensor:
        """Sᵀ v."""
        return math.sqrt(len(self.first)) * (self.first * v).flatten(1).sum(1, keepdim=True)

    def factor_rmatvec(self, u: Tensor) -> Tensor:
        """S u."""
        return math.sqrt(len(self.first)) * self.first * u.view(-1, *([1] * (self.first.dim() - 1)))

    def gradient_weights(self) -> tuple[Tensor, Tensor | None]:
        """w = 1/√b for every sample."""
        return torch.full_like(self.first.flatten(1)[:, :1], 1.0 / math.sqrt(len(self.first))), None


class PerSampleLoss(nn.Module):
    """The mean over the batch of any per-sample loss that is convex in the outputs.

    `function(z_n, y_n)` takes one sample's outputs and target and returns a scalar tensor, in operations that
    `torch.func` can differentiate twice. Its Hessian is checked when curvature is asked for.
    """

    reduction = "mean"

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss."""
        return torch.vmap(self.function)(outputs, targets).mean()


def evaluate(loss: Loss, outputs: Tensor, targets: Tensor) -> Tensor:
    """`loss(outputs, targets)`, a scalar.

    A cross-entropy also takes its classes from the last dimension (b, T, C), and labels of any integer type. Raises
    ValueError where the targets do not fit the outputs or the loss is no scalar.
    """
    targets = _fitting_targets(loss, outputs, targets)
    if _class_dim(loss, outputs, targets) == outputs.dim() - 1 and outputs.dim() > 2:
        outputs = outputs.movedim(-1, 1)
    value = loss(outputs, targets)
    if not isinstance(value, Tensor) or value.dim():
        found = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(
            f"loss(outputs, targets) must return a scalar tensor, not {found}: reduce it by a mean"
        )
    return value


def output_curvature(
    loss: Loss, outputs: Tensor, targets: Tensor, *, empirical: bool = False
) -> OutputCurvature:
    """Return the curvature of `loss(outputs, targets)` at the given outputs (b, …).

    `empirical` takes the empirical Fisher instead of the Hessian. Raises ValueError for a torch loss with another
    reduction than the mean, and for any loss that is not a sum of per-sample terms convex in the outputs.
    """
    outputs = outputs.detach()
    targets = _fitting_targets(loss, outputs, targets)
    build = _closed_form(loss)
    if build is None:
        return differentiated(loss, outputs, targets, empirical=empirical)
    reduction = getattr(loss, "reduction", "mean")
    if reduction != "mean":
        raise ValueError(
            f"loss must be mean-reduced, not reduction={reduction!r}: curvature is scaled by 1/b"
        )
    curvature = build(loss, outputs, targets)
    return EmpiricalFisher(_slope(curvature)) if empirical else curvature


def is_closed_form(loss: Loss, kind: type[nn.Module]) -> bool:
    """Whether calling `loss` computes what torch's `kind` does: its forward unchanged, no hooks."""
    if not isinstance(loss, kind):
        return False
    own_forward = type(loss).forward is not kind.forward or "forward" in vars(loss)
    own_call = type(loss).__call__ is not nn.Module.__call__
    return not (own_forward or own_call or loss._forward_hooks or loss._forward_pre_hooks)


def _closed_form(loss: Loss) -> Callable[[Any, Tensor, Tensor], OutputCurvature] | None:
    return next((build for kind, build in _RULES.items() if is_closed_form(loss, kind)), None)


def _fitting_targets(loss: Loss, outputs: Tensor, targets: Tensor) -> Tensor:
    """Targets as torch's losses take them; ValueError where broadcasting would pair samples with each other."""
    if not isinstance(targets, Tensor):
        if _closed_form(loss) is not None:
            raise TypeError(f"targets must be a tensor, not {type(targets).__name__}")
        return targets  # what a loss of the user's own takes is its own affair
    if targets.dim() and targets.shape[0] != outputs.shape[0]:
        raise ValueError(
            f"targets must have one entry a sample, b = {outputs.shape[0]}, not {tuple(targets.shape)}"
        )
    if is_closed_form(loss, nn.CrossEntropyLoss):
        if targets.is_floating_point():
            return targets.to(outputs.dtype)
        return targets if targets.is_complex() else targets.long()
    elementwise = is_closed_form(loss, nn.MSELoss) or is_closed_form(loss, nn.BCEWithLogitsLoss)
    if elementwise and targets.shape != outputs.shape:
        raise ValueError(
            f"{type(loss).__name__} needs targets of the outputs' shape {tuple(outputs.shape)}, not "
            f"{tuple(targets.shape)}: broadcasting would pair each sample with the targets of others"
        )
    return targets


def factor_columns(curvature: OutputCurvature, like: Tensor, first: int, last: int) -> Tensor:
    """Columns `first`…`last` of S as cotangents of the outputs, (last − first, b, …), for every sample at once.

    Column i of the block-diagonal S has, in each sample, the image of that sample's i-th unit vector.
    """
    rows = curvature.rows_per_sample
    units = torch.zeros(last - first, 1, rows, dtype=like.dtype, device=like.device)
    units[torch.arange(last - first), 0, torch.arange(first, last)] = 1.0
    return torch.vmap(curvature.factor_rmatvec)(units.expand(last - first, like.shape[0], rows).contiguous())


def _slope(curvature: OutputCurvature) -> Tensor:
    """∂ℓ/∂z."""
    weights, rest = curvature.gradient_weights()
    slope = curvature.factor_rmatvec(weights)
    return slope if rest is None else slope + rest


def _class_dim(loss: Loss, outputs: Tensor, targets: Tensor) -> int:
    """Dimension of the classes: torch's second one, or the last where only that fits the targets."""
    plain = is_closed_form(loss, nn.CrossEntropyLoss)
    if not plain or outputs.dim() < 3 or targets.is_floating_point():
        return 1
    second = targets.shape == outputs.shape[:1] + outputs.shape[2:]
    last = targets.shape == outputs.shape[:-1]
    return outputs.dim() - 1 if last and not second else 1


def _cross_entropy(loss: nn.Module, outputs: Tensor, targets: Tensor) -> OutputCurvature:
    assert isinstance(loss, nn.CrossEntropyLoss)
    if outputs.dim() < 2:
        raise ValueError(f"CrossEntropyLoss needs outputs (b, C) or (b, C, …), not {tuple(outputs.shape)}")
    dim = _class_dim(loss, outputs, targets)
    classes = outputs.shape[dim]
    weight = torch.ones(classes, device=outputs.device) if loss.weight is None else loss.weight
    shape = [1] * outputs.dim()
    shape[dim] = classes
    weight = weight.to(outputs.dtype).view(shape)
    smoothing = loss.label_smoothing
    probabilities = functional.softmax(outputs, dim=dim)
    if targets.is_floating_point():
        distribution = weight * (targets.to(outputs.dtype) * (1.0 - smoothing) + smoothing / classes)
        total = torch.tensor(outputs.numel() / classes, dtype=outputs.dtype, device=outputs.device)
    else:
        valid = (targets != loss.ignore_index).unsqueeze(dim).to(outputs.dtype)
        index = torch.where(targets == loss.ignore_index, 0, targets)
        one_hot = torch.zeros_like(outputs).scatter_(dim, index.unsqueeze(dim), 1.0)
        total = ((weight * one_hot).sum(dim, keepdim=True) * valid).sum()
        distribution = valid * weight * ((1.0 - smoothing) * one_hot + smoothing / classes)
    mass = distribution.sum(dim, keepdim=True)
    return SoftmaxCurvature(probabilities, torch.where(mass > 0, distribution / mass, 0.0), mass / total, dim)


def _squared_error(loss: nn.Module, outputs: Tensor, targets: Tensor) -> OutputCurvature:
    scale = 2.0 / outputs.numel()
    return ElementwiseCurvature(
        torch.full_like(outputs, scale), scale * (outputs - targets.to(outputs.dtype))
    )


def _binary_cross_entropy(loss: nn.Module, outputs: Tensor, targets: Tensor) -> OutputCurvature:
    assert isinstance(loss, nn.BCEWithLogitsLoss)
    probability = torch.sigmoid(outputs)
    weight = torch.ones_like(outputs) / outputs.numel()
    if loss.weight is not None:
        weight = weight * loss.weight
    targets = targets.to(outputs.dtype)
    positive = targets if loss.pos_weight is None else targets * loss.pos_weight
    slope = (1.0 - targets) * probability - positive * (1.0 - probability)
    curvature = (1.0 - targets + positive) * probability * (1.0 - probability)
    return ElementwiseCurvature(weight * curvature, weight * slope)


def _per_sample(loss: nn.Module, outputs: Tensor, targets: Tensor) -> OutputCurvature:
    assert isinstance(loss, PerSampleLoss)
    b = len(outputs)

    def of_flat(z: Tensor, y: Tensor) -> Tensor:
        return loss.function(z.view(outputs.shape[1:]), y)

    flat = outputs.flatten(1)
    hessians = torch.vmap(torch.func.hessian(of_flat))(flat, targets) / b
    slope = torch.vmap(torch.func.grad(of_flat))(flat, targets) / b
    return spectral_curvature(hessians, slope.view(outputs.shape))


def spectral_curvature(hessians: Tensor, slope: Tensor) -> SpectralCurvature:
    """Curvature from per-sample Hessians (b, d, d) and ∂ℓ/∂z (b, …).

    Raises ValueError where one is not symmetric or not positive semi-definite, beyond rounding.
    """
    b, dtype = len(hessians), slope.dtype
    hessians = hessians.to(torch.float64)
    size = hessians.abs().amax((1, 2), keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    rounding = 100.0 * torch.finfo(dtype).eps
    skew = ((hessians - hessians.transpose(1, 2)).abs() / size).amax((1, 2))
    if bool((skew > rounding).any()):
        n = int(skew.argmax())
        raise ValueError(
            f"loss has a Hessian that is not symmetric at sample {n} (relative asymmetry {skew[n]:.1e})"
        )
    values, vectors = torch.linalg.eigh(hessians)
    lowest = (values / size.squeeze(2)).amin(1)
    if bool((lowest < -rounding).any()):
        n = int(lowest.argmin())
        raise ValueError(
            f"loss must be convex in the outputs: sample {n} has the Hessian eigenvalue "
            f"{float(values[n].min()) * b:.3g}"
        )
    return SpectralCurvature(values.clamp_min(0.0).to(dtype), vectors.to(dtype), slope)


def differentiated(
    loss: Loss, outputs: Tensor, targets: Tensor, *, empirical: bool = False
) -> OutputCurvature:
    """Curvature of any loss(outputs, targets) that is a sum over samples of convex terms, by automatic derivatives.

    Column i of all per-sample Hessians is one second derivative along the i-th output of every sample; a second
    derivative along random directions shows whether
    samples are coupled. Raises ValueError where they are, and where the loss cannot be differentiated twice.
    """
    z = outputs.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        value = evaluate(loss, z, targets)
        try:
            (first,) = torch.autograd.grad(value, z, create_graph=True)
        except RuntimeError as error:
            raise ValueError(f"loss cannot be differentiated by the outputs: {error}") from error
        slope = first.detach()
        if empirical:
            return EmpiricalFisher(slope)
        d = slope[0].numel()

        def second(directions: Tensor) -> Tensor:
            """H v for v (k, b, …)."""
            if not first.requires_grad:  # linear in the outputs
                return torch.zeros_like(directions)
            rows = [torch.autograd.grad(first, z, v, retain_graph=True)[0] for v in directions]
            return torch.stack(rows)

        units = torch.eye(d, dtype=z.dtype, device=z.device).view(d, 1, *z.shape[1:]).expand(d, *z.shape)
        generator = torch.Generator(z.device).manual_seed(d)
        probe = torch.randn(z.shape, generator=generator, dtype=z.dtype, device=z.device)
        try:
            hessians = second(units).flatten(2).permute(1, 2, 0)  # (b, d, column)
            whole = second(probe.unsqueeze(0))[0].flatten(1)
        except RuntimeError as error:
            raise ValueError(f"loss cannot be differentiated twice by the outputs: {error}") from error
    by_sample = torch.einsum("bij,bj->bi", hessians, probe.flatten(1))
    difference = float(torch.linalg.vector_norm(whole - by_sample))
    if difference > torch.finfo(z.dtype).eps ** 0.5 * float(torch.linalg.vector_norm(whole)):
        raise ValueError(
            "loss must be a sum or mean of per-sample terms: its second derivatives couple samples with each other "
            f"(by {difference / float(torch.linalg.vector_norm(whole)):.2g} of a random second derivative)"
        )
    return spectral_curvature(hessians, slope)


_RULES: dict[type[nn.Module], Callable[[nn.Module, Tensor, Tensor], OutputCurvature]] = {
    nn.CrossEntropyLoss: _cross_entropy,
    nn.MSELoss: _squared_error,
    nn.BCEWithLogitsLoss: _binary_cross_entropy,
    PerSampleLoss: _per_sample,
}
