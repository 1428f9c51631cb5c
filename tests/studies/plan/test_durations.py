import pytest

from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.studies.plan.durations import STEP_OVERHEAD_S, Correction, Durations, cycle_of, steps_seconds

SGD = OptimizerConfig("sgd", "sgd", {})
KFAC = OptimizerConfig("kfac", "kfac", {"factor_interval": 10, "inverse_interval": 100})
LEARNED = Durations({("sgd", "cost"): Correction(3.0, 7), ("sgd", "training"): Correction(0.5, 2)})


def test_a_timed_optimizer_stops_at_its_repetitions_or_its_seconds_but_makes_the_least():
    plain, step = Durations(), 0.1 + STEP_OVERHEAD_S
    assert plain.timed(SGD, 0.1, 20, 2, 100.0) == pytest.approx(21 * step)
    assert plain.timed(SGD, 0.1, 20, 2, 1.0) == pytest.approx(step + 1.0)
    assert plain.timed(SGD, 0.1, 20, 4, 0.01) == pytest.approx(5 * step)
    assert (cycle_of(SGD), cycle_of(KFAC)) == (1, 100)
    assert plain.timed(KFAC, 0.1, 20, 2, 0.01) == pytest.approx(300 * step)


def test_corrections_are_those_of_the_optimizer_and_the_kind():
    assert LEARNED.timed(SGD, 0.1, 20, 2, 100.0) == pytest.approx(3 * 21 * (0.1 + STEP_OVERHEAD_S))
    assert LEARNED.inspected(SGD, 0.1) == pytest.approx(3 * 3 * (0.1 + STEP_OVERHEAD_S))
    assert LEARNED.trained(SGD, 0.1, 50, 3, 0.2) == pytest.approx(0.5 * steps_seconds(0.1, 50) + 0.6)
    assert LEARNED.trained(KFAC, 0.1, 50, 3, 0.2) == pytest.approx(steps_seconds(0.1, 50) + 0.6)


def test_it_is_said_how_much_was_learned():
    kinds = ("cost", "inspection", "training")
    assert [LEARNED.learned_from("sgd", kind) for kind in kinds] == [7, 7, 2]
    assert [LEARNED.learned_from("kfac", kind) for kind in kinds] == [0, 0, 0]
