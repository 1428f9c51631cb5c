"""Files kept of a run: there on request, named in the record, the same as what the run was."""

import hashlib
import io
import json

import pandas as pd
import pytest
import torch

from tests.studies.recorder import Recorder
from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.measure.problem_instance import ProblemInstance
from tngd_bench.measure.training import evaluate, train
from tngd_bench.problems import registry
from tngd_bench.studies.file.reading import LoadedStudy, make_study
from tngd_bench.studies.run.artefacts import CURVE, WEIGHTS, artefacts
from tngd_bench.studies.run.run_study import run_study
from tngd_bench.studies.store.merge import merge_stores
from tngd_bench.studies.store.records import read_records


@pytest.fixture
def kept(table):
    """The study with one short run, whose files are kept."""
    training = {**table["training"][0], "seeds": 1, "optimizers": ["sgd"], "keep": ["weights", "curve"]}
    return {**table, "cost": [], "training": [training]}


def entries(output):
    """Return the entries of the store by key."""
    files = sorted((output / "store" / "trials").glob("*.json"))
    return {file.stem: json.loads(file.read_text())["content"]["entries"][0] for file in files}


def test_a_run_leaves_its_weights_and_curve_and_its_record_names_them(kept, tmp_path):
    run_study(LoadedStudy(make_study(kept), "shipped"), tmp_path / "a", Recorder())
    ((key, entry),) = entries(tmp_path / "a").items()
    assert set(entry["artefacts"]) == {WEIGHTS, CURVE}
    for name, said in entry["artefacts"].items():
        raw = (tmp_path / "a" / "store" / said["file"]).read_bytes()
        assert said == {
            "file": f"artefacts/{key}/{name}",
            "bytes": len(raw),
            "sha256": hashlib.sha256(raw).hexdigest(),
        }
    folder = tmp_path / "a" / "store" / "artefacts" / key
    curve, records = pd.read_csv(folder / CURVE), read_records(tmp_path / "a")
    assert curve["loss"].tolist()[1:] == pytest.approx(records.curves["loss"].tolist()[1:])
    problem = registry.get("digits-mlp")
    model = problem.model(problem.widths(1000), seed=0)
    model.load_state_dict(torch.load(folder / WEIGHTS, weights_only=True))
    found = evaluate(model, problem.loss(), problem.load(train_size=64))
    assert found["test_loss"] == pytest.approx(records.curves["test_loss"].iloc[-1])

    merged = merge_stores([tmp_path / "a"], tmp_path / "b")
    assert entries(tmp_path / "b") == {key: entry}
    assert (merged.path / entry["artefacts"][WEIGHTS]["file"]).read_bytes() == (folder / WEIGHTS).read_bytes()


def test_only_what_is_asked_for_is_kept_and_only_that_changes_the_key(kept, plan_of):
    def keys(*names):
        table = {**kept, "training": [{**kept["training"][0], "keep": list(names)}]}
        return list(plan_of(table).trials)

    (trial,) = plan_of(kept).trials.values()
    assert trial.keep == ("weights", "curve")
    assert (
        "keep"
        not in plan_of({**kept, "training": [{**kept["training"][0], "keep": []}]})
        .trials[keys()[0]]
        .particulars()
    )
    assert keys("weights", "curve") == keys("curve", "weights")
    assert len({*keys(), *keys("weights"), *keys("curve")}) == 3


def test_files_are_those_of_the_run():
    instance = ProblemInstance("digits-mlp", 989, 10, 20, "float32", ("kept",))
    data, config = instance.entry.load(40, 20), OptimizerConfig.of("sgd", lr=0.1)
    plain = train(instance, data, config, epochs=1, evaluations=1)
    result = train(instance, data, config, epochs=1, evaluations=1, keep_weights=True)
    assert plain.weights is None
    assert artefacts((), plain) == {}
    assert set(artefacts(("curve",), plain)) == {CURVE}
    files = artefacts(("weights", "curve"), result)
    weights = torch.load(io.BytesIO(files[WEIGHTS]), weights_only=True)
    assert list(weights) == list(instance.model().state_dict())
    assert any(not torch.equal(weights[name], p) for name, p in instance.model().state_dict().items())
    assert len(pd.read_csv(io.BytesIO(files[CURVE]))) == len(result.curve) == 3


def test_weights_are_those_that_are_evaluated():
    """An optimizer that averages its parameters for evaluation keeps the averages."""
    pytest.importorskip("pytorch_optimizer")
    instance = ProblemInstance("digits-mlp", 989, 10, 20, "float32", ("averaged",))
    data, config = (
        instance.entry.load(200, 20),
        OptimizerConfig.of("pytorch_optimizer:ScheduleFreeAdamW", lr=0.01),
    )
    result = train(instance, data, config, epochs=1, evaluations=1, keep_weights=True)
    model = instance.model()
    model.load_state_dict(result.weights)
    scores = evaluate(model, instance.loss(), data, score=instance.entry.score())
    assert scores == dict(result.curve[-1].scores)


def test_what_cannot_be_kept_is_refused(kept):
    from tngd_bench.studies.errors import StudyError

    with pytest.raises(StudyError, match=r"training\[digits\]\.keep.*'weights' or 'curve'"):
        make_study({**kept, "training": [{**kept["training"][0], "keep": ["graph"]}]})
