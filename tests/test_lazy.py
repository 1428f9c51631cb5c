import importlib
import sys

import pytest

from tngd_bench.lazy import lazy_names

PACKAGES = ("analysis", "curvature", "optimizers", "report", "solvers", "spu")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_found(package):
    module = importlib.import_module(f"tngd_bench.{package}")
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_a_name_is_imported_when_asked_for(tmp_path, monkeypatch):
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "__init__.py").touch()
    (tmp_path / "whole" / "part.py").write_text("Thing = 3")
    monkeypatch.syspath_prepend(tmp_path)
    find = lazy_names("whole", {"Thing": "part"})
    assert "whole.part" not in sys.modules
    assert find("Thing") == 3


def test_another_name_is_refused_like_that_of_any_module():
    with pytest.raises(AttributeError, match="module 'whole' has no attribute 'Other'"):
        lazy_names("whole", {"Thing": "part"})("Other")
