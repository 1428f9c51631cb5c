"""Long standard normal vectors: the same for any number of threads, of the right law, from the generator given."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from tngd_bench.spu.dynamics import gaussian
from tngd_bench.spu.dynamics.gaussian import standard_normal


@pytest.fixture
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaussian, "SHORT", 2000)
    monkeypatch.setattr(gaussian, "PIECE", 1000)


def drawn(size: int, seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return standard_normal(size, torch.Generator().manual_seed(seed), torch.empty(0, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_threads_do_not_change_the_draws(dtype: torch.dtype) -> None:
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(drawn(gaussian.PIECE + 54_321, 3, dtype))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert found[0].dtype == dtype


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_are_standard_normal_and_pieces_are_not_repeated(
    dtype: torch.dtype, short_pieces: None
) -> None:
    values = drawn(200_000, 0, dtype).double()
    assert stats.kstest(values.numpy(), "norm").pvalue > 1e-3
    pieces = values.view(-1, 1000)
    correlations = torch.corrcoef(pieces)
    correlations.fill_diagonal_(0.0)
    assert float(correlations.abs().max()) < 6 / 1000**0.5


def test_the_two_numbers_of_a_pair_are_independent(short_pieces: None) -> None:
    """Their radius is common, so that a wrong law of it shows in products of even functions."""
    first, second = drawn(200_000, 1, torch.float64).view(-1, 2, 500).unbind(1)
    for power in (1, 2):
        a, b = first.flatten() ** power, second.flatten() ** power
        assert abs(float(torch.corrcoef(torch.stack([a, b]))[0, 1])) < 5 / len(a) ** 0.5
    angles = torch.atan2(second, first).flatten() / (2 * math.pi) + 0.5
    assert stats.kstest(angles.numpy(), "uniform").pvalue > 1e-3


def test_tails_are_those_of_the_law() -> None:
    values = drawn(2**20, 2).abs()
    for limit in (3.0, 4.0):
        found, expected = int((values > limit).sum()), len(values) * 2 * stats.norm.sf(limit)
        assert abs(found - expected) < 5 * expected**0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_pattern_of_bits_gives_finite_numbers(dtype: torch.dtype) -> None:
    whole = np.int32 if dtype == torch.float32 else np.int64
    extremes = np.array([0, 1, -1, np.iinfo(whole).min, np.iinfo(whole).max], dtype=whole)

    class Bits:
        def random_raw(self, size: int) -> np.ndarray:
            return np.concatenate(np.broadcast_arrays(extremes[:, None], extremes)).ravel().view(np.uint64)

    piece = torch.empty(50, dtype=dtype)
    gaussian._fill(piece, Bits())  # type: ignore[arg-type]
    assert bool(piece.isfinite().all())
    bits = 8 * dtype.itemsize
    assert float(piece.abs().max()) == pytest.approx(math.sqrt(2 * (bits + 1) * math.log(2)), rel=1e-6)


def test_the_generator_given_moves_on_and_no_other(short_pieces: None) -> None:
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
    size = gaussian.SHORT - 1
    assert torch.equal(drawn(size, 5), torch.randn(size, generator=torch.Generator().manual_seed(5)))
