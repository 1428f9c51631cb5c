"""Distance of TNGD's direction from that of exact NGD with the memory μ = e^(−λt), along one training.

    python -m benchmarks.directions                          both problems (five minutes on two cores)
    python -m benchmarks.directions --problem digits-mlp     one of them (a minute)

The table of docs/device.md comes from here. A training of 100 iterations moves by TNGD's direction (η = 0.01, float32,
ideal device, carried-over start). On the curvature and gradient of each batch exact NGD takes its direction too, around
μ times its own last one. Per seed: the median over the second half of the training of ‖x − y‖/‖y‖ and of cos(x, y), x
that of TNGD and y the exact one. Figures are medians over the seeds with their smallest and largest.

CLAIMS were fixed on 2026-11-29, before the first run. Each is judged by the exact one-sided signed-rank test over seeds
that the distance is below its bound, p ≤ 5 %, in every place of the grid that it speaks of.
"""

import argparse
import itertools
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from statistics import median

import torch
from torch import Tensor

from tngd_bench.analysis.statistics.paired import paired_difference
from tngd_bench.curvature import GGN
from tngd_bench.datasets.splits import take
from tngd_bench.problems import registry as problems
from tngd_bench.solvers import Gram, Thermodynamic

SIZES = {"mnist-cnn": (43_706, 64, 10_000), "digits-mlp": (1_000, 32, 1_280)}
"""N, b and the training samples of each problem."""
TIMES, DAMPINGS = (1.0, 5.0, 20.0, 50.0), (1e-3, 1e-2, 1e-1, 1.0)
STEPS, LR, LEVEL = 100, 0.01, 0.05
PAPER = "at λ = 0.01 the two are within 20 % of one another from t = 50 τ on"
FORGOTTEN = "the two are within 5 % of one another where λt ≥ 5, with a memory below 1 %"
CLAIMS: tuple[tuple[str, Callable[[float, float], bool], float], ...] = (
    (PAPER, lambda t, damping: damping == 1e-2 and t >= 50.0, 0.2),
    (FORGOTTEN, lambda t, damping: damping * t >= 5.0, 0.05),
)
Figures = dict[tuple[float, float], list[tuple[float, float]]]
"""Distance and cosine of every seed, by t and λ."""


def along(
    problem: str, t: float, damping: float, seed: int, steps: int = STEPS
) -> Iterator[tuple[float, float]]:
    """Yield ‖x − y‖/‖y‖ and cos(x, y) of every iteration of a training; it ends where the loss is not finite."""
    entry, (parameters, batch, samples) = problems.get(problem), SIZES[problem]
    data, model = entry.load(train_size=samples), entry.model(entry.widths(parameters), seed=seed)
    loss, generator = entry.loss(), torch.Generator().manual_seed(seed)
    device, exact = Thermodynamic(analog_time=t), Gram()
    state: Tensor | None = None
    kept: Tensor | None = None
    for _ in range(steps):
        taken = torch.randperm(len(data.train_targets), generator=generator)[:batch]
        ggn = GGN(model, loss, take(data.train_inputs, taken), data.train_targets[taken], verify=False)
        relaxed = device.relax(ggn, None, damping, state)
        prior = None if kept is None else math.exp(-damping * t) * kept
        kept, state = exact.solve(ggn, damping=damping, prior=prior).solution, relaxed.state
        x, y = relaxed.readout.double(), kept.double()
        if not math.isfinite(float(ggn.loss) + float(x.norm() + y.norm())):
            return
        yield float((x - y).norm() / y.norm()), float(x @ y / (x.norm() * y.norm()))
        with torch.no_grad():
            for p, piece in zip(ggn.parameters.tensors, ggn.parameters.views(relaxed.readout), strict=True):
                p.sub_(LR * piece)


def settled(problem: str, t: float, damping: float, seed: int) -> tuple[float, float]:
    """Return the medians over the second half of a training; ∞ and −1 where it did not get to its end."""
    found = list(along(problem, t, damping, seed))
    if len(found) < STEPS:
        return math.inf, -1.0
    distances, cosines = zip(*found[STEPS // 2 :], strict=True)
    return median(distances), median(cosines)


def rows(figures: Figures) -> Iterator[tuple[str, ...]]:
    """Yield the table: a row for each t and λ."""
    yield "t in τ", "λ", "μ", "distance", "cosine"
    for (t, damping), seeds in figures.items():
        shown = [
            f"{median(values):.3g} [{min(values):.3g}, {max(values):.3g}]"
            for values in zip(*seeds, strict=True)
        ]
        yield f"{t:g}", f"{damping:g}", f"{math.exp(-damping * t):.3g}", *shown


def verdicts(figures: Figures) -> Iterator[str]:
    """Yield a sentence on each claim."""
    for words, applies, bound in CLAIMS:
        judged = {
            place: paired_difference([distance - bound for distance, _ in seeds])
            for place, seeds in figures.items()
            if applies(*place)
        }
        below = all(found.p_lower <= LEVEL for found in judged.values())
        above = any(found.p_higher <= LEVEL for found in judged.values())
        parts = ", ".join(
            f"t = {t:g}, λ = {damping:g}: below in {found.lower} of {found.seeds} seeds"
            for (t, damping), found in judged.items()
        )
        yield f"{'confirmed' if below else 'the contrary' if above else 'not decided'}: {words} ({parts})"


def main() -> None:
    """Print a table and the verdicts for each problem."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problem", choices=SIZES, action="append", help="one of them; else all")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    options = parser.parse_args()
    for problem in options.problem or SIZES:
        parameters, batch, _ = SIZES[problem]
        print(f"{problem}, N = {parameters:,}, b = {batch}, {options.seeds} seeds, torch {torch.__version__}")
        grid = list(itertools.product(TIMES, DAMPINGS, range(options.seeds)))
        with ProcessPoolExecutor(options.workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            found = list(pool.map(settled, [problem] * len(grid), *zip(*grid, strict=True)))
        figures: Figures = {}
        for (t, damping, _), each in zip(grid, found, strict=True):
            figures.setdefault((t, damping), []).append(each)
        for row in rows(figures):
            print("| " + " | ".join(row) + " |")
        print(*verdicts(figures), sep="\n", flush=True)


if __name__ == "__main__":
    main()
