"""Which files of a folder a report wrote, so that the next one can remove what it no longer writes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

NAME = "report-files.json"
_FOLDERS = ("", "figures", "data", "tables")


def replace_manifest(output: Path, written: Iterable[Path]) -> tuple[Path, ...]:
    """Note `written` in `output` and remove what an earlier report wrote there and this one did not.

    Only files that an earlier manifest names are removed, and only those in the folders of a report: nobody else's
    file is touched, whatever a manifest says. Returns what was removed.
    """
    names = sorted({path.relative_to(output).as_posix() for path in written})
    removed = []
    for name in sorted(set(_earlier(output)) - set(names)):
        path = PurePosixPath(name)
        parent = "" if path.parent == PurePosixPath(".") else str(path.parent)
        if path.is_absolute() or parent not in _FOLDERS or path.name == NAME:
            continue
        stale = output / path
        if stale.is_file() and not stale.is_symlink():
            stale.unlink()
            removed.append(stale)
    aside = output / f".{NAME}.part"
    aside.write_text(json.dumps({"files": names}, indent=1) + "\n", encoding="utf-8")
    aside.replace(output / NAME)
    return tuple(removed)


def _earlier(output: Path) -> tuple[str, ...]:
    try:
        found = json.loads((output / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()  # no report yet, or a manifest that somebody changed: nothing is known to be ours
    files = found.get("files") if isinstance(found, dict) else None
    return tuple(name for name in files if isinstance(name, str)) if isinstance(files, list) else ()
