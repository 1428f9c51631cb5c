import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from tngd_bench.datasets import fashion_mnist
from tngd_bench.datasets.finder import DataFile, DataNotFoundError, FetchError, Place, folder
from tngd_bench.datasets.mnist import write_idx
from tngd_bench.problems import fashion_cnn

ENTRY = fashion_cnn.ENTRY
NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
GENERATOR = np.random.default_rng(0)
CONTENTS = {
    "train-images-idx3-ubyte": write_idx(GENERATOR.integers(0, 256, (20, 28, 28), dtype=np.uint8)),
    "train-labels-idx1-ubyte": write_idx(GENERATOR.integers(0, 10, 20, dtype=np.uint8)),
    "t10k-images-idx3-ubyte": write_idx(GENERATOR.integers(0, 256, (5, 28, 28), dtype=np.uint8)),
    "t10k-labels-idx1-ubyte": write_idx(GENERATOR.integers(0, 10, 5, dtype=np.uint8)),
}


@pytest.fixture
def small(cache, monkeypatch, tmp_path):
    """A data set of 25 images in a folder of its own, under the original names."""
    import hashlib

    source = tmp_path / "system"
    source.mkdir()
    for name, content in CONTENTS.items():
        (source / name).write_bytes(content)
    files = tuple(
        DataFile(f"fashion-{name}", hashlib.sha256(content).hexdigest(), len(content))
        for name, content in CONTENTS.items()
    )
    monkeypatch.setattr(fashion_mnist, "FILES", files)
    monkeypatch.setattr(fashion_mnist, "PLACES", (fashion_mnist.without_prefix(folder(source)),))
    return source


def test_images_come_in_the_shape_of_mnist(small):
    splits = ENTRY.load()
    assert splits.train_inputs.shape == (20, 1, 28, 28)
    assert splits.test_targets.shape == (5,)
    assert splits.train_inputs.max() <= 1
    assert splits.source == f"Fashion-MNIST from {small}"
    assert torch.equal(ENTRY.load(train_size=3, test_size=1).train_inputs, splits.train_inputs[:3])


def test_mnist_put_by_hand_beside_it_is_neither_taken_nor_set_aside(small, cache):
    cache.mkdir(parents=True)
    for name in NAMES:
        (cache / name).write_bytes(b"MNIST, not Fashion-MNIST")
    assert len(ENTRY.load().train_targets) == 20
    assert sorted(path.name for path in cache.iterdir() if path.is_file()) == sorted(NAMES)


def test_the_model_is_that_of_mnist_cnn():
    from tngd_bench.problems import mnist_cnn

    assert ENTRY.widths(43_706) == mnist_cnn.ENTRY.widths(43_706)


def test_the_checksums_are_pinned_and_not_those_of_mnist():
    from tngd_bench.datasets import mnist

    assert len({file.sha256 for file in (*fashion_mnist.FILES, *mnist.FILES)}) == 8
    assert all(file.name.startswith("fashion-") for file in fashion_mnist.FILES)


def test_without_any_source_the_error_says_what_to_do(cache, monkeypatch):
    def closed(names):
        raise FetchError("Network is unreachable")

    monkeypatch.setattr(fashion_mnist, "PLACES", (Place("https://mirror.example", closed),))
    with pytest.raises(DataNotFoundError, match=r"Fashion-MNIST was not found.*unreachable.*TNGD_BENCH_DATA"):
        ENTRY.load()


def apt_that(monkeypatch, returncode=0, stderr=""):
    commands = []

    def run(command, cwd, **options):
        commands.append(command[0])
        if command[0] == "apt-get" and not returncode:
            (Path(cwd) / "dataset.deb").write_bytes(b"package")
        if command[0] == "dpkg-deb":
            inside = Path(cwd) / "unpacked" / "usr/share/datasets/fashion-mnist"
            inside.mkdir(parents=True)
            for name, content in CONTENTS.items():
                (inside / name).write_bytes(content)
        return subprocess.CompletedProcess(command, returncode, "", stderr)

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_debians_package_is_unpacked_without_being_installed(monkeypatch):
    commands = apt_that(monkeypatch)
    place = fashion_mnist.PLACES[-1]
    assert place.fetch(["fashion-t10k-labels-idx1-ubyte"]) == {
        "fashion-t10k-labels-idx1-ubyte": CONTENTS["t10k-labels-idx1-ubyte"]
    }
    assert commands == ["apt-get", "dpkg-deb"]


def test_apt_that_fails_or_is_missing_is_a_reason(monkeypatch):
    apt_that(monkeypatch, returncode=100, stderr="E: Unable to locate package")
    with pytest.raises(FetchError, match="Unable to locate package"):
        fashion_mnist.PLACES[-1].fetch(["a"])

    def missing(command, **options):
        raise FileNotFoundError("apt-get")

    monkeypatch.setattr(subprocess, "run", missing)
    with pytest.raises(FetchError, match="apt-get did not finish"):
        fashion_mnist.PLACES[-1].fetch(["a"])


def test_places_are_tried_from_near_to_far():
    kinds = [place.description.split(":")[0].split()[0] for place in fashion_mnist.PLACES]
    system = "/share/datasets/fashion-mnist"
    assert kinds == [f"/usr/local{system}", f"/usr{system}", "https", "http", "apt-get"]
