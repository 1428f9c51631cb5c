"""The autograd graph under a model's output: who uses which parameter, and who consumes which layer's output."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from torch import Tensor


class AutogradGraph:
    """One walk over the graph under `outputs`.

    `uses` counts, by id(parameter), the edges that lead into each parameter: a layer rule may only stand for a
    parameter when the calls it saw account for all of them.
    """

    def __init__(self, outputs: Tensor) -> None:
        self.uses: Counter[int] = Counter()
        self._consumers: dict[Any, list[Any]] = defaultdict(list)
        root = outputs.grad_fn
        pending = [root] if root is not None else []
        self._nodes: set[Any] = set(pending)  # held, so that a node keeps its identity
        while pending:
            node = pending.pop()
            for following, _ in node.next_functions:
                if following is None:
                    continue
                variable = getattr(following, "variable", None)
                if variable is not None:
                    self.uses[id(variable)] += 1
                    continue
                self._consumers[following].append(node)
                if following not in self._nodes:
                    self._nodes.add(following)
                    pending.append(following)

    def only_consumer(self, node: Any) -> Any | None:
        """The one operation that takes this node's output, or None when there are several or none."""
        consumers = self._consumers[node]
        return consumers[0] if len(consumers) == 1 else None
