import pandas as pd
import pytest

from tests.analysis.training_runs import decay, outcome, runs
from tngd_bench.analysis import claim_device
from tngd_bench.analysis.claims import Pool


def memory_pool(advantages, controls):
    made = {}
    for damping, advantage in advantages.items():
        made[f"n{damping}"] = decay(1)
        made[f"s{damping}"] = lambda i, seed, f=advantage: f * decay(1)(i, seed)
        made[f"c{damping}"] = lambda i, seed, f=controls[damping]: f * decay(1)(i, seed)
    return runs(made)


MEMORY = {
    **{
        key: [f"{mark}0.01", f"{mark}1"]
        for key, mark in (("series", "s"), ("references", "n"), ("controls", "c"))
    },
    "value": "mean-loss",
    "tolerance": 0.05,
}


@pytest.mark.parametrize(
    ("advantages", "controls", "expected"),
    [
        ({0.01: 0.7, 1: 1.0}, {0.01: 1.1, 1: 1.0}, [True, True, True]),
        ({0.01: 0.7, 1: 0.7}, {0.01: 1.1, 1: 1.0}, [True, False, True]),
        ({0.01: 1.3, 1: 1.0}, {0.01: 1.1, 1: 1.0}, [False, True, True]),
        ({0.01: 0.7, 1: 1.0}, {0.01: 0.7, 1: 1.0}, [True, True, False]),
    ],
    ids=["memory", "stays at large λ", "no advantage", "from the gradient too"],
)
def test_the_memory_explanation_stands_on_three_legs(advantages, controls, expected):
    finding = claim_device.memory(memory_pool(advantages, controls), MEMORY)
    assert [part.holds for part in finding.parts] == expected


def test_memory_says_which_leg_has_too_few_seeds():
    made = {
        "n0.01": decay(1),
        "n1": decay(1),
        "s0.01": lambda i, seed: 0.7 * decay(1)(i, seed),
        "s1": decay(1),
    }
    finding = claim_device.memory(runs(made, seeds=4), MEMORY)
    assert [part.what for part in finding.parts] == ["no advantage at the largest λ"]
    assert finding.missing == "advantage at the smallest λ: 4 paired seeds, 5 needed"


def test_one_damping_tests_no_memory():
    assert claim_device.memory(memory_pool({1: 1.0}, {1: 1.0}), MEMORY).parts == ()


def swept(losses, status="ok"):
    """`losses`: level → final loss added to the seed's own."""
    trials, curves = [], []
    for level, excess in losses.items():
        for seed, own in enumerate([1.0, 1.01, 1.02, 1.03, 1.04]):
            key = f"{level}#{seed}"
            common = {"key": key, "group": "noise", "problem": "p", "parameters": 10, "batch_size": 4}
            common |= {
                "optimizer": "tngd",
                "method": "tngd",
                "seed": seed,
                "sweep_parameter": "noise_variance",
            }
            trials.append({**common, "kind": "training", "status": status, "sweep_value": level})
            curves.append(
                {**common, "iteration": 1, "loss": own + excess, "train_loss": own + excess}
                | dict.fromkeys(
                    ["train_accuracy", "test_loss", "test_accuracy", "measured_s", "modelled_s"], 1.0
                )
            )
    return Pool(pd.DataFrame(trials), pd.DataFrame(), pd.DataFrame(curves))


TOLERATED = {"parameter": "noise_variance", "level": 0.001}


def test_a_level_is_tolerated_or_not_or_was_not_swept():
    inside = claim_device.tolerated(swept({0.0: 0.0, 1e-4: 0.0, 1e-3: 0.0, 1e-2: 1.0}), TOLERATED)
    assert outcome(inside) == [(True, True)]
    outside = claim_device.tolerated(swept({0.0: 0.0, 1e-4: 0.5, 1e-3: 1.0}), TOLERATED)
    assert outcome(outside) == [(False, True)]
    other = claim_device.tolerated(swept({0.0: 0.0, 1e-4: 0.5}), TOLERATED)
    assert other.parts == ()
    assert "was not swept" in other.missing


def test_a_level_at_the_edge_of_the_band_is_not_decided():
    # the band of these seeds is 0.02; resampled seeds have narrower ones
    edge = claim_device.tolerated(swept({0.0: 0.0, 1e-4: 0.0, 1e-3: 0.015}), TOLERATED)
    assert outcome(edge)[0][1] is False
