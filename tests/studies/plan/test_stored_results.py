"""Results of other code are never told as this code's: run again, kept by, or kept on demand and said so."""

import json
from importlib.metadata import distributions

import pytest

from tests.studies.recorder import Recorder
from tngd_bench import source
from tngd_bench.studies.errors import StoreError
from tngd_bench.studies.file.reading import LoadedStudy, make_study
from tngd_bench.studies.plan import trial_code
from tngd_bench.studies.plan.stored_results import stored_results
from tngd_bench.studies.run.run_study import run_study
from tngd_bench.studies.store import code_parts
from tngd_bench.studies.store.documents import read_document, write_document
from tngd_bench.studies.store.merge import merge_stores
from tngd_bench.studies.store.records import read_records
from tngd_bench.studies.store.store import Store


@pytest.fixture
def loaded(table):
    """One short training."""
    section = {**table["training"][0], "optimizers": ["sgd"], "seeds": 1, "epochs": 0.25}
    return LoadedStudy(make_study({**table, "cost": [], "training": [section]}), "shipped")


@pytest.fixture
def other_code(monkeypatch):
    """Let the code be another from now on."""

    def change(name="tngd_bench/optimizers"):
        parts = {**source.own_parts(), name: "changed"}
        trial_code._code.cache_clear()
        monkeypatch.setattr(source, "own_parts", lambda: parts)

    yield change
    trial_code._code.cache_clear()


def run(loaded, output, **options):
    return run_study(loaded, output, Recorder(), **options)


def files(output, folder):
    return sorted(path.name for path in (output / "store" / folder).glob("*.json"))


def test_what_changed_runs_again_and_the_old_result_is_put_by(loaded, tmp_path, other_code, monkeypatch):
    first = run(loaded, tmp_path)
    (key,) = first.plan.trials
    assert (first.ran, run(loaded, tmp_path).resumed) == (1, 1)
    with monkeypatch.context():
        other_code()
        second = run(loaded, tmp_path)
        assert (second.ran, second.resumed, second.ignored) == (1, 0, {})
        assert list(second.plan.again.values()) == ["tngd_bench/optimizers has changed"]
        assert files(tmp_path, "earlier") == [f"{key}.json"]
        (new,) = read_records(tmp_path).trials["key"]
        assert not new.startswith(key)
        assert read_records(tmp_path).environment["code"]["tngd_bench/optimizers"] == "changed"


def test_a_reverted_change_finds_its_results_again(loaded, tmp_path, other_code, monkeypatch):
    original = dict(source.own_parts())
    first = run(loaded, tmp_path)
    other_code()
    run(loaded, tmp_path)
    trial_code._code.cache_clear()
    monkeypatch.setattr(source, "own_parts", lambda: original)
    again = run(loaded, tmp_path)
    assert (again.ran, again.resumed) == (0, 1)
    assert list(again.plan.trials) == list(first.plan.trials)
    assert len(files(tmp_path, "trials")) == len(files(tmp_path, "earlier")) == 1


def test_old_results_are_kept_on_demand_and_a_mixture_is_said(table, tmp_path, other_code):
    section = {**table["training"][0], "optimizers": ["sgd"], "seeds": 1, "epochs": 0.25}

    def study(seeds):
        return LoadedStudy(
            make_study({**table, "cost": [], "training": [{**section, "seeds": seeds}]}), "shipped"
        )

    first = run(study(1), tmp_path)
    assert code_parts.told(read_records(tmp_path).trials["code"]) == ""
    other_code()
    more = run(study(2), tmp_path, keep_old=True)
    assert (more.ran, more.resumed) == (1, 1)
    assert set(first.plan.trials) < set(more.plan.trials)
    said = code_parts.told(read_records(tmp_path).trials["code"])
    assert "several revisions of the code" in said
    assert "tngd_bench/optimizers (2 versions)" in said
    assert run(study(2), tmp_path).ran == 1


def test_a_store_from_before_is_run_again_or_kept_and_loses_nothing(loaded, tmp_path):
    plan = run(loaded, tmp_path).plan
    (key,) = plan.trials
    folder = tmp_path / "store" / "trials"
    content, _, _ = read_document(folder / f"{key}.json")
    (old,) = plan.keys_before_code(content["version"])
    for name in ("code", "identity"):
        del content[name]
    write_document(folder / f"{old}.json", {**content, "key": old})
    (folder / f"{key}.json").unlink()
    found = stored_results(Store.find(tmp_path), plan)
    assert (found.finished, list(found.again.values())) == (
        frozenset(),
        ["measured before results named their code"],
    )
    kept = run(loaded, tmp_path, keep_old=True)
    assert (kept.ran, kept.resumed, list(kept.plan.trials)) == (0, 1, [old])
    again = run(loaded, tmp_path)
    assert (again.ran, files(tmp_path, "trials"), files(tmp_path, "earlier")) == (
        1,
        [f"{key}.json"],
        [f"{old}.json"],
    )


def test_runs_by_different_code_are_merged_on_demand_and_it_says_whose_are_left_out(
    loaded, tmp_path, other_code
):
    run(loaded, tmp_path / "a")
    other_code()
    run(loaded, tmp_path / "b")
    places = [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(StoreError, match=r"different code .tngd_bench/optimizers.*--keep-old"):
        merge_stores(places, tmp_path / "c")
    merged = merge_stores(places, tmp_path / "c", keep_old=True)
    stores = tuple(str(place / "store") for place in reversed(places))
    assert (merged.trials, dict(merged.dropped)) == (1, {stores: 1})
    assert len(read_records(tmp_path / "c").trials) == 1


def test_one_package_is_one_revision_whatever_a_trial_uses_of_it(tmp_path, monkeypatch):
    info = tmp_path / "twothings-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: twothings\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[things]\nstep = a_step:ENTRY\ndata = some_data:ENTRY\n")
    for module in ("a_step", "some_data"):
        (tmp_path / f"{module}.py").write_text("ENTRY = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (dist,) = distributions(path=[str(tmp_path)])
    data, step = sorted(dist.entry_points, key=lambda point: point.name)
    monkeypatch.setattr(trial_code.optimizers, "origin", {"sgd": step}.get)
    monkeypatch.setattr(trial_code.problems, "origin", {"digits-mlp": data}.get)

    def parts():
        for cached in (trial_code._code, trial_code._modules, source.plugin_part):
            cached.cache_clear()
        used = [(["sgd"], "mnist-cnn"), (["sgd"], "digits-mlp"), (["adam"], "digits-mlp")]
        return [trial_code._code(frozenset(methods), problem, frozenset()) for methods, problem in used]

    before = parts()
    assert len({each["twothings"] for each in before}) == 1
    assert code_parts.told(map(json.dumps, before)) == ""
    (tmp_path / "some_data.py").write_text("ENTRY = 2\n")
    assert {each["twothings"] for each in parts()}.isdisjoint({each["twothings"] for each in before})
    assert "functools" not in trial_code._modules("twothings")  # whose partial binds the search of digits-mlp
    for cached in (trial_code._code, trial_code._modules, source.plugin_part):
        cached.cache_clear()


def test_the_packages_that_a_problem_computes_with_are_part_of_its_code(monkeypatch):
    monkeypatch.setattr(source, "installed_version", lambda name: f"1.0 of {name}")
    trial_code._code.cache_clear()
    language, digits = (
        trial_code._code(frozenset(), name, frozenset()) for name in ("squad-lora", "digits-mlp")
    )
    trial_code._code.cache_clear()
    added = {name: language[name] for name in language.keys() - digits.keys()}
    assert added == {name: f"1.0 of {name} installed" for name in ("transformers", "peft")}


def test_a_trial_without_code_is_of_another_revision():
    named = json.dumps({"a": "1"})
    assert code_parts.told([None, None]) == code_parts.told([named, named]) == ""
    assert "do not record their code" in code_parts.told([named, None])
