"""Calls of a model on one batch; inputs, outputs and layers that curvature cannot handle are refused."""

import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils.rnn import PackedSequence

from tngd_bench.curvature.capture import all_modules, kind_of
from tngd_bench.curvature.kronecker.batch_statistics import uses_batch_statistics

TORCH_ERRORS = (RuntimeError, NotImplementedError, IndexError, TypeError)
"""Kinds of errors of torch's operations; classes derived from them, a user's own or of memory, are left as they are."""
Inputs = Tensor | Mapping[str, Any] | Sequence[Any]
"""One batch: a tensor, a mapping passed as `model(**inputs)`, or a tuple or list passed as `model(*inputs)`."""


def run_model(model: nn.Module, inputs: Inputs) -> Tensor:
    """Call the model on one batch and return its output tensor (b, …).

    Of an output with a tensor attribute `logits` (Hugging Face models, dataclasses) that tensor is taken. Compiled
    models and layers run uncompiled, since compiled code neither sees hooks nor can be differentiated twice. Raises
    TypeError for inputs or outputs of another kind, ValueError in inference mode or where the model changes its inputs.
    """
    given = list(_tensors(inputs))
    if torch.is_inference_mode_enabled() or any(tensor.is_inference() for tensor in given):
        raise ValueError(
            "torch.inference_mode() is on, or inputs were made under it, which cannot be differentiated: leave it, and "
            "clone() such inputs"
        )
    versions = [tensor._version for tensor in given]
    if not isinstance(inputs, (Tensor, Mapping, tuple, list)):
        raise TypeError(
            "inputs must be a tensor, a tuple or list (passed as model(*inputs)) or a mapping (passed as "
            f"model(**inputs)), not {type(inputs).__module__}.{type(inputs).__name__}"
            + ("; torch.from_numpy makes a tensor of it" if type(inputs).__module__ == "numpy" else "")
        )
    with _uncompiled(), _unfused(model), explaining_failures(model, given):
        if isinstance(inputs, (Tensor, PackedSequence)):  # the latter is a tuple too
            outputs = model(inputs)
        elif isinstance(inputs, Mapping):
            outputs = model(**inputs)
        else:
            outputs = model(*inputs)
    if versions != [tensor._version for tensor in given]:
        raise ValueError(
            "the model changes its inputs in place, and a batch is used more than once: let forward begin with a copy "
            "(x = x.clone())"
        )
    found = _output_tensor(outputs)
    # a parameter that is returned as it is has no operation above it, which the graph is walked from
    return found.view_as(found) if found.is_leaf and found.requires_grad else found


@contextmanager
def explaining_failures(model: nn.Module, given: Sequence[Tensor]) -> Iterator[None]:
    """Turn an error of torch inside the block, a call of the model, into a ValueError that names module and batch."""
    try:
        yield
    except TORCH_ERRORS as error:
        if type(error) not in TORCH_ERRORS:
            raise
        modules = {id(module): name for name, module in model.named_modules()}
        inside = [model, *_modules_of(error, modules)][-1]
        where = f"{modules[id(inside)]!r} ({type(inside).__name__})" if inside is not model else "forward"
        batch = ", ".join(map(kind_of, given)) or "without a tensor"
        kinds = ", ".join(sorted({f"{p.dtype} on {p.device}" for p in model.parameters()}))
        raise ValueError(
            f"the model fails on this batch, in {where}: {error}. The inputs are {batch}, the parameters {kinds}; "
            "accepted: a batch of the sizes, dtypes and device that the model takes"
        ) from error


def _modules_of(error: BaseException, known: Mapping[int, str]) -> Iterator[nn.Module]:
    """Modules of the model whose methods the error came through, from the outermost."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        module = frame.f_locals.get("self")
        if isinstance(module, nn.Module) and id(module) in known:
            yield module


def refuse_without_values(device: torch.device) -> None:
    """Raise ValueError for a model on the meta device, of which there are shapes alone."""
    if device.type == "meta":
        raise ValueError(
            'the model lies on the meta device, where parameters have no values: call model.to_empty(device="cpu") '
            "and load or initialise them"
        )


def batch_size_of(inputs: Inputs, outputs: Tensor) -> int:
    """Number of samples b: the outputs' first dimension, which an input tensor must share.

    Raises ValueError where none does.
    """
    shapes = [shape for value in _parts(inputs) for shape in _shapes(value)]
    if not shapes:
        raise TypeError("inputs must be a tensor, or a mapping, tuple or list that holds at least one tensor")
    sizes = [shape[0] for shape in shapes if shape]
    check_outputs(outputs)
    if outputs.shape[0] not in sizes:
        expected = f"b = {sizes[0]}" if len(set(sizes)) == 1 else f"b one of {sorted(set(sizes))}"
        raise ValueError(f"the model must return (b, …) with {expected}, not {tuple(outputs.shape)}")
    return outputs.shape[0]


def check_outputs(outputs: Tensor) -> None:
    """Raise ValueError for outputs without samples, or without a dimension behind that of the samples."""
    if outputs.dim() < 2:
        hint = ": unsqueeze(1) where a sample has one output" if outputs.dim() else ""
        raise ValueError(
            f"the model must return (b, …) with a dimension behind b, not {tuple(outputs.shape)}{hint}"
        )
    if not len(outputs):
        raise ValueError("the batch must have a sample at least, not none")
    if not outputs.numel():
        raise ValueError(f"the model must return a value a sample at least, not {tuple(outputs.shape)}")


def refuse_mixed_samples(model: nn.Module) -> None:
    """Raise ValueError when a layer mixes the samples of a batch: then no row of J belongs to one sample."""
    for name, module in model.named_modules():
        if uses_batch_statistics(module):
            raise ValueError(
                f"{type(module).__name__} {name!r} normalises over the batch, so a sample's output depends on the "
                "other samples and the GGN has no per-sample rows: call .eval() on that layer, or use GroupNorm"
            )


def _output_tensor(outputs: Any) -> Tensor:
    found = outputs if isinstance(outputs, Tensor) else getattr(outputs, "logits", None)
    if not isinstance(found, Tensor):
        raise TypeError(
            "the model must return one tensor (b, …), or an object whose attribute `logits` is one, not "
            f"{type(outputs).__name__}"
        )
    if not found.is_floating_point():
        raise TypeError(f"the model must return real floating-point outputs, not {found.dtype}")
    return found


def twice_differentiable() -> AbstractContextManager[Any]:
    """Attention by the kernel that can be differentiated twice and in batches; torch's fused ones cannot."""
    return sdpa_kernel(SDPBackend.MATH)


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Switch autocast off where it is on: curvature needs the parameters' own precision."""
    active = torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, enabled=False) if active else nullcontext()


def refuse_autocast(device: torch.device) -> None:
    """Raise ValueError under autocast, which would also act on the products made later."""
    if torch.is_autocast_enabled(device.type):
        raise ValueError(
            "torch.autocast is on: curvature needs the parameters' own precision. Leave the autocast region, or "
            "convert the model (model.to(torch.bfloat16))"
        )


def _uncompiled() -> AbstractContextManager[Any]:
    # torch.compile cannot have been used before this module was imported; importing it here would take seconds
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


@contextmanager
def _unfused(model: nn.Module) -> Iterator[None]:
    """Run recurrent layers step by step: a fused kernel hides its products, and cannot be differentiated twice."""
    backends: tuple[Any, ...] = (torch.backends.mkldnn, torch.backends.cudnn)
    before: list[bool] = []

    def switch_off(module: nn.Module, inputs: Any) -> None:
        before[:] = [backend.enabled for backend in backends]
        for backend in backends:
            backend.enabled = False

    def restore(module: nn.Module, inputs: Any, output: Any) -> None:
        for backend, was in zip(backends, before, strict=True):
            backend.enabled = was

    with ExitStack() as handles:
        for module in all_modules(model):
            if isinstance(module, nn.RNNBase):
                handles.callback(module.register_forward_pre_hook(switch_off).remove)
                handles.callback(module.register_forward_hook(restore, always_call=True).remove)
        yield


def _tensors(value: Any) -> Iterator[Tensor]:
    for part in _parts(value):
        if isinstance(part, Tensor):
            yield part
        else:
            yield from (each for each in part if isinstance(each, Tensor))


def _parts(value: Any) -> Iterator[Tensor | PackedSequence]:
    """Tensors and packed sequences of the inputs, at any depth."""
    if isinstance(value, (Tensor, PackedSequence)):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _parts(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _parts(item)


def _shapes(part: Tensor | PackedSequence) -> list[tuple[int, ...]]:
    """Shapes of a part of the inputs, whose first dimensions may be that of the samples."""
    if isinstance(part, Tensor):
        return [tuple(part.shape)]
    # a packed sequence holds the steps of all samples, and how many samples go on at each step
    return [(int(part.batch_sizes[0]),)]
