import importlib.resources
import tomllib

import pytest

from tngd_bench.analysis.families import optimizer_info
from tngd_bench.analysis.optimizer_names import without_tuned, worded
from tngd_bench.studies.file.optimizer_label import (
    IDEAL,
    expand_label,
    label_texts,
    read_label,
    read_value,
    usual_form,
)


@pytest.mark.parametrize(
    ("label", "title"),
    [
        ("adam[tuned]", "Adam (tuned)"),
        ("tngd[analog_time=5, delay=0.2]", "TNGD (t = 5 τ, t_d = 0.2 τ)"),
        ("tngd[damping=1e-3, start=gradient]", "TNGD (λ = 0.001, start = gradient)"),
        ("ngd-cg[cg_iterations=200, cg_rtol=0, cg_space=parameters]", "NGD (CG, 200 iterations)"),
        ("ngd-cg[cg_rtol=0.1]", "NGD (CG, CG tolerance = 0.1)"),
        ("tngd[damping=odd]", "TNGD (λ = odd)"),
        ("kfac", "K-FAC"),
        ("tngd[analog_time=1,start=previous]", "TNGD (t = 1 τ, start = previous)"),
        ("ngd-cg[ cg_iterations=200,cg_rtol=0.0 ,cg_space=parameters]", "NGD (CG, 200 iterations)"),
        ("adam[tuned,eps=1e-6]", "Adam (tuned, ε = 1e-6)"),
    ],
)
def test_labels_have_short_titles(label, title):
    assert optimizer_info(label, label.split("[")[0], None).title == title


@pytest.mark.parametrize(
    ("title", "bare"),
    [
        ("Adam (tuned)", "Adam"),
        ("Adam (tuned, ε = 1e-6)", "Adam (ε = 1e-6)"),
        ("NGD (Gram, tuned)", "NGD (Gram)"),
        ("NGD (Gram, tuned, λ = 0.1)", "NGD (Gram, λ = 0.1)"),
        ("untuned (detuned)", "untuned (detuned)"),
    ],
)
def test_tuned_is_left_out_where_it_is_said_of_all(title, bare):
    assert without_tuned(title) == bare


def named(content):
    """Yield every optimizer that parsed TOML names, those in its profiles too."""
    for key, value in content.items():
        if key.rpartition(".")[2] == "optimizers":
            yield from value
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                yield from named(inner)


def shipped_labels():
    """Return every optimizer that a shipped study names in one of its profiles."""
    files = importlib.resources.files("tngd_bench.studies").joinpath("shipped").iterdir()
    texts = [file.read_text(encoding="utf-8") for file in files]
    return {one for text in texts for label in named(tomllib.loads(text)) for one in expand_label(label)}


def test_one_parser_reads_the_labels_of_all_shipped_studies_whatever_their_blanks():
    labels = shipped_labels()
    assert len(labels) > 30
    for label in labels:
        written = label_texts(label)
        settings = dict(read_label(label).settings)
        assert {key: read_value(text) for key, text in written.items() if text is not True} == {
            key: None if value == IDEAL else value for key, value in settings.items()
        }
        title = optimizer_info(label, read_label(label).name).title
        for blanks in (",", ", ", " , "):
            other = blanks.join(part.strip() for part in label.split(","))  # no shipped label has a list
            assert usual_form(other) == usual_form(label)
            assert optimizer_info(other, read_label(other).name).title == title
        assert title.count("(") - title.count(")") == 0
        for key, text in written.items():
            assert "," not in str(text), (key, text)


def test_labels_in_a_sentence_are_replaced_whole():
    titles = {"tngd": "TNGD", "tngd[analog_time=5]": "TNGD (t = 5 τ)", "ngd-gram": "NGD (Gram)", "ngd": "NGD"}
    text = worded(
        "tngd[analog_time=5] against tngd and ngd-gram; tngd-adam, spring[delay=3] not run, x-sgd", titles
    )
    assert text == "TNGD (t = 5 τ) against TNGD and NGD (Gram); TNGD-Adam, SPRING (t_d = 3 τ) not run, x-sgd"
