"""torch's counter of operations, for models too that differentiate inside `forward`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count
from torch.utils.module_tracker import ModuleTracker

_ATEN = torch.ops.aten
Shape = Sequence[int]


def _attention(query: Shape, key: Shape, value: Shape, *args: Any, **kwargs: Any) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]  # torch has no annotation there


def _attention_backward(
    grad: Shape, query: Shape, key: Shape, value: Shape, *args: Any, **kwargs: Any
) -> int:
    return int(sdpa_backward_flop_count(grad, query, key, value))  # type: ignore[no-untyped-call]  # as above


def _recurrent(inputs: Shape, from_input: Shape, from_state: Shape, *args: Any, **kwargs: Any) -> int:
    return 2 * math.prod(inputs[:-1]) * (math.prod(from_input) + math.prod(from_state))


def _recurrent_backward(*args: Any, **kwargs: Any) -> int:
    return 2 * _recurrent(*args, **kwargs)  # gradients of inputs and of weights


def _three_factors(one: Shape, two: Shape, three: Shape, *expanded: Sequence[int], **kwargs: Any) -> int:
    shapes = []
    for shape, axes in zip((one, two, three), expanded, strict=False):
        whole = list(shape)
        for axis in sorted(axes):
            whole.insert(axis, 1)
        shapes.append(whole)
    return 2 * int(math.prod(max(sizes) for sizes in zip(*shapes, strict=True)))


FUSED = {
    _ATEN._scaled_dot_product_flash_attention_for_cpu: _attention,
    _ATEN._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    _ATEN.mkldnn_rnn_layer: _recurrent,
    _ATEN.mkldnn_rnn_layer_backward: _recurrent_backward,
    _ATEN._trilinear: _three_factors,
}
"""Operations of the CPU's kernels of several products, which torch's counter leaves out; arguments arrive as shapes."""


class _NoModules(ModuleTracker):
    """In place of torch's split by modules, whose hooks fail where `forward` differentiates."""

    def __enter__(self) -> _NoModules:
        return self

    def __exit__(self, *args: object) -> None:
        pass


def flop_counter(formulas: Mapping[Any, Any] | None = None) -> FlopCounterMode:
    """Return torch's counter of operations with `FUSED` and further `formulas` beside its own ones."""
    counter = FlopCounterMode(display=False, custom_mapping={**FUSED, **(formulas or {})})
    counter.mod_tracker = _NoModules()
    return counter
