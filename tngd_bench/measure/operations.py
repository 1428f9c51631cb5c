"""Floating-point operations of a piece of work, counted exactly from the shapes that torch dispatches.

Matrix products, convolutions and factorizations are counted, a multiply-add as two; elementwise work is not.
torch's own counter knows products and convolutions; the dense linear algebra it does not know is added here.
A factorization or solve that neither knows makes the count NaN and is named, never counted as zero.

What is done in a format of half width on the CPU is counted apart, and timed beside the same in float32: a processor
without instructions for the format takes many times as long, which says nothing of the method.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from tngd_bench.curvature.flop_counter import flop_counter
from tngd_bench.curvature.route import EIGENDECOMPOSITION_FLOPS
from tngd_bench.measure.settling import is_short

Shape = tuple[int, ...]
Formula = Callable[..., int]

_aten = torch.ops.aten


def _cube(matrix: Shape, factor: float) -> int:
    """`factor`·n³ for each n×n matrix of a batch."""
    return round(factor * math.prod(matrix[:-2]) * int(matrix[-1]) ** 3)


def _cubic(factor: float) -> Formula:
    return lambda matrix, *args, out_shape=None, **kwargs: _cube(matrix, factor)


def _added_matrix_vector(bias: Shape, matrix: Shape, vector: Shape, *args: Any, **kwargs: Any) -> int:
    return 2 * math.prod(matrix)


def _added_product(added: Shape, left: Shape, right: Shape, *args: Any, **kwargs: Any) -> int:
    return 2 * math.prod(left) * right[-1]


def _of_first(left: Shape, right: Shape, *args: Any, **kwargs: Any) -> int:
    return 2 * math.prod(left)


def _cholesky_solve(right: Shape, factor: Shape, *args: Any, **kwargs: Any) -> int:
    # Forward and back substitution, n²k each.
    return 2 * math.prod(right) * factor[-1]


def _triangular_solve(matrix: Shape, right: Shape, *args: Any, left: bool = True, **kwargs: Any) -> int:
    return math.prod(right) * matrix[-1]


def _general_solve(matrix: Shape, right: Shape, *args: Any, **kwargs: Any) -> int:
    # LU, 2n³/3, then two substitutions.
    return _cube(matrix, 2 / 3) + 2 * math.prod(right) * matrix[-1]


def _svd(matrix: Shape, *args: Any, **kwargs: Any) -> int:
    # Σ, V and a reduced U by the algorithm of Golub and Reinsch: 14mn² + 8n³ for m ≥ n (Golub & Van Loan, §8.6).
    rows, columns = max(matrix[-2:]), min(matrix[-2:])
    return math.prod(matrix[:-2]) * (14 * rows * columns**2 + 8 * columns**3)


def _qr(matrix: Shape, *args: Any, **kwargs: Any) -> int:
    # Householder QR with an explicit reduced Q: 2·(2mn² − 2n³/3) for m ≥ n (Golub & Van Loan, §5.2).
    rows, columns = max(matrix[-2:]), min(matrix[-2:])
    return round(math.prod(matrix[:-2]) * 2 * (2 * rows * columns**2 - 2 * columns**3 / 3))


FORMULAS: dict[Any, Formula] = {
    _aten.mv: _of_first,
    _aten.addmv: _added_matrix_vector,
    _aten.addmv_: _added_matrix_vector,
    # torch's counter knows these two, but not in place
    _aten.addmm_: _added_product,
    _aten.baddbmm_: _added_product,
    _aten.dot: _of_first,
    _aten.vdot: _of_first,
    _aten.linalg_cholesky_ex: _cubic(1 / 3),
    _aten.cholesky_inverse: _cubic(2 / 3),
    _aten.cholesky_solve: _cholesky_solve,
    _aten.linalg_solve_triangular: _triangular_solve,
    _aten._linalg_solve_ex: _general_solve,
    _aten.linalg_inv_ex: _cubic(2.0),
    _aten.linalg_lu_factor_ex: _cubic(2 / 3),
    # Nominal: reduction to tridiagonal form, divide and conquer, back-transformation; the true count varies.
    _aten._linalg_eigh: _cubic(EIGENDECOMPOSITION_FLOPS),
    _aten.linalg_qr: _qr,
    _aten._linalg_svd: _svd,
}
"""Operations per dispatched call of what torch's own counter leaves out; arguments arrive as shapes."""

_HEAVY_PARTS = {
    *("linalg", "cholesky", "eig", "eigh", "svd", "lu", "qr", "geqrf", "ormqr", "orgqr"),
    *("solve", "inv", "inverse", "lstsq", "lobpcg", "pinverse", "fft"),
}
_LIGHT = {"_linalg_check_errors", "linalg_vector_norm", "linalg_diagonal", "linalg_cross", "lu_unpack"}
_PRODUCTS = ("mm", "bmm", "mv", "addmm", "baddbmm", "addbmm", "dot", "vdot", "addr", "ger", "outer", "matmul")


HALF_FORMATS = (torch.bfloat16, torch.float16)
_SHORT_CALLS = 3
"""Calls of a short operation in each format, of which the quickest counts."""


@dataclass(frozen=True)
class HalfProducts:
    """Operations in a format of half width: their number and seconds, and the seconds of the same in float32."""

    flops: float = 0.0
    seconds: float = 0.0
    float32_seconds: float = 0.0

    def plus(self, other: "HalfProducts", weight: float = 1.0) -> "HalfProducts":
        """Return the sum with `weight` times the other."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return HalfProducts(*(own + weight * more for own, more in pairs))


Halves = Mapping[str, HalfProducts]
"""Products by the format they are computed in: "bfloat16", "float16"."""


def weighted(parts: Iterable[tuple[float, Halves]]) -> Halves:
    """Return the sum of `parts`, each with its weight."""
    total: dict[str, HalfProducts] = {}
    for weight, halves in parts:
        for name, products in halves.items():
            total[name] = total.get(name, HalfProducts()).plus(products, weight)
    return total


@dataclass(frozen=True)
class OperationCount:
    """`flops` of the work, NaN when `uncounted` names operations that have no formula.

    `half` are those among them that the CPU did in formats of half width.
    """

    flops: float
    uncounted: tuple[str, ...] = ()
    half: Halves = field(default_factory=dict)

    @property
    def reason(self) -> str | None:
        """Why there is no number, or None."""
        return f"no operation count for {', '.join(self.uncounted)}" if self.uncounted else None


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no annotation there
    """Notes the heavy operations without a formula, and those in formats of half width with their seconds."""

    def __init__(self, counter: FlopCounterMode, now: Callable[[], float]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.uncounted: set[str] = set()
        self.half: dict[str, HalfProducts] = defaultdict(HalfProducts)
        self._counter, self._now = counter, now

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        packet, kwargs = func._overloadpacket, kwargs or {}
        if packet not in flop_registry and packet not in FORMULAS and _is_heavy(packet.__name__):
            self.uncounted.add(f"{func.namespace}.{packet.__name__}")
        form = _half_format((args, kwargs))
        if form is None:
            return func(*args, **kwargs)
        before, start = self._counter.get_total_flops(), self._now()
        result = func(*args, **kwargs)
        seconds, flops = self._now() - start, self._counter.get_total_flops() - before
        if flops:
            name = str(form).removeprefix("torch.")
            timed = self._seconds(func, args, kwargs, form, seconds)
            self.half[name] = self.half[name].plus(HalfProducts(float(flops), *timed))
        return result

    def _seconds(
        self, func: Any, args: Any, kwargs: Any, form: torch.dtype, seconds: float
    ) -> tuple[float, float]:
        """Return the seconds of an operation that took `seconds`, counter included, and of the same in float32.

        Short ones are called again, without the counter, on copies with the same strides.
        """
        with _disable_current_modes():
            if is_short(seconds):
                seconds = self._quickest(func, *_as_format((args, kwargs), form))
            return seconds, self._quickest(func, *_as_format((args, kwargs), torch.float32))

    def _quickest(self, func: Any, args: Any, kwargs: Any) -> float:
        best = math.inf
        for _ in range(_SHORT_CALLS):
            start = self._now()
            func(*args, **kwargs)
            best = min(best, self._now() - start)
            if not is_short(best):
                break
        return best


def _half_format(values: Any) -> torch.dtype | None:
    """Return the format of half width that an operation computes in on the CPU; None for others."""
    tensors = (each for each in tree_leaves(values) if isinstance(each, torch.Tensor))
    return next((each.dtype for each in tensors if each.dtype in HALF_FORMATS and each.is_cpu), None)


def _as_format(values: Any, form: torch.dtype) -> Any:
    """Return copies of the tensors of half width in another format, strides as they are."""

    def copied(value: Any) -> Any:
        half = isinstance(value, torch.Tensor) and value.dtype in HALF_FORMATS
        return value.to(form, copy=True) if half else value

    return tree_map(copied, values)


def _is_heavy(name: str) -> bool:
    plain = name.rstrip("_")
    if plain in _LIGHT:
        return False
    return plain in _PRODUCTS or not _HEAVY_PARTS.isdisjoint(plain.split("_"))


def count_operations(
    work: Callable[[], object], now: Callable[[], float] = time.thread_time
) -> OperationCount:
    """Run `work` once and return its operation count; slower than a plain run, so never on the clock.

    `now` is the clock that products of half width are timed with: that of this thread, since others may run beside it.
    """
    counter = flop_counter(FORMULAS)
    watch = _Watch(counter, now)
    with counter, watch:
        work()
    if watch.uncounted:
        return OperationCount(math.nan, tuple(sorted(watch.uncounted)), dict(watch.half))
    return OperationCount(float(counter.get_total_flops()), half=dict(watch.half))
