"""The strip shows the verdicts of the analysis, level by level, each beside what the ideal device reached."""

from matplotlib.patches import Rectangle

from tngd_bench.analysis.findings.answer import answer
from tngd_bench.analysis.results import Results
from tngd_bench.report.document import charting
from tngd_bench.report.training.tolerance_strip import tolerance_chart


def test_every_level_of_every_imperfection_has_its_cell(make):
    results = Results(make(optimizers=("tngd",), sizes=()))
    with charting.style():
        chart = tolerance_chart(results)
    found = results.scored_tolerances
    assert len(found) == 2
    expected = [(each.both.parameter, verdict) for each in found for verdict in each.both.levels["verdict"]]
    assert list(zip(chart.data["imperfection"], chart.data["verdict"], strict=True)) == expected
    axes = chart.figure.axes[0]
    assert sum(isinstance(patch, Rectangle) for patch in axes.patches) == len(expected)
    texts = [text.get_text() for text in axes.texts]
    assert "✓ 12 bits" in texts
    about = [text for text in texts if " seeds, ideal " in text]
    assert len(about) == len(found)
    assert all(text.endswith(each.score.score.title) for text, each in zip(about, found, strict=True))
    assert "ADC resolution, TNGD (digits-mlp, N = 10,000, 300 iterations, 5 seeds, ideal " in chart.alt
    assert ": 12 bits no worse than ideal" in chart.alt


def test_too_few_seeds_say_so_and_nothing_swept_gives_no_strip(make):
    records = make(optimizers=("tngd",), sizes=())
    few = records.trials[records.trials["seed"] < 3]
    results = Results.of(few, records.costs, records.curves)
    with charting.style():
        chart = tolerance_chart(results)
        assert tolerance_chart(Results(make(optimizers=("tngd",), sizes=(), sweeps=False))) is None
    assert chart.data.empty
    assert chart.alt.count("too few to tell, 3 seeds of the ideal device, 5 needed") == 1
    assert not chart.figure.legends
    told = "How imperfect the device may be is not decided: too few to tell, 3 seeds of the ideal device, 5 needed."
    assert told in [each.text for each in answer(results).paragraphs]
