"""Fashion-MNIST: 60,000 training and 10,000 test images of clothes in ten classes, 28×28 pixels of 0 to 255.

Source: Xiao, Rasul and Vollgraf, arXiv 1708.07747; MIT licence. The four files have the names of MNIST's own; here
each has a prefix, so that files put by hand beside MNIST's are never taken for them.
"""

from tngd_bench.datasets import DType, fashion_mirrors
from tngd_bench.datasets.finder import DataFile, find
from tngd_bench.datasets.idx import read_idx
from tngd_bench.datasets.splits import DataSplits, LabelledImages, make_splits

PREFIX = fashion_mirrors.PREFIX
FILES = tuple(
    DataFile(f"{PREFIX}{name}", sha256)
    for name, sha256 in (
        ("train-images-idx3-ubyte", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
        ("train-labels-idx1-ubyte", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
        ("t10k-images-idx3-ubyte", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
        ("t10k-labels-idx1-ubyte", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
    )
)
_FULL_SCALE = 255


def load(train_size: int | None, test_size: int | None, dtype: DType, shape: tuple[int, ...]) -> DataSplits:
    """Return Fashion-MNIST in its original order, or the first images of each part, each image given `shape`.

    Grey levels are divided by 255 and not standardised, as MNIST's are. Raises DataNotFoundError.
    """
    found = find("Fashion-MNIST", FILES, "fashion-mnist", fashion_mirrors.PLACES)
    parts = [
        LabelledImages(*(read_idx(found.contents[f"{PREFIX}{part}-{kind}-ubyte"]) for kind in _KINDS))
        for part in ("train", "t10k")
    ]
    return make_splits(
        parts[0].first("train_size", train_size),
        parts[1].first("test_size", test_size),
        full_scale=_FULL_SCALE,
        shape=shape,
        dtype=dtype,
        source=f"Fashion-MNIST from {found.source}",
    )


_KINDS = ("images-idx3", "labels-idx1")
