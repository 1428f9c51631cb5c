"""Verification of the factor's blocks against autograd.

The rules of `rows.layer_rules` and `rows.matrix_products` assume how a parameter was used: samples along the first
dimension, no hook that changes an output, no unseen use. For a Gaussian u, Bᵀu from the blocks must equal one reverse
pass, grad(outputs, parameters, S u); a block that rests on a wrong assumption differs with probability 1. Its
parameters then take their rows from the next source: layer rules, matrix products of the graph, batched reverse mode.
"""

import math
import sys
import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from tngd_bench.curvature.capture import LayerCall, all_modules
from tngd_bench.curvature.graph import AutogradGraph
from tngd_bench.curvature.rows.blocks import Block, Slot

OPTIMIZER_INTERVAL = 100
"""Steps of an optimizer between two checks while nothing changes: 1 % of a reverse pass a step."""
PATIENCE = 16
"""Factors of a kind at each of which a gradient that was hidden is waited for; one that stays so for ever, as of a
layer behind a mask, then costs no check beside the others."""
TF32_EPS = 2.0**-11
"""Rounding of float32 matrix products on a GPU, where TF32 may be on."""
SMALL = 1e-3
"""Part of the whole gradient's norm below which a difference may be rounding."""
VALUES_AT_ONCE = 2**17
"""Values that are compared at a time."""
NOISE_SCALE, NOISE_MARGIN = 1.375, 100.0
"""Scale of the pass that shows the rounding, and how many times as much a block's own may be."""


def coarsest(*dtypes: torch.dtype) -> torch.dtype:
    """The least precise of these: outputs may be float32 where the layers compute in bfloat16."""
    return max(dtypes, key=lambda dtype: torch.finfo(dtype).eps)


class FallbackWarning(UserWarning):
    """A layer's rule does not hold for how the model uses it: its rows come from a slower source."""


@dataclass(frozen=True)
class Fallback:
    """A module whose rule failed verification: its `parameters` (names in the model), and the reason."""

    module: str
    parameters: tuple[str, ...]
    reason: str


class Verification:
    """When blocks are checked against autograd, and what has failed so far; an optimizer keeps one for all its steps.

    Parameters
    ----------
    interval : int or None
        Factors made between two checks as long as nothing changes; None checks only when something does: shapes,
        hooks, training mode, the set of layers, the operations. With an interval the factors 1, 2, 4, 8, … of a kind
        are checked too: at its first weights a model may hide what it does, behind a gate or a head of zeros.

    Notes
    -----
    A batch that was indexed or sorted inside the model is checked each time. A check says nothing of a parameter whose
    gradient is zero or drowns in rounding: it is made again with the next factor until all have been seen, up to factor
    16 of a kind, and then at 32, 64, …. It says nothing at all where gradients are not finite, and is made until they
    are. What failed once is not tried again. Nothing is checked while `paused`, for timings; what is made `ahead` of
    the steps does not count as one of them.
    """

    def __init__(self, interval: int | None = 1) -> None:
        if interval is not None and interval < 1:
            raise ValueError(f"interval must be >= 1 or None, not {interval!r}")
        self.interval = interval
        self.paused = False
        self.ahead = False
        self.fallbacks: dict[str, Fallback] = {}
        self._no_products: set[str] = set()
        self._seen: dict[int, int] = {}
        self._open: dict[int, set[str] | None] = {}
        self._since = 0
        self._probes = 0

    def due(self, signature: Hashable, *, reorders: bool) -> bool:
        """Whether the factor that is made now is to be checked; counts it."""
        if self.paused:
            return False
        key = hash(signature)
        self._since += 1
        if key not in self._seen:
            self._open[key] = None
        seen = self._seen[key] = self._seen.get(key, 0) + (not self.ahead)
        early = seen > 1 and seen & (seen - 1) == 0
        late = self.interval is not None and (early or self._since >= self.interval)
        waits = key in self._open and (self._open[key] is None or early or seen <= PATIENCE)
        if not (late or reorders or waits):
            return False
        self._since = 0
        return True

    def conclude(self, signature: Hashable, hidden: set[str]) -> None:
        """Note a check that was made, and the parameters by rules of which it says nothing (`Reference.hidden`)."""
        key = hash(signature)
        if key not in self._open:
            return
        before = self._open[key]
        left = hidden if before is None else hidden & before
        if left:
            self._open[key] = left
        else:
            del self._open[key]

    def probe(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Gaussian numbers from a generator of its own, a new draw each time."""
        self._probes += 1
        generator = torch.Generator(like.device).manual_seed(self._probes)
        return torch.randn(*shape, generator=generator, dtype=like.dtype, device=like.device)

    def failed(self, parameters: Iterable[str]) -> bool:
        """Whether a layer's rule failed for one of these parameters."""
        return any(name in self.fallbacks for name in parameters)

    def products_failed(self, parameter: str) -> bool:
        """Whether the rule for matrix products failed for this parameter."""
        return parameter in self._no_products

    def refute_layers(self, modules: Mapping[str, tuple[Sequence[str], float]], instead: str) -> None:
        """Note modules whose rule failed, with their parameters and the relative error; one warning names them all."""
        for module, (parameters, error) in modules.items():
            found = Fallback(module, tuple(parameters), f"differs from autograd by {error:.2g}")
            self.fallbacks.update(dict.fromkeys(parameters, found))
        named = ", ".join(f"{module!r} ({error:.2g})" for module, (_, error) in modules.items())
        warnings.warn(
            f"the rules for these modules do not hold for how the model uses them, so {instead}; relative difference "
            f"from autograd in brackets: {named}. Usual causes: samples not along the first dimension or reordered, "
            "a hook or replaced forward, a computed or shared weight, derivatives inside forward",
            FallbackWarning,
            stacklevel=2,
        )

    def refute_products(self, parameters: Iterable[str]) -> None:
        """Note parameters for which the rule for matrix products failed."""
        self._no_products.update(parameters)

    def state(self) -> dict[str, Any]:
        """What a resumed run must know to go the same ways, in plain types."""
        return {
            "fallbacks": [[f.module, list(f.parameters), f.reason] for f in set(self.fallbacks.values())],
            "no_products": sorted(self._no_products),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a `state()`."""
        for module, parameters, reason in state["fallbacks"]:
            self.fallbacks.update(dict.fromkeys(parameters, Fallback(module, tuple(parameters), reason)))
        self._no_products = set(state["no_products"])


class Reference:
    """Gradients of all parameters by autograd, with which blocks are compared.

    `gradients(scale)` makes them for a cotangent times `scale`. A tensor is wrong that differs by √eps of itself and by
    more than the rounding of what it was computed from: 100 eps of its group (a layer's weight and bias), eps of all.
    Where a gradient nearly cancels (a bias before a softmax or a normalisation) that is too little: a second pass,
    scaled, shows what rounding makes of each tensor. `dtype` is the `coarsest` that took part.
    """

    def __init__(self, gradients: Callable[[float], Sequence[Tensor]], dtype: torch.dtype) -> None:
        self._gradients = gradients
        self._expected = gradients(1.0)
        on_gpu = bool(self._expected) and self._expected[0].device.type == "cuda"
        self._eps = torch.finfo(dtype).eps
        if on_gpu and dtype == torch.float32:
            self._eps = max(self._eps, TF32_EPS)
        self._norms = [_norm(piece) for piece in self._expected]
        self._whole = math.hypot(*self._norms)

    @property
    def is_finite(self) -> bool:
        """Whether the gradients are finite: those of a diverged model agree with nothing."""
        return math.isfinite(self._whole)

    def error(self, group: Sequence[int], actual: Sequence[Tensor]) -> float:
        """Largest relative difference of `actual` from the parameters at the positions `group`; 0 within rounding."""
        relative, floor = self._eps**0.5, self._floor(group)
        worst = 0.0
        for i, piece in zip(group, actual, strict=True):
            difference = _norm(piece, self._expected[i])
            if difference <= max(relative * self._norms[i], floor):
                continue
            if difference <= SMALL * self._whole and difference <= NOISE_MARGIN * self._noise[i]:
                continue
            relative_difference = difference / max(self._norms[i], floor, sys.float_info.min)
            worst = max(worst, relative_difference if math.isfinite(difference) else math.inf)
        return worst

    def hidden(self, group: Sequence[int]) -> list[int]:
        """The positions of `group` whose gradients are so small that another would pass for them."""
        floor = self._floor(group)
        return [i for i in group if self._norms[i] <= floor]

    def _floor(self, group: Sequence[int]) -> float:
        """Norm of a difference that may be the rounding of what a group's gradients were computed from."""
        own = math.hypot(*(self._norms[i] for i in group))
        return max(min(100 * self._eps, math.sqrt(self._eps)) * own, self._eps * self._whole)

    @cached_property
    def _noise(self) -> list[float]:
        """Norms of each gradient's rounding error, from a pass whose cotangent is no power of two larger."""
        again = self._gradients(NOISE_SCALE)
        return [
            _norm(piece / NOISE_SCALE, expected)
            for piece, expected in zip(again, self._expected, strict=True)
        ]


class BlockCheck:
    """Bᵀu by one reverse pass, for a Gaussian u (m,) in column-first order: what every block must give for its part."""

    def __init__(self, u: Tensor, reference: Reference, slots: Sequence[Slot]) -> None:
        self._u = u.unsqueeze(0)
        self.reference = reference
        self._positions = {slot.offset: i for i, slot in enumerate(slots)}
        self._product = u.new_empty(1, sum(slot.size for slot in slots))

    def error(self, block: Block) -> float:
        """Relative difference of a block from autograd; 0 within rounding."""
        block.rmatvec(self._u, self._product)
        return self.reference.error(self._group(block), [slot.of(self._product) for slot in block.slots])

    def hidden(self, block: Block) -> list[int]:
        """The positions of a block's parameters of which the check says nothing."""
        return self.reference.hidden(self._group(block))

    def _group(self, block: Block) -> list[int]:
        return [self._positions[slot.offset] for slot in block.slots]


def _norm(piece: Tensor, other: Tensor | None = None) -> float:
    """‖piece‖, or ‖piece − other‖, in double precision, of parts that fit a cache: a conversion then costs little."""
    parts: Iterable[Tensor] = torch.split(piece.detach().reshape(-1), VALUES_AT_ONCE)
    if other is not None:
        parts = map(torch.sub, parts, torch.split(other.detach().reshape(-1), VALUES_AT_ONCE))
    norms = [torch.linalg.vector_norm(part, dtype=torch.float64) for part in parts]
    return float(torch.linalg.vector_norm(torch.stack(norms)))


def signature(model: nn.Module, calls: Sequence[LayerCall], graph: AutogradGraph) -> Hashable:
    """What a check holds for: layers and shapes as called, operations, modules with mode, hooks and own forward."""
    modules = tuple(
        (
            id(module),
            module.training,
            tuple(module._forward_hooks),
            tuple(module._forward_pre_hooks),
            id(module.__dict__.get("forward")),
        )
        for module in all_modules(model)
    )
    shapes = tuple((id(call.module), call.input.shape, call.output_shape) for call in calls)
    return modules, shapes, graph.names, graph.places
