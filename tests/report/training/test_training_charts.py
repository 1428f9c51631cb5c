"""Curves of scores that only some problems have."""

import dataclasses
import math

from tngd_bench.analysis.results import Results
from tngd_bench.report.document import charting
from tngd_bench.report.document.figures import charts_of


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
