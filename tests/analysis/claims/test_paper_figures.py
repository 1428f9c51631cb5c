import numpy as np
import pandas as pd
import pytest

from tngd_bench.analysis.claims.paper_figures import FigureEntry, figure_points, load_figures
from tngd_bench.analysis.results import Results
from tngd_bench.studies.file.reading import load_study

FIGURES = load_figures()


def test_every_figure_draws_what_the_study_runs():
    studies = [load_study(name, (), "full").study for name in ("paper", "paper-fig5")]
    sections = [section for study in studies for section in (*study.cost, *study.training)]
    run = {section.name: set(section.optimizers) for section in sections}
    for figure in FIGURES:
        for group in figure.groups:
            assert {name for name in figure.optimizers if "[tuned]" not in name} <= run[group]


def training(seeds=3, iterations=10):
    trials, curves = [], []
    for optimizer, factor in (("tngd", 1.0), ("ngd-gram", 2.0)):
        for seed in range(seeds):
            key = f"{optimizer}{seed}"
            common = {"key": key, "group": "training", "problem": "p", "optimizer": optimizer, "seed": seed}
            trials.append({**common, "kind": "training", "status": "ok", "sweep_parameter": None})
            for iteration in range(iterations + 1):
                loss = np.nan if iteration == 0 else factor * (seed + 1) / iteration
                evaluated = 0.5 + 0.1 * seed if iteration % 5 == 0 else np.nan
                times = {"measured_s": 1.0 * iteration, "modelled_s": (seed + 1) * iteration}
                curves.append(
                    {**common, **times, "iteration": iteration, "loss": loss, "test_accuracy": evaluated}
                )
    return Results.of(pd.DataFrame(trials), pd.DataFrame(), pd.DataFrame(curves))


def test_a_curve_is_the_mean_over_seeds_in_the_order_of_the_figure():
    figure = FigureEntry("f", "", ("training",), "iteration", "loss", ("ngd-gram", "tngd", "adam"))
    points = figure_points(figure, training())
    assert points["optimizer"].unique().tolist() == ["ngd-gram", "tngd"]
    first = points[points["optimizer"] == "tngd"].iloc[0]
    assert (first["x"], first["mean"], first["median"], first["seeds"]) == (1.0, 2.0, 2.0, 3)
    assert first["std"] == pytest.approx(1.0)


def test_a_long_curve_is_thinned_after_smoothing():
    figure = FigureEntry("f", "", ("training",), "iteration", "loss", ("tngd",), window=3)
    points = figure_points(figure, training(seeds=1, iterations=500))
    assert points["x"].tolist() == list(range(1, 501, 4))  # 500 points, at most 160 of them
    assert points["mean"].iloc[1] == pytest.approx((1 / 3 + 1 / 4 + 1 / 5) / 3)


def test_figures_are_numbered_as_in_the_paper():
    assert [figure.number for figure in FIGURES][:3] == ["Figure 2(a)", "Figure 2(b)", "Figure 3(a)"]
    assert next(figure for figure in FIGURES if figure.id == "fig7").number == "Figure 7"


def test_test_error_is_drawn_at_evaluations_against_the_mean_runtime():
    figure = FigureEntry("f", "", ("training",), "modelled_s", "test_error", ("tngd",))
    points = figure_points(figure, training())
    assert points["x"].tolist() == [0.0, 10.0, 20.0]  # iterations 0, 5, 10 at 1, 2 and 3 s each: mean 2 s
    assert points["median"].tolist() == pytest.approx([0.4, 0.4, 0.4])


def test_a_cost_is_summarised_over_its_timed_iterations():
    rows = [
        {"key": "k", "optimizer": "tngd", "outputs": outputs, "group": "fig2b", "total_s": seconds}
        for outputs, times in ((10, [1.0, 2.0, 3.0]), (20, [4.0, 4.0, 4.0]))
        for seconds in times
    ]
    trials = pd.DataFrame(
        [{"key": "k", "kind": "cost", "status": "ok", "optimizer": "tngd", "group": "fig2b"}]
    )
    figure = FigureEntry("f", "", ("fig2b",), "outputs", "total_s", ("tngd",))
    points = figure_points(figure, Results.of(trials.assign(problem="p"), pd.DataFrame(rows), pd.DataFrame()))
    assert points[["x", "mean", "low", "median", "high", "seeds"]].to_numpy().tolist() == [
        [10, 2, 1.5, 2, 2.5, 3],
        [20, 4, 4, 4, 4, 3],
    ]


def test_records_without_the_figure_give_no_points_and_an_unknown_axis_is_refused():
    assert figure_points(FIGURES[0], training()).empty
    with pytest.raises(ValueError, match=r"x must be one of: .*; not 'epoch'"):
        FigureEntry("f", "", (), "epoch", "loss", ())
