"""Operations of a call by the weight that each product takes, from torch's own formulas."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, shape_wrapper

from tngd_bench.curvature.flop_counter import FUSED

_ATEN = torch.ops.aten
_TABLES = (_ATEN.embedding, _ATEN._embedding_bag, _ATEN._embedding_bag_forward_only)
_FORMULAS: dict[Any, Callable[..., float]] = {
    **flop_registry,
    **{
        packet: shape_wrapper(formula)  # type: ignore[no-untyped-call]  # torch has no annotation there
        for packet, formula in FUSED.items()
    },
}

Part = tuple[nn.Parameter, int, int]
"""A parameter, and the offset and number of its values that a product takes."""


class WeightProducts(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records, while it is entered, the operations of products: `by_weight`, and `of_values` without a weight.

    A view of a parameter is that parameter, and so is what is computed of parameters alone: another precision, a norm.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.by_weight: Counter[Part] = Counter()
        self.of_values: list[tuple[float, torch.Size]] = []
        self.tables: set[nn.Parameter] = set()
        self.used: set[nn.Parameter] = set()
        self._weights: dict[int, tuple[nn.Parameter, Tensor]] = {_storage(p): (p, p) for p in parameters}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation of torch and record it."""
        kwargs, packet = kwargs or {}, func._overloadpacket
        if packet not in _FORMULAS:
            with self:
                made = func.decompose(*args, **kwargs)
            if made is not NotImplemented:
                return made
        out = func(*args, **kwargs)
        given = _stored((args, kwargs))
        weights = [
            (self._weights[_storage(each)][0], each) for each in given if _storage(each) in self._weights
        ]
        results = _stored(out)
        self.used |= {p for p, _ in weights}
        if packet in _TABLES:
            self.tables |= {p for p, _ in weights}
        elif packet in _FORMULAS:
            self._add(_FORMULAS[packet](*args, **kwargs, out_val=out), weights, results[0])
        elif weights and all(_storage(each) in self._weights or each.dim() == 0 for each in given):
            root = max((p for p, _ in weights), key=lambda p: p.numel())
            for each in results:
                if each.numel() == root.numel():
                    self._weights.setdefault(
                        _storage(each), (root, each)
                    )  # kept alive: addresses are used again
        return out

    def _add(self, flops: float, weights: list[tuple[nn.Parameter, Tensor]], result: Tensor) -> None:
        matrices = [(p, part) for p, part in weights if p.dim() > 1]
        if not matrices:
            self.of_values.append((flops, result.shape))
        whole = sum(part.numel() for _, part in matrices)
        for p, part in matrices:
            own = (int(part.storage_offset()), part.numel()) if part.numel() < p.numel() else (0, p.numel())
            self.by_weight[p, *own] += flops * part.numel() / whole  # type: ignore[assignment]


def _stored(values: Any) -> list[Tensor]:
    """Return the tensors among `values` that have a storage, which sparse ones lack."""
    leaves = _pytree.tree_leaves(values)
    return [each for each in leaves if isinstance(each, Tensor) and each.layout is torch.strided]


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
