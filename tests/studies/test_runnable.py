"""Studies in Python: built from the keys of a file or read, and run with their progress in lines."""

import pytest

from tngd_bench.analysis import Results
from tngd_bench.studies import Study
from tngd_bench.studies.errors import StudyError

TRAINING = {
    "name": "digits",
    "problem": "digits-mlp",
    "parameters": 500,
    "train_size": 64,
    "test_size": 16,
    "epochs": 1,
    "evaluations": 1,
    "seeds": 1,
    "optimizers": ["sgd"],
}


def test_a_study_of_python_is_that_of_the_file_with_the_same_keys(tmp_path):
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\ntitle = "Mine"\n[[training]]\n'
        + "".join(f"{key} = {value!r}\n".replace("'", '"') for key, value in TRAINING.items())
    )
    training = dict(TRAINING)
    built = Study(name="mine", title="Mine", training=[training])
    read = Study.read(tmp_path / "mine.toml")
    assert built.loaded.study == read.loaded.study
    assert training == TRAINING, "what was given is left as it was"
    assert built.loaded.folder == read.loaded.folder
    changed = Study.read(tmp_path / "mine.toml", ["training.digits.seeds=2"])
    assert changed.loaded.study.training[0].seeds == 2


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"name": "mine"}, "title"),
        (
            {"name": "mine", "title": "Mine", "training": [{**TRAINING, "epoch": 1}]},
            r"training\[digits\].epoch",
        ),
        ({"name": "mine", "title": "Mine", "training": [{**TRAINING, "problem": "x"}]}, "must be one of"),
        ({"name": "mine", "title": "Mine"}, "nothing to do"),
    ],
)
def test_what_is_wrong_is_told_as_for_a_file(table, said):
    with pytest.raises(StudyError, match=said):
        Study(**table)


def test_it_runs_into_a_folder_prints_its_progress_and_results_read_it(tmp_path, capsys):
    study = Study(name="mine", title="Mine", execution={"workers": 1}, training=[TRAINING])
    done = study.run(tmp_path / "out")
    assert (done.ran, done.resumed) == (1, 0)
    assert "[1/1] training digits: sgd, seed 1" in capsys.readouterr().out
    results = Results(tmp_path / "out")
    assert list(results.final["optimizer"]) == ["sgd"]
    assert results.study["source"] == "Python"
    assert study.run(tmp_path / "out").resumed == 1


@pytest.mark.slow(reason="draws every figure of a page")
def test_figures_are_matplotlib_axes(tmp_path):
    from matplotlib.axes import Axes

    from tngd_bench.report import figures

    Study(name="mine", title="Mine", execution={"workers": 1}, training=[TRAINING]).run(tmp_path / "out")
    drawn = figures(tmp_path / "out")
    assert drawn
    assert all(isinstance(axes, Axes) for figure in drawn.values() for axes in figure.axes)
