"""LaTeX tables read as TeX reads them: rows of one width, nothing special bare, mathematics closed."""

import re

import pandas as pd
import pytest

from tngd_bench.report import assumptions
from tngd_bench.report.document.tables import Column, Table
from tngd_bench.report.render import latex

pytest.importorskip("pylatexenc", reason="pylatexenc is not installed")
# of the LaTeX kernel since 2020: symbols that stand in text
COMMANDS = {
    rf"\text{name}"
    for name in (
        *("backslash", "asciitilde", "asciicircum", "less", "greater", "mu", "times", "div", "degree"),
        *("periodcentered", "endash", "quotedblleft", "quotedblright", "ellipsis"),
    )
}
READABLE = re.compile(r"[\x20-\x7eÀ-ſ]*")  # ASCII and the accented letters that LaTeX knows


def bare(cell):
    """The cell without what is escaped, commands of text, and mathematics; fails where one of these is broken."""
    cell = re.sub(r"\\ensuremath\{((?:[^{}]|\{[^{}]*\})*)\}", r"$\1$", cell)
    cell = re.sub(r"\\[\^'`\"](?:\{[A-Za-z]\}|[A-Za-z])", "", cell)  # a letter with an accent
    math = re.findall(r"(?<!\\)\$(.*?)(?<!\\)\$", cell)
    assert 2 * len(math) == len(re.findall(r"(?<!\\)\$", cell)), f"mathematics is not closed: {cell}"
    text = re.sub(r"(?<!\\)\$.*?(?<!\\)\$", "", cell)
    for command in re.findall(r"\\[A-Za-z]+", text):
        assert command in COMMANDS, command
    text = re.sub(r"\\[A-Za-z]+\{\}", "", text)
    return re.sub(r"\\[&%$#_{}]", "", text)


def check(text):
    """Check one file of `latex.latex` against booktabs' grammar; return its rows of cells."""
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    assert all(READABLE.fullmatch(line) for line in lines)
    opening = re.fullmatch(r"\\begin\{tabular\}\{([lr]+)\}", lines[0])
    assert opening
    assert lines[-1] == r"\end{tabular}"
    assert [line for line in lines if line.endswith("rule")] == [r"\toprule", r"\midrule", r"\bottomrule"]
    assert (lines[1], lines[-2]) == (r"\toprule", r"\bottomrule")
    rows = [line for line in lines[2:-2] if line != r"\midrule"]
    cells = []
    for row in rows:
        assert row.endswith(r" \\")
        # after a rule or the end of a row a bracket would be an argument
        assert not row.startswith(("[", "*", "(")), row
        split = re.split(r"(?<!\\)&", row.removesuffix(r" \\").removeprefix("{}"))
        assert len(split) == len(opening[1])
        for cell in split:
            assert not re.search(r"[&%$#_{}~^\\]", bare(cell)), cell
        cells.append(split)
    return cells


def test_every_character_of_a_hostile_table_is_text():
    special = [chr(code) for code in range(32, 127)] + list("×÷·−≥≤≈∞±µκτλσΩ–“”₀ᵀᵖ⁻⁰¹²³⁴⁵⁶⁷⁸⁹Ĥ₁₂′°é…")
    rows = tuple((f"{c}", f"a{c}b", f"{c}{c}") for c in special)
    columns = (Column("a_b", numeric=False), Column("[1/τ]", clock="measured"), Column("c"))
    cells = check(latex.latex(Table("t", "100 % of\nĤ", columns, rows, pd.DataFrame())))
    assert len(cells) == 2 + len(rows)


@pytest.mark.parametrize("text", ["[5]", "*x", "[", "* a"])
def test_a_row_never_starts_with_what_the_line_before_would_take_as_its_argument(text):
    table = Table("t", "", (Column("a"), Column("b")), ((text, "1"),), pd.DataFrame())
    check(latex.latex(table))


def test_the_device_of_a_study_is_a_valid_table(records):
    check(latex.latex(assumptions.device_table(records.study, records.trials)))
