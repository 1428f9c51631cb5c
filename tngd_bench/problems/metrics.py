"""Metrics: the numbers that a problem's score gives, described once for curves, tables, charts, targets and claims."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tngd_bench import arguments

_FINAL, _UNTRAINED = "final_", "untrained_"


@dataclass(frozen=True)
class Metric:
    """A number that the score of a problem gives for the model's outputs on some samples."""

    name: str
    """The key of its value in the score, and its part of column names: `test_accuracy`."""
    title: str
    """The name in texts, in lower case but for abbreviations: "accuracy"."""
    larger_is_better: bool = True
    """Whether a larger value is the better one."""
    share: bool = True
    """Whether values lie between 0 and 1 and are shown in percent."""
    judged: bool = True
    """Whether charts, tolerances and findings look at it; others stand in tables alone."""
    start_in_tables: bool = False
    """Whether tables show its value before training, as of a pretrained model."""
    targets: tuple[float, ...] = ()
    """Values to reach where a study states no targets."""

    def __post_init__(self) -> None:
        for field in ("name", "title"):
            arguments.text(field, getattr(self, field))
        if not self.name.isidentifier():
            raise ValueError(f"name must be letters, digits and underscores, not {self.name!r}")


LOSS = Metric("loss", "loss", larger_is_better=False, share=False)
ACCURACY = Metric("accuracy", "accuracy", targets=(0.80, 0.90, 0.95))
EXACT_MATCH = Metric("exact_match", "exact match", judged=False)
F1 = Metric("f1", "F1", start_in_tables=True)
OWN = (LOSS, ACCURACY, EXACT_MATCH, F1)


@dataclass(frozen=True)
class CurveMetric:
    """A metric of the training or the test data: a column of curves and its values at the ends of a run."""

    metric: Metric
    data: Literal["train", "test"]

    @property
    def column(self) -> str:
        """Its column in curves: "test_accuracy"."""
        return f"{self.data}_{self.metric.name}"

    @property
    def final(self) -> str:
        """The column of its last value: "final_test_accuracy"; that of the training loss is "final_loss"."""
        return f"{_FINAL}loss" if self == TRAINING_LOSS else _FINAL + self.column

    @property
    def untrained(self) -> str:
        """The column of its value before the first iteration: "untrained_test_accuracy"."""
        return _UNTRAINED + self.column

    @property
    def title(self) -> str:
        """The name in texts: "training loss", "test accuracy"."""
        return f"{'training' if self.data == 'train' else 'test'} {self.metric.title}"


def both_parts(metrics: Iterable[Metric]) -> tuple[CurveMetric, ...]:
    """Return each metric of the training data and of the test data."""
    return tuple(
        curve for metric in metrics for curve in (CurveMetric(metric, "train"), CurveMetric(metric, "test"))
    )


TRAINING_LOSS = CurveMetric(LOSS, "train")
TEST_ACCURACY = CurveMetric(ACCURACY, "test")
OWN_CURVES = both_parts(OWN)
