"""Statements on predicted times, where the true ones are known: crossovers, link rates, maps of who is cheapest."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from benchmarks.known_truth import Generator, Statement, at_settings
from tngd_bench.analysis.cost import break_even
from tngd_bench.analysis.cost.calibration import Calibrations
from tngd_bench.analysis.cost.counts import Counts
from tngd_bench.analysis.cost.device_use import DeviceUse
from tngd_bench.analysis.cost.rates import calibrate
from tngd_bench.analysis.families import optimizer_info
from tngd_bench.analysis.map.cost_map import cheapest
from tngd_bench.analysis.map.plane import plane
from tngd_bench.analysis.statistics.run_spread import ASSUMED
from tngd_bench.problems import registry as problems
from tngd_bench.spu.device import Device

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
    """Departure of the exact solver's time from its formula: a factor `bend`, smooth or sudden (see BENDS, JUMPS)."""

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
    device = pd.Series(["paper" if method == "tngd" else None for method in summary["method"]], dtype=object)
    trials = summary.assign(kind="cost", status="ok", solver_iterations=np.nan, device=device)
    trials = trials.assign(settings='{"device": "paper"}')
    found = calibrate(summary, trials, {label: optimizer_info(label, label) for label in RATES})
    assert found is not None
    return found


def _lines(
    generator: Generator, use: DeviceUse, true: Truth, noise: float
) -> tuple[break_even.Line, break_even.Line]:
    """Return the line that a study predicts, and the same with the true seconds in place of all draws."""
    found = break_even.line(_study(generator, true, noise), use, 100_000, 10)
    assert found is not None
    batches = break_even.BATCH_SIZES
    seconds = {label: np.array([[_seconds(label, 100_000, b, true) for b in batches]]) for label in RATES}
    exact = replace(
        found,
        host=np.repeat(seconds["tngd"], 2, axis=0),
        rivals={"ngd-gram": np.repeat(seconds["ngd-gram"], 2, axis=0)},
    )
    return found, exact


@at_settings
def crossover_left_out(generator: Generator, use: DeviceUse, true: Truth, noise: float) -> tuple[int, int]:
    """Return whether the interval of the modelled crossover leaves out the true one."""
    found, exact = _lines(generator, use, true, noise)
    (at,) = break_even.crossovers(exact, use)
    said = next(each for each in break_even.crossovers(found, use) if each.rival == "ngd-gram")
    return int(not said.low <= at.rows_m <= said.high), 1


@at_settings
def rate_left_out(generator: Generator, true: Truth) -> tuple[int, int]:
    """Return at how many of the measured b the interval of the break-even link rate leaves out the true one."""
    found, exact = _lines(generator, INSIDE, true, 0.05)
    rival = {"rival": ["ngd-gram"]}
    said, at = (break_even.break_even_rates(each, rival) for each in (found, exact))
    here = said["rows"].isin([10 * b for b in BATCHES])
    outside = (at["rate_bits_per_s"] < said["low"]) | (at["rate_bits_per_s"] > said["high"])
    return int((outside & here).sum()), int(here.sum())


@at_settings
def confirmed_cells(generator: Generator, truth: Truth) -> tuple[int, int]:
    """Return the wrong ones of the cells confirmed where the true lead is below 1.5."""
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


SHARE, FEW = 0.3, 0.15
"""Of the runs: every data set is a study with its calibration, and of cells with its maps."""
STATEMENTS = (
    *(
        Statement(4, name, 0.05, crossover_left_out(use, true, noise), SHARE)
        for name, use, true, noise in (
            ("BreakEven's interval leaves it out, shift of the run 4 %", INSIDE, RIGHT, 0.05),
            ("The same, noise 0.5 %", INSIDE, RIGHT, 0.005),
            ("The same, beyond measured b", BEYOND, RIGHT, 0.05),
            ("The same, formula off by up to 2 at b = 512", BEYOND, BENT, 0.05),
            ("The same, off by 2 at once behind measured b", EDGE, JUMP, 0.05),
            ("The same, off by 1/2 at once behind measured b", EDGE, DROP, 0.05),
        )
    ),
    Statement(4, "Link rate's interval leaves it out, measured b", 0.05, rate_left_out(RIGHT), SHARE),
    Statement(5, "Confirmed cell, true lead below 1.5, shift 4 %", 0.05, confirmed_cells(RIGHT), FEW),
    Statement(5, "The same, formula off by up to 2 at b = 512", 0.05, confirmed_cells(BENT), FEW),
    Statement(5, "The same, off by 2 at once behind measured b", 0.05, confirmed_cells(JUMP), FEW),
    Statement(5, "The same, off by 1/2 at once behind measured b", 0.05, confirmed_cells(DROP), FEW),
)
