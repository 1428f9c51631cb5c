"""Curves of scores that only some problems have."""

import math

from tngd_bench.analysis.families import optimizer_infos
from tngd_bench.analysis.training import convergence
from tngd_bench.report.document import charting
from tngd_bench.report.document.palette import marks
from tngd_bench.report.training import training_charts


def test_answers_have_a_figure_of_f1_from_the_untrained_model_on_and_none_of_accuracy(records):
    known = optimizer_infos(records.trials)
    curves = convergence.finished_curves(records.curves, records.trials)
    evaluated = curves["test_accuracy"].notna()
    answers = curves.assign(test_accuracy=math.nan)
    answers.loc[evaluated, "test_f1"] = 0.25
    answers.loc[evaluated & (answers["iteration"] == 0), "test_f1"] = 0.125
    with charting.style():
        made = [
            chart
            for group in training_charts.convergence_charts(answers, known, marks(known)).values()
            for chart in group
        ]
    (over_iterations,) = [chart for chart in made if "f1-iterations" in chart.name.replace("_", "-")]
    assert over_iterations.heading.startswith("Test F1 against iterations")
    first = over_iterations.data.groupby("optimizer").head(1)
    assert set(zip(first["x"], first["median"], strict=True)) == {(0.0, 0.125)}
    assert "25%" in over_iterations.alt.replace(" ", "")
    assert not [chart for chart in made if "accuracy" in chart.name]
