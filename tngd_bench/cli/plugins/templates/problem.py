"""A problem for tngd-bench: data, a model with a size knob and a loss, to be replaced by yours.

tngd-bench test mine.py                      checks it: starts, data, scores, curvature, …
tngd-bench list problems --plugin mine.py    shows it among the others
A study knows it by plugins = ["mine.py"], and takes it by problem = "mine" and a number of parameters.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

from tngd_bench.problems import problem_of


def data() -> tuple[TensorDataset, TensorDataset]:
    """Return the training and the test samples, the same at each call."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(1_200, 20, generator=generator)
    teacher = torch.randn(20, 3, generator=generator)
    targets = (inputs @ teacher + 0.5 * torch.randn(1_200, 3, generator=generator)).argmax(dim=1)
    return TensorDataset(inputs[:1_000], targets[:1_000]), TensorDataset(inputs[1_000:], targets[1_000:])


def model(width: int) -> nn.Module:
    """Return the model of a width; a function without an argument gives a problem of one size."""
    return nn.Sequential(nn.Linear(20, width), nn.ReLU(), nn.Linear(width, 3))


# outputs: what the model gives per sample. Further arguments: loss=nn.MSELoss, metrics and values of your own.
ENTRY = problem_of("mine", model, data, outputs=3)
