"""Pages of any set of contestants: none fails, and nobody leads without a rival; a part that fails leaves the rest."""

import itertools

import pytest

from tests.report.conftest import OPTIMIZERS
from tngd_bench.analysis.findings import find
from tngd_bench.analysis.results import Results
from tngd_bench.cli.stores import tell_missing
from tngd_bench.report import assumptions, build, study_tables
from tngd_bench.report.document import charting, outline
from tngd_bench.report.document.outline import contents
from tngd_bench.report.map import map_section
from tngd_bench.report.render.terminal import terminal_summary

QUICK = [("sgd",), ("kfac",), ("sgd", "kfac"), ("kfac", "ngd-gram")]
SETS = [
    *((label,) for label in OPTIMIZERS),
    *itertools.combinations(("sgd", "kfac", "ngd-gram", "ngd-cg", "tngd", "tngd-adam"), 2),
]
slow = pytest.mark.slow(reason="draws the maps of every device of every set")
MARKED = [*QUICK, *(pytest.param(labels, marks=slow) for labels in SETS if labels not in QUICK)]


@pytest.mark.parametrize("labels", MARKED, ids="+".join)
def test_every_set_of_contestants_gives_a_page_and_no_lead_without_a_rival(make, labels):
    sizes = (1_000,) if len(labels) == 1 else (1_000, 3_162, 10_000)
    with charting.style():
        made = contents(make(optimizers=labels, sizes=sizes, training=False))
    assert not [lost for section in made.every for lost in section.without({})[1]]
    assert made.missing == ()
    maps = [chart for each in made.every for chart in each.charts if chart.name.startswith("map-")]
    points = [point for each in made.every for point in each.points if each.anchor == "map"]
    if len(set(labels) - {"sgd", "adam"}) < 2:
        assert not maps
        assert not any("device had" in text or "optimizer had" in text for _, text in made.first_screen())
        assert points == [] or any("othing to compare" in point for point in points)
    assert all(sum(column.endswith("_s") for column in chart.data) > 1 for chart in maps)


def fails(*_args, **_kwargs):
    raise ValueError("no\nsuch thing")


PARTS = {
    "calibrations": (Results, "calibrations"),
    "map": (map_section, "map_section"),
    "what-if": (map_section, "what_if_section"),
    "cost": (outline, "cost_sections"),
    "convergence": (outline, "training_sections"),
    "verdicts": (outline, "verdict_section"),
    "unfinished": (study_tables, "unfinished_table"),
    "assumptions": (assumptions, "device_table"),
    "reproduce": (study_tables, "pairs_table"),
    "Compared": (study_tables, "compared"),
    "Cost": (find, "cost_sentence"),
    "Convergence": (find, "convergence_sentence"),
    "Noise": (find, "device_sentence"),
}


FEW = ("calibrations", "map", "cost", "assumptions", "Compared", "Cost")
rest = pytest.mark.slow(reason="a page for each part, guarded like those of the default suite")


@pytest.mark.parametrize(
    "part", [*FEW, *(pytest.param(part, marks=rest) for part in PARTS if part not in FEW)]
)
def test_whatever_fails_the_page_is_written_without_it_and_says_so(make, tmp_path, monkeypatch, capsys, part):
    records = make(optimizers=("sgd", "kfac"), sizes=(1_000,), training=False)
    place, name = PARTS[part]
    monkeypatch.setattr(place, name, property(fails) if place is Results else fails)
    monkeypatch.setattr(
        outline, "training_sections", outline.training_sections if part == "convergence" else none
    )
    built = build.build_report(records, tmp_path, formats=("md",))
    assert {each.error for each in built.missing} == {"ValueError: no such thing"}
    text = (tmp_path / "report.md").read_text()
    assert "could not be made" in text
    assert "## Reproduce it" in text
    terminal_summary(records)
    assert tell_missing(built.missing) == 2
    assert "the page was written without the se" in capsys.readouterr().err


def none(_results):
    return ()
