"""The sentences of a study's findings: what each says of the rows, and that none is made of nothing."""

import pytest


def test_a_study_without_anything_says_not_measured(study):
    assert [sentence.endswith("not measured.") for sentence in study.find().sentences()] == [True] * 3


def test_the_cheapest_is_named_per_size_and_first_order_optimizers_do_not_compete(study):
    for parameters, dense, gram in ((100, 1e-3, 2e-3), (1000, 1e-2, 2e-3), (10000, 1.0, 3e-3)):
        study.cost("sgd", parameters, 1e-6)
        study.cost("ngd", parameters, dense)
        study.cost("ngd-gram", parameters, gram, spread=0.0)
        study.cost("tngd", parameters, 1e-3, link=5e-3, spread=0.0)
    sentence = study.find().cost
    assert "NGD (dense) at 1 of 3 sizes, NGD (Gram) at 2 of 3 sizes." in sentence
    assert "At N = 10,000 TNGD needs 6.00 ms (measured digital + modelled device)" in sentence
    assert "the modelled link takes 83.3 %" in sentence
    assert "That is 2.00× [" in sentence
    assert "strongest digital competitor, NGD (Gram)." in sentence
    assert "untested" not in sentence
    assert "SGD" not in sentence


def test_kfac_is_the_strongest_competitor_and_the_exact_one_is_named_beside_it(study):
    study.cost("kfac", 100, 1e-3)
    study.cost("ngd-gram", 100, 2e-3)
    study.cost("tngd", 100, 4e-3)
    sentence = study.find().cost
    assert "strongest digital competitor, K-FAC" in sentence
    assert "that of the fastest exact natural gradient, NGD (Gram)" in sentence


def test_a_lead_within_the_noise_is_not_confirmed(study):
    study.cost("ngd-gram", 100, 1.0e-3, spread=0.3)
    study.cost("ngd-woodbury", 100, 1.01e-3, spread=0.3)
    assert "not confirmed" in study.find().cost


@pytest.mark.parametrize(("times", "doubt"), [(1.08, "Within run-to-run spread. "), (1.3, "")])
def test_a_lead_that_another_run_may_turn_round_is_within_its_spread(study, times, doubt):
    study.cost("ngd-gram", 100, 1e-3, spread=0.005)
    study.cost("ngd-woodbury", 100, times * 1e-3, spread=0.005)
    assert f": NGD (Gram) at N = 100. {doubt}Run-to-run spread" in study.find().cost


def test_too_few_pairs_are_said_to_test_nothing_and_how_many_are_needed(study):
    study.cost("ngd-gram", 100, 1e-3, spread=0.0, repetitions=1)
    study.cost("ngd-woodbury", 100, 2e-3, spread=0.0, repetitions=1)
    study.cost("tngd", 100, 4e-3, spread=0.0, repetitions=1)
    sentence = study.find().cost
    assert "NGD (Gram) at N = 100. Untested. A test takes 5 paired iterations from 3 processes" in sentence
    assert sentence.endswith(
        "NGD (Gram). This is untested: 3 paired iterations from 3 processes, and a test takes 5 from 3 processes."
    )
    assert "not confirmed" not in sentence


def test_tngd_skipped_everywhere_is_not_measured(study):
    study.cost("ngd-gram", 100, 1e-3)
    study._trial("tngd", "cost", "skipped")
    assert study.find().cost.endswith("TNGD's cost: not measured.")


def test_without_tngd_the_summary_speaks_of_those_that_ran(study):
    losses = {"adam": 0.2, "sgd": 0.3, "kfac": 0.1}
    for place, (label, loss) in enumerate(losses.items()):
        study.train(label, [loss] * 3)
        study.cost(label, 100, 1e-3 * (place + 1), spread=0.0)
    found = study.find()
    assert "TNGD" not in found.cost + found.convergence
    assert "by median: Adam 1.00 ms, SGD 2.00 ms, K-FAC 3.00 ms." in found.cost
    assert "not tested against one another: K-FAC 0.1" in found.convergence
    order = [found.convergence.index(title) for title in ("K-FAC 0.1", "Adam 0.2", "SGD 0.3")]
    assert order == sorted(order)
