"""Published networks: their layer tables against known numbers of parameters, torch's modules and torch's counter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.problems.outside import published_modules
from tngd_bench.curvature.flop_counter import flop_counter
from tngd_bench.layers import Layer
from tngd_bench.optimizers import TNGD
from tngd_bench.optimizers.network_size import Model
from tngd_bench.optimizers.roofline import predict
from tngd_bench.optimizers.roofline_table import assumptions
from tngd_bench.problems.outside.from_file import model_in_file
from tngd_bench.problems.outside.published import MODELS, published
from tngd_bench.spu.device import Device

FILE = Path(published_modules.__file__)
PARAMETERS = {"resnet50": 25_557_032, "gpt2": 124_439_808}
"""As torchvision and Hugging Face's configuration of GPT-2 small count them."""


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_table_has_the_parameters_and_the_operations_of_the_module(name: str) -> None:
    table = published(name)
    with torch.device("meta"):
        module, inputs = getattr(published_modules, name)()
        with flop_counter() as counter:
            outputs = module(inputs)
    assert table.parameters == PARAMETERS[name] == sum(p.numel() for p in module.parameters())
    flops = sum(layer.forward(1) for layer in table.layers)
    assert flops == counter.get_total_flops() / len(outputs)
    assert table.outputs == outputs[0].numel()


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_user_s_module_is_counted_to_the_same_sizes(name: str) -> None:
    table, counted = published(name), model_in_file(str(FILE), name)
    assert (counted.parameters, counted.outputs) == (table.parameters, table.outputs)

    def matrices(layers: tuple[Layer, ...]) -> list[Layer]:
        return sorted(layer for layer in layers if layer.factored)

    assert matrices(counted.layers) == matrices(table.layers)  # the tied head once, as a layer
    own, theirs = (sum(layer.forward(1) for layer in each.layers) for each in (counted, table))
    assert own == pytest.approx(theirs, rel=1e-3)
    beside = [sum(layer.parameters for layer in each.layers if not layer.d_in) for each in (counted, table)]
    assert beside[0] == beside[1] > 0  # normalisation


@pytest.mark.parametrize(
    ("path", "function", "message"),
    [
        ("missing.py", "build", "cannot be read"),
        (str(FILE), "nothing", "published_modules.py has no function nothing; accepted"),
        (str(FILE), "NUMBER", "has no function NUMBER"),
        (str(FILE), "without_inputs", r"must return a torch.nn.Module and a batch of its inputs"),
        (str(FILE), "fails", "fails cannot be counted: .* the model fails on this batch"),
        (str(FILE), "exits", "exits cannot be counted: SystemExit: 5"),
        (str(FILE), "single", r"single cannot be counted: .* must return \(b, …\), .* not a single number"),
        (str(FILE), "without_parameters", "without_parameters makes a model without trained parameters"),
    ],
)
def test_what_cannot_be_counted_says_why(path: str, function: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model_in_file(path, function)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: model_in_file(str(FILE), "normalised"), True),
        (lambda: model_in_file(str(FILE), "normalised_by_fixed_statistics"), False),
        (lambda: model_in_file(str(FILE), "resnet50"), True),
        (lambda: published("resnet50"), True),
        (lambda: published("gpt2"), False),
    ],
)
def test_statistics_of_the_batch_are_named_in_what_is_assumed(make: Callable[[], Model], said: bool) -> None:
    """TNGD refuses such a model in training; one in evaluation mode has fixed statistics."""
    told = assumptions(predict(Device.preset("paper"), model=make(), batch_size=8, outputs=2))
    assert any(each.startswith("Batch normalisation: fixed statistics are assumed") for each in told) == said


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'resnet50'"):
        published("resnet-50")


NORMALISED = """
from torch import nn, randn

def built(layer, training=True):
    return nn.Sequential(nn.Linear(6, 5), layer, nn.Linear(5, 3)).train(training), randn(4, 6)

def batch(): return built(nn.BatchNorm1d(5))
def frozen(): return built(nn.BatchNorm1d(5), False)
def untracked(): return built(nn.BatchNorm1d(5, track_running_stats=False), False)
def layer(): return built(nn.LayerNorm(5))
"""


@pytest.mark.parametrize("name", ["batch", "frozen", "untracked", "layer"])
def test_fixed_statistics_are_said_of_the_models_that_tngd_refuses(name: str, tmp_path: Path) -> None:
    path = tmp_path / "normalised.py"
    path.write_text(NORMALISED)
    found = model_in_file(str(path), name)
    namespace: dict[str, Callable[[], tuple[torch.nn.Module, torch.Tensor]]] = {}
    exec(NORMALISED, namespace)  # the same text
    model, inputs = namespace[name]()
    optimizer = TNGD(model, torch.nn.CrossEntropyLoss())
    try:
        optimizer.step(inputs, torch.tensor([0, 1, 2, 0]))
        refused = False
    except ValueError as error:
        assert "normalises over the batch" in str(error)  # noqa: PT017
        refused = True
    assert found.batch_statistics == refused == (name in ("batch", "untracked"))
    said = " ".join(assumptions(predict(Device.preset("paper"), model=found, batch_size=4, outputs=3)))
    assert ("fixed statistics" in said) == refused
    assert published("resnet50").batch_statistics
    assert not published("gpt2").batch_statistics
