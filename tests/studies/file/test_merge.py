import textwrap
from pathlib import Path

import pytest

from tngd_bench import plugin_files
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.merge import as_included, read_table
from tngd_bench.studies.file.reading import load_study

BELOW = """
name = "below"
title = "Below"

[execution]
workers = 2

[optimizer.sgd]
lr = 0.1

[[cost]]
name = "size"
problem = "digits-mlp"
parameters = [1000, 2000]
optimizers = ["sgd", "adam"]
repetitions = 7

[profiles.smoke]
"cost.size.repetitions" = 3
execution.workers = 1
"""
ABOVE = """
include = ["below.toml"]
name = "above"
title = "Above"

[execution]
threads_cost = 2

[[cost]]
name = "size"
parameters = 1000

[[training]]
name = "digits"
problem = "digits-mlp"
parameters = [1000, 2000]
batch_size = [16, 32]
optimizers = ["tngd[analog_time=[5, 10], adc_bits=[ideal, 8]]", "sgd"]
epochs = 1

[profiles.smoke]
training.digits.epochs = 0.5
"training.digits.batch_size" = 16

[profiles.costs]
"training.digits.enabled" = false
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "below.toml").write_text(BELOW)
    (tmp_path / "above.toml").write_text(ABOVE)
    return tmp_path


def test_a_file_lies_over_what_it_includes(folder):
    loaded = load_study(str(folder / "above.toml"))
    study = loaded.study
    assert (study.name, study.execution.workers, study.execution.threads_cost) == ("above", 2, 2)
    assert study.optimizer == {"sgd": {"lr": 0.1}}
    (size,) = study.cost
    assert (size.parameters, size.optimizers, size.repetitions) == ((1000,), ("sgd", "adam"), 7)
    assert (loaded.included, loaded.profiles, loaded.profile) == (("below.toml",), ("smoke", "costs"), None)


def test_choices_of_included_studies_add_up_topic_by_topic(folder):
    (folder / "one.toml").write_text(
        BELOW + '[choices]\n"Figure 1" = ["One.", "Two."]\nimages = ["The first."]\n'
    )
    (folder / "two.toml").write_text('name = "two"\n[choices]\nstart = ["Zero."]\nimages = ["The last."]\n')
    (folder / "all.toml").write_text(
        'include = ["one.toml", "two.toml"]\nname = "all"\n[choices]\nown = ["Mine."]\nstart = []\n'
        '[profiles.short]\n"choices.short" = ["Less of all."]\n'
    )
    (folder / "wrong.toml").write_text('include = ["below.toml"]\n[choices]\nown = "Mine."\n')
    whole = {"Figure 1": ("One.", "Two."), "images": ("The last.",), "start": (), "own": ("Mine.",)}
    assert load_study(str(folder / "all.toml")).study.choices == whole
    short = load_study(str(folder / "all.toml"), profile="short").study
    assert short.choices == whole | {"short": ("Less of all.",)}
    assert complaint(str(folder / "wrong.toml")).startswith("wrong.toml, line 3: choices.own")


def test_a_shipped_study_can_be_included(folder):
    path = folder / "mine.toml"
    path.write_text('include = ["smoke"]\nname = "mine"\n[[cost]]\nname = "size"\nbatch_size = 4\n')
    study = load_study(str(path)).study
    assert (study.name, study.title) == ("mine", load_study("smoke").study.title)
    assert (study.cost[0].batch_size, study.cost[0].optimizers) == (
        (4,),
        load_study("smoke").study.cost[0].optimizers,
    )


def test_training_grids_become_sections_and_labels_with_lists_labels(folder):
    study = load_study(str(folder / "above.toml")).study
    assert {(s.name, s.parameters, s.batch_size) for s in study.training} == {
        (f"digits-N{size}-b{batch}", size, batch) for size in (1000, 2000) for batch in (16, 32)
    }
    assert study.training[0].optimizers == (
        "tngd[analog_time=5, adc_bits=ideal]",
        "tngd[analog_time=5, adc_bits=8]",
        "tngd[analog_time=10, adc_bits=ideal]",
        "tngd[analog_time=10, adc_bits=8]",
        "sgd",
    )


def test_a_profile_lies_over_the_file_and_set_over_the_profile(folder):
    reference = str(folder / "above.toml")
    smoke = load_study(reference, profile="smoke")
    assert smoke.profile == "smoke"
    assert (smoke.study.cost[0].repetitions, smoke.study.execution.workers) == (3, 1)
    assert {(s.batch_size, s.epochs) for s in smoke.study.training} == {(16, 0.5)}
    assert str(smoke.folder) == "reports/above-smoke"
    assert str(load_study(reference).folder) == "reports/above"
    changed = load_study(reference, ["training.digits.epochs=3"], "smoke").study
    assert {s.epochs for s in changed.training} == {3}


def test_a_key_that_has_dots_itself_stands_in_quotes_in_set_and_in_profiles(folder):
    changed = load_study(str(folder / "above.toml"), ['optimizer."torch.optim:AdamW".lr=0.5']).study
    assert changed.optimizer == {"sgd": {"lr": 0.1}, "torch.optim:AdamW": {"lr": 0.5}}
    path = folder / "quoted.toml"
    path.write_text(ABOVE + "[profiles.fast]\n'optimizer.\"torch.optim:AdamW\".lr' = 0.25\n")
    assert load_study(str(path), profile="fast").study.optimizer["torch.optim:AdamW"] == {"lr": 0.25}
    assert "cannot be read" in complaint(folder / "above.toml", ["optimizer..lr=1"])


def test_a_profile_may_leave_sections_out(folder):
    study = load_study(str(folder / "above.toml"), profile="costs").study
    assert (len(study.cost), study.training) == (1, ())
    with pytest.raises(StudyError, match=r"above\.toml: nothing to do: no section is enabled"):
        load_study(str(folder / "above.toml"), ["cost.size.enabled=false"], "costs")


def complaint(reference, overrides=(), profile=None):
    with pytest.raises(StudyError) as caught:
        load_study(str(reference), overrides, profile)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_profile_that_is_not_there_is_refused(folder):
    assert complaint(folder / "above.toml", profile="smoek") == (
        "above.toml: no profile 'smoek'; did you mean 'smoke'?; it has: smoke, costs"
    )
    assert complaint("smoke", profile="full").startswith("smoke.toml: no profile 'full'")


def test_errors_name_the_file_and_the_line_in_which_the_value_stands(folder):
    path = folder / "above.toml"
    number = ABOVE.splitlines().index("epochs = 1") + 1
    path.write_text(ABOVE.replace("epochs = 1", "epoch = 1"))
    assert complaint(path) == (
        f"above.toml, line {number}: unknown key training[digits-N1000-b16].epoch; did you mean 'epochs'?; "
        "accepted here: name, problem, parameters, optimizers, epochs, batch_size, outputs, train_size, test_size, "
        "evaluations, evaluation_size, seeds, first_seed, sweep, validation_share, targets, timed, keep, enabled "
        "(and 7 more)"
    )
    path.write_text(ABOVE)
    (folder / "below.toml").write_text(BELOW.replace("lr = 0.1", "lr = -0.1"))
    number = BELOW.splitlines().index("lr = 0.1") + 1
    assert complaint(path) == (
        f"below.toml, line {number}: optimizer.sgd: lr must be a finite number > 0, not -0.1"
    )
    (folder / "below.toml").write_text(BELOW.replace('"adam"', '"adm"'))
    number = BELOW.splitlines().index('optimizers = ["sgd", "adam"]') + 1
    assert complaint(path).startswith(
        f"below.toml, line {number}: cost[size].optimizers: optimizer must be one of"
    )


def test_errors_of_a_profile_and_of_set_name_these(folder):
    path = folder / "above.toml"
    path.write_text(ABOVE.replace("training.digits.epochs = 0.5", "training.digits.epochs = -1"))
    number = ABOVE.splitlines().index("training.digits.epochs = 0.5") + 1
    assert complaint(path, profile="smoke").startswith(f"above.toml, line {number}: training[digits-N1000")
    path.write_text(ABOVE.replace("training.digits.epochs = 0.5", "training.digit.epochs = 1"))
    assert complaint(path, profile="smoke").startswith(
        f"above.toml, line {number}: profiles.smoke: training.digit.epochs: no section 'training.digit'; "
        "did you mean 'digits'?"
    )
    assert complaint(path, ["cost.size.repetitions=1"]).startswith(
        "above.toml, --set cost.size.repetitions: cost[size].repetitions = 1 is refused"
    )


def test_a_key_that_is_set_twice_is_refused(folder):
    path = folder / "above.toml"
    once = "cost.size.repetitions=4"
    assert load_study(str(path), [once, "cost.size.processes=1"]).study.cost[0].repetitions == 4
    assert complaint(path, [once, "cost.size.repetitions = 5"]) == (
        "--set cost.size.repetitions is given 2 times; accepted: once"
    )


def test_includes_that_lead_nowhere_are_refused(folder):
    path = folder / "above.toml"
    (folder / "below.toml").write_text('include = ["above.toml"]\n' + BELOW)
    assert complaint(path) == (
        "above.toml, line 2: include: below.toml, line 1: include: above.toml: includes itself: "
        "above.toml → below.toml → above.toml"
    )
    (folder / "below.toml").unlink()
    assert complaint(path).startswith(
        "above.toml, line 2: include: study file 'below.toml' cannot be read: No such"
    )
    path.write_text("include = 3\n")
    assert complaint(path) == "above.toml, line 1: include = 3 is refused; accepted: a list of file names"


def test_integers_beyond_64_bits_are_refused_with_their_line(folder):
    path = folder / "huge.toml"
    path.write_text('name = "a"\ntitle = "A"\n[[cost]]\nname = "b"\nbatch_size = 0x' + "f" * 6000 + "\n")
    assert complaint(path) == (
        "huge.toml, line 5: cost[b].batch_size: an integer of 24000 bits; accepted: up to 64 bits"
    )


def test_a_missing_tuned_file_is_answered_with_those_there_by_paths_that_include_them(tmp_path, monkeypatch):
    (tmp_path / "reports" / "a-tuning").mkdir(parents=True)
    (tmp_path / "studies").mkdir()
    tuned = tmp_path / "reports" / "a-tuning" / "tuned.toml"
    tuned.write_text("[tuned.sgd]\nlr = 0.25\n")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "studies" / "a.toml"
    rest = '\nname = "a"\ntitle = "A"\n[device.slow]\nbase = "paper"\n'
    path.write_text('include = ["tuned.toml"]' + rest)
    said = complaint(path)
    assert said.endswith("; there are: ../reports/a-tuning/tuned.toml")
    path.write_text(f'include = ["{said.rpartition(" ")[2]}"]' + rest)
    assert read_table(str(path)).table["tuned"] == {"sgd": {"lr": 0.25}}
    assert as_included(tuned, path.parent) == "../reports/a-tuning/tuned.toml"
    assert as_included(Path("reports/a-tuning/tuned.toml"), None) == str(tuned)


def test_the_study_in_the_documentation_can_be_run(tmp_path):
    text = (Path(__file__).parents[3] / "docs" / "studies.md").read_text(encoding="utf-8")
    block = text[text.index("    include = ") : text.index("What wins:")]
    path = tmp_path / "mine.toml"
    path.write_text(textwrap.dedent(block), encoding="utf-8")
    (tmp_path / "tuned.toml").write_text("")
    plugin = "from tngd_bench.spu.device import Device\nMINE = Device.ideal().override(name='mine')\n"
    (tmp_path / "mine.py").write_text(plugin)
    study = load_study(str(path)).study
    assert [section.name for section in study.training] == ["digits-b16", "digits-b32", "noise"]
    timed = {section.name: len(section.optimizers) for section in study.cost}
    assert timed == {"size": 4, "digits-b16-cost": 2, "digits-b32-cost": 2}  # two for the targets
    assert "size" not in [section.name for section in load_study(str(path), profile="smoke").study.cost]
    plugin_files.forget()


def test_a_training_grid_that_nobody_means_is_refused_with_its_line(folder):
    path = folder / "above.toml"
    path.write_text(ABOVE.replace("batch_size = [16, 32]", f"batch_size = {list(range(1, 800))}"))
    number = ABOVE.splitlines().index("[[training]]") + 1
    assert complaint(path) == f"above.toml, line {number}: 'digits' stands for 1598 sections; accepted: 1000"
