"""Products in formats of half width: counted apart, and timed beside the same in float32."""

from contextlib import contextmanager

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tngd_bench.measure import operations
from tngd_bench.measure.inspection import inspect_step
from tngd_bench.measure.operations import HalfProducts, count_operations, weighted

SLOWER = 62.0


class Toy(torch.optim.Optimizer):
    """SGD that multiplies each matrix with itself in bfloat16 first."""

    def __init__(self, params, lr=0.01):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self):
        for p in self.param_groups[0]["params"]:
            if p.dim() == 2:
                half = p.bfloat16()
                half @ half.T
            p -= self.param_groups[0]["lr"] * p.grad


@pytest.fixture
def slow_processor(monkeypatch):
    """A clock on which a product takes its operations, `SLOWER` times as long in half width."""
    clock = [0.0]

    class Processor(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func is torch.ops.aten.mm.default:
                left, right = args
                seconds = 2e-9 * left.shape[0] * left.shape[1] * right.shape[1]
                clock[0] += seconds * (SLOWER if left.dtype in operations.HALF_FORMATS else 1.0)
            return func(*args, **(kwargs or {}))

    without_modes = operations._disable_current_modes

    @contextmanager
    def only_the_processor():
        with without_modes(), Processor():
            yield

    monkeypatch.setattr(operations, "_disable_current_modes", only_the_processor)
    with Processor():
        yield lambda: clock[0]


@pytest.mark.parametrize("side", [30, 1000], ids=["short", "long"])
@pytest.mark.parametrize("form", [torch.bfloat16, torch.float16])
def test_operations_and_slowdown_of_each_format_are_told(form, side, slow_processor):
    a = torch.ones(side, 20)

    def work():
        a @ a.T
        half = a.to(form)
        half @ half.T

    found = count_operations(work, slow_processor)
    assert found.flops == 2 * (2 * side * side * 20)
    ((name, products),) = found.half.items()
    assert name == str(form).removeprefix("torch.")
    assert products.flops == found.flops / 2
    assert products.seconds / products.float32_seconds == pytest.approx(SLOWER)


def test_timing_a_product_leaves_its_result_and_its_operands():
    total, left, right = (
        torch.zeros(3, 4).bfloat16(),
        torch.ones(3, 5).bfloat16(),
        torch.ones(5, 4).bfloat16(),
    )
    count_operations(lambda: total.addmm_(left, right))
    assert torch.equal(total, torch.full((3, 4), 5.0).bfloat16())
    assert torch.equal(left, torch.ones(3, 5).bfloat16())


def test_float32_and_elementwise_work_is_no_half_product():
    a = torch.ones(8, 8)
    assert count_operations(lambda: (a @ a, a.bfloat16() + 1)).half == {}


def test_a_class_that_computes_in_half_width_is_found_whatever_its_name(
    instance, digits, config, monkeypatch
):
    monkeypatch.setattr(torch.optim, "Toy", Toy, raising=False)
    toy, sgd = (
        inspect_step(instance, digits, config(name)).operations for name in ("torch.optim:Toy", "sgd")
    )
    own = sum(2 * p.shape[0] ** 2 * p.shape[1] for p in instance.model().parameters() if p.dim() == 2)
    assert toy.half["bfloat16"].flops == own == toy.flops - sgd.flops
    assert sgd.half == {}


def test_weights_apply_to_every_number():
    parts = [
        (0.5, {"bfloat16": HalfProducts(2.0, 4.0, 6.0)}),
        (2.0, {"bfloat16": HalfProducts(1.0, 1.0, 1.0)}),
    ]
    assert weighted(parts) == {"bfloat16": HalfProducts(3.0, 4.0, 5.0)}
