"""Resampling: medians of repetitions within processes.

Repetitions of one process share its heap layout, its clock frequency and its neighbours, so that they are drawn in
two levels: processes with replacement, then repetitions within each drawn process (Davison & Hinkley, Bootstrap
Methods and their Application, 1997, §3.8).
"""

from collections.abc import Sequence

import numpy as np

from tngd_bench.analysis.arrays import Array


def resampled_medians(blocks: Sequence[Array], draws: int, generator: np.random.Generator) -> Array:
    """Return the medians of `draws` resamples of `blocks` (one array of repetitions per process): (draws,)."""
    lengths = np.array([len(block) for block in blocks])
    longest = int(lengths.max())
    padded = np.zeros((len(blocks), longest))
    for row, block in zip(padded, blocks, strict=True):
        row[: len(block)] = block
    picked = generator.integers(len(blocks), size=(draws, len(blocks)))
    inside = generator.random((draws, len(blocks), longest))
    inside *= lengths[picked][..., None]
    places = inside.astype(np.int64)
    places += longest * picked[..., None]
    values = padded.ravel().take(places)
    if (lengths == longest).all():
        return np.asarray(np.median(values.reshape(draws, -1), axis=1, overwrite_input=True))
    # A shorter block fills as many places as it has repetitions; the rest of its row is left out, behind all others.
    values[np.arange(longest) >= lengths[picked][..., None]] = np.inf
    ordered = np.sort(values.reshape(draws, -1), axis=1)
    known = lengths[picked].sum(axis=1)
    rows = np.arange(draws)
    return np.asarray((ordered[rows, (known - 1) // 2] + ordered[rows, known // 2]) / 2)
