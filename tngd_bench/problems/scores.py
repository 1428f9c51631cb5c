"""The score of a classification."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tngd_bench.curvature.losses.evaluation import class_dim, evaluate
from tngd_bench.datasets.splits import Subset


def classification(loss: nn.Module, outputs: Tensor, part: Subset) -> Mapping[str, float]:
    """Return "loss", the mean over what is classified, and "accuracy", the share whose largest logit is the target's.

    One class a sample, (n, C), or at each position, (n, C, …) or (n, …, C); of probabilities as targets the largest.
    Targets that the loss ignores are left out.
    """
    targets, dim = part.targets, class_dim(loss, outputs, part.targets)
    if targets.is_floating_point():
        wanted = targets.argmax(dim)
        kept = torch.ones_like(wanted, dtype=torch.bool)
    else:
        wanted, kept = targets, targets != getattr(loss, "ignore_index", -100)
    right = (outputs.argmax(dim) == wanted) & kept
    value = float(evaluate(loss, outputs, targets))
    return {"loss": value, "accuracy": int(right.sum()) / max(1, int(kept.sum()))}
