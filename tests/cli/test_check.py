"""`tngd-bench check`, `baseline` and `export` as a user meets them."""

import contextlib
import json
import subprocess

import pytest

from tests.report.conftest import make_records
from tngd_bench.analysis import gate
from tngd_bench.analysis.baseline import read_baseline, updated, write_baseline
from tngd_bench.analysis.study_metrics import study_baseline
from tngd_bench.cli import main as command_line
from tngd_bench.measure import trees

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
    """Have one process measure for all tests here: starting one takes most of their time."""
    with trees.probes(trees.present_tree()) as started, pytest.MonkeyPatch.context() as patched:
        patched.setattr(gate, "probes", lambda *trees: contextlib.nullcontext(started))
        yield


@pytest.fixture(scope="module")
def baseline_file(tmp_path_factory):
    """A baseline of all exact figures, made by the command."""
    file = tmp_path_factory.mktemp("baseline") / "baseline.json"
    assert command_line.run(["baseline", "update", "--file", str(file), "--reason", "first"]) == 0
    return file


def test_update_keeps_reasons_and_check_passes(tngd_bench, baseline_file, tmp_path):
    held = read_baseline(baseline_file)
    assert [entry["reason"] for entry in held.history] == ["first"]
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
    content = json.loads((tmp_path / "check.json").read_text())
    assert content["verdict"] == "ok"
    assert len(content["judgements"]) == 4


def test_a_worse_figure_exits_1_and_is_in_every_format(tngd_bench, baseline_file, tmp_path):
    file = tmp_path / "baseline.json"
    file.write_text(
        baseline_file.read_text().replace(
            '"modelled latency/paper/read", "values": [0', '"modelled latency/paper/read", "values": [-0'
        )
    )
    code, out, _ = tngd_bench(
        "check", "--baseline", file, *LATENCY, "--summary", tmp_path / "s.md", "--junit", tmp_path / "j.xml"
    )
    assert code == 1
    assert "regression" in out.splitlines()[0]
    assert "modelled latency/paper/read" in out.splitlines()[0]
    assert "**regression**" in (tmp_path / "s.md").read_text()
    assert "<failure" in (tmp_path / "j.xml").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--baseline", "missing.json"], "missing.json does not exist"),
        (["--baseline", "no-such-revision"], "no revision 'no-such-revision'"),
        (["--select", "speed/*"], "nothing selected"),
        (["missing-store", "--baseline", "benchmarks/baseline.json"], "missing-store does not exist"),
        (["--samples", "6"], "samples"),
    ],
)
def test_bad_configuration_exits_3(tngd_bench, baseline_file, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "baseline.json").write_text(baseline_file.read_text())
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
    file = tmp_path / "baseline.json"
    held = json.loads(baseline_file.read_text())
    held["environment"]["torch"] = "1.0.0"
    file.write_text(json.dumps(held))
    code, out, _ = tngd_bench("check", "--baseline", file, *LATENCY)
    assert code == 3
    assert "other torch: 1.0.0 there" in out


def test_times_of_another_machine_exit_3_and_say_so(tngd_bench, tmp_path, monkeypatch):
    file = tmp_path / "baseline.json"
    records = make_records(sizes=(1_000,), optimizers=("sgd", "tngd"), training=False)
    made = study_baseline(records)
    made.environment["cpu"] = "another processor"
    write_baseline(file, updated(None, made, reason="from a store", date="2026-01-01", revision=None))
    monkeypatch.setattr("tngd_bench.studies.records.read_records", lambda place: records)
    code, out, _ = tngd_bench("check", tmp_path, "--baseline", file, "--select", "step time/*")
    assert code == 3
    assert "other machine: cpu = 'another processor'" in out
    assert tngd_bench("check", tmp_path, "--baseline", file, "--select", "operations/*")[0] == 0


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
