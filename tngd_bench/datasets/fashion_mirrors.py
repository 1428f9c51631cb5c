"""Where Fashion-MNIST can be had besides the cache: a system copy, public mirrors, Debian's own package."""

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tngd_bench.datasets.finder import FetchError, Place, folder
from tngd_bench.datasets.mnist_mirrors import mirror

PREFIX = "fashion-"
PACKAGE = "dataset-fashion-mnist"
APT_SECONDS = 120
_INSTALLED = "/usr/share/datasets/fashion-mnist"
_SYSTEM = ("/usr/local/share/datasets/fashion-mnist", _INSTALLED)
_MIRRORS = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
)


def without_prefix(place: Place) -> Place:
    """Return `place`, which has the files under their original names, as one that has them with `PREFIX`."""

    def fetch(names: Sequence[str]) -> Mapping[str, bytes]:
        given = place.fetch([name.removeprefix(PREFIX) for name in names])
        return {f"{PREFIX}{name}": content for name, content in given.items()}

    return Place(place.description, fetch)


def debian_package() -> Place:
    """Return Debian's package as a place: downloaded and unpacked without installing it, so without privileges."""

    def fetch(names: Sequence[str]) -> Mapping[str, bytes]:
        with tempfile.TemporaryDirectory(prefix="tngd-bench-") as temporary:
            directory = Path(temporary)
            _run(["apt-get", "download", "--quiet", PACKAGE], directory)
            packages = [path.name for path in directory.glob("*.deb")]
            if len(packages) != 1:
                raise FetchError(f"apt-get gave {len(packages)} packages")
            _run(["dpkg-deb", "--extract", packages[0], "unpacked"], directory)
            return folder(directory / "unpacked" / _INSTALLED.lstrip("/")).fetch(names)

    return Place(f"apt-get download {PACKAGE}", fetch)


def _run(command: Sequence[str], directory: Path) -> None:
    try:
        # Only commands written in this module, no shell between.
        done = subprocess.run(  # noqa: S603
            command,
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=APT_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FetchError(f"{command[0]} did not finish ({error})") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise FetchError(said[-1])


PLACES: tuple[Place, ...] = tuple(
    without_prefix(place)
    for place in (
        *(folder(Path(directory)) for directory in _SYSTEM),
        *(mirror(address) for address in _MIRRORS),
        debian_package(),
    )
)
