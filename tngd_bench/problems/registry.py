"""Names of the problems; importing this module imports no torch.

Outside packages add a problem by an entry point in the group `tngd_bench.problems` that loads to a
`ProblemEntry`.
"""

from collections.abc import Mapping
from importlib.metadata import entry_points

from tngd_bench import arguments
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

ENTRY_POINT_GROUP = "tngd_bench.problems"

_OWN = (
    digits_mlp.ENTRY,
    mnist_cnn.ENTRY,
    mnist_mlp.ENTRY,
    mnist_mlp3.ENTRY,
    fashion_cnn.ENTRY,
    squad_lora.ENTRY,
    causal_lm.ENTRY,
)


def names() -> tuple[str, ...]:
    """Return the names of all registered problems, ours first."""
    return tuple(_entries())


def get(name: str, options: Mapping[str, object] | None = None) -> ProblemEntry:
    """Return the entry called `name`, with `options` in force; ValueError with a suggestion when there is none."""
    entries = _entries()
    entry = entries[arguments.choice("problem", name, entries)]
    return entry.configured(options) if options else entry


def _entries() -> dict[str, ProblemEntry]:
    known = {entry.name: entry for entry in _OWN}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        entry = point.load()
        if not isinstance(entry, ProblemEntry):
            raise TypeError(f"entry point {point.value!r} must load to a ProblemEntry, not {entry!r}")
        if entry.name in known:
            raise ValueError(f"entry point {point.value!r} registers the problem {entry.name!r} again")
        known[entry.name] = entry
    return known
