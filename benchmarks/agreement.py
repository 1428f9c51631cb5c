"""Agreement with other packages on the same inputs: differences in numbers, times in turn, operations counted.

    python -m benchmarks.agreement                 prints the table and writes docs/reference/agreement.md; a minute
    python -m benchmarks.agreement --page FILE     writes the page elsewhere

Needs the extra `peers` (`pip install 'tngd-bench[peers]'`). Ends with 1 where a difference exceeds its tolerance, and
with 2 where a peer is not installed: a page without it would look like agreement.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from benchmarks import core
from benchmarks.runs import command_line
from tngd_bench.curvature import GGN
from tngd_bench.measure import environment
from tngd_bench.measure.environment import git_revision, processor_name
from tngd_bench.measure.operations import count_operations
from tngd_bench.optimizers import KFAC, registry
from tngd_bench.problems import registry as problems
from tngd_bench.solvers import CG
from tngd_bench.spu import OUProcess

PEERS = ("curvlinops-for-pytorch", "posteriors", "thermox", "pytorch-optimizer")
PAGE = Path(__file__).parents[1] / "docs" / "reference" / "agreement.md"
DAMPING, KAPPA, T, ROUNDS = 0.01, 1e-3, 5.0, 15
CG_PRODUCTS = 50
ROUNDING = {torch.float64: 1e-10, torch.float32: 1e-4}
"""Relative difference that other orders of summation may bring: rounding times the condition of a solve at λ = 0.01."""
Setting = tuple[nn.Module, nn.Module, Tensor, Tensor]
"""Model, loss, inputs and targets."""


@dataclass(frozen=True)
class Comparison:
    """One quantity as we and a peer compute it; `counted` where torch dispatches both, so that operations are known."""

    quantity: str
    peer: str
    setting: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    tolerance: float
    counted: bool = True


@dataclass(frozen=True)
class Row:
    """What came of a comparison: ‖ours − theirs‖/‖theirs‖, least seconds in turn, operations or None."""

    comparison: Comparison
    difference: float
    seconds: tuple[float, float]
    operations: tuple[float, float] | None

    @property
    def agrees(self) -> bool:
        """Whether the difference is within its tolerance; one that is no number is not."""
        return self.difference <= self.comparison.tolerance


def digits() -> Setting:
    """Return a perceptron on digits in float64 and a batch of 32."""
    entry = problems.get("digits-mlp")
    data = entry.load(train_size=32, dtype="float64")
    model = entry.model(entry.widths(3_000), seed=0).double()
    assert isinstance(data.train_inputs, Tensor)
    assert isinstance(data.train_targets, Tensor)
    return model, nn.CrossEntropyLoss(), data.train_inputs[:32], data.train_targets[:32]


def compared(made: Setting, where: str) -> Iterator[Comparison]:
    """Yield the comparisons of curvature on a batch with curvlinops and posteriors."""
    import curvlinops
    import posteriors

    model, loss, inputs, targets = made
    tolerance = ROUNDING[inputs.dtype]
    ggn = GGN(model, loss, inputs, targets)
    v = torch.randn(ggn.size, generator=torch.Generator().manual_seed(1), dtype=inputs.dtype)
    names, pieces = ggn.parameters.names, ggn.parameters.views(v)
    weights = {name: p.detach() for name, p in zip(names, ggn.parameters.tensors, strict=True)}
    tangents = dict(zip(names, pieces, strict=True))

    def outputs(parameters: dict[str, Tensor]) -> Tensor:
        return functional_call(model, parameters, (inputs,))

    def flat(tree: dict[str, Tensor]) -> Tensor:
        return torch.cat([tree[name].reshape(-1) for name in names])

    def functional(tangent: dict[str, Tensor]) -> dict[str, Tensor]:
        return posteriors.ggnvp(outputs, lambda z: loss(z, targets), (weights,), (tangent,))[1]

    operator = partial(
        curvlinops.GGNLinearOperator,
        model,
        loss,
        ggn.parameters.tensors,
        [(inputs, targets)],
        check_deterministic=False,
    )
    prepared = operator()
    row = partial(Comparison, setting=where, tolerance=tolerance)
    yield row(
        "GGN product, made before",
        "curvlinops",
        ours=lambda: ggn.matvec(v),
        theirs=lambda: prepared @ v,
    )
    yield row(
        "GGN product, made anew",
        "curvlinops",
        ours=lambda: GGN(model, loss, inputs, targets, verify=False).matvec(v),
        theirs=lambda: operator() @ v,
    )
    yield row(
        "GGN product, made anew",
        "posteriors",
        ours=lambda: GGN(model, loss, inputs, targets, verify=False).matvec(v),
        theirs=lambda: flat(functional(tangents)),
    )
    gradient = dict(zip(names, ggn.parameters.views(ggn.gradient), strict=True))
    cg = CG(max_iterations=CG_PRODUCTS, rtol=0.0, space="parameters")
    yield row(
        f"{CG_PRODUCTS} CG iterations on ∇ℓ",
        "posteriors",
        ours=lambda: cg.solve(ggn, damping=DAMPING).solution,
        theirs=lambda: flat(
            posteriors.cg(functional, gradient, damping=DAMPING, maxiter=CG_PRODUCTS, tol=0.0)[0]
        ),
    )
    yield from kfac(made, where)


def kfac(made: Setting, where: str) -> Iterator[Comparison]:
    """Yield the comparisons of K-FAC's direction, exact Fisher and both dampings, with curvlinops."""
    import curvlinops

    model, loss, inputs, targets = made
    gradient = GGN(model, loss, inputs, targets).gradient
    parameters = [p for p in model.parameters() if p.requires_grad]

    def ours(inverse: Literal["cholesky", "eigen"]) -> Tensor:
        optimizer = KFAC(
            model,
            loss,
            lr=1e-30,
            damping=DAMPING,
            momentum=0.0,
            fisher="exact",
            inverse=inverse,
            kl_clip=None,
        )
        optimizer.step(inputs, targets)  # a step of nothing: all rounds see the same weights
        assert optimizer.natural_gradient is not None
        return optimizer.natural_gradient

    def theirs(**damping: bool) -> Tensor:
        factors = curvlinops.KFACLinearOperator(
            model,
            loss,
            parameters,
            [(inputs, targets)],
            check_deterministic=False,
            fisher_type=curvlinops.FisherType.TYPE2,
            separate_weight_and_bias=False,
        )
        return curvlinops.KFACInverseLinearOperator(factors, damping=DAMPING, **damping) @ gradient

    ways: dict[str, tuple[Literal["cholesky", "eigen"], str]] = {
        "π-damping": ("cholesky", "use_heuristic_damping"),
        "λ on the product": ("eigen", "use_exact_damping"),
    }
    for words, (inverse, damping) in ways.items():
        yield Comparison(
            f"K-FAC direction, {words}",
            "curvlinops",
            where,
            partial(ours, inverse),
            partial(theirs, **{damping: True}),
            ROUNDING[inputs.dtype],
        )


def relaxation(size: int = 200) -> Iterator[Comparison]:
    """Yield the comparisons of the device's statistics with thermox, on a matrix of `size` that a perceptron has."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import thermox
    from jax.numpy import asarray

    model, loss, inputs, targets = digits()
    matrix = GGN(model, loss, inputs, targets).dense()[-size:, -size:]
    rhs, x0 = torch.randn(2, size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    shifted = (matrix + DAMPING * torch.eye(size, dtype=torch.float64)).numpy()
    rest = np.linalg.solve(shifted, rhs.numpy())
    drift, start, spread = asarray(shifted), asarray(x0.numpy()), asarray(2.0 * KAPPA * np.eye(size))

    def process() -> OUProcess:
        return OUProcess(matrix, rhs, DAMPING, KAPPA)

    def tensor(values: Any) -> Tensor:
        return torch.from_numpy(np.array(values))

    row = partial(
        Comparison,
        peer="thermox",
        setting=f"N = {size}",
        tolerance=ROUNDING[torch.float64],
        counted=False,
    )
    yield row(
        f"OU mean at t = {T:g} τ",
        ours=lambda: process().mean(x0, T),
        theirs=lambda: tensor(thermox.conditional.mean(T, start, drift, asarray(rest), spread)),
    )
    yield row(
        f"OU covariance at t = {T:g} τ",
        ours=lambda: process().covariance(T),
        theirs=lambda: tensor(thermox.conditional.covariance(T, drift, spread)),
    )


def outside() -> Iterator[Comparison]:
    """Yield the comparisons of five steps by an optimizer of pytorch-optimizer, named in a study, with its own loop."""
    import pytorch_optimizer

    def ours(name: str) -> Tensor:
        model, loss, inputs, targets = digits()
        optimizer = registry.get(f"pytorch_optimizer:{name}").create(model, loss, {"lr": 1e-3})
        for _ in range(5):
            optimizer.step(inputs, targets)
        return torch.cat([p.detach().reshape(-1) for p in model.parameters()])

    def theirs(name: str) -> Tensor:
        model, loss, inputs, targets = digits()
        optimizer = getattr(pytorch_optimizer, name)(model.parameters(), lr=1e-3)
        for _ in range(5):
            optimizer.zero_grad()
            loss(model(inputs), targets).backward()
            optimizer.step()
        return torch.cat([p.detach().reshape(-1) for p in model.parameters()])

    for name in ("SOAP", "Shampoo", "Adan"):
        yield Comparison(
            f"weights after 5 steps of {name}",
            "pytorch-optimizer",
            "digits",
            partial(ours, name),
            partial(theirs, name),
            0.0,
        )


def every() -> Iterator[Comparison]:
    """Yield all comparisons."""
    yield from compared(digits(), "digits")
    yield from compared(core.setting(10**5), "CNN")
    yield from relaxation()
    yield from outside()


def judged(comparison: Comparison, rounds: int = ROUNDS) -> Row:
    """Compute both sides, time them in turn and count their operations."""
    ours, theirs = comparison.ours().double(), comparison.theirs().double()
    difference = float((ours - theirs).norm() / theirs.norm())
    seconds = [(_seconds(comparison.ours), _seconds(comparison.theirs)) for _ in range(rounds)]
    timed = min(ours for ours, _ in seconds), min(theirs for _, theirs in seconds)
    counts = None
    if comparison.counted:
        counts = (count_operations(comparison.ours).flops, count_operations(comparison.theirs).flops)
    return Row(comparison, difference, timed, counts)


def _seconds(call: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def page(rows: Sequence[Row], versions: dict[str, str]) -> str:
    """Return the page of the documentation."""
    facts = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "revision": (git_revision(Path(environment.__file__).parent) or "unknown")[:12],
        "machine": f"{processor_name()}, {torch.get_num_threads()} thread, "
        f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
        "packages": ", ".join(
            f"{name} {number}" for name, number in {"torch": torch.__version__, **versions}.items()
        ),
    }
    values = {"rounds": ROUNDS, "damping": DAMPING, "kappa": KAPPA, "rows": "".join(map(_line, rows))}
    return _PAGE.format(**facts, **values)


_PAGE = """# Agreement with other packages

Our numbers beside those of packages that compute the same, on the same inputs. Made by `python -m benchmarks.agreement`
on {date} at revision {revision}: {machine}, {packages}.

A difference is ‖ours − theirs‖/‖theirs‖; the script fails where one exceeds its tolerance. Times are the least of
{rounds} rounds in which both take turns; they depend on the machine. Ratios are theirs over ours.
Operations are counted from what torch dispatches. A batch has 32 samples, λ = {damping:g}, κ₀ = {kappa:g}.

| quantity | peer | on | difference | tolerance | ours | theirs | time ratio | operations |
|---|---|---|---|---|---|---|---|---|
{rows}
"Digits" is a perceptron of N ≈ 3,000 parameters on scikit-learn's digits in float64, "CNN" a convolutional network of
N ≈ 100,000 on images of MNIST's size in float32, with 20 outputs. "Made before": ours keeps the forward pass and the
rows of the factor between products; curvlinops runs the model at each. "Made anew" is one product on a new batch, for
which ours makes all rows of the factor. A direction of K-FAC includes its factors and inverses, with the exact Fisher.
thermox computes on JAX and diagonalises its matrix at each call, as ours does on a dense matrix; the suite's own
simulation forms none. Its compilation is not timed.

An optimizer of another package that a study names by its class is stepped by our code and computed by theirs, to the
same bits.
"""


def _line(row: Row) -> str:
    ours, theirs = row.seconds
    counts = "" if row.operations is None else f"{row.operations[1] / row.operations[0]:.3g}"
    cells = (
        *(row.comparison.quantity, row.comparison.peer, row.comparison.setting),
        *(f"{row.difference:.1e}", f"{row.comparison.tolerance:g}"),
        *(f"{1e3 * ours:.3g} ms", f"{1e3 * theirs:.3g} ms", f"{theirs / ours:.3g}", counts),
    )
    return f"| {' | '.join(cells)} |\n"


def installed() -> dict[str, str]:
    """Return the versions of the peers that are installed, by name."""
    found = {}
    for name in PEERS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def main(words: Sequence[str] | None = None) -> int:
    """Print the table, write the page and return the exit code."""
    parser = command_line(__doc__)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args(words)
    versions = installed()
    if missing := [name for name in PEERS if name not in versions]:
        print(f"not installed: {', '.join(missing)}; pip install 'tngd-bench[peers]'", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    rows = []
    for comparison in every():
        rows.append(judged(comparison))
        print(_line(rows[-1]), end="", flush=True)
    options.page.write_text(page(rows, versions), "utf-8")
    beyond = [row for row in rows if not row.agrees]
    for row in beyond:
        print(
            f"disagrees: {row.comparison.quantity} ({row.comparison.peer}): {row.difference:.2e}",
            file=sys.stderr,
        )
    return int(bool(beyond))


if __name__ == "__main__":
    sys.exit(main())
