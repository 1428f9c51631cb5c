"""The Parquet view of a store: always what the trials say, and readable by other programs."""

import dataclasses
import json
import os
import shutil
import time

import pandas as pd
import pytest

from tests.studies.store.test_store import STORE_V1
from tngd_bench import source
from tngd_bench.problems import digits_mlp, registry
from tngd_bench.problems.metrics import Metric
from tngd_bench.studies.store import records as reading
from tngd_bench.studies.store.columnar import by_column, column
from tngd_bench.studies.store.documents import write_document
from tngd_bench.studies.store.records import read_records
from tngd_bench.studies.store.store import Store

FRAMES = ("trials", "costs", "curves")


@pytest.fixture
def store(tmp_path):
    shutil.copytree(STORE_V1, tmp_path / "store")
    return Store(tmp_path / "store")


@pytest.fixture
def counted(monkeypatch):
    """How often trials were read from their own files."""
    calls = []
    genuine = reading._read_trials
    monkeypatch.setattr(reading, "_read_trials", lambda *args: calls.append(1) or genuine(*args))
    return calls


def test_kept_frames_are_those_made_from_the_trials_to_the_bit(store, counted):
    made, kept = read_records(store.path), read_records(store.path)
    assert len(counted) == 1
    for name in FRAMES:
        pd.testing.assert_frame_equal(getattr(made, name), getattr(kept, name))
        nothing = getattr(kept, name)["sweep_parameter" if name != "costs" else "device"]
        assert nothing.iloc[0] is None
    assert made.ignored == kept.ignored == {}


def test_frames_of_other_code_are_made_anew(store, counted, monkeypatch):
    read_records(store.path)
    monkeypatch.setattr(source, "own_folder", lambda name: f"other code of {name}")
    read_records(store.path)
    assert len(counted) == 2


@pytest.mark.parametrize("change", ["edit", "remove", "add", "damage the table", "forget the table"])
def test_whatever_changes_in_the_store_is_seen(store, counted, change):
    before = read_records(store.path)
    (store.trials_folder / "note.json").write_text("{}") if change == "add" else None
    path = next(path for path in store.trial_files() if "curve" in path.read_text())
    if change == "edit":
        path.write_text(path.read_text().replace("sgd", "SGD"))
    elif change == "remove":
        path.unlink()
    elif change == "damage the table":
        (store.path / "tables" / "costs.parquet").write_bytes(b"PAR1")
    elif change == "forget the table":
        (store.path / "tables" / "curves.parquet").unlink()
    after = read_records(store.path)
    assert len(counted) == 2
    assert (len(after.trials) < len(before.trials)) == (change in ("edit", "remove"))
    assert list(after.ignored) == {"edit": [path.name], "add": ["note.json"]}.get(change, [])
    again = read_records(store.path)
    assert len(counted) == 2
    assert again.ignored == after.ignored


def test_a_metric_has_a_column_once_a_problem_describes_it_and_is_named_before(store, monkeypatch):
    (first, *_) = [
        content
        for _, content in store.trials(store.study()["trials"])
        if content["entries"][0]["kind"] == "training"
    ]
    first["entries"][0]["curve"]["test_bleu"] = {"at": [0], "values": [0.25]}
    store.write_trial(first["key"], first)
    unknown = read_records(store.path)
    assert "test_bleu" not in unknown.curves
    assert unknown.ignored == {
        f"test_bleu in {first['key']}": "(no problem installed here has such a metric)"
    }
    toy = dataclasses.replace(digits_mlp.ENTRY, name="toy", metrics=(Metric("bleu", "BLEU"),))
    found = registry._found()
    with_toy = dataclasses.replace(found, entries={**found.entries, "toy": toy})
    monkeypatch.setattr(registry, "_found", lambda: with_toy)
    known = read_records(store.path)
    assert known.curves["test_bleu"].dropna().tolist() == [0.25]
    assert known.ignored == {}
    assert len(known.curves) == len(unknown.curves)


def test_a_store_that_cannot_be_written_is_read_all_the_same(store, counted):
    (store.path / "tables").write_text("not a folder")
    first, second = read_records(store.path), read_records(store.path)
    assert len(counted) == 2
    assert first.trials.equals(second.trials)


def test_pandas_reads_what_the_documentation_shows(store):
    read_records(store.path)
    costs = pd.read_parquet(store.path / "tables" / "costs.parquet")
    assert set(costs.groupby("optimizer")["total_s"].median().index) == {"sgd", "tngd[analog_time=5]"}
    files = (json.loads(path.read_text()) for path in store.trials_folder.glob("*.json"))
    entries = pd.json_normalize([file["content"] for file in files], "entries", "key")
    assert sorted(entries["key"].unique()) == sorted(path.stem for path in store.trial_files())


def test_duckdb_reads_what_the_documentation_shows(store):
    duckdb = pytest.importorskip("duckdb")
    read_records(store.path)
    rows = duckdb.sql(
        f"SELECT optimizer, median(total_s) FROM '{store.path}/tables/costs.parquet' GROUP BY optimizer"
    ).fetchall()
    assert {name for name, _ in rows} == {"sgd", "tngd[analog_time=5]"}
    sql = f"SELECT content.key, unnest(content.entries) AS entry FROM read_json('{store.path}/trials/*.json')"
    assert len(duckdb.sql(sql).fetchall()) == 6


@pytest.mark.slow(reason="writes and reads ten thousand trials")
def test_ten_thousand_trials_are_read(tmp_path):
    trials_store = big_store(tmp_path / "store", 10_000)
    start = time.process_time()
    first = read_records(trials_store.path)
    made_s = time.process_time() - start
    start = time.process_time()
    second = read_records(trials_store.path)
    kept_s = time.process_time() - start
    assert len(first.trials) == len(second.trials) == 10_000
    assert first.curves.equals(second.curves)
    # Bars are not asserted in seconds, which depend on the machine; the kept frames must be worth their keep.
    print(f"10,000 trials read in {made_s:.2f} s of CPU time, from kept tables in {kept_s:.2f} s")
    assert kept_s < made_s


def big_store(path, trials):
    """Write a store of many training trials, copies of a real one with other keys."""
    source = Store(STORE_V1)
    (content,) = [
        content
        for _, content in source.trials(source.study()["trials"])
        if content["entries"][0]["optimizer"] == "sgd" and content["entries"][0]["kind"] == "training"
    ]
    curve = content["entries"][0]["curve"]
    point = {name: column(curve, name)[-1] for name in curve}
    content["entries"][0]["curve"] = by_column([{**point, "iteration": number} for number in range(40)])
    made = Store(path)
    made.create()
    keys = [f"{number:020x}" for number in range(trials)]
    genuine, os.fsync = os.fsync, lambda descriptor: None
    try:
        for number, key in enumerate(keys):
            content["entries"][0]["seed"] = number
            made.write_trial(key, {**content, "key": key})
    finally:
        os.fsync = genuine
    write_document(path / "environment.json", source.environment())
    write_document(path / "study.json", source.study() | {"trials": keys})
    return made
