import json
import math
import subprocess

import pytest

from tngd_bench.check.baseline import (
    Baseline,
    BaselineError,
    history_file,
    incomparable,
    last_entries,
    read_baseline,
    refuse_unknown,
    updated,
    write_baseline,
)
from tngd_bench.check.metrics import is_time, make_metric

ENVIRONMENT = {"torch": "2.13.0", "cpu": "a", "cores": 2, "threads": 1}


def baseline(environment=ENVIRONMENT, **values):
    metrics = [make_metric(f"operations/{name}", [value]) for name, value in values.items()]
    return Baseline({metric.name: metric for metric in metrics}, environment)


def first(**values):
    return updated(None, baseline(**values), reason="first", date="2026-01-01", revision="abc")


def test_a_file_gives_back_what_was_written(tmp_path):
    path = tmp_path / "folder" / "baseline.json"
    made = first(sgd=1.5, tngd=math.inf)
    write_baseline(path, made)
    assert read_baseline(path) == made
    texts = path.read_bytes(), history_file(path).read_bytes()
    write_baseline(path, read_baseline(path))
    assert (path.read_bytes(), history_file(path).read_bytes()) == texts
    lines = history_file(path).read_text().splitlines()
    assert [json.loads(line)["reason"] for line in lines] == ["first", "first"]


def test_the_reason_of_every_change_is_kept():
    once = first(sgd=1.0, adam=2.0)
    second = updated(once, baseline(sgd=1.0, tngd=3.0), reason="TNGD", date="2026-01-02", revision="abc")
    changes = [
        (entry["name"], entry["from"], entry["to"]) for entry in second.history if entry["reason"] == "TNGD"
    ]
    assert changes == [("operations/adam", 2.0, None), ("operations/tngd", None, 3.0)]
    assert second.history[:2] == once.history
    again = {"reason": "again", "date": "2026-01-03", "revision": None}
    assert updated(second, baseline(sgd=1.0, tngd=3.0), **again) is None
    other = baseline({**ENVIRONMENT, "torch": "2.14.0"}, sgd=1.0, tngd=3.0)
    assert updated(second, other, **again) is not None
    meant = updated(second, baseline(sgd=1.0, tngd=3.0), **again, intended=["step time/sgd"])
    assert last_entries(meant)["step time/sgd"]["reason"] == "again"


def test_a_change_needs_a_reason():
    with pytest.raises(ValueError, match="reason"):
        updated(None, baseline(sgd=1.0), reason=" ", date="2026-01-01", revision=None)


def test_a_result_within_rounding_changes_no_line():
    def losses(value):
        return Baseline({"loss/sgd": make_metric("loss/sgd", [value])}, ENVIRONMENT)

    held = updated(None, losses(1.0), reason="first", date="2026-01-01", revision=None)
    again = {"reason": "again", "date": "2026-01-03", "revision": None}
    assert updated(held, losses(1.01), **again) is None
    assert updated(held, losses(0.9), **again).metrics["loss/sgd"].value == 0.9


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"operations/sgd", "values": [1.0]', '"operations/sgd", "values": [1.5]'),
        ('"tolerance": 1e-09', '"tolerance": 0.5'),
        ('"unit": "FLOP"', '"unit": "FLOPs"'),
        ('  {"name": "operations/sgd", "values": [1.0], "unit": "FLOP", "tolerance": 1e-09},\n\n', ""),
        ('"operations/sgd"', '"operations/other"'),
    ],
)
def test_what_is_edited_by_hand_is_refused(tmp_path, old, new):
    path = tmp_path / "baseline.json"
    write_baseline(path, first(sgd=1.0, tngd=2.0))
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(BaselineError, match="baseline update"):
        read_baseline(path)


def test_a_history_without_its_last_entry_or_without_a_line_is_refused(tmp_path):
    path = tmp_path / "baseline.json"
    once = first(sgd=1.0)
    write_baseline(path, updated(once, baseline(sgd=2.0), reason="two", date="2026-01-02", revision=None))
    lines = history_file(path).read_text().splitlines()
    for kept in (lines[:1], lines[1:], [], [lines[0], lines[1].replace("two", "three")], [lines[0], "{}"]):
        history_file(path).write_text("\n".join(kept))
        with pytest.raises(BaselineError):
            read_baseline(path)
    history_file(path).unlink()
    with pytest.raises(BaselineError, match="history"):
        read_baseline(path)


def test_branches_that_change_different_figures_merge(tmp_path):
    names = ["adam", "kfac", "ngd", "sgd", "tngd"]
    base = first(**dict.fromkeys(names, 1.0))

    def texts(made):
        write_baseline(tmp_path / "b.json", made)
        return (tmp_path / "b.json").read_text(), history_file(tmp_path / "b.json").read_text()

    def changed(name):
        values = {**dict.fromkeys(names, 1.0), name: 2.0}
        return updated(base, baseline(**values), reason=name, date="2026-01-02", revision=name)

    for one, other in (("adam", "kfac"), ("ngd", "kfac"), ("sgd", "tngd")):
        merged = [
            _merged(tmp_path, *sides)
            for sides in zip(texts(base), texts(changed(one)), texts(changed(other)), strict=True)
        ]
        (tmp_path / "b.json").write_text(merged[0])
        history_file(tmp_path / "b.json").write_text(merged[1])
        found = read_baseline(tmp_path / "b.json")
        assert {name for name in names if found.metrics[f"operations/{name}"].value == 2.0} == {one, other}


def _merged(folder, base, one, other):
    for name, text in (("base", base), ("one", one), ("other", other)):
        (folder / name).write_text(text)
    done = subprocess.run(
        ["git", "merge-file", "-p", "one", "base", "other"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


ROW = '{"name": "operations/x", "values": [1.0]'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema": 3, "environment": {}, "metrics": []}',
        '{"schema": "2", "environment": {}, "metrics": []}',
        '{"schema": 1, "environment": {}, "metrics": [{"name": "operations/x"}], "history": []}',
        '{"schema": 1, "environment": {}, "metrics": 3, "history": []}',
        '{"schema": 1, "environment": {}, "metrics": [{"name": "operations/x", "values": [NaN]}], "history": []}',
        '{"schema": 1, "environment": {}, "metrics": [{"name": "operations/x", "values": []}], "history": []}',
        '{"schema": 1, "environment": {}, "metrics": [{"name": "operations/x", "values": [true]}], "history": []}',
        f'{{"schema": 1, "environment": {{}}, "metrics": [{ROW}, "tolerance": NaN}}], "history": []}}',
        f'{{"schema": 1, "environment": {{}}, "metrics": [{ROW}, "tolerance": 1e9}}], "history": []}}',
        f'{{"schema": 1, "environment": {{}}, "metrics": [{ROW}, "tolerance": 0, "slack": Infinity}}], "history": []}}',
        f'{{"schema": 1, "environment": {{}}, "metrics": [{ROW}}}, {ROW}}}], "history": []}}',
        "<<<<<<< HEAD\n{}\n=======\n[]\n>>>>>>> branch\n",
        "[" * 100_000,
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path, text):
    path = tmp_path / "baseline.json"
    path.write_text(text)
    with pytest.raises(BaselineError, match=r"baseline\.json"):
        read_baseline(path)


def test_a_file_that_was_cut_off_is_refused_wherever(tmp_path):
    path = tmp_path / "baseline.json"
    write_baseline(path, first(sgd=1.0, tngd=2.0))
    for file in (path, history_file(path)):
        whole = file.read_bytes()
        for end in range(0, len(whole.rstrip()), 7):
            file.write_bytes(whole[:end])
            with pytest.raises(BaselineError):
                read_baseline(path)
        file.write_bytes(whole[:-1] + b"\xff\n")
        with pytest.raises(BaselineError, match="UTF-8"):
            read_baseline(path)
        file.write_bytes(whole)
    assert read_baseline(path).metrics["operations/sgd"].value == 1.0


def test_the_first_schema_is_read_and_cannot_stand_in_for_a_file_with_a_history(tmp_path):
    path = tmp_path / "baseline.json"
    row = {"name": "a kind of another version/x", "values": [1.0], "unit": "", "tolerance": 0.1}
    entry = {"date": "2026-01-01", "revision": None, "reason": "old", "changed": {}}
    content = {"schema": 1, "environment": ENVIRONMENT, "metrics": [row], "history": [entry]}
    path.write_text(json.dumps(content))
    found = read_baseline(path)
    assert found.metrics[row["name"]].value == 1.0
    assert [one["reason"] for one in found.history] == ["old"]
    history_file(path).write_text("")
    with pytest.raises(BaselineError, match="schema 1"):
        read_baseline(path)


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(BaselineError, match="baseline update"):
        read_baseline(tmp_path / "baseline.json")


def test_exact_figures_need_the_same_torch_and_times_the_same_machine():
    other_machine = {**ENVIRONMENT, "cpu": "b"}
    other_torch = {**ENVIRONMENT, "torch": "2.12.0"}
    build = {**ENVIRONMENT, "torch": "2.13.0+cpu"}
    assert incomparable("exact", ENVIRONMENT, other_machine) is None
    assert incomparable("exact", ENVIRONMENT, build) is None
    assert "other machine" in incomparable("time", ENVIRONMENT, other_machine)
    assert "other torch: 2.13.0 there, 2.12.0 here" in incomparable("exact", ENVIRONMENT, other_torch)
    assert "other torch" in incomparable("time", ENVIRONMENT, other_torch)
    assert "other machine" in incomparable("time", {"torch": "2.13.0"}, {"torch": "2.13.0"})
    assert incomparable("time", ENVIRONMENT, ENVIRONMENT) is None


def test_a_metric_is_of_a_known_kind():
    assert is_time("step time/x")
    assert not is_time("operations/step time")
    with pytest.raises(ValueError, match="begins with"):
        make_metric("speed/x", [1.0])


def test_a_name_that_is_meant_must_be_one_of_a_metric():
    """Of a name that is none the history would keep an entry, and no check would ever be excused by it."""
    held, now = first(sgd=1.0, old=2.0), baseline(sgd=1.0, tngd=3.0)
    refuse_unknown(["operations/sgd", "step time/tngd", "step time/old", "page work/report"], held, now)
    with pytest.raises(BaselineError, match="'step tme/tngd' is no metric; did you mean 'step time/tngd'"):
        refuse_unknown(["step tme/tngd"], held, now)
    with pytest.raises(BaselineError, match="accepted: a metric"):
        refuse_unknown(["quickness"], None, now)
