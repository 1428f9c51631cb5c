"""Times to a target: the fastest optimizer of the table, of the map and of the words is one."""

import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tngd_bench.analysis.cost import one_clock
from tngd_bench.analysis.families import optimizer_info, optimizer_infos
from tngd_bench.analysis.map import target_map
from tngd_bench.analysis.map.plane import plane
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.training.time_to_target import hit_times, study_targets, time_to_target
from tngd_bench.report.document import charting
from tngd_bench.report.document.palette import marks
from tngd_bench.report.map import break_even_charts, map_view


def test_the_fastest_to_a_target_is_the_one_of_the_table(results, records, charts):
    targets = study_targets(records.study)
    hits = hit_times(records.trials, records.curves, targets)
    times = time_to_target(records.trials, hits, targets)
    lowest = map_view.lowest_times(records.trials, times, hits)
    for row in lowest.itertuples():
        there = times[(times["group"] == row.group) & (times["target"] == row.target)]
        assert row.seconds == there["modelled_median"].min()
        assert there.set_index("optimizer").loc[row.optimizer, "modelled_median"] == row.seconds
    known = optimizer_infos(records.trials)
    (said,) = [point for point in results.map.points if point.startswith("The fastest optimizer")]
    assert said == break_even_charts.place_words(lowest, known)
    assert f"{known[lowest['optimizer'][0]].title} in " in said
    assert "lowest-time-to-target" not in charts  # a plane with one place on it shows nothing
    other = lowest.assign(group="other", optimizer="sgd")
    assert "sgd" not in set(lowest["optimizer"])
    two = pd.concat([lowest, lowest.assign(parameters=10 * lowest["parameters"]), other], ignore_index=True)
    with charting.style():
        unstated = Results(records).unstated
        view = SimpleNamespace(
            reached=two, infos=known, styles=marks(known), results=SimpleNamespace(unstated=unstated)
        )
        chart = break_even_charts.place_chart(view)
        chart.figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in chart.figure.axes[0].texts]
    assert chart.data.equals(two)
    said = "\n".join(text.get_text() for text in chart.figure.axes[0].texts)
    assert said.count(": ") == len(two)  # sections at one place are all told, one below the other
    assert not any(one.overlaps(two) for one, two in itertools.combinations(boxes, 2))


def test_who_reached_the_target_at_a_cost_that_is_not_known_is_counted_and_not_ranked():
    inf, nan = np.inf, np.nan
    rows = [  # target, optimizer, iterations, seconds
        ("80 %", "adam", 5.0, 2.0),
        ("80 %", "sgd", 9.0, 3.0),
        ("80 %", "tngd", 1.0, nan),
        ("80 %", "kfac", inf, inf),
        ("80 %", "ngd", inf, nan),
        ("95 %", "tngd", 4.0, nan),
        ("95 %", "adam", inf, inf),
    ]
    times = pd.DataFrame(rows, columns=["target", "optimizer", "iterations_median", "modelled_median"])
    trials = pd.DataFrame([{"kind": "training", "group": "g", "parameters": 10, "batch_size": 2}])
    hits = pd.DataFrame(columns=["group", "target", "optimizer", "seed", "modelled", "after_modelled"])
    lowest = map_view.lowest_times(trials, times.assign(group="g"), hits)
    (row,) = lowest.itertuples()
    assert (row.target, row.optimizer, row.seconds, row.runner_up) == ("80 %", "adam", 2.0, "sgd")
    assert row.untimed == 1
    said = break_even_charts.place_words(
        lowest, {label: optimizer_info(label, label) for label in ("adam", "sgd")}
    )
    untold = "these seeds do not distinguish it from SGD, 3.00 s"
    assert said.endswith(f"80 %: Adam in 2.00 s ({untold}; 1 more reached it at an unknown cost).")
    told = break_even_charts.place_words(lowest.assign(told=True), {"adam": optimizer_info("adam", "adam")})
    assert told.endswith("80 %: Adam in 2.00 s (1 more reached it at an unknown cost).")


def test_at_the_trained_size_the_map_of_a_target_has_the_seconds_of_the_table(records, calibrations):
    results = Results(records)
    seconds = one_clock.seconds_per_iteration(records.trials, records.costs, "digital_s")
    found = target_map.timed_alike(
        next(target_map.trained(results.trials, results.hits, "digits-mlp", seconds))
    )
    every = target_map.with_first_order(calibrations, results)
    (size,) = found.sizes.to_dict("records")
    area = plane(every, "batch_size", size["outputs"], (size["parameters"],), (size["batch_size"],))
    drawn = target_map.lowest(area, found)
    times = results.times_to_target
    table = times[times["target"] == found.target].set_index("optimizer")["modelled_median"]
    digital = [label for label in drawn.labels if not results.infos[label].modelled]
    assert {"kfac", "adam"} <= set(digital)
    for label in digital:
        assert drawn.seconds[drawn.labels.index(label), 0, 0] == pytest.approx(table[label], rel=1e-9), label


@pytest.mark.parametrize(
    ("seeds", "rivals", "told"), [(5, 1, False), (6, 1, True), (6, 2, False), (8, 2, True)]
)
def test_the_fastest_is_told_from_its_runner_up_by_seeds_enough_for_the_pairs_there_are(seeds, rivals, told):
    labels = ["a", "b", "c"][: rivals + 1]
    seconds = {"a": 1.0, "b": 1.2, "c": 1.5}
    trials = pd.DataFrame({"kind": ["training"], "group": "g", "parameters": 10, "batch_size": 4})
    times = pd.DataFrame(
        [{"group": "g", "optimizer": o, "target": "t", "modelled_median": seconds[o]} for o in labels]
    ).assign(iterations_median=10.0)
    hits = pd.DataFrame(
        [
            {"group": "g", "target": "t", "optimizer": o, "seed": seed, "modelled": seconds[o] * (1 + seed)}
            for o in labels
            for seed in range(seeds)
        ]
    )
    hits["after_modelled"] = 0.99 * hits["modelled"]  # evaluated often enough to tell them
    (row,) = map_view.lowest_times(trials, times, hits).to_dict("records")
    assert (row["optimizer"], row["runner_up"], row["told"]) == ("a", "b", told)
    seldom = hits.assign(after_modelled=0.5 * hits["modelled"])
    assert not map_view.lowest_times(trials, times, seldom)["told"].any()
    said = break_even_charts.place_words(pd.DataFrame([row]), {o: optimizer_info(o, o) for o in labels})
    assert ("these seeds do not distinguish it from b, 1.20 s" in said) is not told
    unknown = hits[hits["optimizer"] == "a"].assign(optimizer="untimed", modelled=np.nan)
    beside = map_view.lowest_times(trials, times, pd.concat([hits, unknown]))
    assert beside["told"].tolist() == [told]  # no rival, as it cannot be ranked
    alone = hits.assign(seed=hits["seed"] + 100 * (hits["optimizer"] == "b"))
    assert not map_view.lowest_times(trials, times, alone)["told"].any()


def test_who_missed_a_target_is_named_apart_from_who_reached_it(results):
    (said,) = [point for point in results.map.points if point.startswith("Iterations to")]
    assert "∞" not in said
