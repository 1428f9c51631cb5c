"""The language studies end to end, on an encoder and questions made for the test."""

import json
import math

import pytest

from tests.studies.recorder import Recorder
from tests.tiny_encoder import write_encoder, write_questions
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.reading import load_study
from tngd_bench.studies.run.run_study import run_study
from tngd_bench.studies.store.records import read_records


@pytest.fixture(scope="module")
def fine_tuning(tmp_path_factory):
    pytest.importorskip("transformers")
    pytest.importorskip("peft")
    folder = tmp_path_factory.mktemp("qa")
    questions = write_questions(folder / "questions.json", repeat=5)
    encoder = write_encoder(folder / "encoder")
    overrides = [
        f'problem.squad-lora.encoder="{encoder}"',
        f'problem.squad-lora.train="{questions}"',
        f'problem.squad-lora.test="{questions}"',
        "training.fig5.parameters=546",
        "training.fig5-long.parameters=546",
        "training.fig5-long.outputs=96",
        "cost.fig5-cost.parameters=546",
        "cost.fig5-cost.outputs=96",
        "training.fig5.train_size=16",
        "training.fig5.batch_size=4",
        "training.fig5.seeds=1",
        'training.fig5.optimizers=["adam", "tngd-adam"]',
    ]
    loaded = load_study("paper-fig5a", overrides, "smoke")
    run_study(loaded, folder / "out", Recorder(), command="tngd-bench run paper-fig5a")
    return read_records(folder / "out")


def test_runs_end_with_scores_of_answers_and_no_accuracy(fine_tuning):
    assert set(fine_tuning.trials["status"]) == {"ok"}
    last = fine_tuning.curves.sort_values("iteration").groupby("optimizer").tail(1)
    assert len(last) == 2
    for name in ("train_exact_match", "train_f1", "test_exact_match", "test_f1"):
        assert last[name].between(0.0, 1.0).all()
    assert last["test_accuracy"].isna().all()
    assert (last["iteration"] == 4).all()


def test_rows_are_two_a_token_and_products_are_recorded(fine_tuning):
    trials = fine_tuning.trials.set_index("optimizer")
    assert set(trials["outputs"]) == {96}
    assert set(trials["rows"]) == {4 * 96}
    assert trials.loc["tngd-adam", "solver_iterations"] >= 2
    assert math.isfinite(float(fine_tuning.curves["modelled_s"].max()))


def test_the_options_stand_in_the_record(fine_tuning):
    assert set(fine_tuning.study["problem"]["squad-lora"]) == {"encoder", "train", "test"}
    settings = json.loads(fine_tuning.trials.set_index("optimizer").loc["tngd-adam", "settings"])
    assert (settings["damping"], settings["analog_time"], settings["beta1"]) == (1.0, 0.4, 0.0)


def test_wrong_options_are_refused_before_anything_is_loaded():
    with pytest.raises(
        StudyError, match=r"problem.squad-lora: squad-lora has no option 'encodr'; did you mean"
    ):
        load_study("paper-fig5a", ['problem.squad-lora.encodr="x"'])
    with pytest.raises(StudyError, match="outputs must be twice the sequence length, an even number"):
        load_study("paper-fig5a", ["training.fig5.outputs=769"])


def test_many_outputs_are_timed_and_counted(tmp_path):
    overrides = ['cost.vocabulary.optimizers=["adam", "tngd"]', "cost.vocabulary.outputs=[300]"]
    loaded = load_study("language-cost", overrides, "smoke")
    run_study(loaded, tmp_path, Recorder(), command="tngd-bench run language-cost")
    records = read_records(tmp_path)
    assert set(records.trials["status"]) == {"ok"}
    assert set(records.trials["rows"]) == {1200}
    assert bool((records.trials["flops"] > 0).all())
    device = records.costs[records.costs["optimizer"] == "tngd"]
    assert bool((device["digital_s"] > 0).all())
