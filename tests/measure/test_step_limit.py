"""The limit on steps: who is ended by it, when, and what those outside are told."""

import pytest

from tests.measure.conftest import Probe
from tngd_bench.measure.cost import measure_cost
from tngd_bench.measure.step_limit import PATIENCE, StepLimit

LIMIT = 2.0


@pytest.fixture
def measured(told, instance, digits, config):
    def run(probes, announce=lambda deadline: None, limited=("slow",)):
        told(probes)
        configs = [config("sgd", probe.name) for probe in probes]
        limits = {name: StepLimit(LIMIT, announce) for name in limited}
        found = measure_cost(instance, digits, configs, repetitions=4, seconds_limit=100.0, limits=limits)
        return {each.label: each for each in found}

    return run


def test_a_step_beyond_the_limit_ends_the_turn_and_the_others_keep_what_they_have(measured):
    log = []
    found = measured([Probe("fast", log, 0.5), Probe("slow", log, 1.5 * LIMIT)])
    slow, fast = found["slow"], found["fast"]
    assert (slow.status, slow.least_step_s) == ("timed-out", pytest.approx(1.5 * LIMIT))
    assert slow.reason == "took 3 s per iteration, limit 2 s"
    assert [name for name, _ in log].count("slow") == 2, (
        "a first one, which sets up, and the one that is judged"
    )
    assert (fast.status, len(fast.iterations)) == ("ok", 4)


def test_who_is_within_the_limit_or_has_none_goes_on(measured):
    found = measured([Probe("slow", [], 0.9 * LIMIT), Probe("free", [], 5 * LIMIT)])
    assert {each.status for each in found.values()} == {"ok"}


def test_before_all_steps_a_deadline_is_announced_and_taken_back_after_them(measured):
    log = []
    measured([Probe("slow", log, 0.9 * LIMIT)], announce=lambda deadline: log.append(("told", deadline)))
    deadlines = [each for name, each in log if name == "told"]
    assert len(deadlines) == 2 * 5, "of a first step and of four timed ones"
    for before, after in zip(deadlines[::2], deadlines[1::2], strict=True):
        assert before.seconds == before.least_step_s == PATIENCE * LIMIT
        assert after is None
    assert [name for name, _ in log] == ["told", "slow", "told"] * 5
