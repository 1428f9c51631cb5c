"""Results that asv itself reads: shown, compared and published from a toy repository."""

import dataclasses
import json
import os
import subprocess
import sys

import pandas as pd
import pytest

from tests.report.conftest import device_seconds, make_records
from tngd_bench.cli import main as command_line
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.store.export_asv import export_asv


@pytest.fixture(scope="module")
def records():
    return make_records(sizes=(1_000, 10_000), optimizers=("sgd", "ngd", "tngd"), skip=())


@pytest.fixture(scope="module")
def place(records, tmp_path_factory):
    """A repository of two commits with exported results for both, the second one slower."""
    folder = tmp_path_factory.mktemp("asv")

    def git(*arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "-q", "-b", "main")
    for number in range(2):
        (folder / "file").write_text(str(number))
        git("add", "file")
        git("commit", "-q", "-m", str(number))
    commits = git("rev-list", "--reverse", "HEAD").split()
    slower = dataclasses.replace(records, costs=records.costs.assign(step_s=2 * records.costs["step_s"]))
    for commit, what in zip(commits, (records, slower), strict=True):
        file, count = export_asv(what, folder / "results", commit)
        assert file.is_file()
        assert count == 7
    (folder / "asv.conf.json").write_text(
        json.dumps(
            {
                "version": 1,
                "project": "toy",
                "repo": ".",
                "branches": ["main"],
                "environment_type": "virtualenv",
            }
        )
    )

    def asv(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "asv", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "HOME": str(folder)},
        )

    return folder, commits, asv


def test_one_file_holds_all_metrics_as_distributions(place):
    folder, commits, _ = place
    (file,) = (folder / "results").glob(f"*/{commits[0][:8]}-*.json")
    held = json.loads(file.read_text())
    assert held["commit_hash"] == commits[0]
    columns = held["result_columns"]
    result = dict(zip(columns, held["results"]["study.synthetic.cost.iteration_time"], strict=False))
    assert result["params"] == [["'sgd'", "'ngd'", "'tngd'"], ["1000", "10000"]]
    assert [len(samples) for samples in result["samples"]] == [21] * 6
    assert min(result["samples"][5]) > sum(device_seconds(10_000))


def test_asv_shows_compares_and_publishes(place):
    folder, commits, asv = place
    assert "study.synthetic.cost.step_time" in asv("show", commits[0][:8]).stdout
    compared = asv("compare", commits[0], commits[1], "--only-changed")
    assert compared.returncode == 0, compared.stderr
    slower = [line for line in compared.stdout.splitlines() if "step_time" in line]
    assert len(slower) == 6, compared.stdout
    ratios = [float(line.split("|")[4]) for line in slower]
    assert ratios == pytest.approx([2.0] * 6, abs=0.02)
    published = asv("publish", "--no-pull")
    assert published.returncode == 0, published.stderr
    assert (folder / "html" / "index.html").is_file()
    index = json.loads((folder / "html" / "index.json").read_text())
    assert "study.synthetic.cost.operations" in index["benchmarks"]


def test_results_join_the_machine_of_the_same_processor(records, tmp_path):
    def machine(name, cpu):
        (tmp_path / name).mkdir()
        held = {
            "machine": name,
            "cpu": cpu,
            "num_cpu": "64",
            "os": "x",
            "arch": "y",
            "ram": "1",
            "version": 1,
        }
        (tmp_path / name / "machine.json").write_text(json.dumps(held))

    machine("ours", str(records.environment.get("cpu") or "unknown"))
    machine("another", "a processor of another kind")
    before = (tmp_path / "ours" / "machine.json").read_text()
    file, _ = export_asv(records, tmp_path, "a" * 40)
    assert file.parent.name == "ours"
    assert json.loads(file.read_text())["params"]["num_cpu"] == "64"
    assert (tmp_path / "ours" / "machine.json").read_text() == before
    machine("twin", str(records.environment.get("cpu") or "unknown"))
    with pytest.raises(StudyError, match="--machine"):
        export_asv(records, tmp_path, "a" * 40)
    assert export_asv(records, tmp_path, "b" * 40, "third")[0].parent.name == "third"
    with pytest.raises(StudyError, match="machine must be"):
        export_asv(records, tmp_path, "a" * 40, "../out")


def test_a_commit_is_needed(records, tmp_path):
    with pytest.raises(StudyError, match="--commit"):
        export_asv(records, tmp_path)
    with pytest.raises(StudyError, match="40 hexadecimal"):
        export_asv(records, tmp_path, "main")
    changed = dataclasses.replace(
        records, environment={**records.environment, "git_revision": "a" * 40 + "+changes"}
    )
    with pytest.raises(StudyError, match="a changed tree"):
        export_asv(changed, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_in_the_folder_stays(records, tmp_path):
    (tmp_path / "benchmarks.json").write_text(
        json.dumps({"steps.Step.track_step": {"name": "x"}, "version": 2})
    )
    export_asv(records, tmp_path, "a" * 40)
    held = json.loads((tmp_path / "benchmarks.json").read_text())
    assert held["steps.Step.track_step"] == {"name": "x"}
    assert "study.synthetic.cost.step_time" in held


def test_without_asv_the_other_format_is_written_all_the_same_and_the_exit_code_tells(
    records, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "asv.machine", None)
    monkeypatch.setattr("tngd_bench.studies.store.records.read_records", lambda place: records)
    place, file = str(tmp_path / "asv"), tmp_path / "suite.json"
    code = command_line.run(["export", "anywhere", "--asv", place, "--pyperf", str(file)])
    found = capsys.readouterr()
    assert (code, file.is_file()) == (3, True)
    assert "asv: writing asv results needs asv" in found.err
    assert "pyperf: " in found.out


def test_names_that_read_alike_stay_apart(records, tmp_path):
    names = ("a-b", "a_b", "a.b", "a-.b", "A-B", "a-b-", "b")
    alike = [
        dataclasses.replace(
            records,
            costs=records.costs.assign(group=name),
            trials=records.trials.assign(group=name),
            study={**records.study, "name": study},
        )
        for study in ("s-t", "s_t")
        for name in names
    ]
    for one in alike:
        export_asv(one, tmp_path, "0" * 40)
    held = json.loads((tmp_path / "benchmarks.json").read_text())
    steps = [name for name in held if name.endswith("step_time")]
    assert len(steps) == len(alike)
    assert "study.s_t.a_b.step_time" in steps
    together = dataclasses.replace(
        records,
        costs=pd.concat([one.costs for one in alike[: len(names)]]),
        trials=pd.concat([one.trials for one in alike[: len(names)]]),
    )
    _, count = export_asv(together, tmp_path / "together", "0" * 40)
    _, alone = export_asv(alike[0], tmp_path / "alone", "0" * 40)
    curves = records.curves["group"].nunique()  # of the training sections, which all of them have
    assert count - curves == len(names) * (alone - curves)


def test_without_git_the_run_s_own_date_is_taken(records, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    started = "2026-01-02T03:04:05+00:00"
    dated = dataclasses.replace(records, environment={**records.environment, "started": started})
    file, _ = export_asv(dated, tmp_path, "0" * 40)
    assert json.loads(file.read_text())["date"] == 1_767_323_045_000


def test_levels_of_sweeps_are_series_of_their_own(records, tmp_path):
    """Words have no number: by numbers alone runs of all words would be samples of one distribution."""
    runs = records.trials["group"] == "digits"
    words = records.trials["seed"].map({0.0: "zero", 1.0: "gradient", 2.0: "previous"})
    trials = records.trials.assign(
        sweep_parameter=records.trials["sweep_parameter"].mask(runs, "start"),
        sweep_label=words.where(runs),
    )
    file, _ = export_asv(dataclasses.replace(records, trials=trials), tmp_path, "0" * 40)
    benchmarks = json.loads((tmp_path / "benchmarks.json").read_text())
    (name,) = [name for name in benchmarks if name.endswith("digits.final_train_loss")]
    levels = benchmarks[name]["params"][benchmarks[name]["param_names"].index("sweep_value")]
    assert levels == ["'zero'", "'gradient'", "'previous'"]
    samples = json.loads(file.read_text())["results"][name][0]
    assert len(samples) == 3 * records.trials.loc[runs, "optimizer"].nunique()


def test_a_run_that_did_not_finish_has_no_loss_at_its_end(records, tmp_path):
    lost = (records.trials["kind"] == "training") & (records.trials["optimizer"] == "sgd")
    trials = records.trials.assign(status=records.trials["status"].where(~lost, "diverged"))
    export_asv(dataclasses.replace(records, trials=trials), tmp_path, "0" * 40)
    benchmarks = json.loads((tmp_path / "benchmarks.json").read_text())
    (name,) = [name for name in benchmarks if name.endswith("digits.final_train_loss")]
    kept = {label for parameter in benchmarks[name]["params"] for label in parameter}
    assert "'sgd'" not in kept
    assert {"'ngd'", "'tngd'"} <= kept
