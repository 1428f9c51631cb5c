"""A file that a study or --plugin names: its entries are known everywhere, also in the processes of trials."""

import json
import sys

import pytest

from tests.studies.recorder import Recorder
from tngd_bench import plugin_files
from tngd_bench.cli.main import run
from tngd_bench.optimizers import registry as optimizers
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.reading import load_study
from tngd_bench.studies.plan.trial_code import code_of, edited_code
from tngd_bench.studies.plugin import registered, use_plugin
from tngd_bench.studies.run.run_study import run_study
from tngd_bench.studies.store.records import read_records

PLUGIN = """
import torch
from tngd_bench.optimizers.entry import OptimizerEntry, Setting
from tngd_bench.optimizers.settings import POSITIVE
from tngd_bench.problems.digits_mlp import ENTRY as DIGITS
from tngd_bench.spu.device import Device
from tngd_bench.studies.engines import EngineEntry
from dataclasses import replace

class Signs:
    def __init__(self, model, loss, *, generator, lr):
        self.model, self.loss, self.lr = model, loss, lr

    def step(self, inputs, targets):
        loss = self.loss(self.model(inputs), targets)
        parameters = list(self.model.parameters())
        with torch.no_grad():
            for p, g in zip(parameters, torch.autograd.grad(loss, parameters)):
                p -= self.lr * g.sign()
        return float(loss.detach())

SIGNS = OptimizerEntry(
    "signs", "Signs", "the sign of the gradient", "first-order", f"{__name__}:Signs", {"lr": Setting(0.001, POSITIVE)}
)
SMALL = replace(DIGITS, name="small-digits")
BENCH = Device.preset("paper").override(name="bench", summary="ours")

def open_here(study):
    from tngd_bench.studies.run.local_engine import open_local
    return open_local(study)

HERE = EngineEntry("here", "the local one under another name", f"{__name__}:open_here")
"""
STUDY = """
name = "own"
title = "Own"
plugins = ["mine.py"]

[execution]
engine = "here"
workers = 1

[[training]]
name = "digits"
problem = "small-digits"
parameters = 500
train_size = 64
test_size = 16
epochs = 1
evaluations = 1
seeds = 1
optimizers = ["signs", "tngd[device=bench]"]
"""


@pytest.fixture(autouse=True)
def forgotten():
    before = list(sys.path)
    yield
    plugin_files.forget()
    sys.path[:] = before


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(PLUGIN)
    (tmp_path / "own.toml").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_four_kinds_are_registered_and_forgotten(folder):
    file = use_plugin("mine.py")
    assert registered(file) == {
        "optimizer": ("signs",),
        "problem": ("small-digits",),
        "device": ("bench",),
        "engine": ("here",),
    }
    plugin_files.forget(file)
    assert "signs" not in optimizers.names()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", "registers nothing; accepted: an OptimizerEntry"),
        ("from tngd_bench.problems.digits_mlp import ENTRY\n", "registers nothing"),
        (PLUGIN.replace('"signs", "Signs"', '"sgd", "Signs"'), "SIGNS registers the optimizer 'sgd' again"),
        (PLUGIN.replace("0.001, POSITIVE", "-1.0, POSITIVE"), "SIGNS cannot be used: lr must be"),
        (PLUGIN.replace('name="bench"', 'name="ideal"'), "BENCH registers the device 'ideal' again"),
        (PLUGIN.replace('f"{__name__}:open_here"', '"open_here"'), "HERE cannot be used: factory must be"),
        (
            PLUGIN.replace(":Signs", ":Sings"),
            "plug-in mine.py: SIGNS cannot be used: factory names 'Sings', and mine.py has",
        ),
        (
            PLUGIN.replace(":open_here", ":SMALL.x"),
            "HERE cannot be used: factory names 'SMALL.x', and mine.py has no",
        ),
        (
            PLUGIN.replace(":Signs", ":STUDY_NAME"),
            "SIGNS cannot be used: factory names 'STUDY_NAME', and mine.py",
        ),
    ],
)
def test_a_plugin_that_cannot_be_used_is_refused_whole(folder, text, said):
    (folder / "mine.py").write_text(text)
    with pytest.raises(ValueError, match="plug-in") as error:
        use_plugin("mine.py")
    assert said in str(error.value)
    assert plugin_files.loaded() == ()
    assert "signs" not in optimizers.names()


def test_a_study_names_plugins_relative_to_itself(folder, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert load_study(str(folder / "own.toml")).study.execution.engine == "here"


@pytest.mark.parametrize(
    ("plugins", "said"),
    [
        ('["gone.py"]', r"own.toml, line 4: plug-in .*gone.py' cannot be read"),
        ('"mine.py"', r"own.toml, line 4: plugins = 'mine.py' is refused; accepted: a list of file names"),
    ],
)
def test_a_study_whose_plugin_is_not_there_is_refused_with_its_line(folder, plugins, said):
    (folder / "own.toml").write_text(STUDY.replace('["mine.py"]', plugins))
    with pytest.raises(StudyError, match=said):
        load_study("own.toml")


def test_an_unknown_engine_is_refused_with_what_there_is(folder):
    (folder / "own.toml").write_text(STUDY.replace('"here"', '"there"'))
    with pytest.raises(
        StudyError, match=r"execution.engine: engine must be one of: local, dask, here; not 'there'"
    ):
        load_study("own.toml")


def test_trials_run_it_in_their_processes_and_records_name_it(folder, tmp_path):
    run_study(load_study("own.toml"), tmp_path / "out", Recorder())
    records = read_records(tmp_path / "out")
    assert set(records.trials["status"]) == {"ok"}
    assert set(records.trials["method"]) == {"signs", "tngd"}
    (file,) = plugin_files.loaded()
    assert records.environment["plugins"] == [{"path": str(folder / "mine.py"), "sha256": file.checksum}]
    assert {"mine.py"} < set(records.environment["code"])


@pytest.mark.slow(reason="runs a study three times")
def test_a_change_of_the_file_makes_its_results_stale_and_taking_it_back_brings_them_back(folder, tmp_path):
    def rerun(text):
        (folder / "mine.py").write_text(text)
        heard = Recorder()
        done = run_study(load_study("own.toml"), tmp_path / "out", heard)
        return done.ran, set(heard.plan.again.values())

    assert rerun(PLUGIN) == (2, set())
    assert rerun(PLUGIN.replace("g.sign()", "g.sign() * 2")) == (2, {"mine.py has changed"})
    assert rerun(PLUGIN) == (0, set())


def test_a_module_that_is_edited_while_trials_wait_is_told(folder, table, plan_of):
    (folder / "a_module_of_mine.py").write_text("RATE = 1\n")
    (folder / "mine.py").write_text(PLUGIN + "import a_module_of_mine\n")
    use_plugin("mine.py")
    section = {**table["training"][0], "optimizers": ["signs", "sgd"]}
    trials = plan_of({**table, "cost": [], "training": [section]}).trials.values()
    assert {edited_code(trial) for trial in trials} == {""}
    (folder / "a_module_of_mine.py").write_text("RATE = -1\n")
    told = {trial.candidate.config.method: edited_code(trial) for trial in trials}
    assert told == {"signs": "mine.py has changed", "sgd": ""}


def test_a_plan_made_again_in_one_session_has_keys_of_the_code_that_is_there_now(folder, table, plan_of):
    """As in a notebook, where the study is read again after a module was edited."""
    helper = folder / "a_module_of_a_session.py"
    helper.write_text("RATE = 1\n")
    (folder / "mine.py").write_text(PLUGIN + "import a_module_of_a_session\n")
    section = {**table["training"][0], "optimizers": ["signs", "sgd"]}

    def keys():
        use_plugin("mine.py")
        trials = plan_of({**table, "cost": [], "training": [section]}).trials
        return {trial.describe(): key for key, trial in trials.items()}

    first = keys()
    helper.write_text("RATE = -1\n")
    second = keys()
    assert {name for name in first if first[name] != second[name]} == {
        name for name in first if "signs" in name
    }
    helper.write_text("RATE = 1\n")
    assert keys() == first


@pytest.mark.slow(reason="begins a study")
def test_no_trial_begins_with_a_module_that_was_edited(folder, tmp_path):
    class Edits(Recorder):
        def planned(self, plan, pending):
            (folder / "a_module_of_mine.py").write_text("RATE = -1\n")

    (folder / "a_module_of_mine.py").write_text("RATE = 1\n")
    (folder / "mine.py").write_text(PLUGIN + "import a_module_of_mine\n")
    with pytest.raises(
        StudyError, match=r"mine.py has changed while the study ran; finished trials are kept"
    ):
        run_study(load_study("own.toml"), tmp_path / "out", Edits())
    assert not list((tmp_path / "out" / "store" / "trials").iterdir())


@pytest.mark.slow(reason="starts a Dask cluster")
def test_dask_workers_run_it_without_a_copy_of_the_file(folder, tmp_path):
    pytest.importorskip("distributed")
    cluster = '[cluster]\nkind = "local"\nmachines = 1\n'
    (folder / "own.toml").write_text(STUDY.replace('"here"', '"dask"') + cluster)
    loaded = load_study("own.toml")
    (folder / "mine.py").unlink()
    run_study(loaded, tmp_path / "out", Recorder())
    records = read_records(tmp_path / "out")
    assert set(records.trials["status"]) == {"ok"}, records.trials["reason"].tolist()
    assert set(records.trials["problem"]) == {"small-digits"}


def test_the_option_loads_it_for_every_verb_that_takes_names(folder, capsys):
    assert run(["list", "engines", "--plugin", "mine.py"]) == 0
    assert "here" in capsys.readouterr().out
    size = ["--parameters", "1000", "--batch", "8", "--outputs", "10"]
    assert run(["predict", *size, "--device", "bench", "--plugin", "mine.py", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert run(["list", "--plugin", "gone.py"]) == 3
    assert "--plugin: plug-in 'gone.py' cannot be read" in capsys.readouterr().err


def test_code_of_a_trial_without_it_does_not_name_it(folder, table, plan_of):
    plain = {key: code_of(trial) for key, trial in plan_of(table).trials.items()}
    use_plugin("mine.py")
    assert {key: code_of(trial) for key, trial in plan_of(table).trials.items()} == plain
