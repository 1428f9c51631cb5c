"""Any torch optimizer as a study's rival: routing of parameters, closures, train and eval modes."""

import inspect
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tngd_bench.curvature import TrainableParameters
from tngd_bench.curvature.losses import evaluate
from tngd_bench.curvature.model_call import Inputs, run_model
from tngd_bench.optimizers.natural import DivergedError

Named = tuple[str, nn.Parameter]
REST = "AdamW, the others"
"""What `routing` calls the optimizer of the parameters that the named one does not get."""


def routed(model: nn.Module, route: str, rest: str | None = None) -> tuple[list[Named], list[Named]]:
    """Split the trained parameters into those of the named optimizer and those that AdamW gets.

    "all": every parameter. "matrices": weights of two dimensions, but for embeddings and for the last one, the head,
    as Muon's authors use it. Names in which the regular expression `rest` is found go to AdamW as well.
    """
    found = TrainableParameters(model)
    named = list(zip(found.names, found.tensors, strict=True))
    taken = named
    if route == "matrices":
        tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
        matrices = [(name, p) for name, p in named if p.dim() == 2 and id(p) not in tables]
        taken = matrices[:-1]
    if rest is not None:
        taken = [(name, p) for name, p in taken if re.search(rest, name) is None]
    if not taken:
        raise ValueError(
            f"route = {route!r}{'' if rest is None else f' and rest = {rest!r}'} leave no parameter to the optimizer, "
            f"of {', '.join(name for name, _ in named)}"
        )
    names = {name for name, _ in taken}
    return taken, [(name, p) for name, p in named if name not in names]


class TorchOptimizer:
    """One batch a step through `optimizer`, made for the parameters `taken`, and AdamW (`rest_lr`) for the `others`.

    An optimizer whose `step` must have a closure (L-BFGS) gets one, which counts as one step however often it is
    called. `cycle` is the number of steps after which its costs repeat. `routing` says which optimizer has which
    parameters: their shapes, by name. A scheduler of learning rates takes `optimizer`, or `rest` for the others.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        optimizer: torch.optim.Optimizer,
        taken: Sequence[Named],
        others: Sequence[Named] = (),
        rest_lr: float = 1e-3,
        cycle: int = 1,
    ) -> None:
        self.model = model
        self.loss = loss
        self.cycle = cycle
        self.iteration = 0
        self.optimizer = optimizer
        start = getattr(self.optimizer, "train", None)
        if start is not None:
            start()
        self.rest = torch.optim.AdamW([p for _, p in others], lr=rest_lr) if others else None
        shares = {type(self.optimizer).__name__: taken, **({REST: others} if others else {})}
        self.routing = {who: {name: tuple(p.shape) for name, p in share} for who, share in shares.items()}
        closure = inspect.signature(self.optimizer.step).parameters.get("closure")
        self._closes = closure is not None and closure.default is inspect.Parameter.empty
        if self._closes and others:
            raise ValueError(
                f"{type(self.optimizer).__name__} calls the model several times a step, so it must have all "
                "parameters: set route = 'all' without rest"
            )

    def step(self, inputs: Inputs, targets: Tensor) -> float:
        """One iteration; returns the loss before it. DivergedError if it is not finite."""
        values: list[float] = []

        def closure() -> Tensor:
            for p in self.model.parameters():
                p.grad = None
            with torch.enable_grad():
                loss = evaluate(self.loss, run_model(self.model, inputs), targets)
                values.append(float(loss.detach()))
                if not math.isfinite(values[0]):
                    raise DivergedError("the loss", self.iteration)
                torch.autograd.backward(loss)
            return loss

        if self._closes:
            self.optimizer.step(closure)  # type: ignore[arg-type]  # torch says float; it takes what `backward` needs
        else:
            closure()
            self.optimizer.step()
        if self.rest is not None:
            self.rest.step()
        self.iteration += 1
        return values[0]

    def state_dict(self) -> dict[str, Any]:
        """Return the states of both optimizers and the number of steps made."""
        rest = None if self.rest is None else self.rest.state_dict()
        return {"iteration": self.iteration, "optimizer": self.optimizer.state_dict(), "rest": rest}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `state_dict` gave; ValueError where the parameters were routed otherwise."""
        if (state["rest"] is None) != (self.rest is None):
            raise ValueError("route and rest must be those of the saved run")
        self.optimizer.load_state_dict(state["optimizer"])
        if self.rest is not None:
            self.rest.load_state_dict(state["rest"])
        self.iteration = state["iteration"]

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Have the parameters inside the block as the optimizer wants them evaluated: averaged, where it has `eval`."""
        switch = getattr(self.optimizer, "eval", None)
        if switch is None:
            yield
            return
        switch()
        try:
            yield
        finally:
            self.optimizer.train()  # type: ignore[attr-defined]
