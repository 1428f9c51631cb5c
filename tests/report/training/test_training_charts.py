"""Curves of scores that only some problems have."""

import dataclasses
import math

import pandas as pd

from tngd_bench.analysis.results import Results
from tngd_bench.report.document import charting
from tngd_bench.report.document.figures import charts_of
from tngd_bench.report.training import training_charts
from tngd_bench.report.training.training_section import targets_table


def test_answers_have_a_figure_of_f1_from_the_untrained_model_on_and_none_of_accuracy(records):
    evaluated = records.curves["test_accuracy"].notna()
    answers = records.curves.assign(test_accuracy=math.nan)
    answers.loc[evaluated, "test_f1"] = 0.25
    answers.loc[evaluated & (answers["iteration"] == 0), "test_f1"] = 0.125
    with charting.style():
        made = charts_of("convergence", Results(dataclasses.replace(records, curves=answers)))
    made = [chart for chart in made if "Convergence" not in chart.heading and "against" in chart.heading]
    (over_iterations,) = [chart for chart in made if "f1-iterations" in chart.name.replace("_", "-")]
    assert over_iterations.heading.startswith("Test F1 against iterations")
    first = over_iterations.data.groupby("optimizer").head(1)
    assert set(zip(first["x"], first["median"], strict=True)) == {(0.0, 0.125)}
    assert "25%" in over_iterations.alt.replace(" ", "")
    assert not [chart for chart in made if "accuracy" in chart.name]


def test_no_tick_stands_between_two_iterations(records):
    with charting.style():
        made = charts_of("convergence", Results(records))
    over_iterations = [chart for chart in made if "against iterations" in chart.heading]
    assert over_iterations
    for chart in over_iterations:
        axes = chart.figure.axes[0]
        for last in (0.6, 1, 3, 10.5, 11, 25, 3_000):
            axes.set_xlim(-0.03 * last, 1.03 * last)
            low, high = axes.get_xlim()
            ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
            assert ticks
            assert all(tick == round(tick) for tick in ticks)


def _other_sections(records, lost=()):
    """The records with TNGD's trainings in a section of its own; runs of the optimizers `lost` diverged."""
    moved = {name: getattr(records, name) for name in ("trials", "curves")}
    for name, frame in moved.items():
        apart = (frame["optimizer"] == "tngd") & (frame["group"] == "digits")
        moved[name] = frame.assign(group=frame["group"].where(~apart, "apart"))
    trained = (moved["trials"]["kind"] == "training") & moved["trials"]["optimizer"].isin(lost)
    status = moved["trials"]["status"].where(~trained, "diverged")
    return Results(dataclasses.replace(records, **moved | {"trials": moved["trials"].assign(status=status)}))


def test_nobody_misses_a_task_that_was_never_tried(records):
    results = _other_sections(records)
    trials = results.of_kind("training")
    tried = {group: set(part["optimizer"]) for group, part in trials.groupby("group")}
    made = list(training_charts._profiles(results))
    assert {clock for clock, *_ in made} == {"iterations", "modelled"}
    for _, where, profile in made:
        assert where == "digits"  # TNGD alone has nobody beside it
        assert set(profile["optimizer"]) == tried["digits"]
        assert profile["tasks"].unique() == [9]  # three targets, three seeds


def test_seeds_that_are_in_no_line_are_counted_under_the_figure(records):
    for lost, said in ((), ""), (("adam",), "Adam 3 of 3"):
        results = _other_sections(records, lost)
        cases = [case for case in training_charts._convergence(results) if case.group == "digits"]
        assert cases
        for case in cases:
            assert ("adam" in set(case.bands["optimizer"])) is (not lost)
            told = training_charts._lost(results, case)
            assert (said in told) if said else ("Adam" not in told)


def test_the_interval_of_a_median_has_the_confidence_of_its_own_number_of_seeds(records):
    times = Results(records).times_to_target
    one, five = times.assign(tries=1, confidence=0.0), times.assign(tries=5, confidence=0.9375)
    table = targets_table(pd.concat([one, five]), Results(records).infos)
    assert "Intervals of medians, exact: 93.8 % with 5 seeds." in table.caption
    assert set(table.data["tries"]) == {1, 5}
    for tries, row in zip(table.data["tries"], table.rows, strict=True):
        assert ("[" in row[4]) is (tries == 5)
