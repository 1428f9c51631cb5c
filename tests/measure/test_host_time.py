import copy

import pytest
import torch

from tngd_bench.curvature import GGN
from tngd_bench.measure import host_time
from tngd_bench.measure.host_time import HostSide, host_side
from tngd_bench.measure.operations import count_operations
from tngd_bench.problems import registry
from tngd_bench.spu.host import host_pass


@pytest.fixture(scope="module")
def many():
    """A next-word model of 300 outputs, whose rows are made a few columns at a time."""
    entry = registry.get("causal-lm", {"context": 4})
    data = entry.load(4, 4, outputs=300)
    model = entry.model(entry.widths(4_000, 300), 0)
    return model, entry.loss(), data.train_inputs, data.train_targets


def test_operations_of_all_columns_follow_from_the_first(many):
    model, loss, inputs, targets = many
    assert GGN(model, loss, inputs, targets).matrix_free
    whole = count_operations(lambda: host_pass(model, loss, inputs, targets))
    found = HostSide(model, loss, inputs, targets, 300, "full").operations()
    assert found.flops == pytest.approx(whole.flops, rel=1e-3)


def test_products_in_half_formats_of_all_columns_follow_from_the_first(many):
    model, loss, inputs, targets = many
    half = copy.deepcopy(model).to(torch.bfloat16)
    whole = count_operations(lambda: host_pass(half, loss, inputs, targets)).half
    found = HostSide(half, loss, inputs, targets, 300, "full").operations().half
    assert found.keys() == whole.keys() == {"bfloat16"}
    assert found["bfloat16"].flops == pytest.approx(whole["bfloat16"].flops, rel=1e-3)


def test_seconds_of_all_columns_follow_from_the_first(many, monkeypatch):
    passes = []

    class Told:
        """Takes 1 s for the gradient and 0.1 s for each column."""

        def time(self, work):
            work()
            return 1.0 + 0.1 * passes[-1], None

    monkeypatch.setattr(
        host_time, "host_pass", lambda *given, verify: passes.append(given[5] if len(given) > 5 else 0)
    )
    assert HostSide(*many, 300, "full").seconds(Told()) == pytest.approx(1.0 + 0.1 * 300)
    assert passes == [8, 16]


def test_a_few_outputs_are_timed_whole(instance, digits, monkeypatch):
    passes = []
    monkeypatch.setattr(host_time, "host_pass", lambda *given, verify: passes.append(given[5]))

    class Told:
        def time(self, work):
            return 2.0, work()

    host = HostSide(instance.model(), instance.loss(), *next(instance.batches(digits)), 10, "full")
    assert host.seconds(Told()) == 2.0
    assert passes == [None], "of all columns at once"


@pytest.mark.parametrize("upload", ["full", "factored"])
def test_a_pass_stops_after_the_columns_asked_for(many, monkeypatch, upload):
    made = []
    real = GGN.column_blocks

    def noting(self, first, last):
        made.append((first, last))
        return real(self, first, last)

    monkeypatch.setattr(GGN, "column_blocks", noting)
    host_pass(*many, upload, 12)
    assert made == [(0, 8), (8, 12)]


@pytest.mark.parametrize("method", ["tngd", "tkfac"])
def test_masks_of_the_training_are_those_without_the_timing(config, method):
    """Timing the host of a simulated optimizer draws dropout masks; the run must not see that it did."""
    from tngd_bench.measure.clock import Clock
    from tngd_bench.measure.problem_instance import ProblemInstance
    from tngd_bench.measure.training import _host_seconds

    instance = ProblemInstance("digits-mlp", 1000, 10, 16, "float32", ("test", "seed", 0))
    data = registry.get("digits-mlp").load(40, 20)
    torch.manual_seed(4)
    expected = torch.rand(2)
    torch.manual_seed(4)
    _host_seconds(instance, data, Clock(torch.device("cpu")), config(method))
    assert torch.equal(torch.rand(2), expected)


def test_a_host_of_its_own_is_the_mean_of_its_cycle(instance, digits, config):
    """Of 10 iterations one refreshes the factors; the pass of each kind is made once and weighed by how often it is."""
    model = instance.model()
    optimizer = instance.optimizer(config("tkfac", factor_interval=10, inverse_interval=5), model)
    batch = next(instance.batches(digits))
    optimizer.host_pass(*batch)
    optimizer.verification.paused = True
    flops, made = {}, []
    for iteration in (100, 101):
        optimizer.iteration = iteration
        flops[iteration] = count_operations(lambda: optimizer.host_pass(*batch)).flops
    assert flops[100] > flops[101]

    class Told:
        def time(self, work):
            made.append(optimizer.iteration)
            work()
            return (2.0 if optimizer.iteration % 10 == 0 else 1.0), None

    host = host_side(optimizer, model, instance.loss(), batch, 10)
    assert host.operations().flops == pytest.approx(0.1 * flops[100] + 0.9 * flops[101], rel=1e-9)
    assert host.seconds(Told()) == pytest.approx(1.1)
    assert len(made) == 3, "refreshed and written, written, neither"
    assert optimizer.iteration == 101
    assert isinstance(host_side(instance.optimizer(config("tngd"), model), model, None, batch, 10), HostSide)
