import pandas as pd
import pytest

from tngd_bench import analysis
from tngd_bench.analysis import results as module
from tngd_bench.analysis.results import Results, pooled, study_and_key
from tngd_bench.studies.store.columns import COST_COLUMNS, CURVE_COLUMNS, TRIAL_COLUMNS
from tngd_bench.studies.store.records import Records


def frame(rows, columns):
    return pd.DataFrame(
        {name: pd.Series([row.get(name) for row in rows], dtype=d) for name, d in columns.items()}
    )


@pytest.fixture
def records():
    """SGD and Adam, each timed for a second an iteration and trained with one seed."""
    setting = {"group": "g", "problem": "p", "parameters": 10, "batch_size": 4, "outputs": 2, "rows": 8}
    trials, costs, curves = [], [], []
    for method in ("adam", "sgd"):
        own = setting | {"optimizer": method, "method": method, "settings": "{}", "status": "ok"}
        own |= dict.fromkeys(("parameters_requested", "threads"), 1) | {"width": "1"}
        trials += [
            own | {"key": f"{method}#{kind}", "kind": kind, "seed": 0} for kind in ("cost", "training")
        ]
        costs += [
            own | {"key": f"{method}#cost", "process": 0, "repetition": 0, "digital_s": 1.0, "total_s": 1.0}
        ]
        curves += [
            own | {"key": f"{method}#training", "seed": 0, "iteration": i, "modelled_s": 99.0} for i in (0, 7)
        ]
    study = {"name": "s", "training": [{"name": "g", "problem": "p"}]}
    frames = ((trials, TRIAL_COLUMNS), (costs, COST_COLUMNS), (curves, CURVE_COLUMNS))
    return Records(study, {}, *(frame(*each) for each in frames))


def test_a_path_is_read_as_a_store_and_records_are_taken_as_they_are(records, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "read_records", {tmp_path: records}.__getitem__)
    for source in (tmp_path, str(tmp_path), records):
        assert analysis.Results(source).costs is records.costs


def test_curves_are_on_the_clock_of_the_cost_sections_unless_they_were_already(records):
    assert Results(records).curves["modelled_s"].tolist() == [0.0, 7.0] * 2
    assert Results(records, clocked=True).curves["modelled_s"].tolist() == [99.0] * 4
    assert records.curves["modelled_s"].tolist() == [99.0] * 4, "the records themselves are left alone"


def test_views_are_made_once_and_optimizers_are_in_the_order_of_the_registry(records, monkeypatch):
    results = Results(records)
    assert list(results.infos) == ["sgd", "adam"]
    monkeypatch.setattr(module, "optimizer_infos", None)
    assert results.infos is results.infos
    assert results.final["optimizer"].tolist() == ["adam", "sgd"]


def test_a_part_has_the_sections_asked_for_and_the_clock_of_the_whole(records):
    results = Results(records)
    assert results.within(["g"], "p").curves["modelled_s"].tolist() == [0.0, 7.0] * 2
    assert results.within(["g"], "another").trials.empty
    assert results.within([]).infos == {}
    assert results.keys_of("adam") == ("adam#cost", "adam#training")


def test_a_pool_keeps_studies_apart_and_each_on_its_own_clock(records):
    slow = Results(records, clocked=True)
    pool = pooled({"a": Results(records), "b": slow})
    assert pool.curves["modelled_s"].tolist() == [0.0, 7.0, 0.0, 7.0, 99.0, 99.0, 99.0, 99.0]
    assert set(pool.trials["seed"]) == {"a/0", "b/0"}
    assert pool.trials["key"].is_unique
    assert {study_and_key(key) for key in pool.keys_of("sgd")} == {
        (study, f"sgd#{kind}") for study in "ab" for kind in ("cost", "training")
    }


def test_a_pool_of_no_study_is_empty():
    assert pooled({}).trials.empty


def test_another_name_of_the_package_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'Result'"):
        analysis.Result  # noqa: B018
