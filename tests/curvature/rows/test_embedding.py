"""Embedding tables: K from the tokens that samples share is that of the rows written out."""

import pytest
import torch

from tests import oracles
from tngd_bench.curvature.rows.blocks import Slot
from tngd_bench.curvature.rows.embedding import EmbeddingBlock
from tngd_bench.layers import SMALLEST_PANELLED

VOCABULARY, WIDTH, POSITIONS = 9, 3, 4


def tokens_of(kind: str, samples: int, generator: torch.Generator) -> torch.Tensor:
    if kind == "positions":
        return torch.arange(POSITIONS).expand(samples, POSITIONS)
    drawn = torch.randint(1, VOCABULARY, (samples, POSITIONS), generator=generator)
    if kind == "one in all samples":
        drawn[:, 1], drawn[0, 2] = 0, 0  # in one sample twice
    return drawn


@pytest.mark.parametrize("kind", ["positions", "words", "one in all samples"])
@pytest.mark.parametrize(("columns", "samples"), [(2, 5), (SMALLEST_PANELLED // 5 + 1, 5), (3, 1)])
def test_gram_is_that_of_the_rows_written_out(kind: str, columns: int, samples: int) -> None:
    generator = torch.Generator().manual_seed(3)
    tokens = tokens_of(kind, samples, generator)
    shape = columns, samples, POSITIONS, WIDTH
    cotangents = torch.randn(shape, dtype=torch.float64, generator=generator)
    block = EmbeddingBlock(Slot(0, torch.Size((VOCABULARY, WIDTH))), tokens, cotangents)
    rows = block.rows()
    wanted = rows @ rows.T
    for first, last in ((0, columns), (0, 1), (columns // 2, columns)):
        panel = torch.ones(columns - first, samples, last - first, samples, dtype=torch.float64)
        block.add_gram(panel, first, last)
        part = wanted[first * samples :, first * samples : last * samples] + 1.0
        assert oracles.relative_error(panel.reshape(part.shape), part) < 1e-13
