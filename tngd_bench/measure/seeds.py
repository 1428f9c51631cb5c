"""Seeds derived from named parts, so that what should be the same for all optimizers is, and nothing else."""

import hashlib

_BYTES = 8


def derive_seed(*parts: str | int) -> int:
    """Return a seed in [0, 2⁶³) that depends on every part and on their order.

    Parts are hashed with their type and length, so ("a", "bc") and ("ab", "c"), or 1 and "1", differ. The same
    parts give the same seed on every machine. Raises ValueError without parts, TypeError for other types.
    """
    if not parts:
        raise ValueError("derive_seed needs at least one part")
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, bool) or not isinstance(part, str | int):
            raise TypeError(f"a seed is derived from strings and integers, not {part!r}")
        text = f"{type(part).__name__}:{part}".encode()
        digest.update(len(text).to_bytes(_BYTES, "big") + text)
    return int.from_bytes(digest.digest()[:_BYTES], "big") >> 1


def unlike_seeds(study: str, other: str) -> str:
    """Return why one seed of two studies gives no pair of runs, "" where it does: its parts begin with their names."""
    told = f"start and batches derive from the name of the study, and these are “{study}” and “{other}”"
    return "" if study == other else told
