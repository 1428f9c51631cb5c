import dataclasses
import io
import re

import pandas as pd
import pytest
from rich.console import Console

from tngd_bench.analysis.findings.answer import answer
from tngd_bench.analysis.results import Results
from tngd_bench.report import terminal_summary
from tngd_bench.report.document.panels import LineGroup
from tngd_bench.report.render import terminal


def printed(records, width=160, **options):
    console = Console(file=io.StringIO(), width=width, **options)
    console.print(terminal_summary(records))
    return console.file.getvalue()


def rows(text):
    """Return the cells of the printed table by the optimizer's title."""
    found = [line.strip("│ \n").split("│") for line in text.splitlines() if line.startswith("│")]
    found = [[cell.strip() for cell in cells] for cells in found]
    return {title: cells for title, *cells in found}


def test_a_row_for_every_optimizer_timed_at_the_one_size_named_above_it(records):
    text = printed(records)
    summary = Results(records).cost_summary
    size, batch, outputs, more = re.search(
        r"A step on digits-mlp at N = ([\d,]+), b = (\d+), d_z = (\d+)\. (\d+) more sizes", text
    ).groups()
    here = summary[summary["parameters"] == int(size.replace(",", ""))]
    assert (int(batch), int(outputs)) == (here["batch_size"].iloc[0], here["outputs"].iloc[0])
    assert int(more) == summary["parameters"].nunique() - 1
    infos, table = Results(records).infos, rows(text)
    units = {"µs": 1e-6, "ms": 1e-3, "s": 1.0}
    for row in here.itertuples():
        shown, device, *_ = table[infos[row.optimizer].title]
        value, unit = shown.split()
        assert float(value) * units[unit] == pytest.approx(row.total_median_s, rel=5e-3)
        assert (device == "–") is not infos[row.optimizer].modelled
    assert "of which the device, modelled" in text
    assert (
        text.rstrip().splitlines()[-1].strip() == "Cost and training trials: 1 diverged, 258 ok, 12 skipped"
    )
    assert any(cells[-2] == "2/3" for cells in table.values())


def test_batch_sizes_are_not_mixed_in_a_column(make):
    records = make(sizes=(1_000, 10_000), optimizers=("sgd", "tngd"), training=False)
    wide = {"parameters": 10_000_000, "batch_size": 1024, "rows": 10_240}
    own = records.costs["optimizer"] == "sgd"
    trials = pd.concat([records.trials, records.trials.assign(key=records.trials["key"] + "w", **wide)])
    costs = pd.concat([records.costs, records.costs[own].assign(key=records.costs["key"] + "w", **wide)])
    text = printed(dataclasses.replace(records, trials=trials, costs=costs))
    assert "at N = 10,000, b = 32" in text
    assert "10,000,000" not in text


def test_what_was_timed_and_trained_has_both_numbers_in_whichever_figure_it_is(records, monkeypatch):
    """A variant that the main figure leaves out would stand there as not trained."""
    whole = rows(printed(records))
    monkeypatch.setattr(terminal, "line_groups", lambda infos, present: [LineGroup((min(present),))])
    text = printed(records)
    few = rows(text)
    assert few.items() <= whole.items()
    left_out = sum(cells[0] == "–" and cells[-1] != "–" for title, cells in whole.items() if title not in few)
    assert left_out == len(whole) - len(few)
    assert (f"{left_out} more optimizer" in text) == bool(left_out)


def test_markup_in_names_is_text(make):
    assert "[red]title[/red]" in printed(make(title="[red]title[/red]", training=False))


def test_nothing_measured_prints_all_the_same(make):
    text = printed(make(sizes=(), training=False))
    assert "Nothing was measured in this study." in text
    assert "Cost and training trials: none" in text


def test_the_terminal_tells_the_bottom_line_of_the_page(records):
    said = answer(Results(records))
    text = " ".join(printed(records).split())
    assert f"Bottom line: {said.bottom_line} {' '.join(said.facts)}" in text
    asked = [each.text for each in said.paragraphs if each.term == "Measure next"]
    assert all(f"Measure next: {each}" in text for each in asked)


@pytest.mark.parametrize("width", [60, 80])
def test_a_narrow_terminal_shows_every_number_whole_and_no_colours_where_none_are_wanted(records, width):
    text = printed(records, width, force_terminal=True, _environ={"NO_COLOR": "1", "TERM": "xterm-256color"})
    assert not re.search(r"\x1b\[[\d;]*3\d", text)
    plain = re.sub(r"\x1b\[[\d;]*m", "", text)
    assert max(map(len, plain.splitlines())) <= width
    assert "…" not in plain
    wide = printed(records, 300)
    numbers = re.findall(r"[\d.]+ (?:µs|ms|s|%)", wide.partition("───")[2])
    assert sorted(numbers) == sorted(re.findall(r"[\d.]+ (?:µs|ms|s|%)", plain.partition("───")[2]))
