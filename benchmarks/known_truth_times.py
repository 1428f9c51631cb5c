"""Statements on measured times, where the true ones are known: ratios, leads, exponents, stores, the gate."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from benchmarks.known_truth import Generator, Statement, at_settings
from tngd_bench.analysis import compare
from tngd_bench.analysis.claims.cost_tests import exponents
from tngd_bench.analysis.cost.iteration_cost import paired_quotients, paired_ratio
from tngd_bench.analysis.cost.leads import duel, leads, together
from tngd_bench.analysis.families import optimizer_info
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.statistics.run_spread import ASSUMED, RunSpread, spread
from tngd_bench.analysis.statistics.run_spread import between as between_runs
from tngd_bench.analysis.statistics.scaling import fit_scaling
from tngd_bench.check.regression import CheckedMetric, Sides, confirm
from tngd_bench.check.trees import PROCESSES, SAMPLES
from tngd_bench.studies.plan.enough_processes import LEAST_PROCESSES, is_enough
from tngd_bench.studies.store.records import Records

NOISE = 0.15
"""Of one iteration, as a study on a busy machine has it."""
BUSY, QUIET = NOISE, 0.05


def timed(
    generator: Generator,
    logs: Mapping[str, float],
    processes: int,
    repetitions: int = 7,
    *,
    between: float = 0.02,
    noise: float = NOISE,
) -> pd.DataFrame:
    """Return optimizers timed in pairs, by their true logarithms; a process shifts each by `between`."""
    rows = []
    for label, log in logs.items():
        own = log + between * generator.standard_normal(processes)
        times = np.exp(own[:, None] + noise * generator.standard_normal((processes, repetitions)))
        rows += [
            (label, process, repetition, 1000, float(times[process, repetition]))
            for process in range(processes)
            for repetition in range(repetitions)
        ]
    columns = ["optimizer", "process", "repetition", "parameters", "total_s"]
    return pd.DataFrame(rows, columns=columns)


EQUAL = {"a": 0.0, "b": 0.0}


@at_settings
def decided_ratio(generator: Generator, processes: int, repetitions: int, between: float) -> tuple[int, int]:
    """Return whether the ratio of two equal optimizers is decided."""
    ratio = paired_ratio(timed(generator, EQUAL, processes, repetitions, between=between), "a", "b")
    assert ratio is not None
    return int(ratio.decided), 1


def looked_again(generator: Generator) -> tuple[int, int]:
    """Return whether the ratio of two equal optimizers is decided at one of the looks after 3, 4, … 10 processes."""
    every = timed(generator, EQUAL, 10)
    ratios = [paired_ratio(every[every["process"] < processes], "a", "b") for processes in range(3, 11)]
    return int(any(ratio is not None and ratio.decided for ratio in ratios)), 1


@at_settings
def stopped_at(generator: Generator, precision: float) -> tuple[int, int]:
    """Return whether the interval of two equal optimizers leaves out 1 where a precision stopped the processes."""
    every = timed(generator, EQUAL, 5, between=0.03, noise=QUIET).assign(precision=precision)
    for processes in range(LEAST_PROCESSES, 6):
        seen = every[every["process"] < processes]
        logs = [float(np.log(np.median(block))) for block in paired_quotients(seen, "a", "b")]
        if is_enough(logs, precision):
            break
    ratio = paired_ratio(seen, "a", "b")
    assert ratio is not None
    return int(ratio.decided), 1


NAMES = ("ngd-gram", "kfac", "ngd-cg", "ngd-woodbury", "tngd")
KINDS = {name: optimizer_info(name, name) for name in NAMES}


def _run(
    generator: Generator, true: Mapping[str, float], noise: float, shift: float = ASSUMED.value
) -> pd.DataFrame:
    """Return five processes of a run that shifts each optimizer."""
    shifted = {name: log + shift * generator.standard_normal() for name, log in true.items()}
    return timed(generator, shifted, 5, noise=noise)


@at_settings
def lead_of_equals(generator: Generator, number: int, noise: float) -> tuple[int, int]:
    """Return whether one of so many equal optimizers is called cheapest without a doubt."""
    (found,) = together(leads(_run(generator, dict.fromkeys(NAMES[:number], 0.0), noise), KINDS))
    return int(found.doubt == ""), 1


@at_settings
def any_size_confirmed(generator: Generator, sizes: int, noise: float) -> tuple[int, int]:
    """Return whether the device or its best rival, of five equal optimizers, leads without a doubt at any size."""
    met = (duel([_run(generator, dict.fromkeys(NAMES, 0.0), noise)], KINDS) for _ in range(sizes))
    return int(any(not lead.doubt for lead in together([each[1] for each in met if each is not None]))), 1


@at_settings
def lead_of_gaps(generator: Generator, noise: float, *, again: bool) -> tuple[int, int]:
    """Return whether a confirmed lead is wrong, or (`again`) not that of a second run; gaps spread by 15 %."""
    true = {name: 0.15 * generator.standard_normal() for name in NAMES}
    (found,) = together(leads(_run(generator, true, noise), KINDS))
    if found.doubt:
        return 0, 0
    second = _run(generator, true, noise).groupby("optimizer")["total_s"].median()
    other = str(second.idxmin()) if again else min(true, key=lambda name: true[name])
    return int(found.optimizer != other), 1


@at_settings
def lead_by_null_runs(generator: Generator, shift: float, *, measured: bool = True) -> tuple[int, int]:
    """Return whether a lead confirmed with the σ_run of three null runs, or the assumed one, is not a second run's."""
    runs = [_null_run(generator, shift) for _ in range(3 if measured else 0)]
    run_spread = RunSpread(spread(between_runs(runs)), "null runs") if measured else ASSUMED
    true = {name: 0.15 * generator.standard_normal() for name in NAMES}
    (found,) = together(leads(_run(generator, true, QUIET, shift), KINDS, run_spread))
    if found.doubt:
        return 0, 0
    second = _run(generator, true, QUIET, shift).groupby("optimizer")["total_s"].median()
    return int(found.optimizer != second.idxmin()), 1


def _null_run(generator: Generator, shift: float) -> Records:
    """Return a run of a study without a change: SGD and five others at two sizes, each shifted as a whole."""
    shifts = {name: shift * generator.standard_normal() for name in ("sgd", *NAMES)}
    costs = pd.concat(
        [timed(generator, shifts, 3, noise=QUIET).assign(parameters=size) for size in (1_000, 10_000)],
        ignore_index=True,
    ).assign(group="null", problem="p", batch_size=8, outputs=10, rows=80)
    costs["method"] = costs["optimizer"]
    costs["key"] = costs["optimizer"] + costs["parameters"].astype(str)
    trials = costs.drop_duplicates("key")[["key", "optimizer"]].assign(kind="cost", status="ok")
    return Records({}, {}, trials, costs, pd.DataFrame())


def two_equal_stores(generator: Generator) -> tuple[int, int]:
    """Return whether two runs of one study differ relative to SGD, each optimizer shifted by its run."""
    shifts = ASSUMED.value * generator.standard_normal(2 * 2).reshape(2, 2)
    processes = 0.05 * generator.standard_normal((2, 5))
    a, b = processes + (shifts[0] - shifts[1])[:, None]
    found = compare.relative_change(a, b, 4 * ASSUMED.value**2)
    return int(not found["relative_low"] <= 1.0 <= found["relative_high"]), 1


@at_settings
def gate(generator: Generator, differ: float, confirming: int = PROCESSES) -> tuple[int, int]:
    """Return whether an unchanged step is a regression, where processes differ by `differ`, noise 3 %.

    `confirming` processes a side make the runs that confirm; of one alone its samples are the unit.
    """
    first = [True]

    def side() -> dict[str, CheckedMetric]:
        processes = 1 if first[0] else confirming
        samples = differ * generator.standard_normal((processes, 1))
        logs = samples + 0.03 * generator.standard_normal((processes, SAMPLES))
        values = logs[0] if processes == 1 else np.median(logs, axis=1)
        return {"step": CheckedMetric("step", "", "time", tuple(np.exp(values)), tolerance=0.07)}

    def measured(names: Sequence[str]) -> Sides:
        sides = side(), side()
        first[0] = False
        return sides

    (judged,) = confirm(measured, ["step"])
    return int(judged.verdict == "regression"), 1


DECADE = tuple(10 ** (4 + place / 5) for place in range(6))
DECADES = tuple(10 ** (3 + place / 2) for place in range(8))


def _pool(generator: Generator, sizes: Sequence[float], overhead: float, effects: float) -> Results:
    """Return timings of SGD, overhead + N in units of the smallest, with effects of the sizes, in three processes."""
    rows = []
    for size in sizes:
        true = (overhead + size / sizes[0]) * np.exp(effects * generator.standard_normal())
        own = timed(generator, {"sgd": float(np.log(true))}, 3, 5, noise=0.05)
        rows.append(own.assign(parameters=round(size), digital_s=own["total_s"], key=f"sgd@{size}"))
    costs = pd.concat(rows, ignore_index=True).assign(
        group="g", problem="p", batch_size=8, outputs=10, rows=80, method="sgd",
        write_s=0.0, relax_s=0.0, read_s=0.0,
    )  # fmt: skip
    trials = costs.drop_duplicates("key").assign(
        kind="cost", status="ok", flops=np.nan, peak_bytes=np.nan, device=None, reason=None
    )
    return Results.of(trials.assign(parameters_requested=trials["parameters"]), costs, pd.DataFrame())


EXPONENT = {"axis": "parameters", "quantity": "measured", "tolerance": 0.15}


@at_settings
def exponent_refuted(generator: Generator, overhead: float) -> tuple[int, int]:
    """Return whether a formula that is right is decided against, over one decade, effects of the sizes 5 %."""
    (part,) = exponents(_pool(generator, DECADE, overhead, 0.05), EXPONENT).parts
    return int(part.decided and not part.holds), 1


@at_settings
def exponent_open(generator: Generator, sizes: Sequence[float]) -> tuple[int, int]:
    """Return whether a formula that is exactly right is not confirmed, effects of the sizes 5 %."""
    (part,) = exponents(_pool(generator, sizes, 0.0, 0.05), EXPONENT).parts
    return int(not part.holds), 1


@at_settings
def slope_left_out(generator: Generator, step: float, effects: float) -> tuple[int, int]:
    """Return whether the interval of a log-log slope leaves out the true one, a step of the cost at one of 8 sizes."""
    place = int(generator.integers(1, len(DECADES)))
    rows = []
    for number, size in enumerate(DECADES):
        log = np.log(size) + effects * generator.standard_normal() + np.log1p(step) * (number >= place)
        rows.append(timed(generator, {"sgd": float(log)}, 3, 5, noise=0.05).assign(size=size))
    samples = pd.concat(rows, ignore_index=True).rename(columns={"total_s": "cost"})
    found = fit_scaling(samples).log_log
    assert found is not None
    return int(not found.low <= 1.0 <= found.high), 1


STATEMENTS = (
    Statement(3, "Right formula refuted, overhead 15 × on one decade", 0.05, exponent_refuted(15.0), 0.3),
    Statement(3, "The same, overhead 5 ×", 0.05, exponent_refuted(5.0), 0.3),
    Statement(7, "Two stores without a change differ, shifts of 4 %", 0.05, two_equal_stores),
    Statement(8, "Lead of one of 2 equals, shift of the run 4 %", 0.05, lead_of_equals(2, BUSY)),
    Statement(8, "Lead of one of 5 equals", 0.05, lead_of_equals(5, BUSY)),
    Statement(8, "Lead of one of 2 equals, noise 5 %", 0.05, lead_of_equals(2, QUIET)),
    Statement(8, "Lead of one of 5 equals, noise 5 %", 0.05, lead_of_equals(5, QUIET)),
    Statement(8, "Bottom line: equals, confirmed at any of 8 sizes", 0.05, any_size_confirmed(8, BUSY), 0.3),
    Statement(8, "The same, noise 5 %", 0.05, any_size_confirmed(8, QUIET), 0.3),
    Statement(9, "Lead wrong, gaps of 15 %", 0.05, lead_of_gaps(BUSY, again=False)),
    Statement(9, "Lead wrong, gaps of 15 %, noise 5 %", 0.05, lead_of_gaps(QUIET, again=False)),
    Statement(9, "Lead not that of a second run", 0.05, lead_of_gaps(BUSY, again=True)),
    Statement(9, "Lead not that of a second run, noise 5 %", 0.05, lead_of_gaps(QUIET, again=True)),
    Statement(9, "The same with σ_run of 3 null runs", 0.05, lead_by_null_runs(0.04), 0.5),
    Statement(9, "The same, shift 10 %", 0.05, lead_by_null_runs(0.1), 0.5, promised=False),
    Statement(
        9,
        "The same, shift 10 %, assumed to be 4 %",
        0.05,
        lead_by_null_runs(0.1, measured=False),
        0.5,
        promised=False,
    ),
    Statement(10, "Ratio of equals decided, 3 processes × 7", 0.05, decided_ratio(3, 7, 0.02)),
    Statement(10, "The same, 5 × 10", 0.05, decided_ratio(5, 10, 0.02)),
    Statement(10, "The same, 3 × 7, processes differ by 16 %", 0.05, decided_ratio(3, 7, 0.16)),
    Statement(10, "The same, 5 × 10, processes differ by 16 %", 0.05, decided_ratio(5, 10, 0.16)),
    Statement(10, "Ratio decided from 1 or 2 processes", 0.0, decided_ratio(2, 10, 0.16)),
    Statement(11, "Ratio of equals decided at a look after 3, 4, … 10", 0.05, looked_again, promised=False),
    *(
        Statement(
            11, f"Ratio of equals decided, stopped at ±{100 * precision:.0f} %", 0.05, stopped_at(precision)
        )
        for precision in (0.02, 0.04, 0.06, 0.1)
    ),
    Statement(19, "Gate: unchanged, processes differ by 3 %", 0.005, gate(0.03)),
    Statement(19, "Gate: unchanged, processes differ by 8 %", 0.005, gate(0.08)),
    Statement(19, "The same, samples of one process a side", 0.005, gate(0.08, 1), promised=False),
    Statement(20, "Slope's interval leaves it out, effects 5 %", 0.05, slope_left_out(0.0, 0.05), 0.3),
    Statement(20, "The same, one step of 20 % at a size", 0.05, slope_left_out(0.2, 0.0), 0.3),
    Statement(20, "The same, among effects of 5 % (says 80 %)", 0.2, slope_left_out(0.2, 0.05), 0.3),
    Statement(
        22, "Right formula not confirmed, one decade", 0.05, exponent_open(DECADE), 0.3, promised=False
    ),
    Statement(22, "The same, 3.5 decades", 0.05, exponent_open(DECADES), 0.3, promised=False),
)
