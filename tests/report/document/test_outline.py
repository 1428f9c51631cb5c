"""What a page repeats, it says once."""

from collections import Counter

import pandas as pd
from matplotlib.figure import Figure

from tngd_bench.analysis import results
from tngd_bench.report.document import charting
from tngd_bench.report.document.charting import Chart
from tngd_bench.report.document.outline import captions_once, contents, names_once
from tngd_bench.report.document.section import Exhibit, Section

LONG = "Medians with quartile bands, both axes logarithmic, and much more to say about how to read them."


def chart(heading, caption):
    return Chart(heading.lower(), heading, "alt", caption, Figure(), pd.DataFrame())


def test_a_long_caption_stands_once_and_other_figures_name_the_first():
    section = Section(
        "s", "S", charts=(chart("A", LONG), chart("B", "Short."), chart("C", LONG), chart("D", "Short."))
    )
    assert [one.caption for one in captions_once(section).charts] == [
        *[LONG, "Short."],
        *["Reads as “A”.", "Short."],
    ]


def test_figures_that_stand_beside_claims_keep_their_captions():
    charts = (chart("A", LONG), chart("B", LONG))
    section = Section("s", "S", charts=charts, exhibits=(Exhibit("E", charts, ()),))
    assert captions_once(section) is section


def test_figures_and_tables_whose_names_fall_together_have_files_of_their_own():
    charts = tuple(chart(heading, "Short.") for heading in ("a", "a", "a-2", "b"))
    sections = names_once(tuple(Section(anchor, "S", charts=charts) for anchor in "st"))
    names = [one.name for section in sections for one in section.charts]
    assert len(set(names)) == len(names) == 8
    assert names[0] == "a"
    assert names_once((Section("s", "S", charts=charts[2:]),))[0].charts == charts[2:]


def test_a_page_makes_each_view_of_its_study_once(make, monkeypatch):
    made = Counter()

    def counted(place, name):
        function = getattr(place, name)

        def call(*given, **named):
            made[name] += 1
            return function(*given, **named)

        monkeypatch.setattr(place, name, call)

    for name in ("optimizer_infos", "calibrate", "hit_times", "time_to_target"):
        counted(results, name)
    for name in ("summarise", "ratios_to_sgd", "finished_costs"):
        counted(results.iteration_cost, name)
    with charting.style():
        contents(make(sizes=(1_000, 10_000), optimizers=("sgd", "kfac", "tngd"), sweeps=False))
    assert made.pop("optimizer_infos") == 2, (
        "the study's own and those of the studies that claims are judged on"
    )
    assert set(made.values()) == {1}
