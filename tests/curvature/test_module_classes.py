"""Every module class of torch.nn that has parameters: the curvature is right, or refused with an error of our own.

The table of docs/models.md is held against this list.
"""

from __future__ import annotations

import inspect
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic

import pytest
import torch
from torch import Tensor, nn

from tests import oracles
from tests.curvature.test_verification import dense_oracle
from tests.curvature.wild_models import F64, seeded
from tngd_bench.curvature import GGN
from tngd_bench.optimizers import KFAC

B = 3
PAGE = Path(__file__).parents[2] / "docs" / "models.md"


@dataclass(frozen=True)
class Trial:
    """Constructor arguments of a module class, and one sample's input shapes (integers below `top` where given)."""

    arguments: tuple[Any, ...]
    shapes: tuple[tuple[int, ...], ...]
    options: dict[str, Any] = field(default_factory=dict)
    top: int | None = None
    lazy: bool = False
    refused: str | None = None
    runs_here: bool = True


def sequence(*arguments: Any, inputs: int = 1, **options: Any) -> Trial:
    return Trial(arguments, ((3, 4),) * inputs, {"batch_first": True, **options})


TRIALS: dict[str, Trial] = {
    "Linear": Trial((4, 3), ((4,),)),
    "Bilinear": Trial((4, 4, 3), ((4,), (4,))),
    "Conv1d": Trial((2, 3, 3), ((2, 5),)),
    "Conv2d": Trial((2, 3, 3), ((2, 4, 4),)),
    "Conv3d": Trial((2, 2, 2), ((2, 3, 3, 3),)),
    "ConvTranspose1d": Trial((2, 3, 3), ((2, 4),)),
    "ConvTranspose2d": Trial((2, 3, 2), ((2, 3, 3),)),
    "ConvTranspose3d": Trial((2, 2, 2), ((2, 2, 2, 2),)),
    "Embedding": Trial((5, 3), ((3,),), top=5),
    "EmbeddingBag": Trial((5, 3), ((3,),), top=5),
    "LayerNorm": Trial((4,), ((2, 4),)),
    "GroupNorm": Trial((2, 4), ((4, 3),)),
    "RMSNorm": Trial((4,), ((2, 4),)),
    "InstanceNorm1d": Trial((3,), ((3, 4),), {"affine": True}),
    "InstanceNorm2d": Trial((2,), ((2, 3, 3),), {"affine": True}),
    "InstanceNorm3d": Trial((2,), ((2, 2, 2, 2),), {"affine": True}),
    "BatchNorm1d": Trial((4,), ((4,),), refused="normalises over the batch"),
    "BatchNorm2d": Trial((2,), ((2, 3, 3),), refused="normalises over the batch"),
    "BatchNorm3d": Trial((2,), ((2, 2, 2, 2),), refused="normalises over the batch"),
    "SyncBatchNorm": Trial((2,), ((2, 3, 3),), refused="normalises over the batch", runs_here=False),
    "PReLU": Trial((4,), ((4,),)),
    "RNN": sequence(4, 3),
    "LSTM": sequence(4, 3),
    "GRU": sequence(4, 3),
    "RNNCell": Trial((4, 3), ((4,),)),
    "LSTMCell": Trial((4, 3), ((4,),)),
    "GRUCell": Trial((4, 3), ((4,),)),
    "MultiheadAttention": sequence(4, 2, inputs=3),
    "TransformerEncoderLayer": sequence(4, 2, 5, dropout=0.0),
    "TransformerDecoderLayer": sequence(4, 2, 5, inputs=2, dropout=0.0),
    "Transformer": sequence(4, 2, 1, 1, 5, inputs=2, dropout=0.0),
    "TransformerEncoder": Trial(
        (nn.TransformerEncoderLayer(4, 2, 5, dropout=0.0, batch_first=True), 1), ((3, 4),)
    ),
    "TransformerDecoder": Trial(
        (nn.TransformerDecoderLayer(4, 2, 5, dropout=0.0, batch_first=True), 1), ((3, 4), (3, 4))
    ),
    "LazyLinear": Trial((3,), ((4,),), lazy=True),
    "LazyConv1d": Trial((3, 3), ((2, 5),), lazy=True),
    "LazyConv2d": Trial((3, 3), ((2, 4, 4),), lazy=True),
    "LazyConv3d": Trial((2, 2), ((2, 3, 3, 3),), lazy=True),
    "LazyConvTranspose1d": Trial((3, 3), ((2, 4),), lazy=True),
    "LazyConvTranspose2d": Trial((3, 2), ((2, 3, 3),), lazy=True),
    "LazyConvTranspose3d": Trial((2, 2), ((2, 2, 2, 2),), lazy=True),
    "LazyInstanceNorm1d": Trial((), ((3, 4),), {"affine": True}, lazy=True),
    "LazyInstanceNorm2d": Trial((), ((2, 3, 3),), {"affine": True}, lazy=True),
    "LazyInstanceNorm3d": Trial((), ((2, 2, 2, 2),), {"affine": True}, lazy=True),
    "LazyBatchNorm1d": Trial((), ((4,),), lazy=True, refused="normalises over the batch"),
    "LazyBatchNorm2d": Trial((), ((2, 3, 3),), lazy=True, refused="normalises over the batch"),
    "LazyBatchNorm3d": Trial((), ((2, 2, 2, 2),), lazy=True, refused="normalises over the batch"),
    "AdaptiveLogSoftmaxWithLoss": Trial((4, 6, [3]), ((4,),)),
}
WITHOUT_PARAMETERS_OR_CONTAINERS = {
    *("Module", "Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict", "Container"),
    "RNNBase",  # abstract
    "RNNCellBase",
    "Unflatten",
}
USES = ("once", "hooked", "shared", "samples second")


def with_parameters() -> set[str]:
    """Names of torch.nn's module classes whose source makes parameters, or that take some from a base class."""
    found = set()
    for name, kind in vars(nn).items():
        if inspect.isclass(kind) and issubclass(kind, nn.Module):
            written = [
                base for base in kind.__mro__[:-1] if base not in (nn.Module, Generic)
            ]  # Generic is in C
            sources = "".join(map(inspect.getsource, written))
            if re.search(
                r"Parameter\(|TransformerEncoderLayer\(|MultiheadAttention\(|_get_clones|Linear\(", sources
            ):
                found.add(name)
    return found - WITHOUT_PARAMETERS_OR_CONTAINERS


class Used(nn.Module):
    """One module, its output flattened (of several outputs the first), used in one of the ways of `USES`."""

    def __init__(self, module: nn.Module, use: str) -> None:
        super().__init__()
        self.module, self.use = module, use
        if use == "hooked":
            module.register_forward_hook(lambda module, inputs, output: _map(lambda t: 1.5 * t, output))

    def forward(self, *inputs: Tensor) -> Tensor:
        if self.use == "samples second":
            inputs = tuple(x.transpose(0, 1) for x in inputs)
            return self._flat(self._first(self.module(*inputs)).transpose(0, 1))
        first = self._flat(self._first(self.module(*inputs)))
        if self.use == "shared":
            reversed_inputs = tuple(x.flip(-1) if x.is_floating_point() else x.flip(1) for x in inputs)
            return first + self._flat(self._first(self.module(*reversed_inputs))) ** 2
        return first

    @staticmethod
    def _first(output: Any) -> Tensor:
        return output if isinstance(output, Tensor) else output[0]

    @staticmethod
    def _flat(output: Tensor) -> Tensor:
        # a few outputs of each sample, not linear in the parameters
        return torch.tanh(output.reshape(len(output), -1)[:, :6])


def _map(change, output: Any) -> Any:
    return change(output) if isinstance(output, Tensor) else (change(output[0]), *output[1:])


class AdaptiveSoftmax(nn.Module):
    """Log-probabilities of an adaptive softmax, whose forward wants the targets."""

    def __init__(self, module: nn.AdaptiveLogSoftmaxWithLoss) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return self.module.log_prob(x)


def built(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    trial = TRIALS[name]
    torch.manual_seed(0)
    module = getattr(nn, name)(*trial.arguments, **trial.options)
    generator = seeded(7)
    inputs = tuple(
        torch.randint(trial.top, (B, *shape), generator=generator)
        if trial.top
        else torch.randn(B, *shape, dtype=F64, generator=generator)
        for shape in trial.shapes
    )
    if trial.lazy:
        module(*(x.float() for x in inputs))
    if name == "AdaptiveLogSoftmaxWithLoss":
        module = AdaptiveSoftmax(module)
    return module.double(), inputs


CASES = [
    (name, use)
    for name, trial in TRIALS.items()
    for use in USES
    # a second dimension to swap with the samples' one, of the samples' size: nothing in the shapes tells
    if use != "samples second"
    or (len(trial.shapes[0]) == 2 and trial.shapes[0][0] == B and not trial.refused)
]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("name", "use"), CASES)
def test_curvature_is_right_or_refused(name: str, use: str) -> None:
    module, inputs = built(name)
    model = Used(module, use)
    trial, loss = TRIALS[name], nn.MSELoss()
    if not trial.runs_here:
        with pytest.raises(ValueError, match=trial.refused):
            GGN(model, loss, inputs, torch.zeros(B, 6, dtype=F64))
        return
    targets = torch.zeros(model(*inputs).shape, dtype=F64)
    if trial.refused:
        with pytest.raises(ValueError, match=trial.refused):
            GGN(model, loss, inputs, targets)
        gradient = oracles.gradient(_Tupled(model), loss, inputs, targets)
    else:
        gradient, matrix = dense_oracle(_Tupled(model), loss, inputs, targets)
        ggn = GGN(model, loss, inputs, targets)
        assert oracles.relative_error(ggn.dense(), matrix) < 1e-9
    # a layer that runs along the first dimension then runs along the samples, which exact factors refuse
    fisher = "mc" if use == "samples second" else "exact"
    optimizer = KFAC(
        model, loss, lr=1e-30, damping=1e8, momentum=0.0, fisher=fisher, inverse="eigen", kl_clip=None
    )
    optimizer.step(inputs, targets)
    assert optimizer.natural_gradient is not None
    for true, found in zip(
        optimizer.parameters.views(gradient),
        optimizer.parameters.views(optimizer.natural_gradient),
        strict=True,
    ):
        if float(true.norm()) > 1e-10:
            assert float((true * found).sum() / (true.norm() * found.norm())) > 1 - 1e-6


class _Tupled(nn.Module):
    """The model for an oracle that passes one argument."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        return self.model(*inputs)


def test_all_classes_with_parameters_are_tried() -> None:
    assert with_parameters() - TRIALS.keys() - {"LinearCrossEntropyLoss"} == set()


@pytest.mark.skipif(not hasattr(nn, "LinearCrossEntropyLoss"), reason="this torch has none")
def test_a_layer_that_returns_the_loss_is_refused() -> None:
    layer = nn.LinearCrossEntropyLoss(4, 3)
    targets = torch.tensor([0, 1, 2])
    with pytest.raises(ValueError, match=r"must return \(b, …\)"):
        GGN(layer, nn.MSELoss(), (torch.randn(3, 4), targets), targets)


PAGE_LINES = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|", PAGE.read_text(), re.MULTILINE)
PAGE_ROWS = {name: rows for name, rows, _ in PAGE_LINES}
PAGE_KFAC = {name: kfac for name, _, kfac in PAGE_LINES}


def test_the_page_has_a_line_for_each() -> None:
    named = {name for name in TRIALS if not name.startswith("Lazy")}
    assert PAGE_ROWS.keys() == named | {"LinearCrossEntropyLoss"}


@pytest.mark.parametrize("name", [name for name, row in PAGE_ROWS.items() if "refused" not in row])
def test_rows_come_from_where_the_page_says(name: str) -> None:
    module, inputs = built(name)
    model = Used(module, "once")
    ggn = GGN(model, nn.MSELoss(), inputs, torch.zeros(model(*inputs).shape, dtype=F64))
    source, last = ggn._source, ggn.rows_per_sample
    used = [p for p in ggn.parameters.tensors if source._graph.users(p)]
    by_rule = source._layer_blocks(0, last, None)
    others = [p for p in used if id(p) not in by_rule]
    by_products = source._product_blocks(others, 0, last, source._block_check(0, last))
    found = {
        "layer rule": by_rule,
        "matrix products": by_products,
        "reverse mode": [p for p in others if id(p) not in by_products],
    }
    assert ", ".join(name for name, some in found.items() if some) == PAGE_ROWS[name]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", [name for name in PAGE_KFAC if name in TRIALS and TRIALS[name].runs_here])
def test_kfac_covers_what_the_page_says(name: str) -> None:
    module, inputs = built(name)
    model = Used(module, "once")
    optimizer = KFAC(model, nn.MSELoss(), lr=1e-30)
    optimizer.step(inputs, torch.zeros(model(*inputs).shape, dtype=F64))
    found = "plain gradient"
    if optimizer.factors:
        kinds = sorted({type(model.get_submodule(module)).__name__ for module in optimizer.excluded})
        named = ", ".join(f"`{kind}`" for kind in kinds)
        found = "in part" if name in kinds else f"yes, but for {named}" if kinds else "yes"
    assert PAGE_KFAC[name] == found


def test_a_lazy_layer_that_has_not_run_is_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(ValueError, match="lazy layer"):
        GGN(model, nn.MSELoss(), torch.randn(2, 4), torch.randn(2, 3))
