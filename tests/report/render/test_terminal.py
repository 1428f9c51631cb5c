import dataclasses
import io

import pandas as pd
from rich.console import Console

from tngd_bench.analysis.findings.find import find
from tngd_bench.analysis.results import Results
from tngd_bench.report import terminal_summary


def printed(records, width=160):
    console = Console(file=io.StringIO(), width=width)
    console.print(terminal_summary(records))
    return console.file.getvalue()


def test_every_optimizer_has_a_row_and_modelled_time_is_marked(records):
    lines = printed(records, width=300).splitlines()
    (titles,) = [line for line in lines if "optimizer" in line and "┃" in line]
    assert "time per iteration at N = 10,000, b = 32, d_z = 10" in titles
    assert "time per iteration at N = 1,000,000, b = 32, d_z = 10" in titles
    (row,) = [line for line in lines if "TNGD " in line and "│" in line]
    assert "(device modelled)" in row
    (dense,) = [line for line in lines if "NGD (dense)" in line and "│" in line]
    assert dense.split("│")[3].strip() == "–"  # not timed at the largest size, and no other size stands there
    assert "s" in dense.split("│")[2]
    assert any("2/3" in line for line in lines if "K-FAC" in line)
    assert lines[-1] == "Cost and training trials: 1 diverged, 258 ok, 12 skipped"


def test_batch_sizes_are_not_mixed_in_a_column(make):
    records = make(sizes=(1_000, 10_000), optimizers=("sgd", "tngd"), training=False)
    wide = {"parameters": 10_000_000, "batch_size": 1024, "rows": 10_240}
    own = records.costs["optimizer"] == "sgd"
    trials = pd.concat([records.trials, records.trials.assign(key=records.trials["key"] + "w", **wide)])
    costs = pd.concat([records.costs, records.costs[own].assign(key=records.costs["key"] + "w", **wide)])
    text = printed(dataclasses.replace(records, trials=trials, costs=costs), width=300)
    assert "at N = 10,000, b = 32" in text
    assert "10,000,000" not in text.split("•")[0]


def test_markup_in_names_is_text(make):
    assert "[red]title[/red]" in printed(make(title="[red]title[/red]", training=False))


def test_nothing_measured_prints_all_the_same(make):
    text = printed(make(sizes=(), training=False))
    assert text.count("not measured") == 3
    assert "Cost and training trials: none" in text


def test_the_terminal_tells_the_findings_of_the_page(make):
    records = make(optimizers=("sgd", "tngd"), sizes=(1_000,))
    pair = records.trials["group"] == "noise"
    trials = records.trials.assign(sweep_parameter_2=None, sweep_label=None)
    trials.loc[pair, "sweep_parameter_2"] = "damping"
    swept = dataclasses.replace(records, trials=trials)
    told = find(Results(swept))
    assert "Not judged here: thermal noise κ₀ × damping" in told.noise
    text = " ".join(printed(swept).split())
    for sentence in told.sentences():
        assert " ".join(sentence.split()) in text
