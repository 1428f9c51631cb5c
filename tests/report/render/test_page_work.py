import subprocess
import sys

import pytest

from tngd_bench.analysis.cost import iteration_cost
from tngd_bench.check.metrics import PAGE, between_trees, make_metric
from tngd_bench.check.regression import compare
from tngd_bench.report.render import page_work
from tngd_bench.report.render.page_work import count_calls, page_records


def test_the_records_are_those_of_a_study_that_finished():
    records = page_records()
    assert set(records.trials["status"]) == {"ok"}
    assert len(records.costs) == len(page_work.OPTIMIZERS) * page_work.PROCESSES * page_work.REPETITIONS
    assert records.curves["key"].nunique() == len(page_work.OPTIMIZERS) * page_work.SEEDS
    assert records.costs["total_s"].notna().all()
    assert records.curves["train_loss"].notna().all()


def test_only_trees_measured_in_turn_compare_it():
    assert between_trees(f"{PAGE}/report")
    assert not between_trees("operations/sgd")
    name = f"{PAGE}/report"
    assert compare(make_metric(name, [1000.0]), make_metric(name, [1001.0])).verdict == "ok"
    assert compare(make_metric(name, [1000.0]), make_metric(name, [1060.0])).verdict == "regression"


@pytest.mark.slow(reason="draws pages while calls are counted")
def test_the_work_of_a_page_is_a_number_that_hardly_differs_and_sees_a_loop_over_rows(monkeypatch):
    records = page_records()
    first, again = count_calls(records), count_calls(records)
    elsewhere = subprocess.run(
        [sys.executable, "-m", "tngd_bench.report.render.page_work"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert again == pytest.approx(first, rel=0.02)  # the first fills caches
    assert int(elsewhere.stdout) == pytest.approx(first, rel=0.02)
    real = iteration_cost.summarise

    def twice(costs, trials):
        for _ in range(40):
            real(costs, trials)
        return real(costs, trials)

    monkeypatch.setattr(iteration_cost, "summarise", twice)
    assert count_calls(records) > 1.05 * first
