"""The size of an encoder with low-rank adapters, without torch: the rank sets the number of trained parameters.

Adapters W + (α/r) B A on the query, key, value and output projections of every attention layer, A r×h and B h×r, and a
new span head with bias: N = 8·layers·h·r + 2h + 2 (Hu et al. 2021; arXiv 2405.13817 §5 for the choice of layers).
"""

from dataclasses import dataclass

from tngd_bench.datasets.encoders import EncoderShape
from tngd_bench.layers import Layer
from tngd_bench.problems.widths import Widths, is_hit, no_such_size

PROJECTIONS = 4
SPAN_ENDS = 2


@dataclass(frozen=True)
class AdapterWidths(Widths):
    """Widths of an adapted encoder; `layers` hold its frozen ones too, which every pass goes through."""

    rank: int
    length: int

    @property
    def outputs(self) -> int:
        """Two logits per position."""
        return SPAN_ENDS * self.length


def adapter_widths(shape: EncoderShape, outputs: int, parameters: int) -> AdapterWidths:
    """Return the rank whose count lies within 2 % of `parameters`, at sequences of outputs/2 tokens.

    Raises ValueError naming the nearest sizes, and for outputs that are odd or longer than the encoder takes.
    """
    length, odd = divmod(outputs, SPAN_ENDS)
    if odd or length > shape.longest:
        raise ValueError(
            f"outputs must be twice the sequence length, an even number <= {SPAN_ENDS * shape.longest}, not {outputs}"
        )
    step = 2 * PROJECTIONS * shape.layers * shape.hidden
    head = SPAN_ENDS * (shape.hidden + 1)
    rank = min(max(1, round((parameters - head) / step)), shape.hidden)
    trained = step * rank + head
    if not is_hit(trained, parameters):
        near = sorted({max(1, rank - 1), rank, min(rank + 1, shape.hidden)})
        sizes = ", ".join(f"{step * r + head} (rank {r})" for r in near)
        raise no_such_size(parameters, sizes, "rank")
    return AdapterWidths(_layers(shape, rank, length), f"rank {rank}, {length} tokens", rank, length)


def _layers(shape: EncoderShape, rank: int, length: int) -> tuple[Layer, ...]:
    h, wide = shape.hidden, shape.intermediate
    adapter = Layer(h, rank, length, bias=False), Layer(rank, h, length, bias=False)
    projections = (Layer(h, h, length, trained=False), *adapter) * PROJECTIONS
    # attention itself: queries against keys, weights against values
    attention = (
        Layer(h, length, length, trained=False, of_values=True),
        Layer(length, h, length, trained=False, of_values=True),
    )
    feed_forward = (Layer(h, wide, length, trained=False), Layer(wide, h, length, trained=False))
    return (*((*projections, *attention, *feed_forward) * shape.layers), Layer(h, SPAN_ENDS, length))
