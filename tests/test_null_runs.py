"""Null runs: what a run calls confirmed is held against another run, synthetic and real."""

import dataclasses

import pytest

from benchmarks import null_runs
from benchmarks.null_runs import Agreement, agreement, run_again, study_table, write_into
from tests.report.conftest import make_records
from tngd_bench.analysis.statistics.run_spread import RunSpread, run_spread_of
from tngd_bench.studies.store.store import Store

SPREAD = RunSpread(0.02, "for a test")


def test_what_is_confirmed_is_found_again_in_a_run_of_the_same_truth_and_not_of_another():
    digital = ("sgd", "kfac", "ngd-gram", "ngd-cg")
    sizes = tuple(round(10 ** (3 + step / 6)) for step in range(19))  # every second one is held against
    one, two = (make_records(optimizers=digital, sizes=sizes, training=False) for _ in range(2))
    leads, cells = agreement([one, two], SPREAD)
    assert leads.made > 0
    assert cells.made > 0
    assert (leads.kept, cells.kept) == (leads.made, cells.made)
    turned = two.costs.assign(optimizer=two.costs["optimizer"].replace({"kfac": "ngd-cg", "ngd-cg": "kfac"}))
    leads, cells = agreement([one, dataclasses.replace(two, costs=turned)], SPREAD)
    assert leads.kept == cells.kept == 0
    assert not leads.as_said


def test_an_agreement_is_judged_by_what_chance_leaves_of_95_percent():
    assert Agreement("leads", 190, 200).as_said
    assert Agreement("leads", 181, 200).as_said
    assert not Agreement("leads", 170, 200).as_said
    assert Agreement("leads", 0, 0).as_said
    assert Agreement("leads", 0, 0).words == "leads: none confirmed"
    assert Agreement("leads", 19, 20).words.startswith("leads: 19 of 20 kept, 95.0% [75.")


def test_the_spread_goes_into_the_environment_of_a_store_of_the_same_machine(tmp_path):
    runs = [make_records(training=False) for _ in range(2)]
    store = Store(tmp_path / "store")
    store.create()
    store.write_study({"name": "null"})
    store.write_environment({name: runs[0].environment.get(name) for name in null_runs.MACHINE_FIELDS})
    write_into(tmp_path, runs)
    assert "2 null runs" in run_spread_of(store.environment()).source
    store.write_environment({"cpu": "another"})
    with pytest.raises(ValueError, match="was measured with cpu = 'another', the null runs with"):
        write_into(tmp_path, runs)


@pytest.mark.slow
def test_what_one_real_run_confirms_another_real_run_has(tmp_path):
    table = study_table(batch_size=[8, 64], repetitions=3)
    runs = run_again(table, 2, tmp_path)
    spread = RunSpread(null_runs.spread(null_runs.between(runs)), "these runs")
    leads, cells = agreement(runs, spread)
    assert leads.made > 4
    assert leads.as_said, leads.words
    assert cells.as_said, cells.words
