"""Classification of grey images: what the problems on such data share."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from tngd_bench.problems.entry import ProblemEntry
from tngd_bench.problems.widths import Widths


def image_problem(
    *,
    dataset: str,
    shape: tuple[int, ...],
    search: Callable[[int, int], Widths],
    network: str = "perceptron",
    sides: dict[str, int] | None = None,
    **fields: Any,
) -> ProblemEntry:
    """Return a problem of ten classes.

    `dataset` is a module of `tngd_bench.datasets`, whose images take `shape`; `network` a function of
    `tngd_bench.problems.networks`, and `sides` its lengths in pixels. `fields` are the entry's others.
    """
    read, build = partial(_read, dataset, shape), partial(_build, network, sides or {})
    return ProblemEntry(classes=10, search=search, read=read, build=build, **fields)


def _read(dataset: str, shape: tuple[int, ...], *request: Any) -> Any:
    *sizes, dtype, _outputs = request
    return import_module(f"tngd_bench.datasets.{dataset}").load(*sizes, dtype, shape)


def _build(network: str, sides: dict[str, int], widths: Widths) -> Any:
    return getattr(import_module("tngd_bench.problems.networks"), network)(widths, **sides)
