"""Tables of the keys of a study file for docs/studies.md, made from the schema and the docstrings below its fields.

python -m tngd_bench.studies.file.key_tables
"""

import dataclasses
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from tngd_bench.field_docstrings import field_docstrings
from tngd_bench.studies.file import schema

TABLES: Mapping[str, Any] = {
    "": schema.Study,
    "[execution]": schema.Execution,
    "[[cost]]": schema.CostSection,
    "[[training]]": schema.TrainingSection,
    "[[training.sweep]]": schema.Sweep,
    "[[training.targets]]": schema.TargetLevel,
    "[tuning]": schema.Tuning,
    "[tuning.spaces.OPTIMIZER.SETTING]": schema.Axis,
    "[cluster]": schema.Cluster,
}
"""Dataclasses by the headers of their tables in a study file."""


def key_tables() -> str:
    """Return the tables of all keys in Markdown."""
    return "\n\n".join("\n".join(_lines(header, kind)) for header, kind in TABLES.items()) + "\n"


def _lines(header: str, kind: Any) -> Iterator[str]:
    first, *_ = inspect.getdoc(kind).splitlines()  # type: ignore[union-attr]  # all have one
    yield f"{f'`{header}`: ' if header else ''}{first}"
    yield ""
    yield "| key | default | meaning |"
    yield "|---|---|---|"
    texts = field_docstrings(kind)
    for field in dataclasses.fields(kind):
        yield f"| `{field.name}` | {_default(field)} | {texts[field.name]} |"


def _default(field: dataclasses.Field[Any]) -> str:
    default = field.default
    if default is None or field.default_factory is not dataclasses.MISSING or default in ((), ""):
        return ""
    if default is dataclasses.MISSING:
        return "required"
    value = default[0] if isinstance(default, tuple) and len(default) == 1 else default
    return f"`{json.dumps(value)}`"


if __name__ == "__main__":
    sys.stdout.write(key_tables())
