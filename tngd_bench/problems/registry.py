"""Names of the problems; importing this module imports no torch.

Outside packages add a problem by an entry point in the group `tngd_bench.problems` that loads to a `ProblemEntry`,
files by such an object at module level.
"""

from collections.abc import Mapping
from importlib.metadata import EntryPoint

from tngd_bench import plugins
from tngd_bench.plugin_files import cached
from tngd_bench.plugins import entry_points
from tngd_bench.problems import (
    causal_lm,
    digits_mlp,
    fashion_cnn,
    mnist_cnn,
    mnist_mlp,
    mnist_mlp3,
    squad_lora,
)
from tngd_bench.problems.entry import ProblemEntry
from tngd_bench.problems.pinn import poisson

ENTRY_POINT_GROUP = "tngd_bench.problems"

_HERE = (digits_mlp, mnist_cnn, mnist_mlp, mnist_mlp3, fashion_cnn, squad_lora, causal_lm, poisson)
_OWN = tuple(problem.ENTRY for problem in _HERE)


def names() -> tuple[str, ...]:
    """Return the names of all registered problems, ours first."""
    return tuple(_found().entries)


def entries() -> Mapping[str, ProblemEntry]:
    """Return the entries of all registered problems by name, ours first."""
    return _found().entries


def origin(name: str) -> EntryPoint | None:
    """Return the entry point that adds the problem `name`; None for one of ours."""
    return _found().points.get(name)


def get(name: str, options: Mapping[str, object] | None = None) -> ProblemEntry:
    """Return the entry called `name`, with `options` in force; ValueError with a suggestion when there is none."""
    entry = _found().get(name)
    return entry.configured(options) if options else entry


@cached
def _found() -> plugins.Found[ProblemEntry]:
    own = {entry.name: entry for entry in _OWN}
    points = entry_points(group=ENTRY_POINT_GROUP)
    return plugins.collect(
        "problem",
        ProblemEntry,
        own,
        points,
        ENTRY_POINT_GROUP,
        check=ProblemEntry.check_fields,
    )
