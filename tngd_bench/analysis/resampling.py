"""Resampling: medians of repetitions within processes, and the ways to draw seeds.

Repetitions of one process share its heap layout, its clock frequency and its neighbours, so that they are drawn in
two levels: processes with replacement, then repetitions within each drawn process (Davison & Hinkley, Bootstrap
Methods and their Application, 1997, §3.8).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
LARGEST_ENUMERATION = 5
RANDOM_DRAWS = 2000


def resampled_medians(blocks: Sequence[Array], draws: int, generator: np.random.Generator) -> Array:
    """Return the medians of `draws` resamples of `blocks` (one array of repetitions per process): (draws,)."""
    lengths = np.array([len(block) for block in blocks])
    padded = np.zeros((len(blocks), lengths.max()))
    for row, block in zip(padded, blocks, strict=True):
        row[: len(block)] = block
    picked = generator.integers(len(blocks), size=(draws, len(blocks)))
    inside = generator.random((draws, len(blocks), lengths.max()))
    values = padded[picked[..., None], (inside * lengths[picked][..., None]).astype(np.int64)]
    if (lengths == lengths.max()).all():
        return np.asarray(np.median(values.reshape(draws, -1), axis=1))
    # A shorter block fills as many places as it has repetitions; the rest of its row is left out.
    values[np.arange(lengths.max()) >= lengths[picked][..., None]] = np.nan
    return np.asarray(np.nanmedian(values.reshape(draws, -1), axis=1))


def seed_draws(seeds: int) -> npt.NDArray[np.int64]:
    """Return resamples of `seeds` places, (draws, seeds): all nⁿ of them for n ≤ 5, else 2,000 from a fixed stream."""
    if seeds <= LARGEST_ENUMERATION:
        return np.array(list(itertools.product(range(seeds), repeat=seeds)), dtype=np.int64)
    return np.random.default_rng(0).integers(seeds, size=(RANDOM_DRAWS, seeds))
