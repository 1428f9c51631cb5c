"""A causal language model of one attention block, read at the last token of its context."""

import math

import torch
from torch import Tensor, nn

from tngd_bench.problems.lm_widths import LanguageWidths


class LanguageModel(nn.Module):
    """Logits (b, V) of the token that follows C given ones, (b, C).

    Only the last position asks, of all positions up to its own: no later one exists, so nothing needs a causal mask.
    Attention is written out, since its fused form has no second derivative, and positions are read from a table sample
    by sample, since curvature then has rows of it as of any embedding.
    """

    def __init__(self, widths: LanguageWidths) -> None:
        super().__init__()
        h = widths.width
        self.tokens = nn.Embedding(widths.vocabulary, h)
        self.positions = nn.Embedding(widths.context, h)
        self.key, self.value = nn.Linear(h, h), nn.Linear(h, h)
        self.query, self.mix = nn.Linear(h, h), nn.Linear(h, h)
        self.up, self.down = nn.Linear(h, widths.hidden), nn.Linear(widths.hidden, h)
        self.logits = nn.Linear(h, widths.vocabulary)
        for table in (self.tokens, self.positions):
            nn.init.normal_(table.weight, std=1.0 / math.sqrt(h))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits."""
        places = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        x = self.tokens(tokens) + self.positions(places)
        last = x[:, -1]
        scores = torch.einsum("bh,bch->bc", self.query(last), self.key(x)) / math.sqrt(x.shape[2])
        seen = torch.einsum("bc,bch->bh", torch.softmax(scores, 1), self.value(x))
        state = last + self.mix(seen)
        state = state + self.down(nn.functional.gelu(self.up(state)))
        logits: Tensor = self.logits(state)
        return logits
