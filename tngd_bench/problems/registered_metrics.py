"""The metrics of all registered problems, by the names of their columns; importing this module imports no torch."""

from typing import Literal

from tngd_bench import arguments
from tngd_bench.problems import registry
from tngd_bench.problems.metrics import OWN, OWN_CURVES, TRAINING_LOSS, CurveMetric, Metric, both_parts


def curve_metrics() -> tuple[CurveMetric, ...]:
    """Return each metric of all registered problems twice, of training and of test data; the suite's own come first."""
    metrics: dict[str, Metric] = {metric.name: metric for metric in OWN}
    for entry in registry.entries().values():
        for metric in entry.metrics:
            metrics.setdefault(metric.name, metric)
    return both_parts(metrics.values())


def of_column(column: str) -> CurveMetric:
    """Return the metric of a column of curves, such as "test_accuracy"; ValueError for another."""
    return _named("metric", "column", column)


def of_final(column: str) -> CurveMetric:
    """Return the metric of a column of final values, such as "final_test_accuracy"; ValueError for another."""
    return _named("score", "final", column)


def tested() -> tuple[CurveMetric, ...]:
    """Return the metrics of test data other than the loss."""
    return tuple(each for each in curve_metrics() if each.data == "test" and each.metric.name != "loss")


def judged() -> tuple[CurveMetric, ...]:
    """Return the metrics that charts, tolerances and findings look at, the training loss first."""
    return (TRAINING_LOSS, *(each for each in tested() if each.metric.judged))


def _named(what: str, kind: Literal["column", "final"], column: str) -> CurveMetric:
    """Return the metric whose column of a kind this is; one of the suite's own without a look at other packages."""
    own = next((each for each in OWN_CURVES if getattr(each, kind) == column), None)
    if own is not None:
        return own
    known = {getattr(each, kind): each for each in curve_metrics()}
    return known[arguments.choice(what, column, known)]
