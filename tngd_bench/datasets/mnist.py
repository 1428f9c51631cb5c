"""MNIST: 60,000 training and 10,000 test images of handwritten digits, 28×28 pixels of 0 to 255.

The four IDX files of the original distribution are kept; where only a table of pixels can be had, the same
bytes are rebuilt from it, so that one checksum covers every source.
"""

from collections.abc import Mapping

from tngd_bench.datasets import DType, mnist_mirrors
from tngd_bench.datasets.finder import DataFile, find
from tngd_bench.datasets.idx import read_idx
from tngd_bench.datasets.splits import DataSplits, LabelledImages, make_splits

FILES = (
    DataFile("train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    DataFile("train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    DataFile("t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    DataFile("t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
)
_FULL_SCALE = 255


def load(train_size: int | None, test_size: int | None, dtype: DType, shape: tuple[int, ...]) -> DataSplits:
    """Return MNIST in its original order, or the first images of each part, each image given `shape`.

    Grey levels are divided by 255 and not standardised: the background stays exactly zero, and the curvature
    has the scale that the default damping was chosen for. Raises DataNotFoundError.
    """
    found = find("MNIST", FILES, "mnist", mnist_mirrors.PLACES)
    return make_splits(
        _part(found.contents, "train").first("train_size", train_size),
        _part(found.contents, "t10k").first("test_size", test_size),
        full_scale=_FULL_SCALE,
        shape=shape,
        dtype=dtype,
        source=f"MNIST from {found.source}",
    )


def _part(contents: Mapping[str, bytes], prefix: str) -> LabelledImages:
    images = read_idx(contents[f"{prefix}-images-idx3-ubyte"])
    labels = read_idx(contents[f"{prefix}-labels-idx1-ubyte"])
    return LabelledImages(images, labels)
