"""The kinds of figures that a check judges, each with its unit and how much worse it may get."""

from __future__ import annotations

from collections.abc import Sequence

from tngd_bench.analysis.regression import Kind, Metric

TIME = "step time"
_EXACT = 1e-9  # the sum of a ledger may be made in another order

_KINDS: dict[str, tuple[str, Kind, float, float]] = {
    "operations": ("FLOP", "exact", _EXACT, 0.0),
    "host operations": ("FLOP", "exact", _EXACT, 0.0),
    "forward passes": ("passes", "exact", _EXACT, 0.0),
    "modelled latency": ("s", "exact", _EXACT, 0.0),
    # what stops at a tolerance, or depends on all earlier rounding, differs a little between processors
    "solver iterations": ("iterations", "exact", 0.02, 1.0),
    "steps to half the loss": ("steps", "exact", 0.05, 1.0),
    "loss": ("", "exact", 0.02, 0.0),
    TIME: ("× SGD", "time", 0.07, 0.0),
}
"""Unit, kind, relative tolerance and slack by what a metric's name begins with."""


def make_metric(name: str, values: Sequence[float]) -> Metric:
    """Return the metric called "KIND/…"; ValueError for a kind that is not known."""
    kind = name.partition("/")[0]
    if kind not in _KINDS:
        raise ValueError(f"a metric's name begins with one of: {', '.join(_KINDS)}; not {kind!r}")
    unit, judged, tolerance, slack = _KINDS[kind]
    return Metric(name, unit, judged, tuple(float(value) for value in values), tolerance, slack)


def is_known(name: str) -> bool:
    """Whether figures of this name can be judged here: another revision may have kinds of its own."""
    return name.partition("/")[0] in _KINDS


def is_time(name: str) -> bool:
    """Whether a metric is wall time, by its name."""
    return name.partition("/")[0] == TIME
