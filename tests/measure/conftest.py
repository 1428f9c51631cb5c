import pytest

from tngd_bench.measure import cost
from tngd_bench.measure.clock import Clock
from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.measure.problem_instance import ProblemInstance
from tngd_bench.problems import registry as problems


class Probe:
    """An optimizer that notes when it ran on what, and says that a step took the seconds it is told to."""

    def __init__(self, name, log, seconds=0.0, fails_at=None, error=None):
        self.name, self.log, self.seconds, self.fails_at, self.error = name, log, seconds, fails_at, error
        self.steps, self.taken_s = 0, 0.0

    def step(self, inputs, targets):
        self.log.append((self.name, inputs.sum().item()))
        if self.steps == self.fails_at:
            raise self.error
        self.steps += 1
        self.taken_s += self.seconds
        return 1.0


@pytest.fixture(scope="session")
def digits():
    return problems.get("digits-mlp").load(train_size=200, test_size=50)


@pytest.fixture
def instance():
    return ProblemInstance("digits-mlp", 1000, 10, 16, "float32", ("test", "seed", 0))


@pytest.fixture
def config():
    def make(name, label=None, **settings):
        return OptimizerConfig.of(name, label or "", **settings)

    return make


@pytest.fixture
def told(monkeypatch, instance):
    """Have probes timed by a clock that reads what they say, so that no load on the machine changes it."""

    def use(probes):
        class Told(Clock):
            def now(self):
                return sum(probe.taken_s for probe in probes)

        monkeypatch.setattr(cost, "Clock", Told)
        monkeypatch.setattr(cost, "OwnClock", Told)
        made = {probe.name: probe for probe in probes}
        monkeypatch.setattr(type(instance), "optimizer", lambda self, entrant, model: made[entrant.label])

    return use
