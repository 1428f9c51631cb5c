"""`tngd-bench check`, `baseline` and `export` as a user meets them."""

import contextlib
import dataclasses
import json
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.report.conftest import make_records
from tngd_bench.check import gate, trees
from tngd_bench.check.baseline import read_baseline, updated, write_baseline
from tngd_bench.check.metrics import make_metric
from tngd_bench.check.study_metrics import study_baseline
from tngd_bench.cli import main as command_line

LATENCY = ("--select", "modelled latency/*")


@pytest.fixture
def tngd_bench(capsys):
    """Run the command line in this process; return its exit code, what it printed and what it complained about."""

    def run(*arguments):
        code = command_line.run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture(scope="module", autouse=True)
def one_probe():
    """Have one process measure for all tests here, each figure once: tests/check starts one for each check."""
    with trees.probes(trees.present_tree()) as started, pytest.MonkeyPatch.context() as patched:
        ask, told = started[0].ask, {}

        def ask_once(**request):
            if (key := json.dumps(request)) not in told:
                told[key] = ask(**request)
            return told[key]

        patched.setattr(started[0], "ask", ask_once)
        patched.setattr(gate, "probes", lambda *trees: contextlib.nullcontext(started))
        yield


@pytest.fixture(scope="module")
def baseline_file(tmp_path_factory):
    """A baseline of all exact figures, made by the command."""
    file = tmp_path_factory.mktemp("baseline") / "baseline.json"
    assert command_line.run(["baseline", "update", "--file", str(file), "--reason", "first"]) == 0
    return file


def changed(baseline_file, place, **replaced):
    """Write the baseline to `place`, a reason given for what is `replaced`."""
    held = read_baseline(baseline_file)
    new = dataclasses.replace(held, **replaced)
    write_baseline(place, updated(held, new, reason="a test", date="2026-01-01", revision=None))
    return place


def read(baseline_file, value):
    """Return the baseline's metrics with another latency of reading."""
    name = "modelled latency/paper/read"
    return {**read_baseline(baseline_file).metrics, name: make_metric(name, [value])}


def test_update_keeps_reasons_and_check_passes(tngd_bench, baseline_file, tmp_path):
    held = read_baseline(baseline_file)
    assert {entry["reason"] for entry in held.history} == {"first"}
    assert {name.partition("/")[0] for name in held.metrics} >= {
        "operations",
        "forward passes",
        "modelled latency",
        "loss",
    }
    code, out, _ = tngd_bench(
        "check", "--baseline", baseline_file, *LATENCY, "--json", tmp_path / "check.json"
    )
    assert code == 0, out
    assert tngd_bench("baseline", "update", "--file", baseline_file, "--reason", "again")[1].endswith(
        "nothing changed\n"
    )
    content = json.loads((tmp_path / "check.json").read_text())
    assert content["verdict"] == "ok"
    assert len(content["judgements"]) == 4


def test_a_worse_figure_exits_1_and_is_in_every_format(tngd_bench, baseline_file, tmp_path):
    file = changed(baseline_file, tmp_path / "baseline.json", metrics=read(baseline_file, 1e-9))
    summaries = ("--summary", tmp_path / "new" / "s.md", "--junit", tmp_path / "j.xml")
    code, out, _ = tngd_bench("check", "--baseline", file, *LATENCY, *summaries)
    assert code == 1
    assert out.startswith("changed")
    assert "modelled latency/paper/read" in out.splitlines()[0]
    assert "**changed**" in (tmp_path / "new" / "s.md").read_text()
    assert "<failure" in (tmp_path / "j.xml").read_text()


def test_every_baseline_has_to_pass_in_either_order(tngd_bench, baseline_file, tmp_path):
    worse = changed(baseline_file, tmp_path / "worse.json", metrics=read(baseline_file, 1e-9))
    for pair in ((baseline_file, worse), (worse, baseline_file)):
        code, out, _ = tngd_bench("check", "--baseline", pair[0], "--baseline", pair[1], *LATENCY)
        assert code == 1
        assert str(worse) in out


def test_a_figure_edited_by_hand_exits_3_though_it_would_pass(tngd_bench, baseline_file, tmp_path):
    file = changed(baseline_file, tmp_path / "baseline.json", metrics=read(baseline_file, 1e-9))
    measured = read_baseline(baseline_file).metrics["modelled latency/paper/read"].value
    file.write_text(file.read_text().replace("[1e-09]", f"[{measured!r}]"))
    code, _, err = tngd_bench("check", "--baseline", file, *LATENCY)
    assert code == 3
    assert "modelled latency/paper/read" in err


@pytest.mark.parametrize(("error", "code"), [(RuntimeError("\x1b[31mbroken"), 2), (KeyboardInterrupt(), 2)])
def test_every_end_leaves_its_summaries(tngd_bench, baseline_file, tmp_path, monkeypatch, error, code):
    def fail(*_):
        raise error

    monkeypatch.setattr(gate, "check_tree", fail)
    files = [tmp_path / name for name in ("s.md", "j.xml", "c.json")]
    options = [word for pair in zip(("--summary", "--junit", "--json"), files, strict=True) for word in pair]
    assert tngd_bench("check", "--baseline", baseline_file, *options)[0] == code
    content = json.loads(files[2].read_text())
    assert (content["exit_code"], content["verdict"]) == (code, "failed")
    assert content["problem"]
    (found,) = ElementTree.parse(files[1]).iter("error")
    assert content["problem"] in found.get("message")
    assert "failed" in files[0].read_text()


def test_a_summary_that_cannot_be_written_costs_no_other(tngd_bench, baseline_file, tmp_path):
    options = ("--summary", tmp_path, "--json", tmp_path / "c.json")
    code, _, err = tngd_bench("check", "--baseline", baseline_file, *LATENCY, *options)
    assert code == 3
    assert f"{tmp_path} cannot be written" in err
    assert json.loads((tmp_path / "c.json").read_text())["verdict"] == "ok"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--baseline", "missing.json"], "missing.json does not exist"),
        (["--baseline", "no-such-revision"], "no revision 'no-such-revision'"),
        (["--select", "speed/*"], "nothing selected"),
        (["missing-store", "--baseline", "benchmarks/baseline.json"], "missing-store does not exist"),
        (["--samples", "6"], "samples"),
        (["--baseline", ""], "--baseline is empty"),
        (["--junit", "a.xml", "--json", "./a.xml"], "name one file; accepted: one each"),
    ],
)
def test_bad_configuration_exits_3(tngd_bench, baseline_file, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(baseline_file.parent, tmp_path / "benchmarks")
    code, _, err = tngd_bench("check", *arguments)
    assert code == 3
    assert message in err
    assert len(err.splitlines()) == 1


def test_the_default_baseline_missing_exits_3(tngd_bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = tngd_bench("check")
    assert code == 3
    assert "baseline update" in err


def test_another_torch_exits_3_and_says_so(tngd_bench, baseline_file, tmp_path):
    file = changed(baseline_file, tmp_path / "baseline.json", environment={"torch": "1.0.0"})
    code, out, _ = tngd_bench("check", "--baseline", file, *LATENCY)
    assert code == 3
    assert "other torch: 1.0.0 there" in out


def test_times_of_another_machine_exit_3_and_say_so(tngd_bench, tmp_path, monkeypatch):
    file = tmp_path / "baseline.json"
    records = make_records(sizes=(1_000,), optimizers=("sgd", "tngd"), training=False)
    made = study_baseline(records)
    made.environment["cpu"] = "another processor"
    write_baseline(file, updated(None, made, reason="from a store", date="2026-01-01", revision=None))
    monkeypatch.setattr("tngd_bench.check.session.read_records", lambda place: records)
    code, out, _ = tngd_bench("check", tmp_path, "--baseline", file, "--select", "step time/*")
    assert code == 3
    assert "other machine: cpu = 'another processor'" in out
    assert tngd_bench("check", tmp_path, "--baseline", file, "--select", "operations/*")[0] == 0


@pytest.mark.parametrize("named", [[], ["--baseline", "benchmarks/baseline.json"]])
def test_a_store_against_figures_of_something_else_is_bad_input(
    tngd_bench, baseline_file, tmp_path, monkeypatch, named
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(baseline_file.parent, tmp_path / "benchmarks")
    records = make_records(sizes=(1_000,), optimizers=("sgd", "tngd"), training=False)
    monkeypatch.setattr("tngd_bench.check.session.read_records", lambda place: records)
    code, out, err = tngd_bench("check", tmp_path, *named, "--json", "check.json")
    assert (code, out) == (3, "")
    assert f"no figure in common with {tmp_path}: name a store" in err
    assert json.loads(Path("check.json").read_text())["judgements"] == []


def test_a_reason_is_asked_for(tngd_bench, tmp_path):
    assert tngd_bench("baseline", "update", "--file", tmp_path / "b.json")[0] == 3
    code, _, err = tngd_bench("baseline", "update", "--file", tmp_path / "b.json", "--reason", " ")
    assert code == 3
    assert "reason" in err
    assert not (tmp_path / "b.json").exists()


def test_export_says_what_it_needs(tngd_bench, tmp_path):
    code, _, err = tngd_bench("export", tmp_path)
    assert code == 3
    assert "--asv" in err
    assert "--pyperf" in err


@pytest.mark.parametrize("verb", ["check", "baseline", "export"])
def test_help_imports_nothing_heavy(verb):
    import sys

    code = (
        "import sys\nfrom tngd_bench.cli.main import main\n"
        f"try:\n    main([{verb!r}, '--help'])\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "pandas", "numpy", "scipy", "pyperf", "asv"} & set(found.stderr.split())
