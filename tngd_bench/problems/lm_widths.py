"""The size of the small language model, without torch.

One block of causal attention on `context` tokens, read at the last of them: embedding V·h and positions C·h, four
projections h→h, a hidden layer h→f→h, and V logits, all with biases. The width h and the hidden layer f set N.
"""

import math
from dataclasses import dataclass

from tngd_bench.layers import Layer
from tngd_bench.problems.widths import Widths, is_hit, no_such_size

PREFERRED_RATIO = 2.0
"""Hidden width over width, f/h, that the search comes as near to as it can."""


@dataclass(frozen=True)
class LanguageWidths(Widths):
    """Vocabulary V, context C, width h and hidden width f; `layers` are the affine ones."""

    vocabulary: int
    context: int
    width: int
    hidden: int

    @property
    def parameters(self) -> int:
        """The exact number of parameters, embeddings included."""
        return super().parameters + (self.vocabulary + self.context) * self.width


def language_widths(context: int, vocabulary: int, parameters: int) -> LanguageWidths:
    """Return the model within 2 % of `parameters` whose hidden layer is nearest to twice its width.

    Raises ValueError naming the nearest sizes when there is none.
    """

    def made(width: int, hidden: int) -> LanguageWidths:
        everywhere, once = (Layer(width, width, context),) * 2, (Layer(width, width, 1),) * 2
        ends = (Layer(width, hidden, 1), Layer(hidden, width, 1), Layer(width, vocabulary, 1))
        text = f"width {width}, {hidden} hidden, {context} tokens"
        return LanguageWidths((*everywhere, *once, *ends), text, vocabulary, context, width, hidden)

    def at_width(width: int) -> LanguageWidths:
        smallest = made(width, 1).parameters
        slope = made(width, 2).parameters - smallest
        return made(width, max(1, 1 + round((parameters - smallest) / slope)))

    widest = 1
    while made(widest + 1, 1).parameters <= parameters:
        widest += 1
    candidates = [at_width(width) for width in range(1, widest + 1)]
    hits = [c for c in candidates if is_hit(c.parameters, parameters)]
    if not hits:
        near = sorted(
            {made(1, 1).parameters, *(c.parameters for c in candidates)}, key=lambda n: abs(n - parameters)
        )
        raise no_such_size(parameters, ", ".join(map(str, sorted(near[:2]))))
    return min(hits, key=lambda c: abs(math.log(c.hidden / (PREFERRED_RATIO * c.width))))
