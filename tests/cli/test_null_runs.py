"""The verb that measures what times shift by from run to run, and keeps it for later stores of this machine."""

import dataclasses

import numpy as np
import pytest

from tests.analysis.statistics.test_run_spread import run
from tngd_bench.cli import main
from tngd_bench.studies.store.run_spread import FIELD, kept

ENVIRONMENT = {"cpu": "one", "torch": "2.13.0", "threads_cost": 2, "started": "2026-11-29T14:00:00+00:00"}


@pytest.fixture
def null_runs(cache, tmp_path, monkeypatch, capsys):
    """The verb with runs that are drawn instead of made: exit code, output, complaints, folders and sections run."""

    def call(*words, **noise):
        generator, made = np.random.default_rng(0), []

        def record(loaded, folder, audience, *, command):
            made.append((folder.name, [section.name for section in loaded.study.cost], command))

        def read(folder):
            return dataclasses.replace(run(generator, shift=0.05, **noise), environment=ENVIRONMENT)

        monkeypatch.setattr("tngd_bench.studies.run.run_study.run_study", record)
        monkeypatch.setattr("tngd_bench.studies.store.records.read_records", read)
        code = main.run(["null-runs", *words, "--output", str(tmp_path / "out")])
        return code, *capsys.readouterr(), made

    return call


def test_what_varies_between_the_runs_is_kept_for_the_machine_and_its_threads(null_runs):
    code, told, _, made = null_runs("--set", "execution.threads_cost=2", "--runs", "4")
    assert code == 0
    command = "tngd-bench null-runs null-runs --set execution.threads_cost=2 --runs 4"
    assert made == [(f"run-{number}", ["null"], command) for number in (1, 2, 3, 4)]
    left = kept(ENVIRONMENT)[FIELD]
    assert (left["runs"], left["measured"]) == (4, "2026-11-29")
    assert 0.01 <= left["value"] < 0.15
    assert (
        f"{100 * left['value']:.2g} % of an optimizer's time (measured on this machine by 4 null runs" in told
    )


def test_runs_too_noisy_to_tell_leave_nothing(null_runs):
    code, _, complaint, _ = null_runs(process=0.5)
    assert code == 2
    assert "too noisy to tell" in complaint
    assert complaint.count("\n") == 1
    assert kept(ENVIRONMENT) == {}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["paper-fig4a", "--profile", "smoke"], "has no cost section"),
        (["--runs", "1"], "--runs"),
        (["no-such"], "no study 'no-such'"),
    ],
)
def test_what_cannot_tell_is_refused_in_one_line(null_runs, words, complaint):
    code, _, told, made = null_runs(*words)
    assert (code, made, told.count("\n")) == (3, [], 1)
    assert complaint in told


@pytest.mark.slow(reason="starts processes that measure")
def test_runs_of_this_machine_leave_a_spread(cache, tmp_path, capsys):
    """Four processes each: on a busy machine they may be too noisy to tell, and then say so."""
    quick = ["--set", "cost.null.parameters=[1_000, 3_000]", "--set", "cost.null.processes=4"]
    code = main.run(["null-runs", *quick, "--output", str(tmp_path / "out")])
    told = capsys.readouterr()
    assert (code, "3 null runs" in told.out) == (0, True) or (code, "too noisy" in told.err) == (2, True)
    assert (cache / "null-runs").exists() is (code == 0)
