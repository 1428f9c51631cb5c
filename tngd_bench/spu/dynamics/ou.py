"""The Ornstein-Uhlenbeck process of the analog device, simulated exactly."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

from tngd_bench import arguments
from tngd_bench.spu.dynamics.euler_maruyama import EulerMaruyama
from tngd_bench.spu.dynamics.gaussian import standard_normal
from tngd_bench.spu.dynamics.gram_lanczos import GramLanczosTransition
from tngd_bench.spu.dynamics.krylov import FIRST_CHECK, KrylovTransition
from tngd_bench.spu.dynamics.route import TOLERANCE, gram_is_cheaper, predicted_flops
from tngd_bench.spu.dynamics.spectral import Decay, Response, Spread
from tngd_bench.spu.dynamics.transitions import DenseTransition, Term, Transition

Method = Literal["auto", "gram", "dense", "krylov", "euler-maruyama"]
METHODS = ("auto", "gram", "dense", "krylov", "euler-maruyama")
HEAD = 64
"""Values of a start that are looked at before all of them."""
LARGEST_DENSE = 8192
"""Parameters up to which an N×N matrix is formed."""


class OUProcess:
    """dx = −(A x − g) dt + √(2κ₀) dW with A = G + λI; times in units of τ, κ₀ a variance (signal²).

    Parameters
    ----------
    operator : `GGN`, any object with its products, or a dense symmetric positive semi-definite matrix (N, N).
    rhs : g, (N,); None stands for the operator's own `gradient`, for which the factor form is used.
    damping : λ ≥ 0.
    noise_variance : κ₀ ≥ 0.
    method : transition; "auto" takes dense for a matrix, else what `predicted_flops` makes cheaper, gram or krylov.
        `.method` tells which, `.reason` why.
    step : δt of euler-maruyama.
    tolerance : relative tolerance of krylov.

    Source: arXiv 2405.13817 §3.3 (with the signs of its eqs. 22 and 25 put right).
    """

    def __init__(
        self,
        operator: Any,
        rhs: Tensor | None = None,
        damping: float = 0.01,
        noise_variance: float = 0.0,
        *,
        method: Method = "auto",
        step: float = 0.1,
        tolerance: float = TOLERANCE,
    ) -> None:
        self._matrix = operator if isinstance(operator, Tensor) else None
        if self._matrix is not None and (
            self._matrix.dim() != 2 or self._matrix.shape[0] != self._matrix.shape[1]
        ):
            raise ValueError(f"operator must be a square matrix (N, N), not {tuple(self._matrix.shape)}")
        if self._matrix is not None and rhs is None:
            raise ValueError("rhs must be given with a dense matrix: a matrix has no gradient of its own")
        self._operator = operator
        self.size = int(self._matrix.shape[0] if self._matrix is not None else operator.size)
        if rhs is not None and rhs.shape != (self.size,):
            raise ValueError(f"rhs must be a vector ({self.size},), not {tuple(rhs.shape)}")
        self._given_rhs = rhs
        self.damping = arguments.real("damping", damping, minimum=0.0)
        self.noise_variance = arguments.real("noise_variance", noise_variance, minimum=0.0)
        self._step = arguments.real("step", step, above=0.0)
        self._tolerance = arguments.real("tolerance", tolerance, above=0.0)
        self._extra_products = 0
        self.reason = "asked for"
        self.method = self._chosen(arguments.choice("method", method, METHODS))

    def mean(self, x0: Tensor, t: float) -> Tensor:
        """E x(t) from x(0) = x0, (N,)."""
        t = self._checked(x0, t)
        if t == 0.0:
            return x0.clone()
        if self.method == "euler-maruyama":
            return self._stepper.mean(x0, t)
        if self._by_increment:
            return self._transition.apply([self._increment(x0, t)]).add_(x0)
        return self._transition.apply(*self._mean_terms(x0, t))

    def sample(self, x0: Tensor, t: float, generator: torch.Generator | None = None) -> Tensor:
        """One draw of x(t) from x(0) = x0, (N,); `generator` None: torch's default one."""
        t = self._checked(x0, t)
        if self.noise_variance == 0.0 or t == 0.0:
            return self.mean(x0, t)
        if self.method == "euler-maruyama":
            return self._stepper.run(x0, t, generator)
        normal = standard_normal(self.size, generator, x0)
        if self._by_increment:
            noise = (Spread(t, self.noise_variance), normal)
            return self._transition.apply([self._increment(x0, t), noise]).add_(x0)
        terms, in_range = self._mean_terms(x0, t)
        return self._transition.apply([*terms, (Spread(t, self.noise_variance), normal)], in_range)

    def path(self, x0: Tensor, times: Sequence[float], generator: torch.Generator | None = None) -> Tensor:
        """One joint draw of x at the increasing `times`, (len(times), N), with exact correlations.

        The process is Markov: each sample is drawn given the one before. Without noise these are the means.
        """
        if len(times) == 0 or any(later < earlier for earlier, later in pairwise(times)):
            raise ValueError(f"times must be increasing and not empty, not {list(times)!r}")
        states, x, now = [], x0, 0.0
        for t in times:
            x = self.sample(x, arguments.real("times", t, minimum=0.0) - now, generator)
            now = t
            states.append(x)
        return torch.stack(states)

    def covariance(self, t: float) -> Tensor:
        """Σ(t) = κ₀ A⁻¹ (I − e^{−2At}), (N, N); for N up to 8192."""
        t = arguments.real("t", t, minimum=0.0)
        transition = self._dense_transition()
        deviation = Spread(t, self.noise_variance)
        units = torch.eye(self.size, dtype=torch.float64, device=transition.vectors.device)
        root = torch.stack([transition.apply([(deviation, unit)]) for unit in units])
        return root @ root

    @property
    def rhs(self) -> Tensor:
        """g, (N,)."""
        if self._given_rhs is not None:
            return self._given_rhs
        gradient: Tensor = self._operator.gradient
        return gradient

    @property
    def _by_increment(self) -> bool:
        """Whether a product is so expensive that x(0) should not have a Krylov space of its own."""
        return self.method == "krylov" and bool(getattr(self._operator, "matrix_free", False))

    def _increment(self, x0: Tensor, t: float) -> Term:
        """x̄(t) − x(0) = (I − e^{−At}) A⁻¹ (g − A x(0)): one more product, and one space in place of two."""
        if not bool(x0.any()):
            return (Response(t), self.rhs)
        self._extra_products += 1
        return (Response(t), self.rhs - self._product(x0) - self.damping * x0)

    def _mean_terms(self, x0: Tensor, t: float) -> tuple[list[Term], list[Term]]:
        # a start is zero as a whole or hardly ever at its head: the look at N values is rarely needed
        at_zero = not bool(x0[:HEAD].any()) and not bool(x0.any())
        terms: list[Term] = [] if at_zero else [(Decay(t), x0)]
        krylov = isinstance(self._transition, KrylovTransition) and self._transition.in_rows
        if self._given_rhs is not None or not (self.method == "gram" or krylov):
            return [*terms, (Response(t), self.rhs)], []
        weights, outside = self._operator.gradient_weights
        if outside is not None:
            terms.append((Response(t), outside))
        return terms, [(Response(t), weights)]

    def _chosen(self, method: str) -> str:
        if method != "auto":
            if self._matrix is not None and method in ("gram",):
                raise ValueError("method='gram' needs a factored operator (GGN), not a dense matrix")
            return method
        if self._matrix is not None:
            self.reason = "a matrix was given"
            return "dense"
        if getattr(self._operator, "matrix_free", False):
            self.reason = f"m = {self._operator.rows}: no Gram matrix where a row per output is too expensive"
            return "krylov"
        width = getattr(self._operator, "row_width", None)
        gram, krylov = predicted_flops(self._operator.rows, self.size, self._tolerance, width)
        cheaper = gram_is_cheaper(self._operator.rows, self.size, self._tolerance, width)
        chosen = "gram" if cheaper else "krylov"
        self.reason = f"m = {self._operator.rows}: gram about {gram:.1e} flops, krylov {krylov:.1e}"
        return chosen

    @property
    def products(self) -> int:
        """GGN or Gram products that krylov has made so far; 0 for the other methods."""
        made = self._transition.products if isinstance(self._transition, KrylovTransition) else 0
        return made + self._extra_products

    def _product(self, v: Tensor) -> Tensor:
        return self._matrix @ v if self._matrix is not None else self._operator.matvec(v)

    def _dense_transition(self) -> DenseTransition:
        if self.size > LARGEST_DENSE:
            raise ValueError(f"a dense {self.size}×{self.size} matrix is refused above N = {LARGEST_DENSE}")
        return DenseTransition(
            self._matrix if self._matrix is not None else self._operator.dense(), self.damping
        )

    @cached_property
    def _transition(self) -> Transition:
        if self.method == "dense":
            return self._dense_transition()
        if self.method == "gram":
            return GramLanczosTransition(self._operator, self.damping)
        # a look at the error costs nothing beside a product through the whole model
        first_check = 1 if self._by_increment else FIRST_CHECK
        return KrylovTransition(
            self._product,
            self.damping,
            operator=self._operator,
            tolerance=self._tolerance,
            first_check=first_check,
        )

    @cached_property
    def _stepper(self) -> EulerMaruyama:
        return EulerMaruyama(self._product, self.rhs, self.damping, self.noise_variance, self._step)

    def _checked(self, x0: Tensor, t: float) -> float:
        if x0.shape != (self.size,):
            raise ValueError(f"x0 must be a vector ({self.size},), not {tuple(x0.shape)}")
        return arguments.real("t", t, minimum=0.0)
