"""The trainable parameters of a model as one flat vector."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from tngd_bench.curvature.capture import all_modules, dense
from tngd_bench.curvature.rows.blocks import Slot


class TrainableParameters:
    """The trainable parameters of a model as one flat vector, in `model.parameters()` order.

    Parameters
    ----------
    model : Module
        At least one of its parameters is trainable.

    Raises
    ------
    TypeError
        `model` is no module.
    ValueError
        No parameter is trainable, they differ in dtype or device, are complex, or no leaves.
    """

    def __init__(self, model: nn.Module) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(
                f"model must be a torch.nn.Module, not {type(model).__name__}: curvature runs the model itself"
            )
        named = _trainable(model)
        self.names: list[str] = [name for name, _ in named]
        self.tensors: list[nn.Parameter] = [p for _, p in named]
        if not self.tensors:
            raise ValueError("the model has no trainable parameter (requires_grad is False everywhere)")
        for name, p in named:
            if isinstance(p, nn.parameter.UninitializedParameter):
                raise ValueError(
                    f"parameter {name!r} has no shape yet (a lazy layer): call the model once before"
                )
            if not p.is_leaf:
                raise ValueError(
                    f"parameter {name!r} is computed from another tensor, as in a deep copy of a scripted model: it "
                    "must be a leaf of the graph"
                )
        kinds = {(p.dtype, p.device) for p in self.tensors}
        if len(kinds) > 1:
            raise ValueError(
                f"trainable parameters must share one dtype and device, not {sorted(map(str, kinds))}"
            )
        if not self.tensors[0].is_floating_point():
            raise ValueError(f"trainable parameters must be real, not {self.tensors[0].dtype}")
        self._kind = (self.tensors[0].dtype, self.tensors[0].device)
        self.slots: list[Slot] = []
        offset = 0
        for p in self.tensors:
            self.slots.append(Slot(offset, p.shape))
            offset += p.numel()
        self.count = offset

    @property
    def dtype(self) -> torch.dtype:
        """Common dtype."""
        return self.tensors[0].dtype

    @property
    def device(self) -> torch.device:
        """Common device."""
        return self.tensors[0].device

    @property
    def curvature_dtype(self) -> torch.dtype:
        """dtype of curvature and of flat vectors: float32 for half-precision models, which have no Cholesky."""
        return torch.float32 if self.dtype in (torch.bfloat16, torch.float16) else self.dtype

    @property
    def name_of(self) -> dict[int, str]:
        """Names by the identity of the tensors."""
        return {id(p): name for p, name in zip(self.tensors, self.names, strict=True)}

    def flatten(self, pieces: Sequence[Tensor | None]) -> Tensor:
        """Concatenate per-parameter tensors into a flat vector (N,), zeros where there is None."""
        whole = [
            torch.zeros_like(p) if piece is None else piece
            for p, piece in zip(self.tensors, pieces, strict=True)
        ]
        return torch.cat([dense(piece).reshape(-1) for piece in whole]).to(self.curvature_dtype)

    def blank(self) -> Tensor:
        """A vector (N,) in the precision of curvature, its values not set."""
        return torch.empty(self.count, dtype=self.curvature_dtype, device=self.device)

    def adopted(self, saved: Tensor | None) -> Tensor | None:
        """A copy of a saved tensor in the precision of curvature, where the parameters are."""
        return None if saved is None else saved.to(self.device, self.curvature_dtype, copy=True)

    def views(self, flat: Tensor) -> list[Tensor]:
        """Per-parameter views into a flat vector (N,)."""
        pieces = flat.split_with_sizes([s.size for s in self.slots])
        return [
            piece if len(s.shape) == 1 else piece.view(s.shape)
            for piece, s in zip(pieces, self.slots, strict=True)
        ]

    def check_separate(self) -> None:
        """Raise ValueError where values lie at one place in memory, so that an update would reach them twice."""
        held = []
        for name, p in zip(self.names, self.tensors, strict=True):
            if any(step == 0 and size > 1 for step, size in zip(p.stride(), p.shape, strict=True)):
                raise ValueError(
                    f"parameter {name!r} has several values at one place in memory (expand): clone() it"
                )
            extent = 1 + sum(step * (size - 1) for step, size in zip(p.stride(), p.shape, strict=True))
            if p.device.type != "meta" and p.numel() == extent:  # without gaps, in which others may lie
                held.append((p.data_ptr(), p.data_ptr() + extent * p.element_size(), name))
        for (_, end, one), (start, _, other) in pairwise(sorted(held)):
            if start < end:
                raise ValueError(
                    f"parameters {one!r} and {other!r} lie at one place in memory: let both modules hold one parameter"
                )

    def check_unchanged(self, model: nn.Module) -> None:
        """Raise ValueError when the model's trainable parameters are no longer these ones, of this kind and shape."""
        held = dict.fromkeys(p for module in all_modules(model) for p in module._parameters.values())
        if [id(p) for p in held if p is not None and p.requires_grad] != [id(p) for p in self.tensors]:
            before, after = dict(zip(self.names, self.tensors, strict=True)), dict(_trainable(model))
            gone = [name for name, p in before.items() if after.get(name) is not p]
            added = [name for name, p in after.items() if before.get(name) is not p]
            raise ValueError(
                "the model's trainable parameters (requires_grad) have changed since the optimizer was made: "
                f"gone {gone or 'none'}, new {added or 'none'}; make a new optimizer for the model as it is now"
            )
        for name, p, slot in zip(self.names, self.tensors, self.slots, strict=True):
            if (p.dtype, p.device) != self._kind or p.shape != slot.shape:
                raise ValueError(
                    f"trainable parameter {name!r} was {tuple(slot.shape)}, {self._kind[0]} on {self._kind[1]} and is "
                    f"{tuple(p.shape)}, {p.dtype} on {p.device} now; make a new optimizer for the model as it is now"
                )


def in_order(*tensors: Tensor | None) -> bool:
    """Whether all values lie in memory one after the other, row by row: torch's fused updates pair them by place."""
    return all(tensor is None or tensor.is_contiguous() for tensor in tensors)


def _trainable(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]
