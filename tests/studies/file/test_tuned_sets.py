"""Settings of several searches in one study: each section takes those that were found on its problem."""

import json

import pytest

from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.optimizer_label import config_of
from tngd_bench.studies.file.reading import load_study
from tngd_bench.studies.file.tuned_sets import search_of

DIGITS, MNIST = "digits-mlp", "mnist-cnn"


def tuned(problem, lr, record=True):
    text = f"[tuned.adam]\nlr = {lr}\nbeta1 = 0.8\n[tuned.tngd]\nlr = {lr}\n"
    return text + (f'[tuning_record.search]\nproblem = "{problem}"\n' if record else "")


def section(problem, name, optimizers):
    size = 920 if problem == MNIST else 10_000
    keys = {"name": name, "problem": problem, "parameters": size, "epochs": 1, "optimizers": optimizers}
    return "[[training]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())


@pytest.fixture
def read(tmp_path):
    """Write files into one folder, and read the study of that name."""

    def write(
        included, text="", sections=((DIGITS, "d", ["adam[tuned]"]), (MNIST, "m", ["adam[tuned]"])), **files
    ):
        for name, content in files.items():
            (tmp_path / f"{name}.toml").write_text(content)
        names = json.dumps([f"{name}.toml" for name in included])
        head = f'include = {names}\nname = "final"\ntitle = "Final"\n{text}\n'
        (tmp_path / "final.toml").write_text(head + "".join(section(*one) for one in sections))
        return load_study(str(tmp_path / "final.toml")).study

    return write


def lr(study, problem, label="adam[tuned]"):
    return config_of(study, label, problem).settings["lr"]


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_each_problem_takes_the_settings_found_on_it_in_whichever_order_they_are_included(read, order):
    study = read(order, a=tuned(DIGITS, 0.1), b=tuned(MNIST, 0.2))
    assert (lr(study, DIGITS), lr(study, MNIST)) == (0.1, 0.2)
    assert not study.tuned
    assert study.tuned_for[MNIST].tuning_record["search"]["problem"] == MNIST


def test_one_search_holds_on_every_problem(read):
    study = read(("a",), a=tuned(DIGITS, 0.1))
    assert (lr(study, DIGITS), lr(study, MNIST)) == (0.1, 0.1)
    assert not study.tuned_for


def test_of_two_searches_on_one_problem_the_later_wins_as_it_does_elsewhere(read):
    study = read(("a", "b"), a=tuned(DIGITS, 0.1), b=tuned(DIGITS, 0.3))
    assert lr(study, DIGITS) == 0.3


def record(problem, lr, command, optimizer="adam", **settings):
    values = {"lr": lr, **settings}
    text = f"[tuned.{optimizer}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
    text += f'[tuning_record.search]\nproblem = "{problem}"\ncommand = "{command}"\n'
    return text + f"[tuning_record.{optimizer}]\nscore = {lr}\n"


@pytest.mark.parametrize("apart", [False, True])
def test_every_search_on_one_problem_keeps_its_record(read, apart):
    files = {
        "a": record(MNIST, 0.1, "first", beta1=0.8)
        + record("", 0.2, "", "sgd").partition("[tuning_record.search]")[0],
        "b": record(MNIST, 0.3, "second"),
        "c": record(MNIST, 0.4, "third", "tngd"),
    } | ({"d": record(DIGITS, 0.5, "fourth")} if apart else {})
    study = read(tuple(sorted(files, key="adbc".index)), sections=[(MNIST, "m", ["adam[tuned]"])], **files)
    found = study.tuned_for[MNIST] if apart else study
    # settings of two searches are not mixed: the later one replaces an optimizer's whole
    assert found.tuned == {"sgd": {"lr": 0.2}, "adam": {"lr": 0.3}, "tngd": {"lr": 0.4}}
    searches = {
        method: found.tuning_record[search_of(found.tuning_record, method)]["command"]
        for method in found.tuned
    }
    assert searches == {"sgd": "first", "adam": "second", "tngd": "third"}
    assert lr(study, MNIST) == 0.3


def test_a_third_search_joins_what_an_included_study_has_kept_apart(read):
    both = 'include = ["a.toml", "b.toml"]\nname = "both"\ntitle = "Both"\n'
    texts = {"a": tuned(DIGITS, 0.1), "b": tuned(MNIST, 0.2), "c": tuned("fashion-cnn", 0.3), "both": both}
    study = read(("both", "c"), **texts)
    assert [lr(study, problem) for problem in (DIGITS, MNIST, "fashion-cnn")] == [0.1, 0.2, 0.3]
    study = read(("both", "c"), **texts | {"c": tuned(MNIST, 0.4)})
    assert (lr(study, DIGITS), lr(study, MNIST)) == (0.1, 0.4)


def test_the_study_s_own_table_wins_key_by_key_on_every_problem(read):
    study = read(("a", "b"), "[tuned.adam]\nlr = 0.7\n", a=tuned(DIGITS, 0.1), b=tuned(MNIST, 0.2))
    for problem in (DIGITS, MNIST):
        assert config_of(study, "adam[tuned]", problem).settings["beta1"] == 0.8
        assert lr(study, problem) == 0.7
        assert lr(study, problem, "adam[tuned, lr=0.9]") == 0.9
    assert lr(study, MNIST, "tngd[tuned]") == 0.2


def test_a_problem_that_no_search_ran_on_is_refused_by_name(read):
    sections = [("mnist-mlp", "m", ["sgd", "adam[tuned]"])]
    with pytest.raises(
        StudyError, match=r"'adam\[tuned\]': .*tuned on digits-mlp, mnist-cnn, none on mnist-mlp"
    ):
        read(("a", "b"), sections=sections, a=tuned(DIGITS, 0.1), b=tuned(MNIST, 0.2))
    written = "[tuned.adam]\nlr = 0.7\n"
    assert (
        lr(read(("a", "b"), written, sections, a=tuned(DIGITS, 0.1), b=tuned(MNIST, 0.2)), "mnist-mlp") == 0.7
    )


def test_a_refused_value_is_found_in_the_file_that_has_it(read):
    wrong = tuned(MNIST, 0.2).replace("beta1 = 0.8", "beta1 = 2.0")
    with pytest.raises(StudyError, match=r"b\.toml, line 3: .*tuned_for.mnist-cnn.tuned.adam: beta1"):
        read(("a", "b"), a=tuned(DIGITS, 0.1), b=wrong)
