"""Counts of operations and bytes for a problem's own family of models."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tngd_bench.layers import Layer
from tngd_bench.optimizers import registry
from tngd_bench.optimizers.cost_model import REFERENCE_RATE
from tngd_bench.optimizers.costs import PredictedCost, cost_of, host_cost_of
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.optimizers.network_size import square_layers
from tngd_bench.optimizers.roofline import host_cost
from tngd_bench.problems.entry import ProblemEntry
from tngd_bench.solvers.cg_iterations import CGIterations

FALLBACK_DEPTH = 3
"""Layers of the stand-in for a problem that is not installed here."""


@dataclass(frozen=True)
class Counts:
    """The inputs of a count: the problem's own family of models, the item size, and what CG needs.

    `entry` is None where the problem is not installed here: equal square layers then stand for its models.
    `cg` holds the stopping rule of CG and the iterations counted in the study. `requested` names, for a number of
    parameters and of outputs that was run, the number that was asked for: the family's widths nearest to the former
    may be those of another model.
    """

    problem: str
    itemsize: int = 4
    cg: CGIterations = field(default_factory=CGIterations)
    entry: ProblemEntry | None = None
    requested: Mapping[tuple[int, int], int] = field(default_factory=dict)
    _found: dict[tuple[object, ...], PredictedCost] = field(default_factory=dict, compare=False, repr=False)
    _iterations: dict[tuple[object, ...], Iteration] = field(default_factory=dict, compare=False, repr=False)

    @property
    def fewest_outputs(self) -> int:
        """The smallest d_z that the problem has models for."""
        return 1 if self.entry is None else int(getattr(self.entry, "classes", 1))

    def layers(self, parameters: int, outputs: int) -> tuple[Layer, ...] | None:
        """Return the layers of the model nearest N `parameters`; None where the family has no such model."""
        if self.entry is None:
            return square_layers(parameters, FALLBACK_DEPTH)
        if outputs < self.fewest_outputs or parameters < 2 * outputs:  # an output has a weight and a bias
            return None
        try:
            widths = self.entry.widths(self.requested.get((parameters, outputs), parameters), outputs)
        except ValueError:
            return None
        found = getattr(widths, "layers", None)
        if not found:
            return square_layers(parameters, FALLBACK_DEPTH)
        return tuple(Layer(*layer) for layer in found)

    def iteration(self, n: int, b: int, d_z: int, layers: tuple[Layer, ...]) -> Iteration:
        """Return the iteration at a size, made once, as it keeps what it counts."""
        size = n, b, d_z, layers
        if size not in self._iterations:
            self._iterations[size] = Iteration(n, b * d_z, b, d_z, layers, self.cg)
        return self._iterations[size]

    def of(
        self, method: str, n: int, b: int, d_z: int, layers: tuple[Layer, ...], upload: str = "full"
    ) -> PredictedCost:
        """Return operations and bytes of one iteration; of its digital host for a thermodynamic `method`.

        The operations hold what waits for memory, convolutions and Python as those that a core makes meanwhile
        (`optimizers.cost_model`): a size that is not measured is predicted by what its time is made of.
        """
        asked = method, n, b, d_z, layers, upload
        if asked not in self._found:
            self._found[asked] = self._counted(*asked)
        return self._found[asked]

    def _counted(
        self, method: str, n: int, b: int, d_z: int, layers: tuple[Layer, ...], upload: str
    ) -> PredictedCost:
        it = self.iteration(n, b, d_z, layers)
        if method in registry.digital():
            counted = cost_of(method, it, self.itemsize)
        elif method in registry.names():
            counted = host_cost_of(method, it, upload, self.itemsize)
        else:
            counted = host_cost(it, upload, self.itemsize)
        return PredictedCost(counted.seconds(REFERENCE_RATE) * REFERENCE_RATE, counted.bytes)
