"""Width search: the model of a family whose number of parameters comes near the one asked for.

Integer arithmetic only, no torch. A count is a hit when it lies within 2 % of the request.
"""

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tngd_bench.layers import Layer

TOLERANCE_PERCENT = 2
PREFERRED_CHANNELS = 8


@dataclass(frozen=True)
class Widths:
    """The widths of one model: its affine layers, and the same in words."""

    layers: tuple[Layer, ...]
    text: str

    @property
    def parameters(self) -> int:
        """The exact number of trained parameters, weights and biases."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def outputs(self) -> int:
        """Outputs per sample, d_z."""
        return self.layers[-1].d_out

    def describe(self) -> str:
        """Return the widths in words, such as "8 channels, 32 hidden"."""
        return self.text


def two_hidden(inputs: int, outputs: int, parameters: int) -> Widths:
    """Return a perceptron with two hidden layers whose widths differ as little as the request allows.

    Raises ValueError, naming the nearest sizes, when no pair of widths comes within 2 % of `parameters`.
    """

    def made(first: int, second: int) -> Widths:
        layers = (Layer(inputs, first, 1), Layer(first, second, 1), Layer(second, outputs, 1))
        return Widths(layers, f"{first} + {second} hidden")

    def differing_by(difference: int) -> Iterator[Widths]:
        # Widths w + f and w + s, one of f and s zero, give w² + linear·w + constant parameters; the root and
        # the integer above it bracket the request.
        for f, s in ((0, difference), (difference, 0)):
            linear = inputs + 2 + outputs + f + s
            constant = (inputs + 1) * f + (outputs + 1) * s + outputs
            root = (math.isqrt(linear**2 + 4 * max(parameters - constant, 0)) - linear) // 2
            w = max(root, 1)
            yield made(w + f, w + s)
            yield made(w + 1 + f, w + 1 + s)

    def groups() -> Iterator[Iterator[Widths]]:
        for difference in itertools.count():
            yield differing_by(difference)
            if made(1, 1 + difference).parameters > 2 * parameters:
                return

    return _first_hit(parameters, groups())


def three_equal_hidden(inputs: int, outputs: int, parameters: int) -> Widths:
    """Return a perceptron with three hidden layers of one width, the one whose count is nearest to `parameters`.

    Raises ValueError, naming the nearest sizes, when no width comes within 2 % of `parameters`.
    """

    def made(width: int) -> Widths:
        middle = Layer(width, width, 1)
        layers = (Layer(inputs, width, 1), middle, middle, Layer(width, outputs, 1))
        return Widths(layers, f"3 × {width} hidden")

    # A width w has 2w² + linear·w + outputs parameters; the root's integers bracket the request.
    linear = inputs + outputs + 3
    root = (math.isqrt(linear**2 + 8 * max(parameters - outputs, 0)) - linear) // 4
    return _first_hit(parameters, [[made(max(root, 1)), made(max(root, 1) + 1)]])


def conv_and_hidden(
    image: int, kernel: int, pool: int, outputs: int, parameters: int, channels: int = PREFERRED_CHANNELS
) -> Widths:
    """Return one convolution, pooling and one hidden layer; the hidden width sets the count.

    `image`, `kernel` and `pool` are side lengths in pixels, one square grey channel, no padding. Fewer than
    `channels` channels are taken only where those cannot come within 2 % of `parameters`. Raises ValueError,
    naming the nearest sizes, when none can.
    """
    side = image - kernel + 1
    pooled = (side // pool) ** 2

    def made(c: int, hidden: int) -> Widths:
        layers = (Layer(kernel**2, c, side**2), Layer(pooled * c, hidden, 1), Layer(hidden, outputs, 1))
        return Widths(layers, f"{c} channel{'s' if c > 1 else ''}, {hidden} hidden")

    def with_channels(c: int) -> Iterator[Widths]:
        smallest = made(c, 1).parameters
        slope = made(c, 2).parameters - smallest
        hidden = 1 + max(parameters - smallest, 0) // slope
        yield made(c, hidden)
        yield made(c, hidden + 1)

    return _first_hit(parameters, (with_channels(c) for c in range(channels, 0, -1)))


def _first_hit(requested: int, groups: Iterable[Iterable[Widths]]) -> Widths:
    """Return the nearest hit of the first group that has one; ValueError when none has."""
    counts: list[int] = []
    for group in groups:
        members = list(group)
        best = min(members, key=lambda widths: abs(widths.parameters - requested))
        if is_hit(best.parameters, requested):
            return best
        counts += (widths.parameters for widths in members)
    below = [count for count in counts if count < requested]
    above = min(count for count in counts if count > requested)
    if not below:
        raise ValueError(f"parameters must be at least {above}, the smallest model, not {requested}")
    raise no_such_size(requested, f"{max(below)} and {above}")


def is_hit(parameters: int, requested: int) -> bool:
    """Return whether a count comes within 2 % of the request."""
    return 100 * abs(parameters - requested) <= TOLERANCE_PERCENT * requested


def no_such_size(requested: int, nearest: str, what: str = "model") -> ValueError:
    """Return the error that says which sizes are nearest to the request."""
    return ValueError(
        f"parameters = {requested}: no {what} comes within {TOLERANCE_PERCENT} %; the nearest have {nearest}"
    )
