import math

import pytest

from tngd_bench.measure.inspection import inspect_step
from tngd_bench.measure.operations import count_operations
from tngd_bench.measure.problem_instance import ProblemInstance


def test_operations_of_sgd_are_forward_and_backward(instance, digits, config):
    found = inspect_step(instance, digits, config("sgd"))
    b = instance.batch_size
    weights = [(p.shape[1], p.shape[0]) for p in instance.model().parameters() if p.dim() == 2]
    products = sum(2 * b * d_in * d_out for d_in, d_out in weights)
    first = 2 * b * weights[0][0] * weights[0][1]  # the inputs need no gradient
    assert found.operations.flops == 3 * products - first


def test_dense_operations_grow_with_the_cube_and_memory_with_the_square(digits, config):
    def inspect(parameters):
        instance = ProblemInstance("digits-mlp", parameters, 10, 8, "float32", ("test", 0))
        exact = sum(p.numel() for p in instance.model().parameters())
        return exact, inspect_step(instance, digits, config("ngd"))

    (n1, small), (n2, large) = inspect(1000), inspect(4000)
    for n, found in ((n1, small), (n2, large)):
        assert found.operations.flops > n**3 / 3 + 80 * n**2
    assert large.operations.flops / small.operations.flops == pytest.approx((n2 / n1) ** 3, rel=0.4)
    if not math.isnan(large.memory.peak_bytes):
        assert large.memory.peak_bytes > 4 * n2**2


@pytest.mark.parametrize("name", ["sgd", "adam", "kfac", "ngd", "ngd-woodbury", "ngd-gram", "ngd-cg", "tngd"])
def test_every_optimizer_can_be_counted(name, instance, digits, config):
    found = inspect_step(instance, digits, config(name))
    assert found.operations.uncounted == ()
    assert found.operations.flops > 0


def test_muon_is_charged_its_orthogonalisation(instance, digits, config):
    shapes = [p.shape for p in instance.model().parameters() if p.dim() == 2][:-1]  # all but the head
    sgd, muon = (
        inspect_step(instance, digits, config(name)).operations.flops for name in ("sgd", "torch.optim:Muon")
    )
    orthogonal = sum(4 * min(shape) ** 2 * max(shape) + 2 * min(shape) ** 3 for shape in shapes)
    assert muon - sgd == 5 * orthogonal  # X Xᵀ, its square and the product with X, five times


@pytest.mark.parametrize("interval", [2, 5])
def test_an_optimizer_by_its_class_is_counted_over_a_whole_cycle(interval, instance, digits, config):
    pytest.importorskip("pytorch_optimizer")
    soap = config("pytorch_optimizer:SOAP", precondition_frequency=interval)
    found = inspect_step(instance, digits, soap)
    optimizer = instance.optimizer(soap, instance.model())
    batch = next(instance.batches(digits))
    steps = [
        count_operations(lambda: optimizer.step(*batch)).flops for _ in range(2 * interval + 1)
    ]  # the first one sets its state up, by an eigendecomposition
    assert found.operations.flops == pytest.approx(sum(steps[1:]) / (2 * interval), rel=1e-12)
    assert len(set(steps[1:])) == 2  # with a renewed basis and without
    assert found.operations.uncounted == ()


def test_a_simulated_optimizer_is_charged_its_digital_side(instance, digits, config):
    # The m×m eigendecomposition belongs to the simulation.
    found = inspect_step(instance, digits, config("tngd"))
    assert found.operations.flops < 9 * instance.rows**3
