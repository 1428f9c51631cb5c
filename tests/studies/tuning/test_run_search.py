"""Whole searches: equal budgets, the same result however often interrupted, and a file that studies can include."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib

import optuna
import pandas as pd
import pytest

from tests.studies.recorder import Recorder
from tngd_bench.analysis.training.tuning import best_of_k_curves, tuning_summary
from tngd_bench.report.document import charting
from tngd_bench.report.document.outline import contents
from tngd_bench.studies.file.optimizer_label import config_of
from tngd_bench.studies.file.reading import LoadedStudy, load_study, make_study
from tngd_bench.studies.store.records import read_records
from tngd_bench.studies.tuning.optuna_database import DATABASE
from tngd_bench.studies.tuning.results import is_search, tuning_trials
from tngd_bench.studies.tuning.run_search import run_search
from tngd_bench.studies.tuning.search_study import make_search

DETERMINISTIC = [
    *("optimizer", "number", "label", "default", "status", "score", "settings"),
    *("final_runs", "final_finished", "final_score"),
]
TABLE = {
    "name": "tiny",
    "title": "Tiny",
    "execution": {"workers": 2, "trial_seconds_limit": 60},
    "training": [
        {
            "name": "digits",
            "problem": "digits-mlp",
            "parameters": 1000,
            "train_size": 80,
            "epochs": 1,
            "evaluations": 1,
            "seeds": 1,
            "optimizers": ["sgd", "tngd"],
        }
    ],
    "tuning": {
        "trials": 2,
        "epochs": 0.5,
        "finalists": 2,
        "final_seeds": 2,
        "spaces": {"sgd": {"lr": {"low": 0.01, "high": 1e30, "reason": "so wide that a draw diverges"}}},
    },
}


def search():
    return make_search(LoadedStudy(make_study(TABLE), "shipped"))


class Impatient(Recorder):
    """An audience that presses Ctrl-C once `after` runs have ended."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def finished(self, trial, entries):
        super().finished(trial, entries)
        if len(self.ended) == self.after:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    place = tmp_path_factory.mktemp("search")
    return place, run_search(search(), place, Recorder(), command="tngd-bench tune tiny.toml")


def test_every_optimizer_had_the_same_number_of_tries(undisturbed):
    _, result = undisturbed
    assert result.tries["optimizer"].tolist() == ["sgd"] * 3 + ["tngd"] * 3
    assert result.tries["runs"].tolist() == [1] * 6
    assert (result.tries["seconds"] > 0).all()
    assert is_search(result.records.study)


def test_the_best_few_run_the_whole_training_on_seeds_the_search_has_not_had_and_that_decides(undisturbed):
    _, result = undisturbed
    (section, finals) = result.records.study["training"]
    assert (section["epochs"], finals["epochs"]) == (0.5, 1)
    runs = result.records.trials
    searched, final = (runs[runs["group"] == name] for name in (section["name"], finals["name"]))
    assert set(searched["seed"]) == {0}
    assert set(final["seed"]) == {1, 2}
    assert set(final["validation_share"]) == {0.2}
    for name, own in result.tries.groupby("optimizer"):
        ran = own[own["final_runs"] > 0]
        assert ran["label"].tolist() == own.sort_values("score")["label"].head(2).sort_index().tolist()
        assert ran["final_runs"].tolist() == [2, 2]
        ends = result.records.curves.dropna(subset="test_loss").groupby("key")["test_loss"].last()
        means = {row.label: sum(ends[key] for key in row.final_keys) / 2 for row in ran.itertuples()}
        taken = result.best.set_index("optimizer").loc[name]
        assert taken["label"] == min(means, key=means.__getitem__)
        assert taken["final_score"] == pytest.approx(means[taken["label"]])


def test_a_diverged_try_is_recorded_as_one_and_has_no_score(undisturbed):
    place, result = undisturbed
    sgd = result.tries[result.tries["optimizer"] == "sgd"]
    assert "diverged" in set(sgd["status"])
    assert sgd[sgd["status"] == "diverged"]["score"].isna().all()
    assert tuning_summary(result.records).set_index("optimizer").loc["sgd", "diverged"] >= 1
    assert json.loads((place / "tuning.json").read_text())["optimizers"]["sgd"]["statuses"]["diverged"] >= 1


def test_an_interrupted_search_ends_with_the_same_tries_and_runs_none_twice(undisturbed, tmp_path):
    _, whole = undisturbed
    first = Impatient(2)
    with pytest.raises(KeyboardInterrupt):
        run_search(search(), tmp_path, first)
    assert not (tmp_path / "tuned.toml").exists()
    second = Recorder()
    resumed = run_search(search(), tmp_path, second)
    before, after = ({trial.describe() for trial, _ in who.ended} for who in (first, second))
    assert len(before) >= 2
    assert not before & after
    pd.testing.assert_frame_equal(resumed.tries[DETERMINISTIC], whole.tries[DETERMINISTIC])
    last = next(number for number, (trial, _) in enumerate(second.ended) if "finals" in trial.describe())
    assert last == 6 - len(before)  # finals begin when the search has ended
    third = Recorder()
    run_search(search(), tmp_path, third)
    assert third.ended == []
    held = optuna.load_study(study_name="digits/sgd", storage=f"sqlite:///{tmp_path / DATABASE}")
    assert sorted(trial.user_attrs["number"] for trial in held.trials) == [0, 1, 2]


def test_the_file_gives_a_study_the_best_settings_found(undisturbed, tmp_path):
    place, result = undisturbed
    text = (place / "tuned.toml").read_text()
    for words in ("tngd-bench tune tiny.toml", "validation loss", "sampler_seed = 0", "3 settings"):
        assert words in text
    study = tmp_path / "final.toml"
    study.write_text(
        f'include = ["{place / "tuned.toml"}"]\nname = "final"\ntitle = "Final"\n'
        '[[training]]\nname = "digits"\nproblem = "digits-mlp"\nparameters = 1000\nepochs = 1\n'
        'optimizers = ["sgd", "sgd[tuned]", "tngd[tuned]"]\n'
    )
    final = load_study(str(study)).study
    for row in result.best.itertuples():
        tuned = config_of(final, f"{row.optimizer}[tuned]", "digits-mlp").settings
        assert dict(tuned) == json.loads(row.settings)
        assert tomllib.loads(text)["tuned"][row.optimizer]["lr"] == tuned["lr"]
        assert final.tuning_record[row.optimizer]["score"] == row.score
    assert final.tuning_record["search"]["tries_per_optimizer"] == 3
    spent = result.tries["seconds"].sum() + result.tries["final_seconds"].sum()
    assert final.tuning_record["search"]["seconds"] == pytest.approx(spent, abs=0.01)


def test_tables_beside_the_store_say_what_the_store_says(undisturbed):
    place, result = undisturbed
    again = tuning_trials(read_records(place))
    pd.testing.assert_frame_equal(again, result.tries)
    for table in (pd.read_csv(place / "tries.csv"), pd.read_parquet(place / "tries.parquet")):
        assert table["label"].tolist() == again["label"].tolist()
        assert table["score"].tolist() == pytest.approx(again["score"].tolist(), nan_ok=True)
    record = json.loads((place / "tuning.json").read_text())
    assert record["tries_per_optimizer"] == 3
    assert record["seconds"] == pytest.approx((again["seconds"] + again["final_seconds"]).sum(), abs=0.01)
    assert (record["finalists_per_optimizer"], record["runs_per_finalist"], record["final_epochs"]) == (
        2,
        2,
        1,
    )
    assert set(best_of_k_curves(result.records)["k"]) == {1, 2}


def test_the_page_of_a_search_compares_nothing_and_says_what_was_searched(undisturbed):
    _, result = undisturbed
    with charting.style():
        page = contents(result.records)
    assert page.sections[0].anchor == "tuning"
    assert not {"convergence", "cost", "noise"} & {section.anchor for section in page.every}
    assert page.answer.bottom_line.startswith("Settings for SGD, TNGD on digits-mlp")
    assert "20 %" in page.answer.bottom_line
    said = " ".join(text for _, text in page.first_screen())
    assert "test accuracy" not in said


@pytest.mark.slow(reason="runs a search and kills it, three times")
@pytest.mark.parametrize("delay", [2.5, 4.0, 5.5])
def test_a_killed_search_goes_on_to_the_same_result(undisturbed, tmp_path, delay):
    _, whole = undisturbed
    study = tmp_path / "tiny.toml"
    study.write_text(_toml(TABLE))
    entry = "from tngd_bench.cli.main import main; main()"
    command = [sys.executable, "-c", entry, "tune", str(study), "--output", str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(1.0)  # the workers end with their parent
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    tries = tuning_trials(read_records(tmp_path / "out"))
    pd.testing.assert_frame_equal(tries[DETERMINISTIC], whole.tries[DETERMINISTIC])


def _toml(table):
    section = {**table["training"][0]}
    lines = [f'name = "{table["name"]}"', f'title = "{table["title"]}"', "[execution]"]
    lines += [f"{key} = {value}" for key, value in table["execution"].items()]
    lines += ["[[training]]"] + [f"{key} = {json.dumps(value)}" for key, value in section.items()]
    numbers = {key: value for key, value in table["tuning"].items() if key != "spaces"}
    lines += ["[tuning]", *(f"{key} = {value}" for key, value in numbers.items()), "[tuning.spaces.sgd.lr]"]
    lines += [f"{k} = {json.dumps(v)}" for k, v in table["tuning"]["spaces"]["sgd"]["lr"].items()]
    return "\n".join(lines) + "\n"
