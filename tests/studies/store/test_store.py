import errno
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tngd_bench.atomic_write import PART
from tngd_bench.studies.errors import StoreError, StoreWriteError
from tngd_bench.studies.store import documents
from tngd_bench.studies.store.columnar import column
from tngd_bench.studies.store.records import read_records
from tngd_bench.studies.store.store import Store

STORE_V1 = Path(__file__).parent / "store_v1"
"""A store of layout 1 as version 0.1.0 wrote it, kept as it is."""
OK = {"entries": [{"status": "ok", "value": 0.1}]}


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "out" / "store")
    made.create()
    return made


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told_and_used(store, monkeypatch, code):
    def flock(*arguments):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.warns(UserWarning, match="has no locks"), store.locked():
        store.write_trial("k1", OK)
    assert store.finished(["k1"]) == {"k1"}


def test_a_lock_that_fails_otherwise_is_told_as_what_it_is(store, monkeypatch):
    def flock(*arguments):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(StoreError, match="cannot be locked: Input/output error"), store.locked():
        pass


@pytest.mark.parametrize("answer", [(0, 0, 0), OSError(errno.ENOSYS, "Function not implemented")])
def test_a_file_system_that_does_not_tell_its_space_is_used(store, monkeypatch, answer):
    def disk_usage(folder):
        if isinstance(answer, OSError):
            raise answer
        return shutil._ntuple_diskusage(*answer)

    monkeypatch.setattr("shutil.disk_usage", disk_usage)
    store.check_space(1000)
    store.write_trial("k1", OK)
    assert store.finished(["k1"]) == {"k1"}


def test_what_is_written_is_read_back(store):
    store.write_study({"name": "a", "trials": ["k1"]})
    store.write_trial("k1", OK)
    assert store.study() == {"name": "a", "trials": ["k1"]}
    assert list(store.trials(["k1", "absent"])) == [("k1", {"key": "k1", **OK})]
    assert store.ignored == {}


def test_failed_trials_are_to_be_run_again_and_others_not(store):
    for key, statuses in {
        "a": ["ok"],
        "b": ["failed"],
        "c": ["ok", "failed"],
        "d": ["diverged"],
        "e": ["skipped", "timed-out"],
    }.items():
        store.write_trial(key, {"entries": [{"status": status} for status in statuses]})
    assert store.finished("abcdef") == {"a", "d", "e"}


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text[: len(text) // 2], "torn"),
        (lambda text: "", "torn"),
        (lambda text: text.replace("0.1", "0.2"), "changed after it was written"),
        (lambda text: "{}", "not written by tngd-bench"),
        (lambda text: "[1]", "not written by tngd-bench"),
        (lambda text: text.replace('"schema": 3', '"schema": 99'), "schema 99"),
    ],
    ids=["half", "empty", "edited", "foreign", "list", "newer"],
)
def test_damaged_files_are_named_ignored_and_left(store, damage, reason):
    store.write_trial("k1", OK)
    store.write_trial("k2", OK)
    path = store.path / "trials" / "k1.json"
    path.write_text(damage(path.read_text()))
    assert [key for key, _ in store.trials(["k1", "k2"])] == ["k2"]
    assert reason in store.ignored["k1.json"]
    assert path.exists()


def test_a_trial_under_another_name_is_not_taken_for_it(store):
    store.write_trial("k1", OK)
    (store.path / "trials" / "k1.json").rename(store.path / "trials" / "k2.json")
    assert list(store.trials(["k2"])) == []
    assert "'k1'" in store.ignored["k2.json"]


def test_records_say_how_many_results_are_missing(tmp_path):
    shutil.copytree(STORE_V1, tmp_path / "store")
    whole = read_records(tmp_path / "store")
    next((tmp_path / "store" / "trials").glob("*.json")).unlink()
    part = read_records(tmp_path / "store")
    assert (part.runs, part.missing) == (whole.runs, whole.missing + 1)
    assert whole.missing == 0 < whole.runs


def test_files_of_other_studies_are_named(store):
    store.write_trial("k1", OK)
    assert list(store.trials([])) == []
    assert store.ignored == {"k1.json": "belongs to no trial of this study"}


def test_a_damaged_study_file_is_an_error_that_names_the_way_out(store):
    (store.path / "study.json").write_text("{")
    with pytest.raises(
        StoreError, match=r"study.json cannot be used: it is torn.*`tngd-bench run` of the same study"
    ):
        store.study()


def test_no_nan_reaches_the_disk(store):
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.write_trial("k1", {"entries": [{"status": "ok", "value": float("nan")}]})
    assert list((store.path / "trials").iterdir()) == []


def test_a_failing_write_leaves_the_former_content_and_no_debris(store, monkeypatch):
    store.write_trial("k1", OK)
    before = (store.path / "trials" / "k1.json").read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreWriteError, match="No space left on device; what was stored before is intact"):
        store.write_trial("k1", {"entries": []})
    assert (store.path / "trials" / "k1.json").read_bytes() == before
    assert [path.name for path in (store.path / "trials").iterdir()] == ["k1.json"]


def test_a_write_is_whole_or_absent_when_the_process_is_killed(tmp_path):
    code = (
        "from pathlib import Path; from tngd_bench.studies.store.store import Store; import sys\n"
        f"store = Store(Path({str(tmp_path)!r}) / 'store'); store.create()\n"
        "body = {'entries': [{'status': 'ok', 'x': list(range(20000))}]}\n"
        "for k in range(10**6):\n    store.write_trial(str(k), body); print(k, flush=True)\n"
    )
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        told = [process.stdout.readline() for _ in range(5)]
        time.sleep(0.01)
        process.kill()
        told += process.stdout.read().splitlines()
        process.wait()
        store = Store(tmp_path / "store")
        kept = {key for key, _ in store.trials(str(k) for k in range(10**4))}
        assert {line.strip() for line in told if line.strip()} <= kept
        assert store.ignored == {}


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"schema": 3}'], ids=["empty", "torn", "list", "foreign"])
def test_tidying_moves_what_is_not_ours_and_names_it(store, text):
    store.write_trial("k1", OK)
    (store.trials_folder / "mine.json").write_text(text)
    (store.trials_folder / f".k1-0{PART}").write_text("half a wri")
    store.tidy()
    assert [path.name for path in store.trials_folder.iterdir()] == ["k1.json"]
    assert "moved to set-aside/mine.json" in store.ignored["mine.json"]
    assert (store.path / "set-aside" / "mine.json").read_text() == text
    (store.trials_folder / "mine.json").write_text("again")
    store.tidy()
    assert (store.path / "set-aside" / "mine.json").read_text() == text
    assert (store.path / "set-aside" / "mine-2.json").read_text() == "again"


def test_edits_of_every_kind_are_noticed(store):
    store.write_trial("k1", OK)
    path = store.trials_folder / "k1.json"
    written = path.read_text()
    for edited in (
        written.replace("0.1", "0.10"),
        written.replace(": ", ":"),
        written[:-2] + " }\n",
        written + " ",
    ):
        assert json.loads(edited)["content"] is not None
        path.write_text(edited)
        assert list(Store(store.path).trials(["k1"])) == []
    path.write_text(written)
    assert [key for key, _ in store.trials(["k1"])] == ["k1"]


def test_the_first_layout_is_read_as_today_s_and_rewritten_by_tidying(tmp_path):
    shutil.copytree(STORE_V1, tmp_path / "store")
    store = Store(tmp_path / "store")
    keys = store.study()["trials"]
    before = dict(store.trials(keys))
    assert len(before) == len(keys) == 5
    processor = store.environment()["cpu"]
    assert all(content["machine"]["cpu"] == processor for content in before.values())
    for key, content in before.items():
        old = json.loads((STORE_V1 / "trials" / f"{key}.json").read_text())["content"]
        for entry, former in zip(content["entries"], old["entries"], strict=True):
            points = {"iterations", "curve"} & set(former)
            assert {k: v for k, v in entry.items() if k not in points} == {
                k: v for k, v in former.items() if k not in points
            }
            for name in points:
                for number, point in enumerate(former[name]):
                    read = {
                        column_name: column(entry[name], column_name)[number] for column_name in entry[name]
                    }
                    assert {k: v for k, v in read.items() if v is not None} == pytest.approx(point, rel=1e-8)
    store.tidy()
    assert dict(store.trials(keys)) == before
    files = [*store.trial_files(), store.path / "study.json", store.path / "environment.json"]
    assert {json.loads(path.read_text())["schema"] for path in files} == {3}
    assert store.ignored == {}


def test_a_nearly_full_disk_is_refused_before_and_during_a_study(store, monkeypatch):
    store.write_trial("k1", OK)
    free = documents.RESERVE_BYTES + 10_000
    usage = shutil.disk_usage(store.path)._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    store.write_trial("k2", OK)
    with pytest.raises(StoreError, match="has 16 MB free, and 1000 trials need about 36 MB"):
        store.check_space(1000)
    with pytest.raises(StoreWriteError, match=r"only 16 MB are free.*stored before is intact"):
        store.write_trial("k3", {"entries": [{"status": "ok", "x": "x" * 20_000}]})
    assert store.finished(["k1", "k2", "k3"]) == {"k1", "k2"}
    assert sorted(path.name for path in store.trials_folder.iterdir()) == ["k1.json", "k2.json"]


def test_a_write_that_the_system_breaks_off_leaves_no_trace(tmp_path):
    # A limit on the size of files makes write() itself fail halfway, as a full disk does.
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from tngd_bench.studies.store.store import Store\n"
        f"store = Store(Path({str(tmp_path)!r}) / 'store'); store.create()\n"
        "store.write_trial('k1', {'entries': []})\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "store.write_trial('k2', {'entries': [{'x': 'x' * 100_000}]})\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "StoreWriteError" in ended.stderr
    assert "File too large; what was stored before is intact" in ended.stderr
    store = Store(tmp_path / "store")
    assert store.finished(["k1", "k2"]) == {"k1"}
    assert [path.name for path in store.trials_folder.iterdir()] == ["k1.json"]


def test_files_are_for_others_too(store):
    previous = os.umask(0o022)
    try:
        store.write_trial("k1", OK)
    finally:
        os.umask(previous)
    assert (store.trials_folder / "k1.json").stat().st_mode & 0o777 == 0o644


def test_unwritable_places_are_refused_and_left_as_they_were(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("mine")
    with pytest.raises(StoreError, match="cannot be written"):
        Store(blocked / "deep" / "store").create()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_checking_leaves_no_folder_behind(tmp_path):
    Store(tmp_path / "a" / "b" / "store").check_writable()
    assert list(tmp_path.iterdir()) == []


def test_clearing_removes_results_and_nothing_else(store):
    store.write_study({"name": "a"})
    store.write_trial("k1", OK)
    store.write_artefacts("0" * 20, {"weights.pt": b"1"})
    own = ["notes.txt", "trials/notes.json", "tables/notes.csv", "artefacts/mine/notes.txt"]
    for name in own:
        (store.path / name).parent.mkdir(parents=True, exist_ok=True)
        (store.path / name).write_text("mine")
    store.clear()
    left = {path.relative_to(store.path).as_posix() for path in store.path.rglob("*") if path.is_file()}
    assert left == {*own, "set-aside/notes.json"} - {"trials/notes.json"}
    assert "not JSON; moved to set-aside/notes.json" in store.ignored["notes.json"]


def test_two_runs_cannot_write_at_once(store):
    with (
        store.locked(),
        pytest.raises(StoreError, match="another run is writing"),
        Store(store.path).locked(),
    ):
        pass
    with store.locked():
        pass


def test_a_store_is_found_from_the_output_folder_and_itself(store, tmp_path):
    store.write_study({"name": "a"})
    assert Store.find(store.path).path == store.path
    assert Store.find(store.path.parent).path == store.path
    with pytest.raises(StoreError, match="has no results store"):
        Store.find(tmp_path)
    with pytest.raises(StoreError, match="does not exist"):
        Store.find(tmp_path / "nowhere")


def test_files_can_be_read_by_people_and_other_programs(store):
    store.write_trial("k1", OK)
    document = json.loads((store.path / "trials" / "k1.json").read_text())
    assert document["content"]["entries"][0]["value"] == 0.1


def test_a_store_of_a_later_layout_is_refused_and_not_set_aside(store):
    store.write_study({"name": "s"})
    path = store.path / "study.json"
    path.write_text(path.read_text().replace('"schema": 3', '"schema": 4'))
    with pytest.raises(StoreError, match=r"has schema 4.*use that version"):
        store.study(damaged_is_none=True)
    store.tidy()
    assert path.exists()
