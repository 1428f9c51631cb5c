"""torch's counter of operations, for models too that differentiate inside `forward`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.utils.flop_counter import FlopCounterMode
from torch.utils.module_tracker import ModuleTracker


class _NoModules(ModuleTracker):
    """In place of torch's split by modules, whose hooks fail where `forward` differentiates."""

    def __enter__(self) -> _NoModules:
        return self

    def __exit__(self, *args: object) -> None:
        pass


def flop_counter(formulas: Mapping[Any, Any] | None = None) -> FlopCounterMode:
    """Return torch's counter of operations with `formulas` of our own beside its own ones."""
    counter = FlopCounterMode(display=False, custom_mapping=dict(formulas or {}))
    counter.mod_tracker = _NoModules()
    return counter
