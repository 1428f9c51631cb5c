"""Real MNIST for tests that must not depend on a network or a package index."""

from pathlib import Path

import pytest

from tngd_bench.datasets.finder import CACHE_VARIABLE

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture
def real_mnist(monkeypatch):
    """Point the cache at the MNIST files beside the repository."""
    if not (SHARED / "mnist").is_dir():
        pytest.skip("no MNIST files in ../shared/data/mnist beside the repository")
    monkeypatch.setenv(CACHE_VARIABLE, str(SHARED))
    return SHARED / "mnist"


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """Point the cache at an empty folder."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"
