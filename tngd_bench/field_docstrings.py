"""Docstrings below the fields of a class, which Python does not keep."""

import ast
import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any


@cache
def field_docstrings(owner: Any) -> Mapping[str, str]:
    """Return the docstring below each field of a class, on one line; {} where the source is not installed."""
    try:
        source = inspect.getsource(owner)
    except OSError:
        return {}
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    texts = {}
    for before, after in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name):
            match after:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    texts[before.target.id] = " ".join(text.split())
    return texts
