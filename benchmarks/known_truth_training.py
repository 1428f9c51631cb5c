"""Statements on trainings, where the truth is known: differences, tolerances, targets, tasks won, claims."""

import json
import math

import numpy as np
import pandas as pd

from benchmarks.known_truth import Generator, Statement, at_settings
from tngd_bench.analysis.arrays import Array
from tngd_bench.analysis.statistics import paired
from tngd_bench.analysis.statistics.paired import LEVEL, paired_difference
from tngd_bench.analysis.training import time_to_target as to_target
from tngd_bench.analysis.training import tolerance
from tngd_bench.analysis.training.device_pairs import INSIDE, OUTSIDE, device_pairs
from tngd_bench.analysis.training.profiles import profiles
from tngd_bench.report.map.map_view import lowest_times

EVERY = 78
"""Iterations between evaluations."""


@at_settings
def equal_rivals(generator: Generator, rivals: int) -> tuple[int, int]:
    """Return whether a sentence over equal rivals finds any difference."""
    seeds = paired.seeds_needed(rivals)
    columns = generator.standard_normal((seeds, 1)) - generator.standard_normal((seeds, rivals))
    return int(min(paired.holm([paired_difference(own).p for own in columns.T])) <= 1 - LEVEL), 1


def close(generator: Generator) -> tuple[int, int]:
    """Return whether two losses that deviate by the tolerance in the median are called close."""
    return int(paired_difference(0.01 * generator.standard_normal(5)).p_lower <= 1 - LEVEL), 1


@at_settings
def at_the_margin(generator: Generator, side: str) -> tuple[int, int]:
    """Return whether six levels exactly at the margin leave one inside (or outside)."""
    found = tolerance.tolerances(_swept(generator, 8, 0.05))[0]
    return int(not math.isnan(getattr(found, side))), 1


@at_settings
def devices_at_the_margin(generator: Generator, verdict: str) -> tuple[int, int]:
    """Return whether one of two devices exactly at the margin of the ideal one gets this verdict."""
    ideal = 1 + generator.random(8)
    losses = {bits: 1.05 * ideal + 0.05 * generator.standard_normal(8) for bits in (3, 4)}
    rows = [
        {
            "optimizer": f"tngd[adc_bits={bits}]",
            "seed": seed,
            "final_loss": loss,
            "settings": json.dumps({"device": "paper", "adc_bits": bits}),
        }
        for bits, own in ({None: ideal} | losses).items()
        for seed, loss in enumerate(own)
    ]
    final = pd.DataFrame(rows).assign(
        group="g", problem="p", method="tngd", sweep_parameter=None, parameters=100, status="ok",
        untrained_train_loss=10.0, final_test_accuracy=np.nan,
    )  # fmt: skip
    final["key"] = final.index.astype(str)
    found = device_pairs(final.assign(device="paper"), final.drop(columns="settings"))
    return int(any(pair.verdict == verdict for pair in found)), 1


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


@at_settings
def reached_by_its_baseline(generator: Generator, seeds: int) -> tuple[int, int]:
    """Return whether a further rerun of a baseline misses the target that it set."""
    *losses, further = generator.standard_normal(seeds + 1)
    final = pd.DataFrame({"final_loss": losses}).assign(
        group="g", optimizer="adam", sweep_parameter=None, status="ok"
    )
    return int(further > to_target.target_from_reference(final, "g", "adam", "train_loss").value), 1


def median_left_out(generator: Generator) -> tuple[int, int]:
    """Return whether the interval of a median of five skewed times leaves out the true one."""
    low, high, _ = to_target.median_interval(generator.exponential(1.0, 5))
    return int(not low <= math.log(2) <= high), 1


def lower_in_spite_of_diverged(generator: Generator) -> tuple[int, int]:
    """Return whether a device that diverges on 2 of 8 seeds, lower where it finishes, is found lower."""
    losses = {"tngd": generator.standard_normal(8) - 1.5, "adam": generator.standard_normal(8)}
    frame = pd.DataFrame(losses).rename_axis(index="seed").reset_index()
    final = frame.melt("seed", var_name="optimizer", value_name="final_loss").assign(status="ok")
    final.loc[(final["optimizer"] == "tngd") & (final["seed"] < 2), "status"] = "diverged"
    found = paired_difference(paired.differences_by_seed(final, "tngd", "adam"))
    return int(found.p <= 1 - LEVEL and found.value < 0), 1


def _trained(true: dict[str, Array]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return trials and curves of optimizers that meet a target in these true iterations, one for each seed."""
    trials, curves = [], []
    for label, times in true.items():
        for seed, time in enumerate(times):
            key = f"{label}#{seed}"
            trials.append({"key": key, "optimizer": label, "method": label, "seed": seed})
            at = np.arange(0, EVERY * 40, EVERY)
            met = (at >= time).astype(float)
            curves.append(pd.DataFrame({"key": key, "iteration": at, "test_accuracy": met}))
    every_curve = pd.concat(curves, ignore_index=True)
    seconds = every_curve["iteration"].astype(float)
    ran = pd.DataFrame(trials).assign(
        group="g",
        problem="p",
        parameters=10,
        batch_size=4,
        kind="training",
        status="ok",
        sweep_parameter=None,
    )
    return ran, every_curve.assign(measured_s=seconds, modelled_s=seconds)


TARGETS = {"g": (to_target.Target("test_accuracy", 0.5, "known"),)}


def median_outside_of_evaluations(generator: Generator) -> tuple[int, int]:
    """Return whether the true median iterations of five seeds lie outside of those printed, (after, by]."""
    true = generator.uniform(1, 2000, 5)
    trials, curves = _trained({"a": true})
    hits = to_target.hit_times(trials, curves, TARGETS)
    (row,) = to_target.time_to_target(trials, hits, TARGETS).to_dict("records")
    return int(not row["after_median"] < np.median(true) <= row["iterations_median"]), 1


def slower_wins(generator: Generator) -> tuple[int, int]:
    """Return the tasks that an optimizer wins that is 10 % slower on every seed, and how many tasks are won at all."""
    true = generator.uniform(200, 2000, 20)
    trials, curves = _trained({"a": true, "b": 1.1 * true})
    hits = to_target.hit_times(trials, curves, TARGETS)
    won = profiles(hits.assign(task=hits["seed"])).groupby("optimizer")["won"].first()
    return round(20 * won["b"]), round(20 * won.sum())


def slower_or_tied(generator: Generator) -> tuple[int, int]:
    """Return the tasks in which an optimizer that is 10 % slower on every seed is not behind at the evaluations."""
    true = np.ceil(generator.uniform(200, 2000, 20)[:, None] * np.array([1.0, 1.1]) / EVERY)
    return int((true[:, 0] == true[:, 1]).sum()), 20


@at_settings
def fastest_named(generator: Generator, slower: float, seeds: int) -> tuple[int, int]:
    """Return whether, of three optimizers, one that is not the fastest is called so; `slower` is c against a, b."""
    factors = {"a": 1.0, "b": 1.0, "c": slower}
    trials, curves = _trained(
        {o: f * 800 * np.exp(0.2 * generator.standard_normal(seeds)) for o, f in factors.items()}
    )
    hits = to_target.hit_times(trials, curves, TARGETS)
    times = to_target.time_to_target(trials, hits, TARGETS)
    (row,) = lowest_times(trials, times, hits).to_dict("records")
    return int(row["told"]), 1


def decided_by_chance(generator: Generator) -> tuple[float, float]:
    """Return the share of the parts decided that are so by chance, and the share stated: 10 effects in 30."""
    shifts = np.repeat([0.0, 3.0], [20, 10])
    found = [paired_difference(generator.standard_normal(8) + shift) for shift in shifts]
    decided = [place for place, each in enumerate(found) if min(each.p_lower, each.p_higher) <= 1 - LEVEL]
    if not decided:
        return 0, 0
    by_chance = float(np.mean([shifts[place] == 0.0 for place in decided]))
    return by_chance, paired.false_discovery_rate(len(found), len(decided))


def one_of_twenty(generator: Generator) -> tuple[int, int]:
    """Return whether one of 20 parts is decided where there is nothing."""
    found = [paired_difference(generator.standard_normal(8)) for _ in range(20)]
    return int(min(min(each.p_lower, each.p_higher) for each in found) <= 1 - LEVEL), 1


def flattering_final(generator: Generator) -> tuple[int, int]:
    """Return whether the setting taken, the best of 3 alike in 3 runs each, scores better than on 3 further seeds."""
    scores = generator.standard_normal((3, 3)).mean(axis=1)
    return int(scores.min() < generator.standard_normal(3).mean()), 1


STATEMENTS = (
    Statement(1, "Difference to one of 5 equal rivals (Holm)", 0.05, equal_rivals(5)),
    Statement(1, "Difference to one of 8 equal rivals (Holm)", 0.05, equal_rivals(8)),
    Statement(2, "Lower, though 2 of 8 seeds diverged", 0.05, lower_in_spite_of_diverged),
    Statement(6, "Inside, six levels at the margin, 8 seeds", 0.05, at_the_margin("worst_inside")),
    Statement(6, "Outside, six levels at the margin, 8 seeds", 0.05, at_the_margin("first_outside")),
    Statement(6, "Tolerance from a base of which a seed has not learned", 0.0, broken_base),
    Statement(6, "One of two devices at the margin no worse, 8 seeds", 0.05, devices_at_the_margin(INSIDE)),
    Statement(6, "One of two devices at the margin worse, 8 seeds", 0.05, devices_at_the_margin(OUTSIDE)),
    Statement(12, "10 % slower on every seed, and wins a task", 0.0, slower_wins),
    Statement(12, "10 % slower on every seed, and not behind at τ = 1", 0.0, slower_or_tied, promised=False),
    Statement(13, "True median outside of the evaluations printed", 0.0, median_outside_of_evaluations),
    Statement(14, "Interval of a median of 5 leaves it out (93.75 %)", 0.0625, median_left_out),
    Statement(14, "Fastest to a target told, 3 alike, 10 seeds", 0.05, fastest_named(1.0, 10)),
    Statement(15, "A baseline misses its own target, 5 reruns", 0.2, reached_by_its_baseline(5)),
    Statement(15, "A baseline misses its own target, 9 reruns", 0.2, reached_by_its_baseline(9)),
    Statement(16, "Decided by chance, of what is said of it", 1.0, decided_by_chance),
    Statement(16, "One of 20 parts decided, nothing there", 0.05, one_of_twenty, promised=False),
    Statement(17, "Close, where the deviation is the tolerance, 5 seeds", 0.05, close),
    Statement(18, "Setting taken scores better than on further seeds", 0.5, flattering_final, promised=False),
)
