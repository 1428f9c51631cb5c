"""Fashion-MNIST: 60,000 training and 10,000 test images of clothes in ten classes, 28×28 pixels of 0 to 255.

Source: Xiao, Rasul and Vollgraf, arXiv 1708.07747; MIT licence. The four files have the names of MNIST's own; here
each has a prefix, so that files put by hand beside MNIST's are never taken for them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tngd_bench.datasets import DType, mnist
from tngd_bench.datasets.finder import DataFile, Place, folder
from tngd_bench.datasets.places import debian_package, web_folder
from tngd_bench.datasets.splits import DataSplits

PREFIX = "fashion-"
FILES = tuple(
    DataFile(f"{PREFIX}{own.name}", sha256, own.size)
    for own, sha256 in zip(
        mnist.FILES,
        (
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        strict=True,
    )
)
_INSTALLED = "/usr/share/datasets/fashion-mnist"


def without_prefix(place: Place) -> Place:
    """Return `place`, which has the files under their original names, as one that has them with `PREFIX`."""

    def fetch(names: Sequence[str]) -> Mapping[str, bytes]:
        given = place.fetch([name.removeprefix(PREFIX) for name in names])
        return {f"{PREFIX}{name}": content for name, content in given.items()}

    return Place(place.description, fetch)


PLACES: tuple[Place, ...] = tuple(
    without_prefix(place)
    for place in (
        folder(Path("/usr/local/share/datasets/fashion-mnist")),
        folder(Path(_INSTALLED)),
        web_folder("https://storage.googleapis.com/tensorflow/tf-keras-datasets", packed=True),
        web_folder("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com", packed=True),
        debian_package("dataset-fashion-mnist", _INSTALLED),
    )
)
"""Tried in this order where the cache has not all of it."""


def load(train_size: int | None, test_size: int | None, dtype: DType, shape: tuple[int, ...]) -> DataSplits:
    """Return Fashion-MNIST in its original order, or the first images of each part, each image given `shape`.

    Grey levels are divided by 255 and not standardised, as MNIST's are. Raises DataNotFoundError.
    """
    return mnist.load_images("Fashion-MNIST", FILES, PLACES, train_size, test_size, dtype, shape)
