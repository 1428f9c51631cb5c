"""A store in one file: read like the folder, checked when it is read, unpacked without loss."""

import json
import random
import shutil

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.studies.store.test_store import STORE_V1
from tngd_bench.cli.main import run as command_line
from tngd_bench.report import build
from tngd_bench.studies.errors import StoreError
from tngd_bench.studies.file.reading import load_study
from tngd_bench.studies.run.run_study import run_study
from tngd_bench.studies.store.merge import merge_stores
from tngd_bench.studies.store.packed import PACKED, PackedStore, find_store
from tngd_bench.studies.store.records import read_records
from tngd_bench.studies.store.store import Store

FRAMES = ("trials", "costs", "curves")


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(STORE_V1, tmp_path / "plain" / "store")
    return tmp_path / "plain"


@pytest.fixture
def packed(folder, tmp_path):
    merge_stores([folder], tmp_path / "packed", packed=True)
    return tmp_path / "packed" / PACKED


def same(a, b):
    for name in FRAMES:
        pd.testing.assert_frame_equal(getattr(a, name), getattr(b, name))
    return (a.study, a.environment, a.ignored) == (b.study, b.environment, b.ignored)


def test_a_packed_store_is_one_file_that_reads_as_the_folder(folder, packed):
    assert list(packed.parent.iterdir()) == [packed]
    for place in (packed, packed.parent):
        assert same(read_records(folder), read_records(place))
    assert list(packed.parent.iterdir()) == [packed], "reading leaves nothing beside it"


def test_merging_a_packed_store_unpacks_it(folder, packed, tmp_path):
    merged = merge_stores([packed], tmp_path / "unpacked")
    assert merged.path == tmp_path / "unpacked" / "store"
    assert same(read_records(folder), read_records(tmp_path / "unpacked"))
    again = merge_stores([tmp_path / "unpacked"], tmp_path / "again", packed=True)
    assert again.path.read_bytes() == packed.read_bytes(), "the same documents give the same bytes"


@pytest.mark.slow(reason="draws two pages")
def test_the_pages_of_folder_and_file_are_the_same_bytes(folder, packed, tmp_path):
    pages = []
    for name, place in (("a", folder / "store"), ("b", packed)):
        written = build.build_report(
            read_records(place), tmp_path / name, formats=("html", "md"), store=place
        )
        files = [
            path for path in (tmp_path / name).rglob("*") if path.suffix in (".html", ".md", ".csv", ".svg")
        ]
        pages.append({path.relative_to(tmp_path / name).as_posix(): path.read_bytes() for path in files})
        assert written.html.exists()
    assert pages[0] == pages[1]


def test_records_on_a_page_beside_it_are_links_to_the_file(packed):
    address = build._addresses(packed, packed.parent)
    assert {address(key) for key in find_store(packed).trial_names()} == {PACKED}
    assert address("of-nobody") is None
    elsewhere = build._addresses(packed, packed.parent / "elsewhere")
    assert {elsewhere(key) for key in find_store(packed).trial_names()} == {None}


def test_whatever_byte_is_changed_is_seen(packed):
    """Every change is refused, or does not touch what was packed."""
    intact, expected = packed.read_bytes(), read_records(packed)
    places = random.Random(0).sample(range(len(intact)), 30)
    messages = []
    for place in places:
        packed.write_bytes(intact[:place] + bytes([intact[place] ^ 0x5A]) + intact[place + 1 :])
        try:
            assert same(read_records(packed), expected)
        except StoreError as error:
            messages.append(str(error))
    assert len(messages) > len(places) / 2
    assert all(str(packed) in message and "\n" not in message for message in messages)


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_broken_off_file_is_refused_in_one_line(packed, kept, capsys):
    content = packed.read_bytes()
    packed.write_bytes(content[: int(kept * len(content))])
    for words in (["report"], ["merge", "--output", str(packed.parent / "x")], ["export", "--asv", "x"]):
        assert command_line([words[0], str(packed), *words[1:]]) == 3
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{packed} is no packed store of tngd-bench, or is damaged" in line


def test_a_document_edited_in_place_is_refused(packed):
    table = pq.read_table(packed)
    texts = [text.replace('"sgd"', '"adam"') for text in table["document"].to_pylist()]
    edited = pa.table({"file": table["file"], "document": texts}).replace_schema_metadata(
        table.schema.metadata
    )
    pq.write_table(edited, packed)
    with pytest.raises(StoreError, match="was changed after it was packed"):
        read_records(packed)


def test_a_removed_trial_is_missed(packed):
    table = pq.read_table(packed)
    pq.write_table(table.slice(0, len(table) - 1), packed)
    with pytest.raises(StoreError, match="was changed after it was packed"):
        read_records(packed)


def test_other_tables_and_other_layouts_are_refused(packed):
    table = pq.read_table(packed)
    stated = json.loads(table.schema.metadata[b"tngd-bench"])
    newer = json.dumps({**stated, "layout": 99})
    pq.write_table(table.replace_schema_metadata({"tngd-bench": newer}), packed)
    with pytest.raises(StoreError, match="another version"):
        read_records(packed)
    pq.write_table(pa.table({"file": ["study.json"], "document": ["{}"]}), packed)
    with pytest.raises(StoreError, match="no packed store"):
        read_records(packed)


def test_a_folder_that_a_run_went_on_in_goes_before_the_packed_file_beside_it(folder, packed):
    assert isinstance(find_store(packed.parent), PackedStore)
    shutil.copytree(folder / "store", packed.parent / "store")
    assert isinstance(find_store(packed.parent), Store)
    assert isinstance(find_store(packed), PackedStore)


def test_a_run_does_not_begin_beside_a_packed_store(packed):
    with pytest.raises(StoreError, match="which a run cannot add to; unpack it with"):
        run_study(load_study("smoke"), packed.parent, audience=None)
    assert list(packed.parent.iterdir()) == [packed]


def test_two_stores_cannot_be_in_one_folder(folder, packed):
    with pytest.raises(StoreError, match="has a results store already"):
        merge_stores([folder], packed.parent)


def test_other_programs_read_it(packed):
    duckdb = pytest.importorskip("duckdb")
    found = duckdb.sql(
        f"SELECT json_extract_string(document, '$.content.key') FROM '{packed}' WHERE file LIKE 'trials/%'"
    )
    assert {key for (key,) in found.fetchall()} == set(find_store(packed).trial_names())
