"""The manifest of a report: its files and what they were made from, so that the next one removes outdated ones."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from tngd_bench.atomic_write import write
from tngd_bench.studies.errors import StoreError
from tngd_bench.unwritable import is_foreign

NAME = "report-files.json"
MADE = "Made by tngd-bench"
"""Begins the line at the end of each document."""
_PAGES = ("index.html", "compare.html")
_FOLDERS = ("", "figures", "data", "tables")
_DOCUMENTS = ("", "tables")
"""Folders of the formats that can be asked for one by one; figures and data are written each time."""


def digest(*parts: bytes) -> str:
    """Return a digest of what a report is made from."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()


def refuse_foreign(output: Path, page: str, documents: Sequence[str]) -> None:
    """Raise StoreError where `output` has another `page`, or a file of somebody else called like one of `documents`.

    Ours are those that the manifest names; without one all are, where one of them says that this package made it.
    """
    earlier, _ = _earlier(output)
    for other in _PAGES:
        if other != page and other in earlier:
            raise StoreError(
                f"output {output} holds {other}, which would be removed; choose another --output"
            )
    there = [name for name in documents if (output / name).is_file()]
    foreign = [name for name in there if name not in earlier]
    if foreign and (earlier or all(is_foreign(output / name, MADE) for name in there)):
        path = output / foreign[0]
        raise StoreError(
            f"{path} is a file that no report wrote, and one would replace it; choose another --output"
        )


def replace_manifest(output: Path, written: Iterable[Path], made_from: str = "") -> tuple[Path, ...]:
    """Note `written` in `output` and remove what an earlier report wrote there and this one did not.

    Documents in formats that were not asked for stay if the earlier report has the same digest `made_from` and its
    figures and data are all written again: they say the same. "" is like no other digest. Only files that an earlier
    manifest names are removed, and only those in the folders of a report: nobody else's file is touched, whatever a
    manifest says. Returns what was removed.
    """
    names = {path.relative_to(output).as_posix() for path in written}
    earlier, earlier_made_from = _earlier(output)
    gone = [path for path in map(PurePosixPath, sorted(set(earlier) - names)) if _is_ours(path)]
    documents = [path for path in gone if _folder(path) in _DOCUMENTS]
    if made_from and made_from == earlier_made_from and len(documents) == len(gone):
        names |= {path.as_posix() for path in gone if (output / path).is_file()}
        gone = []
    removed = []
    for path in gone:
        stale = output / path
        if stale.is_file() and not stale.is_symlink():
            stale.unlink()
            removed.append(stale)
    content = {"made_from": made_from, "files": sorted(names)}
    write(output / NAME, (json.dumps(content, indent=1) + "\n").encode())
    return tuple(removed)


def removed_documents(output: Path, removed: Iterable[Path]) -> tuple[Path, ...]:
    """Return those of the `removed` files that a reader may miss: documents, not figures or data."""
    return tuple(path for path in removed if _folder(PurePosixPath(path.relative_to(output))) in _DOCUMENTS)


def _is_ours(path: PurePosixPath) -> bool:
    return not path.is_absolute() and _folder(path) in _FOLDERS and path.name != NAME


def _folder(path: PurePosixPath) -> str:
    return "" if path.parent == PurePosixPath(".") else str(path.parent)


def _earlier(output: Path) -> tuple[tuple[str, ...], str]:
    try:
        found = json.loads((output / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return (), ""  # no report yet, or a manifest that somebody changed: nothing is known to be ours
    if not isinstance(found, dict):
        return (), ""
    files = found.get("files")
    names = tuple(name for name in files if isinstance(name, str)) if isinstance(files, list) else ()
    return names, str(found.get("made_from", ""))
