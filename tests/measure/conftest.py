import pytest

from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.measure.problem_instance import ProblemInstance
from tngd_bench.problems import registry as problems


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
