import pytest

from tests.studies.recorder import Recorder
from tngd_bench.studies.file.reading import LoadedStudy, make_study
from tngd_bench.studies.plan.data_requests import data_requests
from tngd_bench.studies.plan.inputs import LoadedSize, MachineLimits
from tngd_bench.studies.plan.make_plan import make_plan


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def table():
    """A small valid study, as parsed from TOML."""
    return {
        "name": "tiny",
        "title": "Tiny",
        "execution": {"seconds_per_iteration_limit": 0.5, "workers": 2, "trial_seconds_limit": 60},
        "optimizer": {"tngd": {"analog_time": 5.0}},
        "cost": [
            {
                "name": "size",
                "problem": "digits-mlp",
                "parameters": [1000, 100_000],
                "batch_size": 4,
                "optimizers": ["sgd", "ngd", "tngd"],
                "processes": 2,
                "repetitions": 3,
                "seconds_limit": 0.1,
            }
        ],
        "training": [
            {
                "name": "digits",
                "problem": "digits-mlp",
                "parameters": 1000,
                "train_size": 64,
                "epochs": 1,
                "evaluations": 1,
                "seeds": 2,
                "optimizers": ["sgd", "tngd[analog_time=50]"],
            },
            {
                "name": "noise",
                "problem": "digits-mlp",
                "parameters": 1000,
                "train_size": 64,
                "epochs": 1,
                "evaluations": 1,
                "seeds": 1,
                "optimizers": ["tngd"],
                "sweep": {"parameter": "adc_bits", "values": ["ideal", 4]},
            },
        ],
    }


@pytest.fixture
def plan_of():
    """Plan a table for a machine of known speed, without loading data."""

    def plan(table, rate=1e11, memory=4e9, train_size=1437, checksum="c" * 64):
        study = make_study(table)
        sizes = {
            request: LoadedSize(request.train_size or train_size, checksum)
            for request in data_requests(study)
        }
        return make_plan(LoadedStudy(study, "shipped"), sizes, MachineLimits(rate, rate, memory))

    return plan
