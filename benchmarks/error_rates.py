"""How often the statements of a report are wrong where the truth is known: the rate each says, and the one found.

    python -m benchmarks.error_rates                 all of them (a few minutes on one core)
    python -m benchmarks.error_rates --runs 50       fewer draws: wider error bars

Data with a known truth are drawn and judged by the functions that a report uses. A row passes while the rate found is
not above the one said by more than three Monte-Carlo errors. Exit code 1 where one is.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from tngd_bench.analysis import break_even, tolerance, two_stores
from tngd_bench.analysis.calibration import Calibrations, Counts, calibrate
from tngd_bench.analysis.cost import paired_ratio
from tngd_bench.analysis.cost_map import DeviceUse, cheapest, plane
from tngd_bench.analysis.families import kind
from tngd_bench.analysis.findings import leads
from tngd_bench.analysis.paired import LEVEL, holm, paired_difference, seeds_needed
from tngd_bench.analysis.profiles import profiles
from tngd_bench.analysis.run_spread import ASSUMED
from tngd_bench.analysis.time_to_target import median_interval, target_from_reference
from tngd_bench.problems import registry as problems
from tngd_bench.spu.device import Device

Generator = np.random.Generator
Array = npt.NDArray[np.float64]
RUNS = 200


@dataclass(frozen=True)
class Statement:
    """A statement whose error is drawn: `draw` returns the wrong ones and how many were made, of one data set."""

    name: str
    says: float
    draw: Callable[[Generator], tuple[int, int]]
    share: float = 1.0
    """The share of the runs that is enough: dear data sets are drawn less often."""


@dataclass(frozen=True)
class Rate:
    """The rate found for a statement, over `number` data sets that made it."""

    statement: Statement
    rate: float
    error: float
    number: int

    @property
    def kept(self) -> bool:
        """Whether the rate is at most what is said, to three Monte-Carlo errors."""
        return self.rate <= self.statement.says + 3.0 * self.error

    @property
    def verdict(self) -> str:
        """Return whether the rate is kept; a statement that no data set led to says nothing of its rate."""
        return "never made" if not self.number else "kept" if self.kept else "BROKEN"


def measure(statement: Statement, runs: int, seed: int = 0) -> Rate:
    """Draw `runs` data sets (the statement's share of them) and return the rate of wrong statements."""
    generator = np.random.default_rng([seed, *statement.name.encode()])
    shares = []
    for _ in range(max(2, round(runs * statement.share))):
        wrong, made = statement.draw(generator)
        if made:
            shares.append(wrong / made)
    rate = float(np.mean(shares)) if shares else 0.0
    # the error is that of the rate that is said where none was found
    spread = math.sqrt(max(rate * (1 - rate), statement.says * (1 - statement.says)))
    return Rate(statement, rate, spread / math.sqrt(max(len(shares), 1)), len(shares))


# -- training --------------------------------------------------------------------------------------------------------


def equal_rivals(rivals: int) -> Callable[[Generator], tuple[int, int]]:
    """Return whether a sentence over equal rivals finds any difference."""

    def draw(generator: Generator) -> tuple[int, int]:
        seeds = seeds_needed(rivals)
        columns = generator.standard_normal((seeds, 1)) - generator.standard_normal((seeds, rivals))
        return int(min(holm([paired_difference(own).p for own in columns.T])) <= 1 - LEVEL), 1

    return draw


def close(generator: Generator) -> tuple[int, int]:
    """Return whether two losses that deviate by the tolerance in the median are called close."""
    return int(paired_difference(0.01 * generator.standard_normal(5)).p_lower <= 1 - LEVEL), 1


def at_the_margin(side: str) -> Callable[[Generator], tuple[int, int]]:
    """Return whether six levels exactly at the margin leave one inside (or outside)."""

    def draw(generator: Generator) -> tuple[int, int]:
        found = tolerance.tolerances(_swept(generator, 8, 0.05))[0]
        return int(not math.isnan(getattr(found, side))), 1

    return draw


def broken_base(generator: Generator) -> tuple[int, int]:
    """Return whether a level is judged at all where one of five ideal seeds has not learned."""
    final = _swept(generator, 5, 0.0)
    final.loc[final.index[(final["sweep_value"] == 0) & (final["seed"] == 0)], "final_loss"] = 9.9
    return int(not tolerance.tolerances(final)[0].note), 1


def _swept(generator: Generator, seeds: int, excess: float) -> pd.DataFrame:
    ideal = 1.0 + 0.1 * generator.random(seeds)
    columns = [ideal, *(ideal * (1 + excess) + 0.02 * generator.standard_normal((6, seeds)))]
    rows = [
        {"sweep_value": 0.01 * place, "seed": seed, "final_loss": loss}
        for place, losses in enumerate(columns)
        for seed, loss in enumerate(losses)
    ]
    return pd.DataFrame(rows).assign(
        group="g", problem="p", optimizer="tngd", sweep_parameter="noise_variance", parameters=100, status="ok",
        untrained_train_loss=10.0,
    )  # fmt: skip


def reached_by_its_baseline(seeds: int) -> Callable[[Generator], tuple[int, int]]:
    """Return whether a further rerun of a baseline misses the target that it set."""

    def draw(generator: Generator) -> tuple[int, int]:
        *losses, further = generator.standard_normal(seeds + 1)
        final = pd.DataFrame({"final_loss": losses}).assign(
            group="g", optimizer="adam", sweep_parameter=None, status="ok"
        )
        return int(further > target_from_reference(final, "g", "adam", "train_loss").value), 1

    return draw


def median_left_out(generator: Generator) -> tuple[int, int]:
    """Return whether the interval of a median of five skewed times leaves out the true one."""
    low, high, _ = median_interval(generator.exponential(1.0, 5))
    return int(not low <= math.log(2) <= high), 1


def tie_wins(generator: Generator) -> tuple[int, int]:
    """Return whether an optimizer 10 % slower on every seed wins more than half of the tasks, evaluated every 78."""
    true = generator.uniform(200, 2000, 20)
    seen = {label: 78 * np.ceil(true * slow / 78) for label, slow in (("a", 1.0), ("b", 1.1))}
    times = pd.concat(
        [
            pd.DataFrame({"task": range(20), "optimizer": label, "iterations": own})
            for label, own in seen.items()
        ]
    )
    won = profiles(times).groupby("optimizer")["won"].first()
    return int(won["b"] >= 0.5), 1


# -- times -----------------------------------------------------------------------------------------------------------


def _timed(generator: Generator, labels: Sequence[str], processes: int, *, shift: float) -> pd.DataFrame:
    """Return equal optimizers timed in pairs: noise 15 % and a shift of the run, 2 % of a process."""
    rows = []
    for label in labels:
        run = shift * generator.standard_normal()
        for process in range(processes):
            own = run + 0.02 * generator.standard_normal()
            for repetition in range(7):
                total = math.exp(own + 0.15 * generator.standard_normal())
                rows.append((label, process, repetition, 1000, total))
    columns = ["optimizer", "process", "repetition", "parameters", "total_s"]
    return pd.DataFrame(rows, columns=columns)


def decided_ratio(generator: Generator) -> tuple[int, int]:
    """Return whether the ratio of two equal optimizers is decided, three processes of seven pairs."""
    ratio = paired_ratio(_timed(generator, ("a", "b"), 3, shift=0.0), "a", "b")
    assert ratio is not None
    return int(ratio.decided), 1


def lead(generator: Generator) -> tuple[int, int]:
    """Return whether one of two equal optimizers is called cheapest without a doubt, in a run with its own shift."""
    known = {name: kind(name, name) for name in ("ngd-gram", "kfac")}
    (found,) = leads(_timed(generator, tuple(known), 5, shift=ASSUMED.value), known)
    return int(found.doubt == ""), 1


def two_equal_stores(generator: Generator) -> tuple[int, int]:
    """Return whether two runs of one study differ relative to SGD, each optimizer shifted by its run."""
    shifts = ASSUMED.value * generator.standard_normal(2 * 2).reshape(2, 2)
    processes = 0.05 * generator.standard_normal((2, 5))
    a, b = processes + (shifts[0] - shifts[1])[:, None]
    found = two_stores.relative_change(a, b, 4 * ASSUMED.value**2)
    return int(not found["relative_low"] <= 1.0 <= found["relative_high"]), 1


# -- predicted times -------------------------------------------------------------------------------------------------

COUNTS = Counts("digits-mlp", entry=problems.get("digits-mlp"))
RATES = {"ngd-gram": (1e-4, 2e-11), "kfac": (1e-4, 1e-12), "tngd": (3e-3, 1e-11)}
SIZES = (10_000, 30_000, 100_000, 300_000)
INSIDE, EDGE, BEYOND = (
    DeviceUse(Device.preset("paper").override(link_rate_bits_per_s=rate)) for rate in (5e12, 5e10, 1.5e10)
)
"""The crossover with the exact solver at N = 10⁵: at b ≈ 40, 230 and beyond 500; measured at b = 8, 32, 128."""
BATCHES = (8, 32, 128)
BENDS = (32, 512)
"""The formula of the exact solver is right up to the first b, and off by all of its `bend` from the second on."""
JUMPS = (181, 182)
"""The same at once, between the largest measured b and the next of a map."""


@dataclass(frozen=True)
class Truth:
    """How the exact solver's time leaves its formula: by a factor of `bend`, smoothly or at once (see BENDS, JUMPS)."""

    bend: float = 1.0
    over: tuple[int, int] = BENDS


RIGHT, BENT, JUMP, DROP = Truth(), Truth(2.0), Truth(2.0, JUMPS), Truth(0.5, JUMPS)


def _seconds(label: str, parameters: int, batch_size: int, truth: Truth) -> float:
    """Return the true digital seconds."""
    layers = COUNTS.layers(parameters, 10)
    assert layers is not None
    overhead, flop = RATES[label]
    seconds = overhead + flop * COUNTS.of(label, parameters, batch_size, 10, layers).flops
    start, end = truth.over
    grown = float(np.clip(math.log(batch_size / start) / math.log(end / start), 0.0, 1.0))
    return seconds * (truth.bend**grown if label == "ngd-gram" else 1.0)


def _study(generator: Generator, truth: Truth, noise: float) -> Calibrations:
    rows = []
    for label in RATES:
        shift = ASSUMED.value * generator.standard_normal()
        for n in SIZES:
            for b in BATCHES:
                factor = math.exp(shift + noise * generator.standard_normal())
                rows.append((n, b, label, _seconds(label, n, b, truth) * factor))
    summary = pd.DataFrame(rows, columns=["parameters", "batch_size", "optimizer", "digital_median_s"])
    summary = summary.assign(group="cost", problem="digits-mlp", outputs=10, method=summary["optimizer"])
    trials = summary.assign(
        kind="cost", status="ok", solver_iterations=np.nan, settings='{"device": "paper"}'
    )
    trials["device"] = np.where(trials["method"] == "tngd", "paper", None)
    found = calibrate(summary, trials, {label: kind(label, label) for label in RATES})
    assert found is not None
    return found


def crossover_left_out(use: DeviceUse, true: Truth, noise: float) -> Callable[[Generator], tuple[int, int]]:
    """Return whether the interval of the modelled crossover leaves out the true one."""

    def draw(generator: Generator) -> tuple[int, int]:
        found = break_even.line(_study(generator, true, noise), use, 100_000, 10)
        assert found is not None
        batches = break_even.BATCH_SIZES
        seconds = {label: np.array([[_seconds(label, 100_000, b, true) for b in batches]]) for label in RATES}
        exact = replace(
            found,
            host=np.repeat(seconds["tngd"], 2, axis=0),
            rivals={"ngd-gram": np.repeat(seconds["ngd-gram"], 2, axis=0)},
        )
        (at,) = break_even.crossovers(exact, use)
        said = next(each for each in break_even.crossovers(found, use) if each.rival == "ngd-gram")
        return int(not said.low <= at.rows_m <= said.high), 1

    return draw


def confirmed_cells(truth: Truth) -> Callable[[Generator], tuple[int, int]]:
    """Return the wrong ones of the cells confirmed where the true lead is below 1.5."""

    def draw(generator: Generator) -> tuple[int, int]:
        area = plane(_study(generator, truth, 0.05), "batch_size", 10)
        drawn = cheapest(area, EDGE, ("kfac",), draws=200)
        wrong = made = 0
        for row, column in np.argwhere(drawn.confirmed):
            n, b = area.sizes[column], area.values[row]
            own = np.array([_seconds(label, n, b, truth) for label in drawn.labels])
            device = drawn.labels.index("tngd")
            host = area.host[EDGE.device.upload][0, row, column]
            own[device] += drawn.seconds[device, row, column] - host
            ranked = np.sort(own)
            if ranked[1] < 1.5 * ranked[0]:
                made += 1
                wrong += int(own.argmin() != drawn.winner[row, column])
        return wrong, made

    return draw


STATEMENTS = (
    Statement("Difference to one of 5 equal rivals (Holm)", 0.05, equal_rivals(5)),
    Statement("Difference to one of 8 equal rivals (Holm)", 0.05, equal_rivals(8)),
    Statement("Close, where the deviation is the tolerance, 5 seeds", 0.05, close),
    Statement("Inside, six levels at the margin, 8 seeds", 0.05, at_the_margin("worst_inside")),
    Statement("Outside, six levels at the margin, 8 seeds", 0.05, at_the_margin("first_outside")),
    Statement("Tolerance from a base of which a seed has not learned", 0.0, broken_base),
    Statement("A baseline misses its own target, 5 reruns", 0.2, reached_by_its_baseline(5)),
    Statement("A baseline misses its own target, 10 reruns", 0.2, reached_by_its_baseline(10)),
    Statement("Interval of a median of 5 leaves it out (93.75 %)", 0.0625, median_left_out),
    Statement("10 % slower on every seed wins half of the tasks", 0.0, tie_wins),
    Statement("Ratio of equal optimizers decided, 3 processes × 7", 0.06, decided_ratio),
    Statement("Lead of one of two equal optimizers, shift of the run 4 %", 0.05, lead),
    Statement("Two stores without a change differ, shifts of 4 %", 0.05, two_equal_stores),
    Statement(
        "Crossover's interval leaves it out, shift 4 %", 0.05, crossover_left_out(INSIDE, RIGHT, 0.05), 0.3
    ),
    Statement("The same, noise 0.5 %", 0.05, crossover_left_out(INSIDE, RIGHT, 0.005), 0.3),
    Statement("The same, beyond measured b", 0.05, crossover_left_out(BEYOND, RIGHT, 0.05), 0.3),
    Statement(
        "The same, formula off by up to 2 at b = 512", 0.05, crossover_left_out(BEYOND, BENT, 0.05), 0.3
    ),
    Statement("Confirmed cell, true lead below 1.5, shift 4 %", 0.05, confirmed_cells(RIGHT), 0.15),
    Statement("The same, formula off by up to 2 at b = 512", 0.05, confirmed_cells(BENT), 0.15),
)


def main() -> int:
    """Print a row for each statement: what it says, what was found, whether it is kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=RUNS, help=f"data sets of each statement ({RUNS})")
    given = parser.parse_args()
    width = max(len(statement.name) for statement in STATEMENTS)
    print(f"{'statement (wrong at most)':{width}}   says   measured ± MC    sets  verdict")
    kept = True
    for statement in STATEMENTS:
        found = measure(statement, given.runs)
        kept &= found.kept
        print(
            f"{statement.name:{width}}  {100 * statement.says:4.1f} %",
            f"{100 * found.rate:5.1f} ± {100 * found.error:4.1f} %  {found.number:5d}  {found.verdict}",
            flush=True,
        )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
