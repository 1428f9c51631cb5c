import io

from rich.console import Console

from tngd_bench.report import terminal_summary


def printed(records, width=160):
    console = Console(file=io.StringIO(), width=width)
    console.print(terminal_summary(records))
    return console.file.getvalue()


def test_every_optimizer_has_a_row_and_modelled_time_is_marked(records):
    lines = printed(records).splitlines()
    (row,) = [line for line in lines if "TNGD " in line and "│" in line]
    assert "1,000,000" in row
    assert "(device modelled)" in row
    (dense,) = [line for line in lines if "NGD (dense)" in line and "│" in line]
    assert "10,000" in dense
    assert any("2/3" in line for line in lines if "K-FAC" in line)
    assert lines[-1] == "Cost and training trials: 1 diverged, 258 ok, 12 skipped"


def test_markup_in_names_is_text(make):
    assert "[red]title[/red]" in printed(make(title="[red]title[/red]", training=False))


def test_nothing_measured_prints_all_the_same(make):
    text = printed(make(sizes=(), training=False))
    assert text.count("not measured") == 3
    assert "Cost and training trials: none" in text
