"""An LSTM that classifies sequences: which of three rhythms a noisy signal has."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

from tngd_bench.problems import problem_of


def signals(count, generator):
    """Sequences (count, 24, 2), a sine and its cosine, and the number of their frequency."""
    labels = torch.randint(0, 3, (count,), generator=generator)
    speed = (0.3 + 0.3 * labels).view(-1, 1)
    place = speed * torch.arange(24.0) + 6.3 * torch.rand(count, 1, generator=generator)
    clean = torch.stack([place.sin(), place.cos()], 2)
    return TensorDataset(clean + 0.5 * torch.randn(count, 24, 2, generator=generator), labels)


def data():
    """Return the training and the test part, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    return signals(800, generator), signals(200, generator)


class Classifier(nn.Module):
    """Logits from the state after the last step."""

    def __init__(self, width):
        super().__init__()
        self.memory = nn.LSTM(2, width, batch_first=True)
        self.head = nn.Linear(width, 3)

    def forward(self, sequences):
        """Return logits (b, 3)."""
        _, (state, _) = self.memory(sequences)
        return self.head(state[-1])


ENTRY = problem_of("rhythms-lstm", Classifier, data, outputs=3, title="Rhythms, LSTM")
