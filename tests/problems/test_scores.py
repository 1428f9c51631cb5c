"""The accuracy of a classification against counting by hand, in every form that targets may have."""

import pytest
import torch
from torch import Tensor, nn

from tngd_bench.datasets.splits import Subset
from tngd_bench.problems.scores import classification

N, C, T = 6, 4, 3
LOGITS, LABELS = (
    torch.randn(N, T, C, generator=torch.Generator().manual_seed(0)),
    torch.arange(N * T).view(N, T) % C,
)


def share(logits: Tensor, labels: Tensor, ignored: int = -100) -> float:
    """Of the labels that are not ignored, one by one."""
    pairs = [
        (max(range(C), key=lambda k: float(row[k])), int(label))
        for row, label in zip(logits.reshape(-1, C), labels.reshape(-1), strict=True)
        if int(label) != ignored
    ]
    return sum(found == wanted for found, wanted in pairs) / len(pairs)


@pytest.mark.parametrize(
    ("outputs", "targets", "ignored"),
    [
        (LOGITS[:, 0], LABELS[:, 0], -100),
        (LOGITS[:, 0], LABELS[:, 0].to(torch.uint8), -100),
        (LOGITS, LABELS, -100),
        (LOGITS.movedim(2, 1), LABELS, -100),
        (LOGITS, LABELS, 2),
        (LOGITS[:, 0], nn.functional.one_hot(LABELS[:, 0], C).double(), -100),
    ],
    ids=["a sample", "small labels", "classes last", "classes second", "ignored", "probabilities"],
)
def test_accuracy_is_the_share_of_all_that_is_classified(
    outputs: Tensor, targets: Tensor, ignored: int
) -> None:
    loss = nn.CrossEntropyLoss(ignore_index=ignored)
    found = classification(loss, outputs, Subset(outputs, targets))
    soft = targets.is_floating_point()
    last = outputs.movedim(1, -1) if outputs.shape[1] == C else outputs
    wanted = share(last, targets.argmax(1) if soft else targets.long(), ignored)
    assert found["accuracy"] == pytest.approx(wanted)
    assert found["loss"] == pytest.approx(
        float(loss(last.movedim(-1, 1), targets if soft else targets.long()))
    )
