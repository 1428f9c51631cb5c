"""Thermal noise in TNGD: closed forms beside simulated figures, and what is left of the test accuracy.

    python -m benchmarks.noise_theory                 variances by range of J and null space (a minute)
    python -m benchmarks.noise_theory --training      test accuracy on MNIST after one epoch, by κ₀, start, λ and N

The tables of docs/device.md come from here. Setting: CNN of the paper's Fig. 3 on MNIST, batch 64, 10 outputs,
cross-entropy, float32. The null space's share is what is left of a noise vector after its projection on the rows of B.
Figures are means over seeds with 95 % t-intervals; in the first table the seeds draw the noise on one batch, in the
second the weights, the batches and the noise.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from statistics import fmean, stdev

import scipy.stats
import torch
from torch import Tensor

from benchmarks.runs import command_line
from tngd_bench.curvature import GGN
from tngd_bench.optimizers import TNGD
from tngd_bench.problems import registry as problems
from tngd_bench.spu import OUProcess

BATCH, IMAGES, VARIANCE = 64, 10_000, 1e-3
ITERATIONS = (1, 10, 100, 1000)
"""Iterations after which a carried-over start is looked at."""
SIZES, SAMPLES = (10_000, 43_706, 200_000), 10
Variance = Callable[[Tensor], Tensor]
"""v(a): variance of a mode by its eigenvalue of A."""


class NoiseOfABatch:
    """The noise of a device that holds the curvature of one batch, split in range of J and null space."""

    def __init__(self, parameters: int, damping: float) -> None:
        entry = problems.get("mnist-cnn")
        model = entry.model(entry.widths(parameters), seed=0)
        data = entry.load(train_size=BATCH)
        self.ggn = GGN(model, entry.loss(), data.train_inputs, data.train_targets)
        self.damping = damping
        values, self._vectors = torch.linalg.eigh(self.ggn.gram().double())
        # softmax leaves one combination of outputs per sample without curvature
        self._held = values > 1e-6 * values[-1]
        self.eigenvalues = values[self._held]
        self.null = self.ggn.size - len(self.eigenvalues)
        self._zero = torch.zeros(self.ggn.size)
        self.process = OUProcess(self.ggn, self._zero, damping, VARIANCE, method="gram")

    def split(self, noise: Tensor) -> tuple[float, float]:
        """‖noise‖² in the range of Jᵀ and in the null space."""
        modal = (self._vectors.T @ self.ggn.factor_matvec(noise).double())[self._held]
        inside = float((modal**2 / self.eigenvalues).sum())
        return inside, float(noise.double() @ noise.double()) - inside

    def fresh(self, t: float, seed: int) -> tuple[float, float]:
        """One readout after t from a start without noise."""
        return self.split(self.process.sample(self._zero, t, torch.Generator().manual_seed(seed)))

    def carried(self, t: float, seed: int, iterations: int) -> tuple[float, float]:
        """The readout after `iterations` relaxations of t each, every one from the state the last one left."""
        generator, state = torch.Generator().manual_seed(seed), self._zero
        for _ in range(iterations):
            state = self.process.sample(state, t, generator)
        return self.split(state)

    def averaged(self, t: float, seed: int, samples: int, spacing: float) -> tuple[float, float]:
        """The mean of `samples` readouts `spacing` apart, the first after t."""
        generator = torch.Generator().manual_seed(seed)
        path = self.process.path(self._zero, [t + spacing * k for k in range(samples)], generator)
        return self.split(path.mean(0))

    def expected(self, variance: Variance) -> tuple[float, float]:
        """What `split` gives in expectation for modes of the `variance` v(a)."""
        inside = float(variance(self.eigenvalues + self.damping).sum())
        return inside, self.null * float(variance(torch.tensor(self.damping, dtype=torch.float64)))


def relaxed(t: float) -> Variance:
    """κ₀ (1 − e^{−2at})/a."""
    return lambda a: -VARIANCE * torch.expm1(-2.0 * a * t) / a


def averaged(t: float, samples: int, spacing: float) -> Variance:
    """Variance of the mean: pairs of times s ≤ u share e^{−a(u−s)} of what s has."""
    times = [t + spacing * k for k in range(samples)]

    def variance(a: Tensor) -> Tensor:
        pairs = itertools.product(times, times)
        total = sum(relaxed(min(pair))(a) * torch.exp(-a * abs(pair[0] - pair[1])) for pair in pairs)
        return torch.as_tensor(total) / samples**2

    return variance


def interval(values: Sequence[float]) -> str:
    """Mean and half-width of its 95 % t-interval."""
    half = stdev(values) / math.sqrt(len(values)) * scipy.stats.t.ppf(0.975, len(values) - 1)
    return f"{fmean(values):.3g} ± {half:.1g}"


def cases(batch: NoiseOfABatch) -> Iterable[tuple[str, Variance, Callable[[int], tuple[float, float]]]]:
    """What is read, the variance of its modes, and one draw of it by seed."""
    for t in (1.0, 50.0):
        yield f"fresh start, t = {t:g}", relaxed(t), partial(batch.fresh, t)
    for k in ITERATIONS:
        seen = partial(batch.carried, 1.0, iterations=k)
        yield f"carried over, t = 1, iteration {k}", relaxed(float(k)), seen
    for t, spacing in ((1.0, 1.0), (50.0, 1.0), (50.0, 50.0)):
        seen = partial(batch.averaged, t, samples=SAMPLES, spacing=spacing)
        name = f"fresh start, t = {t:g}, mean of {SAMPLES}, {spacing:g} apart"
        yield name, averaged(t, SAMPLES, spacing), seen


def variances(seeds: int) -> Iterable[tuple[str, ...]]:
    """Rows of the first table."""
    yield "N", "λ", "readout", "range, exact", "range, seen", "null space, exact", "null space, seen"
    for parameters, damping in itertools.product(SIZES, (0.01, 0.1)):
        batch = NoiseOfABatch(parameters, damping)
        for name, form, seen in cases(batch):
            draws = zip(*(seen(seed) for seed in range(seeds)), strict=True)
            shown = zip((f"{exact:.3g}" for exact in batch.expected(form)), map(interval, draws), strict=True)
            yield f"{batch.ggn.size:,}", f"{damping:g}", name, *itertools.chain(*shown)


def accuracy(parameters: int, seed: int, lr: float, **settings: object) -> float:
    """Test accuracy of TNGD after one epoch at t = τ."""
    entry = problems.get("mnist-cnn")
    data = entry.load(train_size=IMAGES)
    model = entry.model(entry.widths(parameters), seed=seed)
    noise = torch.Generator().manual_seed(1000 + seed)
    optimizer = TNGD(model, entry.loss(), lr=lr, analog_time=1.0, generator=noise, **settings)  # type: ignore[arg-type]
    order = torch.randperm(IMAGES, generator=torch.Generator().manual_seed(seed))
    for batch in order[: IMAGES // BATCH * BATCH].view(-1, BATCH):
        optimizer.step(data.train_inputs[batch], data.train_targets[batch])
    with torch.no_grad():
        return float((model(data.test_inputs).argmax(1) == data.test_targets).float().mean())


def training(seeds: int, lr: float) -> Iterable[tuple[str, ...]]:
    """Rows of the second table; the last column pairs each run with that of the same seed at κ₀ = 0."""
    yield "N", "λ", "start", "κ₀", "test accuracy", "lost to noise"
    sizes = ((43_706, 0.01), (43_706, 0.1), (10_000, 0.01), (200_000, 0.01))
    for (parameters, damping), start in itertools.product(sizes, ("previous", "gradient")):
        grid = (0.0, 1e-5, 1e-4, 1e-3, 1e-2) if parameters == 43_706 else (0.0, 1e-3)
        clean: list[float] = []
        for variance in grid:
            found = [
                accuracy(parameters, seed, lr, damping=damping, start=start, noise_variance=variance)
                for seed in range(seeds)
            ]
            clean = clean or found
            lost = interval([a - b for a, b in zip(clean, found, strict=True)]) if variance else "—"
            yield f"{parameters:,}", f"{damping:g}", start, f"{variance:g}", interval(found), lost


def main() -> None:
    """Print a table."""
    parser = command_line(__doc__)
    parser.add_argument("--training", action="store_true", help="test accuracy in place of variances")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lr", type=float, default=0.01, help="of the training runs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = training(options.seeds, options.lr) if options.training else variances(options.seeds)
    print(f"torch {torch.__version__}, {options.seeds} seeds" + f", lr {options.lr:g}" * options.training)
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
