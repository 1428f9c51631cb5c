"""Every key of a study file is described below its field, and stands in docs/studies.md."""

import dataclasses
from pathlib import Path

import pytest

from tngd_bench.field_docstrings import field_docstrings
from tngd_bench.studies.file import schema
from tngd_bench.studies.file.key_tables import TABLES, key_tables

PAGE = Path(__file__).parents[3] / "docs" / "studies.md"
CLASSES = [
    item
    for item in vars(schema).values()
    if dataclasses.is_dataclass(item) and item.__module__ == schema.__name__
]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_key_has_a_docstring_of_its_own(kind):
    texts = field_docstrings(kind)
    assert [field.name for field in dataclasses.fields(kind)] == list(texts)
    for text in texts.values():
        assert text.endswith("."), text
        assert "\n" not in text, text


def test_every_table_of_a_study_file_is_listed():
    assert {*CLASSES} - {*TABLES.values()} == {schema.TunedSet}, "which `tngd-bench tune` writes"


def test_the_page_has_the_tables():
    assert key_tables() in PAGE.read_text(encoding="utf-8"), "python -m tngd_bench.studies.file.key_tables"


@dataclasses.dataclass
class HalfDescribed:
    described: int = 1
    """What it is."""
    undescribed: int = 2
    last: int = 3
    """The last."""


def test_a_field_without_a_docstring_is_missing():
    assert field_docstrings(HalfDescribed) == {"described": "What it is.", "last": "The last."}
