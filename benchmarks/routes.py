"""The quicker route of a few curvature products: by rows of B, or through the model.

    python -m benchmarks.routes [--grid fitted|fresh|quick] [--fit]

Both routes solve one system in turn, one thread, over a grid of N, b and d_z; a line says how much longer rows take and
which route `curvature.route` names. `fitted` is the grid that its constants were fitted on; `fresh` has other sizes,
on which the rule is judged (about two minutes). `--fit` tries other constants for that rule on the times just taken.
Seconds are those of the processor: a route shares the machine with whatever else runs there.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from tngd_bench.curvature import GGN, route
from tngd_bench.layers import Layer
from tngd_bench.problems import registry as problems
from tngd_bench.solvers import CG

Size = tuple[int, int, int, int]
"""N, b, d_z and the number of products: 8 of a loose tolerance of NGD-CG, 30 of its median at λ = 0.01."""
GRIDS: dict[str, tuple[Size, ...]] = {
    "fitted": tuple(itertools.product((3_000, 80_000, 1_000_000), (32, 512, 4_096), (10, 64, 250), (8, 30))),
    "fresh": tuple(itertools.product((10_000, 250_000), (64, 256, 1_024), (20, 130), (15, 40))),
    "quick": ((3_000, 32, 10, 8), (80_000, 512, 64, 30)),
}
LARGEST_ROWS, LARGEST_PRODUCTS = 3e8, 4e11
"""Numbers that the rows may keep, and operations of all products through the model, of a place that is timed."""
ROUNDS = 3
IMAGES = {"digits-mlp": (64,), "mnist-cnn": (1, 28, 28)}


@dataclass(frozen=True)
class Place:
    """Sizes, the model's layers, and the median seconds of `products` products by either route."""

    problem: str
    parameters: int
    batch: int
    outputs: int
    products: int
    layers: tuple[Layer, ...]
    by_rows: float
    by_model: float

    def chosen(self) -> float:
        """Return the seconds of the route that the rule names."""
        named = route.product_route(self.layers, self.outputs, self.batch, self.parameters, self.products)
        return self.by_model if named.name == "model" else self.by_rows

    @property
    def regret(self) -> float:
        """Seconds of the named route over those of the quicker one."""
        return self.chosen() / min(self.by_rows, self.by_model)


def main() -> None:
    """Time the grid and print a line a place."""
    parser = argparse.ArgumentParser(prog="benchmarks.routes", description="Time both routes over a grid.")
    parser.add_argument("--grid", choices=tuple(GRIDS), default="fitted")
    parser.add_argument("--fit", action="store_true", help="try other constants on what was timed")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    places = []
    print(f"{'problem':<11}{'N':>9}{'b':>6}{'d_z':>5}{'P':>4}{'rows':>10}{'model':>10}{'ratio':>7}  named")
    for place in timed(GRIDS[chosen.grid]):
        places.append(place)
        named = "model" if place.chosen() == place.by_model else "rows"
        late = f"  ×{place.regret:.2f} of the quicker one" if place.regret > 1.1 else ""
        sizes = f"{place.problem:<11}{place.parameters:>9}{place.batch:>6}{place.outputs:>5}"
        times = f"{place.by_rows:>10.4f}{place.by_model:>10.4f}{place.by_rows / place.by_model:>7.2f}"
        print(f"{sizes}{place.products:>4}{times}  {named}{late}", flush=True)
    print(summary(places))
    if chosen.fit:
        fit(places)


def timed(grid: Sequence[Size]) -> Iterator[Place]:
    """Yield every place of the grid that fits, timed."""
    for problem, (parameters, batch, outputs, products) in itertools.product(IMAGES, grid):
        try:
            widths = problems.get(problem).widths(parameters, outputs)
        except ValueError:
            continue
        operations = 4.0 * products * sum(layer.forward(batch) for layer in widths.layers)
        kept = batch * outputs * sum(layer.d_out * layer.positions for layer in widths.layers)
        if operations <= LARGEST_PRODUCTS and kept <= LARGEST_ROWS:
            yield _timed(problem, widths.parameters, batch, outputs, products)


def _timed(problem: str, parameters: int, batch: int, outputs: int, products: int) -> Place:
    entry = problems.get(problem)
    model, loss = entry.model(entry.widths(parameters, outputs), 0), entry.loss()
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(batch, *IMAGES[problem], generator=generator)
    targets = torch.randint(0, 10, (batch,), generator=generator)
    # a product is made for the start and one lifts the solution
    solver = CG(max_iterations=products - 2, rtol=0.0)
    times: dict[str, list[float]] = {"rows": [], "model": []}
    for name in tuple(times) * (ROUNDS + 1):
        started = time.process_time()
        ggn = GGN(model, loss, inputs, targets, verify=False)
        ggn.route = route.Route(name, "timed")
        ggn.expect_products = lambda count: None  # type: ignore[method-assign]
        solver.solve(ggn, damping=1e-4)
        times[name].append(time.process_time() - started)
    rows, through = (statistics.median(seconds[1:]) for seconds in times.values())
    layers = entry.widths(parameters, outputs).layers
    return Place(problem, parameters, batch, outputs, products, layers, rows, through)


def summary(places: Sequence[Place]) -> str:
    """Return how often the rule names the quicker route, and what it costs where it does not."""
    late = [place.regret for place in places]
    right = sum(regret <= 1.1 for regret in late)
    mean = statistics.geometric_mean(late)
    over = f"time over the quicker route's: mean ×{mean:.3f}, worst ×{max(late):.2f}"
    return f"{right} of {len(late)} right or within 10 %; {over}"


def fit(places: Sequence[Place]) -> None:
    """Print constants of the rule with a lower mean regret, one at a time, until none lowers it."""
    names = [name for name in vars(route) if name.endswith("_S")]
    least = statistics.geometric_mean(place.regret for place in places)
    improved = True
    while improved:
        improved = False
        for name, factor in itertools.product(names, (0.7, 0.85, 1.2, 1.4)):
            before = getattr(route, name)
            setattr(route, name, before * factor)
            found = statistics.geometric_mean(place.regret for place in places)
            if found < least - 1e-6:
                least, improved = found, True
            else:
                setattr(route, name, before)
    for name in names:
        print(f"{name} = {getattr(route, name):.2g}")
    print(summary(places))


if __name__ == "__main__":
    main()
