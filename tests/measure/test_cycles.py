"""Optimizers whose steps differ: a cycle is timed whole, or, where that takes long, by its kinds of step."""

import pytest

from tngd_bench.measure import cost
from tngd_bench.measure.clock import Clock
from tngd_bench.measure.cost import measure_cost, probe_step
from tngd_bench.measure.settling import LONG_CYCLE_S

CYCLE = 20


class Periodic:
    """Every tenth step takes three units, every twentieth eleven, the others one; the clock is told."""

    cycle = CYCLE
    phases = ((20, 1), (21, 18), (30, 1))

    def __init__(self, unit_s):
        self.unit_s, self.iteration, self.taken_s, self.made = unit_s, 0, 0.0, []

    def step(self, inputs, targets):
        i = self.iteration
        self.taken_s += self.unit_s * (11.0 if i % 20 == 0 or i == 1 else 3.0 if i % 10 == 0 else 1.0)
        self.made.append(i)
        self.iteration += 1
        return 1.0


MEAN = (11.0 + 3.0 + 18.0) / CYCLE


@pytest.fixture
def timed(monkeypatch, instance, digits, config):
    def run(probe, **limits):
        class Told(Clock):
            def now(self):
                return probe.taken_s

        for clock in ("Clock", "OwnClock"):
            monkeypatch.setattr(cost, clock, Told)
        monkeypatch.setattr(type(instance), "optimizer", lambda self, entrant, model: probe)
        if not limits:
            return probe_step(instance, digits, config("sgd", "periodic"), simulating=False)
        (result,) = measure_cost(instance, digits, [config("sgd", "periodic")], **limits)
        return result

    return run


def test_a_short_cycle_is_made_whole(timed):
    probe = Periodic(0.01)
    result = timed(probe, repetitions=3, seconds_limit=100.0)
    assert probe.made == list(range(4 * CYCLE))
    assert [iteration.step_s for iteration in result.iterations] == [pytest.approx(MEAN * 0.01)] * 3


def test_a_long_cycle_is_weighed_from_a_step_of_each_kind(timed):
    unit_s = 2 * LONG_CYCLE_S / CYCLE
    probe = Periodic(unit_s)
    result = timed(probe, repetitions=3, seconds_limit=1e6)
    assert probe.made == [0, 1] + 3 * [20, 21, 30]
    assert [iteration.step_s for iteration in result.iterations] == [pytest.approx(MEAN * unit_s)] * 3


@pytest.mark.parametrize(
    ("unit_s", "repeated"), [(0.01, None), (2 * LONG_CYCLE_S / CYCLE, (11.0 + 3.0 + 1.0) / MEAN)]
)
def test_a_probe_knows_the_mean_step_and_what_a_repetition_makes(timed, unit_s, repeated):
    found = timed(Periodic(unit_s))
    assert found.step_s == pytest.approx(MEAN * unit_s)
    assert found.repeated == (None if repeated is None else pytest.approx(repeated))


def test_a_long_cycle_spends_the_seconds_its_steps_take(timed):
    unit_s = 2 * LONG_CYCLE_S / CYCLE
    turn_s = 15.0 * unit_s
    assert len(timed(Periodic(unit_s), repetitions=30, seconds_limit=6.5 * turn_s).iterations) == 7
