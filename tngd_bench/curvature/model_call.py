"""Calls of a model on one batch; inputs, outputs and layers that curvature cannot handle are refused."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from tngd_bench.curvature.capture import all_modules
from tngd_bench.curvature.kronecker.batch_statistics import uses_batch_statistics

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
    with _uncompiled(), _unfused(model):
        if isinstance(inputs, Tensor):
            outputs = model(inputs)
        elif isinstance(inputs, Mapping):
            outputs = model(**inputs)
        elif isinstance(inputs, (tuple, list)):
            outputs = model(*inputs)
        else:
            raise TypeError(
                "inputs must be a tensor, a tuple or list (passed as model(*inputs)) or a mapping (passed as "
                f"model(**inputs)), not {type(inputs).__module__}.{type(inputs).__name__}"
                + ("; torch.from_numpy makes a tensor of it" if type(inputs).__module__ == "numpy" else "")
            )
    if versions != [tensor._version for tensor in given]:
        raise ValueError(
            "the model changes its inputs in place, and a batch is used more than once: let forward begin with a copy "
            "(x = x.clone())"
        )
    return _output_tensor(outputs)


def batch_size_of(inputs: Inputs, outputs: Tensor) -> int:
    """Number of samples b: the outputs' first dimension, which an input tensor must share.

    Raises ValueError where none does.
    """
    shapes = [tuple(value.shape) for value in _tensors(inputs)]
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
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
