"""The words of a report: one file that the verb prints and the documentation includes."""

import re
from pathlib import Path

import pytest

from tngd_bench.analysis.claims.types import VerdictName
from tngd_bench.analysis.cost.leads import WITHIN_SPREAD
from tngd_bench.cli.glossary.command import in_ascii, terms
from tngd_bench.cli.main import run
from tngd_bench.report.document import tables
from tngd_bench.report.front import _SYMBOLS

ROOT = Path(__file__).parents[3]


def told(capsys, *words):
    code = run(["glossary", *words])
    return code, *capsys.readouterr()


def test_the_documentation_includes_the_file_that_the_verb_reads():
    page = ROOT / "docs" / "guide" / "report.md"
    (named,) = re.findall(r"^```\{include\} (\S+)$", page.read_text("utf-8"), re.MULTILINE)
    assert (page.parent / named).resolve() == ROOT / "tngd_bench" / "cli" / "glossary" / "glossary.md"


def test_every_word_has_a_meaning_of_its_own_in_one_line_of_the_table():
    lines = (ROOT / "tngd_bench" / "cli" / "glossary" / "glossary.md").read_text("utf-8").splitlines()
    assert all(re.fullmatch(r"\| [^|]+ \| [^|]+ \|", line) for line in lines[2:])
    names = [name for term in terms() for name in term.split(", ")]
    assert len(terms()) == len(lines) - 2
    assert len(names) == len(set(names))


def test_the_words_that_a_page_uses_are_there():
    names = {name for term in terms() for name in term.split(", ")}
    symbols = set(re.findall(r"(\w+)(?: =|:)", _SYMBOLS))
    assert len(symbols) == 4
    assert symbols <= names
    assert {*VerdictName.__args__} - {"not tested"} <= names
    assert {WITHIN_SPREAD, tables.MEASURED, tables.MODELLED, tables.COUNTED, "tuned", "blank"} <= names


@pytest.mark.parametrize(
    ("word", "first"), [("confirmed", "confirmed"), ("M", "m, rows"), ("spread", "within"), ("Link", "link")]
)
def test_a_word_is_found_in_any_case_or_in_part(capsys, word, first):
    code, out, _ = told(capsys, word)
    assert code == 0
    assert out.startswith(first)


@pytest.mark.parametrize(
    ("typed", "sign"),
    [
        ("tau", "τ:"),
        ("TAU", "τ:"),
        ("lambda", "λ,"),
        ("kappa_0", "κ₀:"),
        ("kappa0", "κ₀:"),
        ("dz", "d_z:"),
        (">=", "≥:"),
        ("~", "≈:"),
    ],
)
def test_a_symbol_is_found_by_what_one_types(capsys, typed, sign):
    code, out, _ = told(capsys, typed)
    assert (code, out.startswith(sign), out.count("\n    ") == out.count("\n") - 1) == (0, True, True)


def test_every_term_can_be_typed():
    assert [term for term in terms() if not in_ascii(term).isascii()] == []


def test_all_are_printed_and_an_unknown_one_is_answered_with_the_nearest(capsys):
    code, out, _ = told(capsys)
    assert code == 0
    assert all(f"{term}: " in out for term in terms())
    assert told(capsys, "confirmd")[::2] == (
        3,
        "tngd-bench: error: no word 'confirmd'; did you mean 'confirmed'?\n",
    )
    assert "did you mean 'TNGD'?" in told(capsys, "tndg")[2]
    assert told(capsys, "xyz")[2] == "tngd-bench: error: no word 'xyz'; `tngd-bench glossary` has all\n"
    assert told(capsys, "within", "run-to-run", "spread")[1].startswith(WITHIN_SPREAD)


@pytest.mark.parametrize(
    "word", sorted({part for term in terms() for part in in_ascii(term).split() if len(part) > 4})
)
def test_a_misspelt_word_of_a_term_is_answered_with_one_that_is_found(capsys, word):
    """With two letters swapped, in capitals."""
    misspelt = f"{word[:2]}{word[3]}{word[2]}{word[4:]}".strip(",").upper()
    code, _, error = told(capsys, misspelt)
    if code:
        (near,) = re.findall(r"did you mean '(.+)'\?", error)
        assert told(capsys, near)[0] == 0
