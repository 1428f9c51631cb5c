"""Null runs: what a run calls confirmed is held against another run, synthetic and real."""

import dataclasses

import pytest

from benchmarks import null_runs
from benchmarks.null_runs import Agreement, agreement
from benchmarks.runs import recorded
from tests.report.conftest import make_records
from tngd_bench.analysis.statistics.run_spread import RunSpread
from tngd_bench.studies.file.reading import load_study

SPREAD = RunSpread(0.02, "for a test")


def test_what_is_confirmed_is_found_again_in_a_run_of_the_same_truth_and_not_of_another():
    digital = ("sgd", "kfac", "ngd-gram", "ngd-cg")
    sizes = tuple(round(10 ** (3 + step / 4)) for step in range(13))  # every second one is held against
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


@pytest.mark.slow(reason="measures two studies")
def test_what_one_real_run_confirms_another_real_run_has(tmp_path):
    study = load_study("null-runs", ["cost.null.batch_size=[8, 64]", "cost.null.repetitions=3"])
    runs = [recorded(study, tmp_path / name) for name in ("one", "two")]
    spread = RunSpread(null_runs.spread(null_runs.between(runs)), "these runs")
    leads, cells = agreement(runs, spread)
    assert leads.made > 4
    assert leads.as_said, leads.words
    assert cells.as_said, cells.words
