import pytest

from tngd_bench.analysis.families import kind
from tngd_bench.analysis.optimizer_names import worded


@pytest.mark.parametrize(
    ("label", "title"),
    [
        ("adam[tuned]", "Adam (tuned)"),
        ("tngd[analog_time=5, delay=0.2]", "TNGD (t = 5 τ, t_d = 0.2 τ)"),
        ("tngd[damping=1e-3, start=gradient]", "TNGD (λ = 0.001, start = gradient)"),
        ("ngd-cg[cg_iterations=200, cg_rtol=0, cg_space=parameters]", "NGD (CG) (200 iterations)"),
        ("ngd-cg[cg_rtol=0.1]", "NGD (CG) (cg_rtol = 0.1)"),
        ("tngd[damping=odd]", "TNGD (λ = odd)"),
        ("kfac", "K-FAC"),
    ],
)
def test_labels_have_short_titles(label, title):
    assert kind(label, label.split("[")[0], None).title == title


def test_labels_in_a_sentence_are_replaced_whole():
    titles = {"tngd": "TNGD", "tngd[analog_time=5]": "TNGD (t = 5 τ)", "ngd-gram": "NGD (Gram)", "ngd": "NGD"}
    text = worded(
        "tngd[analog_time=5] against tngd and ngd-gram; tngd-adam, tngd[delay=3] as they are", titles
    )
    assert text == "TNGD (t = 5 τ) against TNGD and NGD (Gram); tngd-adam, tngd[delay=3] as they are"
