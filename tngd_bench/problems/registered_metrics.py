"""The metrics of all registered problems, by the names of their columns; importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Mapping

from tngd_bench import arguments
from tngd_bench.problems import registry
from tngd_bench.problems.metrics import OWN, OWN_CURVES, TRAINING_LOSS, CurveMetric, Metric, both_parts

_OWN_COLUMNS = {each.column: each for each in OWN_CURVES}
_OWN_FINALS = {each.final: each for each in OWN_CURVES}


def curve_metrics() -> tuple[CurveMetric, ...]:
    """Return each metric of all registered problems twice, of training and of test data; the suite's own come first."""
    metrics: dict[str, Metric] = {metric.name: metric for metric in OWN}
    for entry in registry.entries().values():
        for metric in entry.metrics:
            metrics.setdefault(metric.name, metric)
    return both_parts(metrics.values())


def of_column(column: str) -> CurveMetric:
    """Return the metric of a column of curves, such as "test_accuracy"; ValueError for another."""
    return _OWN_COLUMNS.get(column) or _chosen(
        "metric", column, {each.column: each for each in curve_metrics()}
    )


def of_final(column: str) -> CurveMetric:
    """Return the metric of a column of final values, such as "final_test_accuracy"; ValueError for another."""
    return _OWN_FINALS.get(column) or _chosen("score", column, {each.final: each for each in curve_metrics()})


def tested() -> tuple[CurveMetric, ...]:
    """Return the metrics of test data other than the loss."""
    return tuple(each for each in curve_metrics() if each.data == "test" and each.metric.name != "loss")


def judged() -> tuple[CurveMetric, ...]:
    """Return the metrics that charts, tolerances and findings look at, the training loss first."""
    return (TRAINING_LOSS, *(each for each in tested() if each.metric.judged))


def _chosen(name: str, column: str, known: Mapping[str, CurveMetric]) -> CurveMetric:
    return known[arguments.choice(name, column, known)]
