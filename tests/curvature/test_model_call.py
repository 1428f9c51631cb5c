"""Inputs, outputs and modes of a model as people have them: right, or refused by a line that says what is accepted."""

from __future__ import annotations

from collections import OrderedDict, UserDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from tests import oracles
from tests.curvature.test_verification import dense_oracle
from tests.curvature.wild_models import F64, perceptron, seeded
from tngd_bench.curvature import GGN
from tngd_bench.optimizers import KFAC, NGD, TNGD

X = torch.randn(6, 4, dtype=F64, generator=seeded(1))
Y = torch.randint(3, (6,), generator=seeded(2))
LOSS = nn.CrossEntropyLoss()


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = perceptron()

    def forward(self, scale: Any, x: Tensor) -> Tensor:
        return self.net(x * scale)


def truth(model: nn.Module, x: Tensor = X) -> Tensor:
    return dense_oracle(model, LOSS, x, Y)[1]


@pytest.mark.parametrize(
    "inputs",
    [
        {"scale": torch.tensor(2.0), "x": X},
        UserDict({"scale": torch.tensor([[2.0, 2.0, 2.0, 2.0]]), "x": X}),
        OrderedDict(scale=2.0, x=X),
        (2.0, X),
        [torch.tensor(2.0), X],
    ],
    ids=["scalar first", "another first dimension first", "a number first", "tuple", "list"],
)
def test_inputs_of_several_parts(inputs: Any) -> None:
    model = Scaled().double()
    assert oracles.relative_error(GGN(model, LOSS, inputs, Y).dense(), truth(model.net, 2 * X)) < 1e-10
    NGD(model, LOSS).step(inputs, Y)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (X.numpy(), "torch.from_numpy"),
        (7, "inputs must be a tensor, a tuple or list .* not builtins.int"),
        ({"scale": 2.0, "x": X[:5]}, "b"),
    ],
    ids=["numpy", "a number", "targets of another size"],
)
def test_other_inputs_are_refused(inputs: Any, said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        NGD(Scaled().double() if isinstance(inputs, dict) else perceptron().double(), LOSS).step(inputs, Y)


@dataclass
class Output:
    logits: Tensor
    loss: Tensor | None = None


class Wrapped(nn.Module):
    def __init__(self, wrap: Any) -> None:
        super().__init__()
        self.net, self.wrap = perceptron(), wrap

    def forward(self, x: Tensor) -> Any:
        return self.wrap(self.net(x))


def test_an_object_with_logits_is_a_models_output() -> None:
    model = Wrapped(lambda z: Output(z, None)).double()
    assert oracles.relative_error(GGN(model, LOSS, X, Y).dense(), truth(model.net)) < 1e-10


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (lambda z: (z, z), "must return one tensor .* not tuple"),
        (lambda z: z.argmax(1), "floating-point outputs, not torch.int64"),
        (lambda z: z.to(torch.complex128), "floating-point outputs, not torch.complex128"),
        (lambda z: z[:, 0].sum(), r"must return \(b, …\)"),
        (lambda z: z[:, 0], r"must return \(b, …\) .* not \(6,\): unsqueeze\(1\)"),
        (lambda z: z.detach(), "requires no grad"),
        (lambda z: z.T, r"with b = 6, not \(3, 6\)"),
    ],
    ids=["tuple", "classes", "complex", "a scalar", "one output a sample", "detached", "samples second"],
)
def test_other_outputs_are_refused(wrap: Any, said: str) -> None:
    model = Wrapped(wrap).double()
    with pytest.raises((TypeError, ValueError), match=said):
        GGN(model, nn.MSELoss(), X, torch.randn(6, 3, dtype=F64)).dense()


def test_complex_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be real, not torch\.complex64"):
        NGD(nn.Linear(4, 3, dtype=torch.complex64), LOSS)


def test_parameters_in_place_of_the_model_are_refused() -> None:
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, not generator"):
        NGD(perceptron().parameters(), LOSS)


@pytest.mark.parametrize("make", [NGD, KFAC, TNGD])
def test_a_compiled_model_steps_as_the_plain_one(make: Any) -> None:
    plain = perceptron().double()
    model = perceptron().double()
    model.load_state_dict(plain.state_dict())
    compiled = torch.compile(model, backend="eager")
    compiled(X).sum().backward()
    model.zero_grad()
    torch.manual_seed(0)
    first, second = make(plain, LOSS), make(compiled, LOSS)
    for optimizer in (first, second):
        torch.manual_seed(0)
        optimizer.step(X, Y)
    assert torch.equal(first.natural_gradient, second.natural_gradient)


def test_a_compiled_layer_inside_a_model_is_right() -> None:
    model = perceptron().double()
    model[0].compile(backend="eager")
    assert oracles.relative_error(GGN(model, LOSS, X, Y).dense(), truth(model)) < 1e-10


@pytest.mark.parametrize("make", [NGD, KFAC, TNGD])
def test_autocast_around_a_step_changes_nothing(make: Any) -> None:
    models = [perceptron() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    first, second = (make(model, LOSS) for model in models)
    torch.manual_seed(0)
    first.step(X.float(), Y)
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        second.step(X.float(), Y)
    assert torch.equal(first.natural_gradient, second.natural_gradient)


def test_autocast_is_refused_where_it_would_stay_on() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(ValueError, match="autocast"):
        GGN(perceptron(), LOSS, X.float(), Y)
    inside = Wrapped(lambda z: z)
    inside.forward = torch.autocast("cpu", dtype=torch.bfloat16)(inside.forward)
    with pytest.raises(ValueError, match="autocast"):
        GGN(inside, LOSS, X.float(), Y)


def test_inference_mode_is_refused() -> None:
    with torch.inference_mode(), pytest.raises(ValueError, match="inference_mode"):
        NGD(perceptron().double(), LOSS).step(X, Y)
    with torch.inference_mode():
        inputs = X + 1.0
    with pytest.raises(ValueError, match=r"inference_mode.*clone\(\)"):
        NGD(perceptron().double(), LOSS).step(inputs, Y)


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x], lambda x: {"x": x}])
def test_a_model_that_changes_its_inputs_is_refused(wrap: Any) -> None:
    """The batch would be another at the next look at it: an evaluation, a check, a second loss."""

    class Normalising(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = perceptron()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x.sub_(1.0))

    with pytest.raises(ValueError, match="changes its inputs in place"):
        GGN(Normalising().double(), LOSS, wrap(X.clone()), Y)


class Attention(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.embed, self.qkv, self.head = nn.Embedding(9, 8), nn.Linear(8, 24), nn.Linear(8, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        b, t = tokens.shape
        q, k, v = (part.view(b, t, 2, 4).transpose(1, 2) for part in self.qkv(self.embed(tokens)).split(8, 2))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.head(mixed.transpose(1, 2).reshape(b, t, 8)).transpose(1, 2)


@pytest.mark.parametrize("outputs", [3, 70])
def test_fused_attention_is_right_by_rows_and_by_products(outputs: int) -> None:
    model = Attention(outputs).double()
    tokens = torch.randint(9, (2, 5), generator=seeded(3))
    targets = torch.randint(outputs, (2, 5), generator=seeded(4))
    ggn = GGN(model, LOSS, tokens, targets)
    assert ggn.matrix_free is (outputs == 70)
    v = torch.randn(ggn.size, dtype=F64, generator=seeded(5))
    expected = dense_oracle(model, LOSS, tokens, targets)[1] @ v if outputs == 3 else None
    if expected is None:
        expected = GGN(model, LOSS, tokens, targets).factor().T @ ggn.factor_matvec(v)
    assert oracles.relative_error(ggn.matvec(v), expected) < 1e-9


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_layers_are_right_or_refused(reentrant: bool) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = x + 0.0 * self.first.bias[:4]
            return self.last(checkpoint(lambda x: torch.tanh(self.first(x)), x, use_reentrant=reentrant))

    model = Model().double()
    if reentrant:
        with pytest.raises(ValueError, match="cannot be differentiated"):
            GGN(model, LOSS, X, Y).dense()
        return
    assert oracles.relative_error(GGN(model, LOSS, X, Y).dense(), truth(model)) < 1e-9


def test_a_scripted_model_is_right() -> None:
    model = perceptron().double()
    scripted = torch.jit.trace(model, X)
    assert oracles.relative_error(GGN(scripted, LOSS, X, Y).dense(), truth(model)) < 1e-9


def test_numpys_random_state_and_torchs_are_left_alone() -> None:
    np.random.seed(3)  # noqa: NPY002  (the legacy state is what a user's script may rely on)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    NGD(perceptron().double(), LOSS).step(X, Y)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
