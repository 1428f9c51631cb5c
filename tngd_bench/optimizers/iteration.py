"""What an iteration is made of: operations of its passes and products, numbers that it holds, routes that it takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from tngd_bench.curvature import route_rules
from tngd_bench.curvature.route_rules import PANELS, SMALLEST_PANELLED, LayerShape
from tngd_bench.solvers.cg_iterations import CGIterations

Layer = tuple[int, int, int]
"""(inputs per output position incl. the kernel, outputs, positions) of one weight layer."""

FROZEN_FROM = 1.1
"""Parameters of the layers over N from which on some of them are taken as frozen."""


@dataclass(frozen=True)
class Iteration:
    """What an iteration is made of, as operations or numbers held."""

    parameters: int
    rows: int
    batch_size: int
    outputs: int
    layers: Sequence[Layer] | None = None
    cg: CGIterations = field(default_factory=CGIterations)
    double: bool = False
    """Whether tensors are of double precision."""

    @property
    def shapes(self) -> Sequence[tuple[float, float, float]]:
        """The layers; all parameters as one, used once per sample, where they are not known."""
        return self.layers if self.layers is not None else [(float(self.parameters), 1.0, 1.0)]

    @property
    def forward(self) -> float:
        """Operations of a forward pass."""
        return sum(2.0 * float(self.batch_size) * d_in * d_out * t for d_in, d_out, t in self.shapes)

    @property
    def in_layers(self) -> float:
        """The parameters of the layers over N; more than 1 where some of the layers are frozen."""
        if self.layers is None:
            return 1.0
        return sum((d_in + 1.0) * d_out for d_in, d_out, _ in self.layers) / self.parameters

    @property
    def trained(self) -> float:
        """The share of the layers' weights that is trained; 1 where layers stand for a model and N is rounded."""
        return 1.0 / self.in_layers if self.in_layers > FROZEN_FROM else 1.0

    @property
    def embedded(self) -> float:
        """Numbers that a row keeps of two tables, of tokens and of their positions, before layers of a sequence.

        Such a model has parameters that are in no layer.
        """
        d_in, _, positions = self.shapes[0]
        return 2.0 * d_in * positions if positions > 1 and self.in_layers < 1.0 else 0.0

    def is_kernel(self, layer: tuple[float, float, float]) -> bool:
        """Whether a layer is a small kernel at many positions, as a convolution has."""
        return layer[2] > 1 and layer[0] + 1 <= layer[2] and not self.embedded

    @property
    def first(self) -> float:
        """Of a backward pass what the data would need, which need no gradient; without layers it is not known."""
        if self.layers is None or self.embedded:
            return 0.0
        return 2.0 * float(self.batch_size) * self.shapes[0][0] * self.shapes[0][1] * self.shapes[0][2]

    @property
    def backward(self) -> float:
        """Operations of a backward pass: weights that are trained, and what each layer's input needs."""
        return self.forward * self.trained + self.forward - self.first

    @property
    def gradient(self) -> float:
        """Operations of a forward and a backward pass."""
        return self.forward + self.backward

    @property
    def row_passes(self) -> float:
        """A backward pass an output, which makes the rows of B."""
        return self.outputs * (self.forward - self.first)

    @property
    def widths(self) -> float:
        """Outputs of all layers at all positions, of one sample."""
        return sum(float(d_out) * t for _, d_out, t in self.shapes)

    @property
    def kept(self) -> float:
        """Numbers that a row keeps: a layer's output gradients, or its part of the row written out where that is less.

        Layers used once per sample keep the gradients, whose products are cheaper.
        """
        return self.embedded + sum(self._kept(layer) for layer in self.shapes)

    def is_written(self, layer: tuple[float, float, float]) -> bool:
        """Whether a layer used at several positions has its part of a row written out."""
        return layer[2] > 1 and route_rules.rows_are_written(self.rows, self.batch_size, *layer)

    def _kept(self, layer: tuple[float, float, float]) -> float:
        d_in, d_out, positions = layer
        return d_out * (d_in + 1.0) if self.is_written(layer) else d_out * positions

    @property
    def written(self) -> float:
        """Writing rows out, where layers used at several positions keep them so.

        Behind a pooling, which shows in what the next layer takes of each channel, only the positions that it passes
        on are gone through (`curvature.tails`).
        """
        m, total = float(self.rows), 0.0
        following = [*self.shapes[1:], (0.0, 0.0, 0.0)]
        for (d_in, d_out, t), (next_in, _, next_t) in zip(self.shapes, following, strict=True):
            if self.is_written((d_in, d_out, t)):
                passed = next_in / d_out if next_t == 1 else t
                pooled = 0 < passed < t and passed * d_in <= self.outputs * t
                total += 2.0 * m * d_in * d_out * (passed if pooled else t)
        return total

    @property
    def product_by_model(self) -> float:
        """G v or K u by J and Jᵀ: a backward pass, and one through the graph of another.

        torch differentiates a convolution's backward pass by everything, asked for or not: once more, and twice where
        its input has a gradient.
        """
        unasked = 0.0
        for place, (d_in, d_out, t) in enumerate(self.shapes):
            if self.is_kernel((d_in, d_out, t)):
                unasked += (2.0 if place else 1.0) * 2.0 * self.batch_size * d_in * d_out * t
        return 2.0 * self.backward + unasked

    @property
    def lift(self) -> float:
        """Bᵀu; B v costs the same."""
        b = float(self.batch_size)
        held = sum(2.0 * b * math.prod(layer) for layer in self.shapes if not self.is_written(layer))
        return held + 2.0 * float(self.rows) * self.kept

    @property
    def gram_product(self) -> float:
        """K u from the rows: a layer used once goes by its inputs' similarity or its weight, whichever is cheaper."""
        b = float(self.batch_size)
        between = 0.0
        for d_in, d_out, t in self.shapes:
            if t == 1:
                between += min(2.0 * b * b * d_out, 4.0 * b * d_in * d_out)
            elif not self.is_written((d_in, d_out, t)):
                between += 4.0 * b * d_in * d_out * t
        return between + 4.0 * float(self.rows) * self.kept

    @property
    def similarity_for_products(self) -> float:
        """The similarities that products with K use, each made once."""
        b = float(self.batch_size)
        return sum(2.0 * b * b * d_in for d_in, _, t in self.shapes if t == 1 and b <= 2.0 * d_in)

    @property
    def forming(self) -> float:
        """K from the rows: inner products of what they keep, weighed by those of the layers' inputs.

        A layer used at several positions, whose rows are not written out, goes by all pairs of positions.
        """
        return self.written + self.tables + sum(map(self.formed, self.shapes))

    @property
    def tables(self) -> float:
        """The share of K of two tables: a position is in all samples, a token in few."""
        return 2.0 * float(self.rows) ** 2 * self.embedded / 2.0 * panelled(self.rows)

    def formed(self, layer: tuple[float, float, float]) -> float:
        """A layer's share of K, from what its rows keep."""
        (d_in, d_out, t), b, m = layer, float(self.batch_size), float(self.rows)
        if self.is_written(layer):
            return 2.0 * m * m * d_out * (d_in + 1.0) * panelled(self.rows)
        if t == 1:
            return 2.0 * m * m * d_out * panelled(self.rows) + 2.0 * b * b * d_in
        panels = PANELS if self.rows >= SMALLEST_PANELLED else 1
        return 2.0 * (m * t) ** 2 * (d_out + 1.0) * panelled(self.rows) + 2.0 * (b * t) ** 2 * d_in * panels

    @property
    def activations(self) -> float:
        """Inputs and outputs of all layers, of the batch."""
        return sum(float(self.batch_size) * (d_in + d_out) * t for d_in, d_out, t in self.shapes)

    @property
    def held(self) -> float:
        """Numbers that every optimizer holds."""
        return 4.0 * float(self.parameters) + 2.0 * self.activations

    @property
    def matrix_free(self) -> bool:
        """Whether there are too many outputs for a row each, so that products go by J and Jᵀ through the model."""
        return route_rules.rows_are_too_many(self.outputs, self.widths, self.parameters)

    @property
    def iterations_of_cg(self) -> float:
        """The expected iterations of conjugate gradients."""
        shared = self.layers is not None and any(map(self.is_kernel, self.layers))
        return self.cg.at(self.parameters, self.batch_size, self.outputs, shared=shared)

    @property
    def cg_by_model(self) -> bool:
        """Whether conjugate gradients make no rows and multiply by J and Jᵀ through the model."""
        return self.matrix_free or self.model_is_cheaper(round(self.cg.beforehand(self.outputs)) + 2)

    def model_is_cheaper(self, products: int) -> bool:
        """Whether so few products cost less by J and Jᵀ than rows for them, where the layers are known."""
        if self.layers is None:
            return False
        shapes = self.layer_shapes
        return route_rules.model_is_cheaper(shapes, self.outputs, self.batch_size, products)

    @property
    def layer_shapes(self) -> list[LayerShape]:
        """The layers as the rules of routes want them."""
        shapes = [
            LayerShape(float(d_in) * d_out, float(d_out) * t, d_out if t == 1 else d_in * d_out + d_out, t)
            for d_in, d_out, t in self.shapes
        ]
        if self.embedded:
            shapes += [LayerShape(0.0, self.embedded / 2.0, self.embedded / 2.0)] * 2
        return shapes


def panelled(size: int) -> float:
    """Return the share of a symmetric product's operations that are made."""
    return (PANELS + 1) / (2 * PANELS) if size >= SMALLEST_PANELLED else 1.0
