"""What a page says beside the times of an optimizer whose number format is slow on the processor."""

import json

import pytest

from tngd_bench.analysis.cost.half_formats import LEAST_SLOWDOWN
from tngd_bench.analysis.findings.answer import answer
from tngd_bench.analysis.results import Results
from tngd_bench.report.cost.cost_charts import time_chart
from tngd_bench.report.cost.cost_section import cost_sections
from tngd_bench.report.cost.cost_series import cover
from tngd_bench.report.document import charting

SENTENCE = (
    "Adam makes up to 97 % of its operations in bfloat16, which take this processor up to 62.0 times as long as in "
    "float32: its time here says little about processors with bfloat16 instructions."
)


def with_halves(records, slowdowns):
    """The records with Adam in bfloat16: 97 % of its operations at the largest size, slower by `slowdowns` by size."""
    trials = records.trials.copy()
    sizes = sorted(trials["parameters"].unique())
    largest = sizes[-1]

    def products(row):
        if row.kind != "cost" or row.method != "adam":
            return None
        share = 0.97 if row.parameters == largest else 0.5
        slow = slowdowns[min(sizes.index(row.parameters), len(slowdowns) - 1)]
        told = {"flops": share * row.flops, "seconds": 1e-3 * slow, "float32_seconds": 1e-3}
        return json.dumps({"bfloat16": told})

    trials["half_products"] = [products(row) for row in trials.itertuples()]
    return Results.of(trials, records.costs, records.curves)


@pytest.fixture
def results(records):
    return with_halves(records, [1.0, 30.0, 62.0])


def test_the_largest_share_and_slowdown_stand_beside_all_times_of_the_optimizer(results):
    assert results.about_formats(["adam", "sgd"]) == SENTENCE
    assert results.about_formats(["sgd", "kfac"]) == ""
    (slow,) = results.slow_formats
    assert slow.inspections == results.trials["parameters"].nunique() - 1, "at the smallest it is as quick"
    with charting.style():
        series = cover(results.cost_summary)[0]
        assert time_chart.draw(results, series).caption.endswith(SENTENCE)
        by_anchor = {each.anchor: each for each in cost_sections(results)}
    assert SENTENCE in by_anchor["cost"].points
    assert SENTENCE in by_anchor["numbers"].points


def test_the_first_screen_says_it_where_the_optimizer_is_shown(results, records):
    assert SENTENCE in answer(results).facts
    assert SENTENCE not in answer(Results(records)).facts


@pytest.mark.parametrize("slowdowns", [[0.5], [1.0], [0.99 * LEAST_SLOWDOWN]])
def test_a_processor_with_the_instructions_needs_no_note(records, slowdowns):
    assert with_halves(records, slowdowns).slow_formats == ()


def test_records_without_the_column_say_nothing(records):
    assert Results(records).slow_formats == ()
