"""Operations of the passes and products of an iteration, the numbers that it holds, and the routes that it takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from tngd_bench.curvature.route import Route, gram_function_route, product_route, relaxation_route
from tngd_bench.layers import Layer, PointwiseLayer, panelled, similarity_is_cheaper
from tngd_bench.solvers.cg_iterations import CGIterations


@dataclass(frozen=True)
class Iteration:
    """The parts of an iteration, in operations or numbers held; `layers` may be plain tuples."""

    parameters: int
    rows: int
    batch_size: int
    outputs: int
    layers: Sequence[Layer] | None = None
    cg: CGIterations = field(default_factory=CGIterations)
    double: bool = False
    """Whether tensors are of double precision."""

    @cached_property
    def shapes(self) -> tuple[Layer, ...]:
        """The layers; all parameters as one, used once per sample, where they are not known."""
        given = ((self.parameters, 1),) if self.layers is None else self.layers
        return tuple(Layer(*each) for each in given)

    @cached_property
    def trained(self) -> tuple[Layer, ...]:
        """The layers that are trained, which have blocks of B."""
        return tuple(layer for layer in self.shapes if layer.trained)

    @cached_property
    def reached(self) -> tuple[Layer, ...]:
        """The layers that a backward pass comes to: the first trained one, and all behind it."""
        return self.shapes[self.shapes.index(self.trained[0]) :]

    @cached_property
    def forward(self) -> float:
        """Operations of a forward pass."""
        return sum(layer.forward(self.batch_size) for layer in self.shapes)

    @cached_property
    def embedded(self) -> float:
        """Numbers that a row keeps of two tables, of tokens and of their positions, before layers of a sequence.

        Such a model has parameters that are in no layer.
        """
        first = self.shapes[0]
        outside = sum(layer.parameters for layer in self.shapes) < self.parameters
        return 2.0 * first.d_in * first.positions if first.repeated and outside else 0.0

    def is_kernel(self, layer: Layer) -> bool:
        """Whether a layer is a small kernel at many positions, as a convolution has, which are no tokens."""
        tokens = self.embedded or any(layer.of_values for layer in self.shapes)
        return layer.repeated and layer.d_in + 1 <= layer.positions and not tokens

    @cached_property
    def propagation(self) -> float:
        """Operations of a backward pass without the weights: the gradients of the layers' inputs.

        The first trained layer's inputs are data, which need none; without layers that is not known.
        """
        first = 0 if self.layers is None or self.embedded else 1
        return sum(layer.propagation(self.batch_size) for layer in self.reached[first:])

    @cached_property
    def backward(self) -> float:
        """Operations of a backward pass: weights that are trained, and what each layer's input needs."""
        return self.propagation + sum(layer.forward(self.batch_size) for layer in self.trained)

    @cached_property
    def gradient(self) -> float:
        """Operations of a forward and a backward pass."""
        return self.forward + self.backward

    @cached_property
    def row_passes(self) -> float:
        """A backward pass an output, which makes the rows of B."""
        return self.outputs * self.propagation

    @cached_property
    def widths(self) -> float:
        """Outputs of the trained layers at all positions, of one sample."""
        return float(sum(layer.values for layer in self.trained))

    @cached_property
    def kept(self) -> float:
        """Numbers that a row keeps: a layer's output gradients, or its part of the row where that is written out."""
        return self.embedded + sum(layer.row_values(self.rows, self.batch_size) for layer in self.trained)

    @cached_property
    def written(self) -> float:
        """Writing rows out, where layers used at several positions keep them so."""
        return self._writing(lambda layer: layer.is_written(self.rows, self.batch_size))

    @cached_property
    def all_written(self) -> float:
        """Writing B out, of which layers used at several positions take products."""
        return self._writing(lambda layer: layer.repeated)

    def _writing(self, chosen: Callable[[Layer], bool]) -> float:
        following = (*self.shapes[1:], None)
        return sum(
            layer.writing(self.rows, behind, self.outputs)
            for layer, behind in zip(self.shapes, following, strict=True)
            if layer.trained and chosen(layer)
        )

    @cached_property
    def product_by_model(self) -> float:
        """G v or K u by J and Jᵀ: a backward pass, and one through the graph of another.

        torch differentiates a convolution's backward pass by everything, asked for or not: once more, and twice where
        its input has a gradient.
        """
        unasked = sum(
            (2.0 if place else 1.0) * layer.forward(self.batch_size)
            for place, layer in enumerate(self.reached)
            if self.is_kernel(layer)
        )
        return 2.0 * self.backward + unasked

    def product(self, *, by_model: bool) -> float:
        """G v, by J and Jᵀ or from the rows."""
        return self.product_by_model if by_model else 2.0 * self.lift

    @cached_property
    def lift(self) -> float:
        """Bᵀu; B v costs the same."""
        b = self.batch_size
        held = sum(layer.forward(b) for layer in self.trained if not layer.is_written(self.rows, b))
        return held + 2.0 * float(self.rows) * self.kept

    @cached_property
    def gram_product(self) -> float:
        """K u from the rows, which are read twice."""
        between = sum(layer.gram_product(self.rows, self.batch_size) for layer in self.trained)
        return between + 4.0 * float(self.rows) * self.kept

    @cached_property
    def similarity_for_products(self) -> float:
        """The products of layers' inputs that products with K use, each made once."""
        b = self.batch_size
        inputs = [layer.d_in for layer in self.trained if not layer.repeated]
        return sum(2.0 * float(b) * b * d_in for d_in in inputs if similarity_is_cheaper(b, d_in))

    @cached_property
    def forming(self) -> float:
        """K from the rows: inner products of what they keep, weighed by those of the layers' inputs."""
        return self.written + self.tables + sum(map(self.formed, self.trained))

    @cached_property
    def tables(self) -> float:
        """The share of K of two tables: a position is in all samples, a token in few."""
        return 2.0 * float(self.rows) ** 2 * self.embedded / 2.0 * panelled(self.rows)

    def formed(self, layer: Layer) -> float:
        """A layer's share of K, from what its rows keep."""
        return layer.forming_gram(self.rows, self.batch_size)

    @cached_property
    def activations(self) -> float:
        """Inputs and outputs of all layers, of the batch."""
        return sum(
            float(self.batch_size) * (layer.d_in + layer.d_out) * layer.positions for layer in self.shapes
        )

    @cached_property
    def held(self) -> float:
        """Numbers that every optimizer holds."""
        return 4.0 * float(self.parameters) + 2.0 * self.activations

    @cached_property
    def all_trained(self) -> list[Layer | PointwiseLayer]:
        """The trained layers, tables of embeddings included."""
        tables = [PointwiseLayer(self.embedded / 2.0, self.embedded / 2.0)] * 2 if self.embedded else []
        return [*self.trained, *tables]

    def product_route(self, products: int | None = None) -> Route:
        """The route of `products` products with G or K (`tngd_bench.curvature.route`)."""
        known = None if self.layers is None else products
        return product_route(self.all_trained, self.outputs, self.batch_size, self.parameters, known)

    @cached_property
    def matrix_free(self) -> bool:
        """Whether there are too many outputs for a row each, so that products go by J and Jᵀ through the model."""
        return self.product_route().name == "model"

    @cached_property
    def forms_gram(self) -> bool:
        """Whether a relaxation forms K, rather than multiply with it through the rows."""
        return relaxation_route(self.rows, self.parameters).name == "gram"

    @cached_property
    def takes_eigenvectors(self) -> bool:
        """Whether functions of a K in memory go by its eigenvectors, rather than by Lanczos."""
        return gram_function_route(self.rows, single=not self.double).name == "eigenvectors"

    @cached_property
    def iterations_of_cg(self) -> float:
        """The expected iterations of conjugate gradients."""
        shared = self.layers is not None and any(map(self.is_kernel, self.trained))
        return self.cg.at(self.parameters, self.batch_size, self.outputs, shared=shared)

    @cached_property
    def cg_by_model(self) -> bool:
        """Whether conjugate gradients make no rows and multiply by J and Jᵀ through the model."""
        return self.product_route(round(self.cg.beforehand(self.outputs)) + 2).name == "model"
