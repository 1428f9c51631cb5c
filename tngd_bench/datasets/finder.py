"""Finding a data set: the cache first, then other places in turn.

Content that does not match its checksum is refused, and a place that fails says why. What another place gave
is written to the cache, each file at once or not at all.
"""

import hashlib
import logging
import os
import tempfile
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from tngd_bench.atomic_write import free_name, write
from tngd_bench.datasets.archives import gunzip

CACHE_VARIABLE = "TNGD_BENCH_DATA"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DataFile:
    """A file of a data set: its name, and of its uncompressed bytes the SHA-256, in hexadecimal, and the number."""

    name: str
    sha256: str
    size: int

    def mismatch(self, content: bytes) -> str | None:
        """Return what is wrong with `content`, or None."""
        found = hashlib.sha256(content).hexdigest()
        if found == self.sha256:
            return None
        return f"{self.name} has SHA-256 {found[:12]}…, expected {self.sha256[:12]}…"


class FetchError(Exception):
    """A place cannot give what was asked for; the message says why."""


class DataNotFoundError(RuntimeError):
    """No place had the data; `attempts` holds each place tried and why it failed."""

    def __init__(
        self, title: str, attempts: Sequence[tuple[str, str]], names: Sequence[str], hint: str | None = None
    ) -> None:
        self.attempts = tuple(attempts)
        tried = "; ".join(f"{place}: {reason}" for place, reason in attempts)
        super().__init__(
            f"{title} was not found. Tried {tried}. To give it by hand, put {', '.join(names)} (plain or .gz)"
            f" into a folder and set {CACHE_VARIABLE} to that folder, or name it by --data"
            + (f"; or {hint}" if hint else "")
        )


@dataclass(frozen=True)
class Place:
    """Somewhere to look: `fetch` takes the names wanted and returns those it has, uncompressed.

    It raises FetchError where it can give nothing.
    """

    description: str
    fetch: Callable[[Sequence[str]], Mapping[str, bytes]]


@dataclass(frozen=True)
class VerifiedFiles:
    """The verified contents by file name, and where they came from."""

    contents: Mapping[str, bytes]
    source: str


def cache_directory() -> Path:
    """Return the folder that `TNGD_BENCH_DATA` names, or else the platform's user cache for tngd-bench."""
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return user_path(given)
    # A user may have no home, as in containers started with any user id; old platformdirs then say "~", new ones raise.
    try:
        cache = platformdirs.user_cache_path("tngd-bench")
    except RuntimeError:
        cache = Path("~")
    return cache if cache.is_absolute() else Path(tempfile.gettempdir()) / f"tngd-bench-{os.getuid()}"


def user_path(text: str) -> Path:
    """Return the path that a user wrote, "~" being the home; left as it is where that home is unknown."""
    return Path(os.path.expanduser(text))  # noqa: PTH111  # pathlib's raises RuntimeError there


def folder(directory: Path) -> Place:
    """Return a folder as a place; its files may be compressed by gzip."""

    def fetch(names: Sequence[str]) -> Mapping[str, bytes]:
        contents = {}
        for name in names:
            plain, packed = directory / name, directory / f"{name}.gz"
            try:
                if plain.is_file():
                    contents[name] = plain.read_bytes()
                elif packed.is_file():
                    contents[name] = gunzip(packed.read_bytes())
            except (OSError, EOFError, zlib.error) as error:
                raise FetchError(f"{name} cannot be read ({error})") from error
        return contents

    return Place(str(directory), fetch)


def find(
    title: str,
    files: Sequence[DataFile],
    subfolder: str,
    places: Sequence[Place],
    *,
    hint: str | None = None,
) -> VerifiedFiles:
    """Return the files of the data set `title` from the cache or the first of `places` that has them right.

    The cache keeps them in `subfolder`; files put by hand beside it are found too. A bad file in the cache is
    set aside with a warning. Every place asked beyond it is logged, and why it failed. Raises DataNotFoundError, which
    names all of them and the `hint`.
    """
    cache = cache_directory() / subfolder
    local = (folder(cache), folder(cache.parent))
    contents: dict[str, bytes] = {}
    sources: list[str] = []
    attempts: list[tuple[str, str]] = []
    for place in (*local, *places):
        missing = [file for file in files if file.name not in contents]
        if not missing:
            break
        is_local = place in local
        if not is_local:
            named = ", ".join(file.name for file in missing)
            amount = sum(file.size for file in missing) / 1e6
            _log.info("looking for %s (%s; %.1f MB) at %s", title, named, amount, place.description)
        try:
            given = place.fetch([file.name for file in missing])
        except FetchError as error:
            attempts.append((place.description, str(error)))
            if is_local:
                _warn(f"{place.description}: {error}; looking elsewhere")
            else:
                _log.info("%s: %s", *attempts[-1])
            continue
        wrong = {f.name: why for f in missing if f.name in given and (why := f.mismatch(given[f.name]))}
        good = {name: content for name, content in given.items() if name not in wrong}
        contents |= good
        if good:
            sources.append(place.description)
        if len(good) < len(missing):
            attempts.append((place.description, ", ".join(wrong.values()) or "no such files"))
            if not is_local:
                _log.info("%s: %s", *attempts[-1])
        if is_local:
            for name, why in wrong.items():
                _set_aside(Path(place.description), name, why)
        else:
            _store(cache, good)
    if len(contents) < len(files):
        raise DataNotFoundError(title, attempts, [file.name for file in files], hint)
    return VerifiedFiles(contents, ", ".join(sources))


def _set_aside(directory: Path, name: str, why: str) -> None:
    """Rename the bad copy of `name`, plain or packed, so that it is neither read again nor lost."""
    bad = next(path for path in (directory / name, directory / f"{name}.gz") if path.exists())
    aside = free_name(bad.with_name(f"{bad.name}.bad"))
    try:
        bad.replace(aside)
    except OSError as error:
        _warn(f"{directory}: {why}; it cannot be set aside ({error}); looking elsewhere")
    else:
        _warn(f"{directory}: {why}; set aside as {aside.name}; looking elsewhere")


def _store(cache: Path, contents: Mapping[str, bytes]) -> None:
    """Write the files into the cache."""
    for name, content in contents.items():
        try:
            write(cache / name, content, sync=True)
        except OSError as error:
            _warn(f"{name} cannot be kept in {cache} ({error}); it will be fetched again the next time")


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=3)
