import numpy as np
import pandas as pd
import pytest

from tngd_bench.analysis.claims import cost_tests
from tngd_bench.analysis.results import Results

SIZES = [10_000, 20_000, 40_000, 80_000, 160_000, 320_000]


def costs(optimizers, *, axis="parameters", sizes=SIZES, noise=0.01, group="g", flops=None):
    """Cost records: `optimizers` maps a label to seconds(size); `flops` likewise to counted operations."""
    trials, timed = [], []
    generator = np.random.default_rng(0)
    for size in sizes:
        setting = {"parameters": 1000, "batch_size": 8, "outputs": 10, axis: size}
        setting["rows"] = setting["batch_size"] * setting["outputs"]
        for optimizer, seconds in optimizers.items():
            method = optimizer.partition("[")[0]
            common = {"key": f"{optimizer}@{size}", "group": group, "problem": "p", "optimizer": optimizer}
            common |= {"method": method, "device": "paper" if method == "tngd" else None, **setting}
            counted = flops[optimizer](size) if flops else np.nan
            trials.append(
                {
                    **common,
                    "kind": "cost",
                    "status": "ok",
                    "flops": counted,
                    "peak_bytes": np.nan,
                    "process": 0,
                }
                | {"parameters_requested": setting["parameters"], "reason": None}
            )
            for process in range(3):
                for repetition in range(5):
                    total = seconds(size) * np.exp(noise * generator.standard_normal())
                    times = {
                        "digital_s": total,
                        "write_s": 0.0,
                        "relax_s": 0.0,
                        "read_s": 0.0,
                        "total_s": total,
                    }
                    timed.append({**common, **times, "process": f"s/{process}", "repetition": repetition})
    return Results.of(pd.DataFrame(trials), pd.DataFrame(timed), pd.DataFrame())


def outcome(finding):
    return {part.what: (part.holds, part.decided) for part in finding.parts}


def line(factor, power=1.0, overhead=0.0):
    return lambda size: overhead + factor * float(size) ** power


def test_counted_exponents_are_held_against_the_tables_formula():
    pool = costs({"adam": line(1e-9), "sgd": line(1e-9)}, flops={"adam": line(2.0), "sgd": line(2.0, 1.5)})
    parameters = {"axis": "parameters", "quantity": "operations", "tolerance": 0.15}
    assert outcome(cost_tests.exponents(pool, parameters)) == {
        "adam (g)": (True, True),
        "sgd (g)": (False, True),
    }


def test_a_measured_exponent_looks_past_the_overhead_and_a_wide_interval_confirms_nothing():
    overhead = 15e-9 * SIZES[0]
    parameters = {"axis": "parameters", "quantity": "measured", "tolerance": 0.15}
    pool = costs({"adam": line(1e-9, 1.0, overhead), "kfac": line(1e-9)})
    finding = cost_tests.exponents(pool, parameters)
    assert outcome(finding) == {"adam (g)": (True, True)}  # K-FAC has no row in the table
    assert finding.numbers["adam (g) Table 1"] == pytest.approx(1.0)
    wide = costs({"adam": lambda size: 1e-9 * size * np.exp(0.8 * np.sin(size))})
    assert outcome(cost_tests.exponents(wide, parameters)) == {"adam (g)": (False, False)}


@pytest.mark.parametrize(
    ("power", "expected"),
    [
        (0.9, (True, True)),
        (1.1, (True, True)),
        (1.15, (False, False)),
        (1.2, (False, True)),
        (0.8, (False, True)),
    ],
    ids=["just inside below", "just inside", "straddling", "just outside", "just outside below"],
)
def test_a_measured_exponent_is_confirmed_only_by_its_whole_interval(power, expected):
    # tolerance 0.15 around 1; with 1 % noise the interval is ± 0.01 to 0.02 wide
    pool = costs({"adam": line(1e-9, power)})
    parameters = {"axis": "parameters", "quantity": "measured", "tolerance": 0.15}
    finding = cost_tests.exponents(pool, parameters)
    assert outcome(finding) == {"adam (g)": expected}
    assert "whole 95 % interval" in finding.rule


@pytest.mark.parametrize(
    ("power", "expected"),
    [(1.14, (True, True)), (1.16, (False, True)), (0.86, (True, True)), (0.84, (False, True))],
)
@pytest.mark.parametrize("quantity", ["operations", "peak memory"])
def test_of_counts_the_estimate_decides_however_badly_a_power_fits(quantity, power, expected):
    # a wave over the sizes, without a slope of its own, widens the interval far beyond the tolerance
    x = np.log(SIZES) - np.log(SIZES).mean()
    waves = np.array([1, -1, 1, 1, -1, 1]) * 0.4
    waves -= waves.mean() + x * (x @ waves) / (x @ x)
    wave = dict(zip(SIZES, np.exp(waves), strict=True))
    pool = costs({"adam": line(1e-9)}, flops={"adam": lambda size: size**power * wave[size]})
    trials = pool.trials.assign(peak_bytes=pool.trials["flops"])
    parameters = {"axis": "parameters", "quantity": quantity, "tolerance": 0.15}
    finding = cost_tests.exponents(Results.of(trials, pool.costs, pool.curves), parameters)
    assert outcome(finding) == {"adam (g)": expected}
    assert "of the counts" in finding.rule


def test_a_fit_may_start_where_the_growth_is_no_longer_hidden_and_be_of_some_optimizers():
    bent = {"adam": lambda n: float(n) if n >= 40_000 else 4e4 * (n / 4e4) ** 4, "sgd": line(1.0, 2.0)}
    sizes = [*SIZES, 640_000]
    pool = costs({"adam": line(1e-9), "sgd": line(1e-9)}, flops=bent, sizes=sizes)
    parameters = {"axis": "parameters", "quantity": "operations", "tolerance": 0.15, "optimizers": ["adam"]}
    assert [part.holds for part in cost_tests.exponents(pool, parameters).parts] == [False]
    assert outcome(cost_tests.exponents(pool, {**parameters, "start": 40_000})) == {"adam (g)": (True, True)}


def test_four_sizes_are_not_tested():
    pool = costs({"adam": line(1e-9)}, sizes=SIZES[:4])
    finding = cost_tests.exponents(pool, {"axis": "parameters", "quantity": "measured", "tolerance": 0.15})
    assert finding.parts == ()
    assert "fewer than five sizes: adam (g)" in finding.missing


@pytest.mark.parametrize(
    ("power", "expected"),
    [
        (0.05, (True, True)),
        (0.28, (True, True)),
        (0.3, (False, False)),
        (0.33, (False, True)),
        (1, (False, True)),
    ],
)
def test_a_slope_lies_in_its_range_or_not(power, expected):
    pool = costs({"ngd-cg": line(1e-3, power)})
    parameters = {"optimizers": ["ngd-cg", "ngd"], "axis": "parameters", "quantity": "total"}
    finding = cost_tests.exponent_range(pool, {**parameters, "low": -0.3, "high": 0.3})
    assert outcome(finding) == {"ngd-cg": expected}
    assert finding.missing == "no slope from five sizes: ngd"


def test_a_slope_of_counted_operations_lies_in_its_range_by_its_estimate():
    pool = costs(
        {"adam": line(1e-9), "sgd": line(1e-9)}, flops={"adam": line(2.0, 1.29), "sgd": line(2.0, 1.31)}
    )
    parameters = {"optimizers": ["adam", "sgd"], "axis": "parameters", "quantity": "operations"}
    finding = cost_tests.exponent_range(pool, {**parameters, "low": 0.7, "high": 1.3})
    assert outcome(finding) == {"adam": (True, True), "sgd": (False, True)}


@pytest.mark.parametrize(
    ("factor", "expected"),
    [(100.0, (True, True)), (5.0, (False, True)), (33.3, (False, False))],
    ids=["confirmed", "refuted", "undecided"],
)
def test_a_ratio_of_costs_reaches_the_claim_or_not(factor, expected):
    pool = costs({"tngd": line(1e-9), "ngd-woodbury": line(factor * 1e-9)}, noise=0.05)
    # the same noise on both would hide nothing: the ratio at the bound itself has its interval on both sides
    finding = cost_tests.cost_ratio(pool, {"first": "tngd", "rivals": ["ngd-woodbury", "ngd"], "low": 33.3})
    assert outcome(finding) == {"ngd-woodbury": expected}
    assert "ngd (not in the study)" in finding.missing


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (2.0, (True, True)),
        (2.8, (True, True)),
        (3.0, (False, False)),
        (3.1, (False, True)),
        (1.333, (False, False)),
        (1.2, (False, True)),
    ],
)
def test_a_ratio_of_costs_may_have_an_upper_bound_too(factor, expected):
    pool = costs({"adam": line(1e-9), "tngd": line(factor * 1e-9)})
    finding = cost_tests.cost_ratio(pool, {"first": "adam", "rivals": ["tngd"], "low": 1.333, "high": 3.0})
    assert outcome(finding) == {"tngd": expected}
    assert finding.numbers["tngd / adam"] == pytest.approx(factor, rel=0.02)
    assert "between 1.333 and 3" in finding.rule


def test_a_ratio_is_judged_at_the_largest_size_at_which_both_run_and_says_so():
    pool = costs({"tngd": line(1e-9), "ngd": line(2e-9)})
    kept = pool.costs[(pool.costs["optimizer"] != "ngd") | (pool.costs["parameters"] <= 40_000)]
    finding = cost_tests.cost_ratio(
        Results.of(pool.trials, kept, pool.curves), {"first": "tngd", "rivals": ["ngd"], "low": 1.5}
    )
    assert outcome(finding) == {"ngd": (True, True)}
    assert "at N = 40,000" in finding.parts[0].text
    assert "largest N at which both run" in finding.rule


def test_four_pairs_test_no_ratio():
    pool = costs({"tngd": line(1e-9), "ngd": line(2e-9)}, sizes=[10_000])
    few = pool.costs[(pool.costs["process"] == "s/0") & (pool.costs["repetition"] < 4)]
    finding = cost_tests.cost_ratio(
        Results.of(pool.trials, few, pool.curves), {"first": "tngd", "rivals": ["ngd"], "low": 1.5}
    )
    assert finding.parts == ()
    assert "ngd (4 paired iterations from 1 process; 5 from 3 processes needed)" in finding.missing


def test_a_skipped_rival_is_named_with_its_estimate():
    pool = costs({"tngd": line(1e-9), "ngd": line(1e-9)})
    trials = pool.trials.copy()
    skipped = trials["optimizer"] == "ngd"
    trials.loc[skipped, ["status", "reason"]] = ["skipped", "needs 119 GB, budget 15 GB"]
    finding = cost_tests.cost_ratio(
        Results.of(trials, pool.costs, pool.curves), {"first": "tngd", "rivals": ["ngd"], "low": 33.3}
    )
    assert finding.parts == ()
    assert "ngd (skipped: needs 119 GB, budget 15 GB)" in finding.missing


SWEET = {"first": "tngd", "rivals": ["ngd-gram", "ngd-cg"], "axis": "outputs"}


def spot(relative):
    """TNGD's time is `relative(d_z)` times that of its best rival."""
    best = line(1e-6)
    return costs(
        {"tngd": lambda d: relative(d) * best(d), "ngd-gram": best, "ngd-cg": line(5e-6)},
        axis="outputs",
        sizes=[10, 20, 40, 80, 160],
    )


@pytest.mark.parametrize(
    ("relative", "expected"),
    [
        (lambda d: 0.1 + abs(np.log(d / 40)), (True, True)),
        (lambda d: d / 100, (False, True)),
        (lambda d: 0.5, (False, False)),
    ],
    ids=["confirmed", "refuted", "undecided"],
)
def test_a_sweet_spot_lies_inside_and_below_both_ends(relative, expected):
    finding = cost_tests.sweet_spot(spot(relative), SWEET)
    (found,) = outcome(finding).values()
    assert found == expected


@pytest.mark.parametrize(
    ("least", "plain", "faster", "said"),
    [
        (0.1, True, (True, True), ""),
        (0.6, True, (True, True), ""),
        (1.0, True, (False, False), ""),
        (1.5, True, (False, True), "slower than its best rival at every d_z measured"),
        (0.01, True, (True, True), ""),
    ],
)
def test_a_sweet_spot_of_a_slower_optimizer_is_none_where_it_must_be_faster(least, plain, faster, said):
    pool = spot(lambda d: least + abs(np.log(d / 40)))
    (nearest,) = cost_tests.sweet_spot(pool, SWEET).parts
    assert nearest.holds is plain
    (found,) = outcome(cost_tests.sweet_spot(pool, {**SWEET, "faster": True})).values()
    assert found == faster
    assert ("slower than its best rival" in nearest.text) is bool(said)
    assert said in nearest.text


def test_an_optimizer_that_is_faster_everywhere_is_said_to_be():
    (part,) = cost_tests.sweet_spot(spot(lambda d: 0.1 + 0.2 * abs(np.log(d / 40))), SWEET).parts
    assert part.holds
    assert part.text.endswith("faster than all of them at every d_z measured")


def test_three_sizes_have_no_sweet_spot():
    pool = costs({"tngd": line(1), "ngd-gram": line(2)}, axis="outputs", sizes=[10, 20, 40])
    assert cost_tests.sweet_spot(pool, SWEET).parts == ()


CROSSING = {"first": "tngd", "second": "ngd-gram", "axis": "rows"}


def crossing_at(size, noise=0.01):
    pool = costs(
        {"tngd": line(1e-6), "ngd-gram": lambda d: 1e-6 * float(d) ** 2 / size},
        axis="outputs",
        sizes=[10, 20, 40, 80, 160, 320],
        noise=noise,
    )
    return cost_tests.crossing(pool, CROSSING)


def test_a_crossing_inside_the_range_is_confirmed_and_one_outside_refuted():
    inside = crossing_at(55)
    assert outcome(inside) == {"tngd": (True, True)}
    assert inside.numbers["crossing"] == pytest.approx(8 * 55, rel=0.05)
    assert inside.parts[0].text.endswith("; d_z = 10 to 320 at N = 1,000, b = 8")
    outside = crossing_at(1e5)
    assert outcome(outside) == {"tngd": (False, True)}
    assert "ngd-gram is cheaper at every size measured" in outside.parts[0].text


def test_a_crossing_with_an_open_bound_is_undecided():
    # so near the smallest size that resampled noisy pairs put it below the range
    assert outcome(crossing_at(11, noise=0.5)) == {"tngd": (False, False)}
