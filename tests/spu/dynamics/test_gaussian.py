"""Long standard normal vectors: the same for any number of threads, of the right law, from the generator given."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from tngd_bench.spu.dynamics import gaussian
from tngd_bench.spu.dynamics.gaussian import standard_normal


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaussian, "PIECE", 1000)


def drawn(size: int, seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return standard_normal(size, torch.Generator().manual_seed(seed), torch.empty(0, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_threads_do_not_change_the_draws(dtype: torch.dtype) -> None:
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(drawn(12_345, 3, dtype))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert found[0].dtype == dtype


def test_draws_are_standard_normal_and_pieces_are_not_repeated() -> None:
    values = drawn(200_000, 0, torch.float64)
    assert stats.kstest(values.numpy(), "norm").pvalue > 1e-3
    pieces = values.view(-1, 1000)
    correlations = torch.corrcoef(pieces)
    correlations.fill_diagonal_(0.0)
    assert float(correlations.abs().max()) < 6 / 1000**0.5


def test_the_generator_given_moves_on_and_no_other() -> None:
    generator = torch.Generator().manual_seed(1)
    like = torch.empty(0)
    state = torch.get_rng_state()
    first, second = standard_normal(5000, generator, like), standard_normal(5000, generator, like)
    assert not torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(7)
    by_default = standard_normal(5000, None, like)
    torch.manual_seed(7)
    assert torch.equal(standard_normal(5000, None, like), by_default)


def test_short_vectors_are_torchs_own() -> None:
    assert torch.equal(drawn(1999, 5), torch.randn(1999, generator=torch.Generator().manual_seed(5)))
