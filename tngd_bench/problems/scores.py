"""The score of a classification."""

from collections.abc import Mapping

from torch import Tensor, nn

from tngd_bench.datasets.splits import Subset


def classification(loss: nn.Module, outputs: Tensor, part: Subset) -> Mapping[str, float]:
    """Return "loss", the mean over the samples, and "accuracy", the share whose largest logit (n, C) is the target."""
    right = (outputs.argmax(dim=1) == part.targets).sum()
    return {"loss": float(loss(outputs, part.targets)), "accuracy": int(right) / len(part)}
