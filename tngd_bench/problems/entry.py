"""What a problem is to the suite: real data, a family of models with a size knob, and a loss.

Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from tngd_bench import arguments
from tngd_bench.problems.widths import Widths

if TYPE_CHECKING:
    from torch import nn

    from tngd_bench.problems.splits import DataSplits

DType = Literal["float32", "float64"]


class Loader(Protocol):
    """Reads the data: `(train_size, test_size, dtype) -> DataSplits`; None takes everything."""

    def __call__(self, train_size: int | None, test_size: int | None, dtype: DType) -> DataSplits:
        """Return the splits."""


@dataclass(frozen=True)
class ProblemEntry:
    """A registered problem.

    `classes` is the number of labels, the least number of outputs; more outputs than labels are allowed (they
    are logits that no target ever names) and set d_z. `search` gives the widths for `(outputs, parameters)`,
    `read` the data, `build` the model for `widths`, initialised from torch's global generator.
    """

    name: str
    title: str
    summary: str
    data_source: str
    classes: int
    search: Callable[[int, int], Widths]
    read: Loader
    build: Callable[[Widths], nn.Module]

    @property
    def outputs(self) -> int:
        """Outputs per sample where nothing else is asked for."""
        return self.classes

    def widths(self, parameters: int, outputs: int | None = None) -> Widths:
        """Return the widths whose exact count lies within 2 % of `parameters`.

        Raises ValueError naming the smallest model or the nearest sizes when there are none.
        """
        arguments.integer("parameters", parameters, minimum=1)
        wanted = self.classes if outputs is None else outputs
        arguments.integer("outputs", wanted, minimum=self.classes)
        try:
            return self.search(wanted, parameters)
        except ValueError as error:
            raise ValueError(f"{self.name}, {wanted} outputs: {error}") from None

    def load(
        self, train_size: int | None = None, test_size: int | None = None, dtype: DType = "float32"
    ) -> DataSplits:
        """Return the data, inputs scaled to [0, 1]; `None` takes the whole split.

        Raises ValueError for a size the data does not have, DataNotFoundError when the data cannot be had.
        """
        for name, size in (("train_size", train_size), ("test_size", test_size)):
            if size is not None:
                arguments.integer(name, size, minimum=1)
        arguments.choice("dtype", dtype, get_args(DType))
        return self.read(train_size, test_size, dtype)

    def model(self, widths: Widths, seed: int, outputs: int | None = None) -> nn.Module:
        """Return the model in float32 on the CPU, with torch's default initialisation drawn from `seed`.

        The global random state is left as it was. `outputs`, where given, must be that of `widths`.
        """
        import torch

        if outputs is not None and outputs != widths.outputs:
            raise ValueError(f"outputs must be {widths.outputs}, as in the widths given, not {outputs!r}")
        with torch.random.fork_rng(devices=[]):
            # torch.manual_seed would seed every accelerator too, which fork_rng does not restore here.
            torch.default_generator.manual_seed(seed)
            return self.build(widths)

    def loss(self) -> nn.Module:
        """Return the mean-reduced cross-entropy."""
        from torch import nn

        return nn.CrossEntropyLoss()
