"""The Ornstein-Uhlenbeck process of the analog device, simulated exactly."""

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from tngd_bench import arguments
from tngd_bench.curvature.operator import Matrix, RightHandSide, Shifted, goes_through_model
from tngd_bench.curvature.route import TOLERANCE, Route, relaxation_route
from tngd_bench.spu.dynamics.euler_maruyama import EulerMaruyama
from tngd_bench.spu.dynamics.factor_operator import ErringFactor
from tngd_bench.spu.dynamics.gaussian import standard_normal
from tngd_bench.spu.dynamics.gram_lanczos import GramLanczosTransition
from tngd_bench.spu.dynamics.krylov import FIRST_CHECK, KrylovTransition
from tngd_bench.spu.dynamics.spectral import Decay, Response, Spread
from tngd_bench.spu.dynamics.transitions import DenseTransition, Term, Transition

Method = Literal["auto", "gram", "dense", "krylov", "euler-maruyama"]
METHODS = get_args(Method)
HEAD = 64
"""Values of a start that are compared with zero before all of them."""
LARGEST_DENSE = 8192
"""Parameters up to which an N×N matrix is formed."""


class OUProcess:
    """dx = −(A x − g) dt + √(2κ₀) dW with A = G + λI; times in units of τ, κ₀ a variance (signal²).

    Parameters
    ----------
    operator : GGN, object or Tensor
        `GGN`, any object with its products, or a dense symmetric positive semi-definite matrix (N, N).
    rhs : Tensor, optional
        g, (N,); None: the operator's own `gradient`, for which the factor form is used.
    damping : float
        λ ≥ 0.
    noise_variance : float
        κ₀ ≥ 0.
    method : str
        "auto" takes "dense" for a matrix, else the cheaper of "gram" and "krylov"; or "euler-maruyama". The attribute
        `method` names what is taken, `reason` says why.
    step : float
        δt of "euler-maruyama", in τ.
    tolerance : float
        Relative tolerance of "krylov".

    Notes
    -----
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
        if isinstance(operator, Tensor):
            if operator.dim() != 2 or operator.shape[0] != operator.shape[1]:
                raise ValueError(f"operator must be a square matrix (N, N), not {tuple(operator.shape)}")
            if rhs is None:
                raise ValueError("rhs must be given with a dense matrix: a matrix has no gradient of its own")
            operator = Matrix(operator)
        self.size = int(operator.size)
        if rhs is not None and rhs.shape != (self.size,):
            raise ValueError(f"rhs must be a vector ({self.size},), not {tuple(rhs.shape)}")
        self._rhs = RightHandSide(operator, rhs)
        self.damping = arguments.real("damping", damping, minimum=0.0)
        self._shifted = Shifted(operator, self.damping)
        self.noise_variance = arguments.real("noise_variance", noise_variance, minimum=0.0)
        self._step = arguments.real("step", step, above=0.0)
        self._tolerance = arguments.real("tolerance", tolerance, above=0.0)
        self._extra_products = 0
        self.route = self._chosen(arguments.choice("method", method, METHODS))

    @property
    def method(self) -> str:
        """The transition that is used."""
        return self.route.name

    @property
    def reason(self) -> str:
        """Why it is used."""
        return self.route.reason

    def mean(self, x0: Tensor, t: float) -> Tensor:
        """E x(t) from x(0) = x0, (N,)."""
        t = self._checked(x0, t)
        if t == 0.0:
            return x0.clone()
        if self.method == "euler-maruyama":
            return self._stepper.run(x0, t, noisy=False)
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
        return self._rhs.vector

    def write(self, rhs: Tensor) -> None:
        """Replace g by `rhs`, (N,); what is known of A is kept."""
        self._rhs = RightHandSide(self._shifted.operator, rhs)

    @property
    def products(self) -> int:
        """GGN or Gram products that krylov has made so far; 0 for the other methods."""
        made = self._transition.products if isinstance(self._transition, KrylovTransition) else 0
        return made + self._extra_products

    def _chosen(self, method: str) -> Route:
        operator = self._shifted.operator
        is_matrix = isinstance(operator, Matrix)
        if method != "auto":
            if is_matrix and method == "gram":
                raise ValueError("method='gram' needs a factored operator (GGN), not a dense matrix")
            return Route(method, "asked for")
        if is_matrix:
            return Route("dense", "a matrix was given")
        return relaxation_route(
            operator.rows,
            self.size,
            width=getattr(operator, "row_width", None),
            tolerance=self._tolerance,
            many_rows=self._many_rows,
        )

    @property
    def _many_rows(self) -> bool:
        return goes_through_model(self._shifted.operator)

    @property
    def _by_increment(self) -> bool:
        """Whether products are expensive enough to share one Krylov space between x(0) and g."""
        return self.method == "krylov" and self._many_rows

    def _increment(self, x0: Tensor, t: float) -> Term:
        """x̄(t) − x(0) = (I − e^{−At}) A⁻¹ (g − A x(0)): one more product, and one space in place of two."""
        if not bool(x0.any()):
            return (Response(t), self.rhs)
        self._extra_products += 1
        product = self._shifted.operator.matvec(x0)
        return (Response(t), self.rhs - product - self.damping * x0)

    def _mean_terms(self, x0: Tensor, t: float) -> tuple[list[Term], list[Term]]:
        # a start that is not zero is hardly ever zero at its head: comparing all N values is rarely needed
        at_zero = not bool(x0[:HEAD].any()) and not bool(x0.any())
        terms: list[Term] = [] if at_zero else [(Decay(t), x0)]
        krylov = isinstance(self._transition, KrylovTransition) and self._transition.in_rows
        found = self._rhs.in_range if self.method == "gram" or krylov else None
        if found is None:
            return [*terms, (Response(t), self.rhs)], []
        if found.rest is not None:
            terms.append((Response(t), found.rest))
        return terms, [(Response(t), found.weights)]

    def _dense_transition(self) -> DenseTransition:
        if self.size > LARGEST_DENSE:
            raise ValueError(f"a dense {self.size}×{self.size} matrix is refused above N = {LARGEST_DENSE}")
        return DenseTransition(self._shifted)

    @cached_property
    def _transition(self) -> Transition:
        if self.method == "dense":
            return self._dense_transition()
        if self.method == "gram":
            return GramLanczosTransition(self._shifted)
        # estimating the error costs nothing beside a product through the whole model
        first_check = 1 if self._by_increment else FIRST_CHECK
        erring = isinstance(
            self._shifted.operator, ErringFactor
        )  # whose products draw what vectors of length N show
        return KrylovTransition(
            self._shifted, tolerance=self._tolerance, first_check=first_check, plain_in_rows=erring
        )

    @cached_property
    def _stepper(self) -> EulerMaruyama:
        return EulerMaruyama(self._shifted, self.rhs, self.noise_variance, self._step)

    def _checked(self, x0: Tensor, t: float) -> float:
        if x0.shape != (self.size,):
            raise ValueError(f"x0 must be a vector ({self.size},), not {tuple(x0.shape)}")
        return arguments.real("t", t, minimum=0.0)
