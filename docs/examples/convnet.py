"""A convolutional network with group normalisation on images of CIFAR's shape: a model of your own, any size."""

import math

import torch
from torch import nn
from torch.utils.data import TensorDataset

from tngd_bench.problems import problem_of

CLASSES = 10


def images(count, generator):
    """Gratings in colour, 3×32×32, of a direction for each class, under noise; put your own loading here."""
    labels = torch.randint(0, CLASSES, (count,), generator=generator)
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    angle = (math.pi * labels / CLASSES).view(-1, 1, 1)
    phase = 6.3 * torch.rand(count, 1, 1, generator=generator)
    grating = torch.sin(0.8 * (rows * torch.cos(angle) + columns * torch.sin(angle)) + phase).unsqueeze(1)
    colour = 0.3 + torch.rand(count, 3, 1, 1, generator=generator)
    return TensorDataset(grating * colour + 0.3 * torch.randn(count, 3, 32, 32, generator=generator), labels)


def data():
    """Return the training and the test part, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    return images(600, generator), images(200, generator)


def network(width):
    """Return the network with a hidden layer of a width, which sets the number of parameters."""
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 5, stride=2, padding=2), nn.GroupNorm(2, 4), nn.ReLU()),
        *(nn.Conv2d(4, 8, 3, stride=2, padding=1), nn.GroupNorm(2, 8), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, width), nn.ReLU(), nn.Linear(width, CLASSES)),
    )


ENTRY = problem_of(
    "gratings-convnet", network, data, outputs=CLASSES, title="Gratings, ConvNet with GroupNorm"
)
