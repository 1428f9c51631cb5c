import pytest
import torch

from tngd_bench.curvature import GGN
from tngd_bench.measure import host_time
from tngd_bench.measure.host_time import HostSide
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


def test_masks_of_the_training_are_those_without_the_timing(config, tmp_path):
    """Timing the host of a simulated optimizer draws dropout masks; the run must not see that it did."""
    from tngd_bench.measure.clock import Clock
    from tngd_bench.measure.problem_instance import ProblemInstance
    from tngd_bench.measure.training import _host_seconds

    instance = ProblemInstance("digits-mlp", 1000, 10, 16, "float32", ("test", "seed", 0))
    data = registry.get("digits-mlp").load(40, 20)
    torch.manual_seed(4)
    expected = torch.rand(2)
    torch.manual_seed(4)
    _host_seconds(instance, data, Clock(torch.device("cpu")), "full")
    assert torch.equal(torch.rand(2), expected)
