"""The model families as plain `torch.nn.Sequential`, initialised as torch does by default."""

from torch import nn

from tngd_bench.problems.widths import Widths


def perceptron(widths: Widths) -> nn.Sequential:
    """Return linear layers with a ReLU between each two; inputs (b, d_in), outputs (b, d_z)."""
    first, *rest = (nn.Linear(layer.d_in, layer.d_out) for layer in widths.layers)
    return nn.Sequential(first, *(module for linear in rest for module in (nn.ReLU(), linear)))


def convolutional(widths: Widths, kernel: int, pool: int) -> nn.Sequential:
    """Return conv · ReLU · max-pool · linear · ReLU · linear; inputs (b, 1, side, side), outputs (b, d_z).

    `kernel` and `pool` are side lengths; the convolution is unpadded and the images are grey.
    """
    conv, hidden, out = widths.layers
    first = nn.Conv2d(1, conv.d_out, kernel), nn.ReLU(), nn.MaxPool2d(pool), nn.Flatten()
    return nn.Sequential(*first, nn.Linear(*hidden[:2]), nn.ReLU(), nn.Linear(*out[:2]))
