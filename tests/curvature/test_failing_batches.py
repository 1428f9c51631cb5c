"""Batches and models that do not fit each other: one error that names the module, the batch and what is accepted."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests import oracles
from tests.curvature.test_verification import dense_oracle
from tests.curvature.wild_models import F64, Module, perceptron, seeded
from tngd_bench.curvature import GGN
from tngd_bench.optimizers import KFAC, NGD, TKFAC, TNGD

X = torch.randn(4, 4, generator=seeded(1))
Y = torch.tensor([0, 1, 2, 0])
LOSS = nn.CrossEntropyLoss()
BATCHES: dict[str, tuple[nn.Module, Any, str]] = {
    "width": (perceptron(), torch.randn(4, 7), "'0' (Linear): * (4, 7) torch.float32 on cpu"),
    "dtype": (perceptron(), X.double(), "'0' (Linear): * torch.float64 on cpu, the parameters torch.float32"),
    "labels as inputs": (perceptron(), Y.expand(4, 4), "'0' (Linear): * (4, 4) torch.int64 on cpu"),
    "device": (perceptron(), X.to("meta"), "'0' (Linear): * (4, 4) torch.float32 on meta"),
    "inner width": (
        nn.Sequential(nn.Linear(4, 6), nn.Sequential(nn.Tanh(), nn.Linear(5, 3))),
        X,
        "'1.1' (Linear): * (4, 4) torch.float32 on cpu",
    ),
    "tokens beyond the table": (
        nn.Sequential(nn.Embedding(3, 4), nn.Flatten()),
        torch.full((4, 2), 3),
        "'0' (Embedding): * (4, 2) torch.int64",
    ),
    "one argument too many": (perceptron(), (X, X), "forward: * takes 2 positional arguments"),
    "an unknown name": (perceptron(), {"z": X}, "forward: * unexpected keyword argument 'z'"),
    "a product by hand": (
        Module(lambda m, x: x @ m.weight, weight=nn.Parameter(torch.randn(5, 3))),
        X,
        "forward: * (4, 4) torch.float32 on cpu",
    ),
}


@pytest.mark.parametrize("make", [NGD, KFAC])
@pytest.mark.parametrize("case", BATCHES)
def test_a_batch_that_does_not_fit_is_refused_with_module_and_batch(case: str, make: Any) -> None:
    model, inputs, said = BATCHES[case]
    pattern = ".*".join(map(re.escape, said.split("*")))
    with pytest.raises(
        ValueError, match=rf"(?s)the model fails on this batch, in {pattern}.*accepted: a batch"
    ):
        make(model, LOSS).step(inputs, Y)


def test_errors_of_a_users_own_are_left_as_they_are() -> None:
    class OwnError(RuntimeError):
        pass

    def failing(m: nn.Module, x: Tensor) -> Tensor:
        raise OwnError("as it was")

    for error, forward in ((OwnError, failing), (KeyError, lambda m, x: {}["missing"])):
        with pytest.raises(error):
            NGD(Module(forward, layer=nn.Linear(4, 3)), LOSS).step(X, Y)
        with pytest.raises(error):
            NGD(perceptron(), lambda outputs, targets, f=forward: f(None, outputs)).step(X, Y)


@pytest.mark.parametrize("make", [NGD, KFAC, TNGD, TKFAC])
def test_a_model_without_values_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"meta device.*to_empty"):
        make(perceptron().to("meta"), LOSS)
    with pytest.raises(ValueError, match=r"meta device.*to_empty"):
        GGN(perceptron().to("meta"), LOSS, X, Y)


@pytest.mark.parametrize(
    ("loss", "targets", "said"),
    [
        (LOSS, Y.to("meta"), r"targets \(4,\) torch.int64 on meta"),
        (nn.GaussianNLLLoss(), torch.zeros(4, 3), "missing 1 required positional argument: 'var'"),
    ],
)
def test_a_loss_that_fails_is_told_with_what_it_was_given(
    loss: nn.Module, targets: Tensor, said: str
) -> None:
    with pytest.raises(ValueError, match=rf"loss\(outputs, targets\) fails for outputs .*{said}"):
        NGD(perceptron(), loss).step(X, targets)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("make", [NGD, KFAC])
def test_outputs_without_values_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"a value a sample at least, not \(4, 0\)"):
        make(nn.Linear(4, 0), nn.MSELoss()).step(X, torch.zeros(4, 0))


class Table(nn.Module):
    """A row of outputs for each sample, which is the parameter itself."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.randn(4, 3, dtype=F64, generator=seeded(2)))

    def forward(self, x: Tensor) -> Tensor:
        return self.rows


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.last = nn.GRU(4, 3, batch_first=True), nn.Linear(3, 3)

    def forward(self, packed: nn.utils.rnn.PackedSequence) -> Tensor:
        return self.last(self.rnn(packed)[1][-1])


def packed(*, sort: bool) -> Any:
    x, lengths = torch.randn(4, 5, 4, dtype=F64, generator=seeded(3)), torch.tensor([5, 3, 2, 1])
    return nn.utils.rnn.pack_padded_sequence(
        x, lengths if sort else lengths.flip(0), batch_first=True, enforce_sorted=sort
    )


class Called(nn.Module):
    """A model for an oracle that passes its one argument."""

    def __init__(self, model: nn.Module, argument: Any) -> None:
        super().__init__()
        self.model, self.argument = model, argument

    def forward(self, x: Any) -> Tensor:
        return self.model(self.argument)


def bias_alone() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 3))
    model[1].register_parameter("weight", None)
    return model


SPARSE = torch.randn(4, 4, dtype=F64, generator=seeded(4)).relu()
UNUSUAL: dict[str, tuple[Any, Any, Any]] = {
    "a normalisation with a bias alone": (bias_alone, X.double(), X.double()),
    "a parameter as the output": (Table, X.double(), X.double()),
    "packed, sorted": (Recurrent, packed(sort=True), packed(sort=True)),
    "packed, not sorted": (Recurrent, packed(sort=False), packed(sort=False)),
    "packed, one of several": (Recurrent, (packed(sort=True),), packed(sort=True)),
    "sparse inputs": (perceptron, SPARSE.to_sparse(), SPARSE),
    "sparse inputs of a product": (
        lambda: Module(
            lambda m, x: m.last(torch.sparse.mm(x, m.w)), w=nn.Parameter(SPARSE + 1), last=nn.Linear(4, 3)
        ),
        SPARSE.to_sparse(),
        SPARSE.to_sparse(),
    ),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("case", UNUSUAL)
def test_unusual_inputs_and_outputs_are_right(case: str) -> None:
    make, given, plain = UNUSUAL[case]
    torch.manual_seed(0)
    model = make().double()
    gradient, matrix = dense_oracle(Called(model, plain), LOSS, X, Y)
    assert oracles.relative_error(GGN(model, LOSS, given, Y).dense(), matrix) < 1e-9
    optimizer = KFAC(model, LOSS, lr=1e-30, damping=1e8, momentum=0.0, inverse="eigen", kl_clip=None)
    optimizer.step(given, Y)
    views = map(optimizer.parameters.views, (gradient, optimizer.natural_gradient))
    for true, found in zip(*views, strict=True):
        assert float((true * found).sum() / (true.norm() * found.norm())) > 1 - 1e-6
