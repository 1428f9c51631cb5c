"""Normal draws: their law, and that they depend on the generator's state alone."""

import scipy.stats
import torch

from tngd_bench.spu.noise import CHUNK, standard_normal

LONG = 3 * CHUNK + 17


def draw(size: int, seed: int = 0, threads: int = 2) -> torch.Tensor:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return standard_normal(size, torch.Generator().manual_seed(seed), dtype=torch.float64)
    finally:
        torch.set_num_threads(before)


def test_long_draws_follow_the_normal_law_across_chunks() -> None:
    values = draw(LONG)
    assert values.shape == (LONG,)
    assert scipy.stats.kstest(values.numpy(), "norm").pvalue > 1e-3
    chunks = values[: 3 * CHUNK].view(3, CHUNK)
    correlation = torch.corrcoef(chunks) - torch.eye(3, dtype=torch.float64)
    assert float(correlation.abs().max()) < 5 / CHUNK**0.5


def test_values_depend_on_the_generator_and_not_on_threads() -> None:
    assert torch.equal(draw(LONG, threads=1), draw(LONG, threads=2))
    assert not torch.equal(draw(LONG, seed=1), draw(LONG))
    generator = torch.Generator().manual_seed(0)
    first = standard_normal(LONG, generator, dtype=torch.float32)
    state = generator.get_state()
    second = standard_normal(LONG, generator, dtype=torch.float32)
    assert not torch.equal(first, second)
    generator.set_state(state)
    assert torch.equal(standard_normal(LONG, generator, dtype=torch.float32), second)


def test_short_draws_are_torchs_own() -> None:
    expected = torch.randn(100, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert torch.equal(draw(100, seed=3), expected)
