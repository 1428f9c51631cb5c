"""Stores joined: nothing lost, nothing doubled, and times of unlike machines kept apart."""

import gzip
import json
import shutil

import pytest

from tests.studies.store.test_store import STORE_V1
from tngd_bench.cli.main import run as command_line
from tngd_bench.studies.errors import StoreError
from tngd_bench.studies.store.environment import difference, processor_words, processors, setting_words
from tngd_bench.studies.store.merge import merge_stores
from tngd_bench.studies.store.packed import find_store
from tngd_bench.studies.store.records import read_records
from tngd_bench.studies.store.store import Store

SECTION = {"name": "s", "seeds": 1, "parameters": 10, "optimizers": ["sgd"]}
HERE = {"cpu": "a", "torch": "2", "threads_cost": 1, "threads_training": 1, "dtype": "float32"}


@pytest.fixture
def make(tmp_path):
    """Write a store with trials of the given statuses."""

    def store(name, statuses, *, environment=HERE, study="tiny", **section):
        made = Store(tmp_path / name / "store")
        made.create()
        for key, status in statuses.items():
            content = {"entries": [{"status": status, "from": name}], "machine": {"cpu": environment["cpu"]}}
            made.write_trial(key, content)
        made.write_environment(environment)
        made.write_study(
            {"name": study, "cost": [], "training": [{**SECTION, **section}], "trials": list(statuses)}
        )
        return tmp_path / name

    return store


def held(merged):
    store = find_store(merged.path)
    return {key: content["entries"][0] for key, content in store.trials(store.study()["trials"])}


def test_every_trial_is_there_once_and_a_finished_one_goes_before_a_failed_one(make, tmp_path):
    parts = [
        make("a", {"k1": "ok", "k2": "failed", "k3": "failed"}),
        make("b", {"k2": "ok", "k1": "ok", "k3": "failed", "k4": "diverged"}, seeds=3, optimizers=["adam"]),
    ]
    merged = merge_stores(parts, tmp_path / "whole")
    assert held(merged) == {
        "k1": {"status": "ok", "from": "a"},
        "k2": {"status": "ok", "from": "b"},
        "k3": {"status": "failed", "from": "a"},
        "k4": {"status": "diverged", "from": "b"},
    }
    assert (merged.trials, merged.shared, merged.ignored) == (4, 3, {})
    (section,) = find_store(merged.path).study()["training"]
    assert (section["seeds"], section["optimizers"]) == (3, ["sgd", "adam"])


def test_a_store_merged_with_itself_is_itself(make, tmp_path):
    part = make("a", {"k1": "ok", "k2": "ok"})
    merged = merge_stores([part, part], tmp_path / "whole")
    for file in (part / "store").rglob("*.json"):
        assert (
            find_store(merged.path).path / file.relative_to(part / "store")
        ).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("field", ["cpu", "torch", "threads_cost", "dtype"])
def test_times_of_unlike_machines_are_refused_unless_asked_for(make, tmp_path, field):
    parts = [make("a", {"k1": "ok"}), make("b", {"k2": "ok"}, environment={**HERE, field: "other"})]
    with pytest.raises(StoreError, match=rf"measured with {field} = .* --mixed"):
        merge_stores(parts, tmp_path / "whole")
    assert not (tmp_path / "whole").exists()
    merged = merge_stores(parts, tmp_path / "whole", mixed=True)
    assert merged.trials == 2
    assert find_store(merged.path).environment().get("mixed") == (["a", "other"] if field == "cpu" else None)


def test_the_processors_of_all_machines_are_kept_and_told_however_often_stores_are_merged(make, tmp_path):
    """Two merged, and the third joined to both: the words of pages and of the terminal name all three."""
    parts = [make(name, {f"k{name}": "ok"}, environment={**HERE, "cpu": name}) for name in ("A", "B", "C")]
    two = merge_stores(parts[:2], tmp_path / "two", mixed=True)
    three = merge_stores([two.path.parent, parts[2]], tmp_path / "three", mixed=True)
    environment = find_store(three.path).environment()
    assert processors(environment) == ["A", "B", "C"]
    assert processor_words(environment) == "3 machines (A; B; C)"
    threads = [make(f"t{n}", {f"kt{n}": "ok"}, environment={**HERE, "threads_cost": n}) for n in (1, 2, 1)]
    both = merge_stores(threads[:2], tmp_path / "both", mixed=True)
    all_of_them = merge_stores([both.path.parent, threads[2]], tmp_path / "all", mixed=True)
    environment = find_store(all_of_them.path).environment()
    assert setting_words(environment, "threads_cost") == "1 or 2"
    assert (setting_words(environment, "threads_training"), setting_words({}, "dtype")) == ("1", "not stated")
    assert processor_words({"cpu": "A"}) == "A"
    assert processor_words({"cpu": "A", "gpu": "H"}) == "H"
    assert processor_words({}) == "a processor not recorded"


def test_another_instruction_set_is_another_machine_where_both_say_which():
    one, other = ({**HERE, "torch_build": f"CPU capability usage: {name}"} for name in ("AVX2", "AVX512"))
    assert difference(one, other) == ("torch_build", one["torch_build"], other["torch_build"])
    assert difference(one, HERE) is difference(HERE, other) is difference(one, dict(one)) is None


def test_other_studies_and_other_sections_are_refused(make, tmp_path):
    first = make("a", {"k1": "ok"})
    with pytest.raises(StoreError, match=r"holds the study 'tiny', .*'else'"):
        merge_stores([first, make("b", {"k2": "ok"}, study="else")], tmp_path / "whole")
    with pytest.raises(StoreError, match=r"training\[s\].epochs is 2, and in the first store None"):
        merge_stores([first, make("c", {"k2": "ok"}, epochs=2)], tmp_path / "whole")
    with pytest.raises(StoreError, match="has a results store already"):
        merge_stores([first], first)


@pytest.mark.parametrize("unlike", [{"study": "else"}, {"epochs": 2}])
def test_an_option_is_named_only_where_it_is_enough(make, tmp_path, unlike):
    there = make("b", {"k2": "ok"}, environment={**HERE, "cpu": "other"}, **unlike)
    said = []
    for mixed in (False, True):
        with pytest.raises(StoreError) as refused:
            merge_stores([make("a", {"k1": "ok"}), there], tmp_path / "whole", mixed=mixed)
        said.append(str(refused.value))
    assert said[0] == said[1]


def with_settings(part, settings, **entry):
    """Give each trial of a store an entry of SGD with these settings."""
    store = Store(part / "store")
    for number, (key, content) in enumerate(list(store.trials(store.study()["trials"]))):
        about = {
            "kind": "training",
            "group": "s",
            "optimizer": "sgd",
            "seed": number,
            "status": "ok",
            **entry,
        }
        store.write_trial(key, {**content, "entries": [{**about, "settings": json.dumps(settings)}]})
    return part


@pytest.mark.parametrize(
    ("settings", "entry", "said"),
    [
        ({"lr": 0.7}, {}, "sgd in section 's' has lr = 0.7, and in .*a/store 0.1; only results"),
        ({"lr": 0.7}, {"optimizer": "sgd[]"}, "has lr = 0.7"),
        ({"lr": 0.1, "device": {"base": "paper", "adc_bits": 4}}, {}, "device.adc_bits = 4, and in .* 8"),
        ({"lr": 0.1, "device": "paper"}, {}, "has device = 'paper', and in .*'base'"),
        ({"lr": 0.1, "added_since": True}, {}, None),
        ({"lr": 0.7}, {"sweep_parameter": "lr", "sweep_value": 0.7}, None),
        ({"lr": 0.7}, {"optimizer": "sgd[lr=0.7]"}, None),
    ],
)
def test_one_name_for_two_settings_of_an_optimizer_is_refused(make, tmp_path, settings, entry, said):
    """Else their results would stand together as further seeds of one."""
    device = {"lr": 0.1, "device": {"base": "paper", "adc_bits": 8}}
    parts = [with_settings(make("a", {"k1": "ok"}), device)]
    parts.append(with_settings(make("b", {"k2": "ok"}), settings, seed=1, **entry))
    if said is None:
        assert merge_stores(parts, tmp_path / "whole").trials == 2
        return
    with pytest.raises(StoreError, match=said):
        merge_stores(parts, tmp_path / "whole", mixed=True, keep_old=True)
    assert not (tmp_path / "whole").exists()


def test_a_problem_with_other_options_is_refused_where_both_stores_use_it(make, tmp_path):
    parts = [make(name, {f"k{name}": "ok"}, problem="p") for name in ("a", "b")]
    for part, table in zip(parts, ({}, {"p": {"size": 2}}), strict=True):
        store = Store(part / "store")
        store.write_study({**store.study(), "problem": table})
    with pytest.raises(StoreError, match=r"problem\.p\.size is 2, and in the first store None"):
        merge_stores(parts, tmp_path / "whole")
    for part in parts:
        store = Store(part / "store")
        store.write_study({**store.study(), "training": [{**SECTION, "problem": "q"}]})
    assert merge_stores(parts, tmp_path / "whole").trials == 2


def test_a_damaged_file_is_named_and_left_out(make, tmp_path):
    part = make("a", {"k1": "ok", "k2": "ok"})
    (part / "store" / "trials" / "k2.json").write_text("{")
    merged = merge_stores([part], tmp_path / "whole")
    assert list(held(merged)) == ["k1"]
    assert merged.ignored == {f"k2.json in {part / 'store'}": "is torn or not JSON"}


def test_stores_of_the_first_layout_are_merged_into_today_s(tmp_path, capsys):
    shutil.copytree(STORE_V1, tmp_path / "old")
    assert command_line(["merge", str(tmp_path / "old"), "--output", str(tmp_path / "new")]) == 0
    assert "5 trials" in capsys.readouterr().out
    before, after = read_records(tmp_path / "old"), read_records(tmp_path / "new")
    assert after.trials.equals(before.trials)
    assert after.costs.equals(before.costs)
    assert after.curves.equals(before.curves)
    for file in (tmp_path / "new" / "store" / "trials").iterdir():
        assert json.loads(file.read_text())["schema"] == 3


def test_the_command_line_says_what_is_wrong_in_one_line(make, tmp_path, capsys):
    parts = [make("a", {"k1": "ok"}), make("b", {"k2": "ok"}, environment={**HERE, "cpu": "other"})]
    assert command_line(["merge", *map(str, parts), "--output", str(tmp_path / "whole")]) == 3
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert command_line(["merge", str(tmp_path / "nowhere"), "--output", str(tmp_path / "whole")]) == 3
    assert "does not exist" in capsys.readouterr().err


def test_a_store_of_compressed_trials_reads_the_same_and_goes_on_with_plain_files(tmp_path):
    """Earlier versions compressed each trial with `merge --compress`."""
    shutil.copytree(STORE_V1, tmp_path / "plain" / "store")
    shutil.copytree(STORE_V1, tmp_path / "compressed" / "store")
    store = Store(tmp_path / "compressed" / "store")
    for path in store.trial_files():
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    before, after = read_records(tmp_path / "plain"), read_records(tmp_path / "compressed")
    for name in ("trials", "costs", "curves"):
        assert getattr(after, name).equals(getattr(before, name))
    assert not after.ignored
    keys = store.study()["trials"]
    torn, renewed = (store.trials_folder / f"{key}.json.gz" for key in keys[:2])
    torn.write_bytes(torn.read_bytes()[:-20])
    store.write_trial(keys[1], {"entries": [{"status": "ok"}]})
    held = dict(store.trials(keys))
    assert set(held) == set(keys[1:])
    assert store.ignored == {torn.name: "is torn or not JSON"}
    assert held[keys[1]]["entries"] == [{"status": "ok"}], "what was written since counts"
    assert renewed.exists()


@pytest.mark.parametrize(("seeds", "said"), [((1, 3), [1, 3]), ((3, 3), None), ((3, 1), None)])
def test_a_number_that_grew_after_the_first_results_is_noted_as_a_run_notes_it(make, tmp_path, seeds, said):
    parts = [make(name, {f"k{name}": "ok"}, seeds=number) for name, number in zip("ab", seeds, strict=True)]
    study = find_store(merge_stores(parts, tmp_path / "whole").path).study()
    changes = [{"section": "s", "what": "seeds", "numbers": said}] if said else None
    assert study.get("numbers_changed") == changes
