"""What a page says of optimizers named by their class."""

import json

import pytest

from tngd_bench.analysis.cost.rates import uncounted
from tngd_bench.analysis.families import optimizer_infos
from tngd_bench.analysis.results import Results
from tngd_bench.report import torch_classes

ROUTING = json.dumps({"Muon": {"0.weight": [11, 64]}, "AdamW, the others": {"0.bias": [11]}})


@pytest.fixture
def results(records):
    """The records with Muon in the place of Adam."""
    trials, costs, curves = (frame.copy() for frame in (records.trials, records.costs, records.curves))
    for frame in (trials, costs, curves):
        own = frame["method"] == "adam"
        frame.loc[own, ["optimizer", "method"]] = "torch.optim:Muon"
    own = trials["method"] == "torch.optim:Muon"
    trials.loc[own, "routing"] = ROUTING
    trials.loc[own, "first_step_s"] = 0.5
    return Results.of(trials, costs, curves)


def test_who_got_what_is_a_row_for_each_optimizer_with_all_sizes(results):
    table = torch_classes.routing_table(results.trials, results.infos)
    shown = {(row[0], row[3]): row[4] for row in table.rows}
    assert shown == {("Muon", "Muon"): "0.weight (11 × 64)", ("Muon", "AdamW, the others"): "0.bias (11)"}
    assert set(table.data["routing"]) == {ROUTING}


def test_first_steps_stand_beside_the_steps_after_them(results):
    table = torch_classes.first_steps_table(results)
    costs = results.trials[
        (results.trials["kind"] == "cost") & (results.trials["method"] == "torch.optim:Muon")
    ]
    assert len(table.rows) == len(costs[["group", "parameters", "batch_size", "outputs"]].drop_duplicates())
    assert set(table.data["first_step_s"]) == {0.5}
    own = results.costs[results.costs["method"] == "torch.optim:Muon"]
    assert table.data["later_s"].min() >= own["total_s"].min()


def test_how_they_are_measured_is_said_only_where_one_ran(results, records):
    ((term, sentence),) = torch_classes.statements(results.infos)
    assert term == "Optimizers named by their class"
    assert sentence.startswith("Muon: the classes as their packages have them")
    assert torch_classes.statements(optimizer_infos(records.trials)) == ()
    assert torch_classes.routing_table(records.trials, optimizer_infos(records.trials)).rows == ()


def test_the_page_says_that_no_map_has_them(results):
    assert uncounted(results.cost_summary, results.infos) == ("Muon",)
    assert "Muon" not in {results.infos[label].title for label in results.calibrations.by_label}
