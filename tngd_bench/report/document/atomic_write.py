"""Files that a report writes: whole or not at all."""

from __future__ import annotations

from pathlib import Path


def write(path: Path, content: bytes) -> Path:
    """Write `content` aside and rename, so that a reader never finds half a file; return `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    aside.write_bytes(content)
    aside.replace(path)
    return path
