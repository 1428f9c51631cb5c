"""Modules at their earlier addresses are those of the present ones."""

import importlib

import pytest

from tngd_bench.moved import MOVED


@pytest.mark.filterwarnings("ignore:tngd_bench:DeprecationWarning")
@pytest.mark.parametrize("earlier", MOVED)
def test_an_earlier_address_gives_the_module_of_today(earlier):
    assert importlib.import_module(earlier) is importlib.import_module(MOVED[earlier])


def test_an_earlier_address_warns():
    import sys

    sys.modules.pop("tngd_bench.analysis.regression", None)
    with pytest.warns(DeprecationWarning, match="tngd_bench.analysis.regression is now tngd_bench.check"):
        importlib.import_module("tngd_bench.analysis.regression")
