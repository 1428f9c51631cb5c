"""Settings and fixtures of all tests."""

import functools
import gc
import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from tngd_bench import plugin_files
from tngd_bench.datasets.finder import CACHE_VARIABLE
from tngd_bench.studies.run import machine

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"

# A time limit on an example fails where the machine is busy, and says nothing about the code.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# Workers of pytest-xdist share the cores: with two threads each, those of one wait for those of the other at every
# small product, which takes ten times as long.
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)

gc.disable()  # until all tests are collected: hundreds of modules are loaded, and next to nothing of it is garbage


def pytest_collection_finish() -> None:
    """Set aside what is loaded: each of a hundred pages and timed blocks collects by hand, a third of a second each."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def speed_measured_once():
    """Measure the speed of this machine once, not again in each of a hundred runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "call_in_worker", functools.cache(machine.call_in_worker))
        yield


@pytest.fixture(autouse=True)
def no_plugins_left():
    """Take out plug-in files that a test has loaded: they would be among the next one's registries."""
    before = plugin_files.loaded()
    yield
    if left := [file for file in plugin_files.loaded() if file not in before]:
        plugin_files.forget(*left)


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
