"""The kinds of figures that a check judges, each with its unit and how much worse it may get."""

from collections.abc import Sequence

from tngd_bench.check.regression import CheckedMetric, Kind

TIME = "step time"
PAGE = "page work"
PAGE_WORK = f"{PAGE}/report"
"""The one metric of that kind."""
_EXACT = 1e-9  # the sum of a ledger may be made in another order

_KINDS: dict[str, tuple[str, Kind, float, float, bool]] = {
    "operations": ("FLOP", "exact", _EXACT, 0.0, False),
    "host operations": ("FLOP", "exact", _EXACT, 0.0, False),
    "forward passes": ("passes", "exact", _EXACT, 0.0, False),
    "allocated memory": ("bytes", "exact", _EXACT, 0.0, False),
    # of packages outside Python's own library, whose versions differ a little
    "modules imported": ("modules", "exact", 0.1, 5.0, False),
    "modelled latency": ("s", "exact", _EXACT, 0.0, True),
    # what stops at a tolerance, or depends on all earlier rounding, differs a little between processors
    "solver iterations": ("iterations", "exact", 0.02, 1.0, True),
    "steps to half the loss": ("steps", "exact", 0.05, 1.0, True),
    "loss": ("", "exact", 0.02, 0.0, True),
    # its calls of Python functions, those of the libraries that draw it too
    PAGE: ("calls", "exact", 0.05, 0.0, False),
    TIME: ("× SGD", "time", 0.07, 0.0, False),
}
"""Unit, kind, relative tolerance, slack, and whether judged in both directions, by what a name begins with."""
_AT_A_SEED = ("solver iterations", "steps to half the loss", "loss")


def make_metric(name: str, values: Sequence[float]) -> CheckedMetric:
    """Return the metric called "KIND/…"; ValueError for a kind that is not known."""
    kind = name.partition("/")[0]
    if kind not in _KINDS:
        raise ValueError(f"a metric's name begins with one of: {', '.join(_KINDS)}; not {kind!r}")
    unit, judged, tolerance, slack, two_sided = _KINDS[kind]
    return CheckedMetric(name, unit, judged, tuple(map(float, values)), tolerance, slack, two_sided)


def is_known(name: str) -> bool:
    """Whether this revision can judge figures of this name: another may have kinds of its own."""
    return name.partition("/")[0] in _KINDS


def is_at_a_seed(name: str) -> bool:
    """Whether a metric is a result of the start and batches that a seed gives, by its name."""
    return name.partition("/")[0] in _AT_A_SEED


def between_trees(name: str) -> bool:
    """Whether a figure is compared between two trees only and not kept in a baseline file: slow ones and wall times."""
    return name.partition("/")[0] in (TIME, PAGE)


def is_time(name: str) -> bool:
    """Whether a metric is wall time, by its name."""
    return name.partition("/")[0] == TIME
