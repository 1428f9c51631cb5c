"""Tables for a paper: one booktabs `tabular` per file, to be \\input."""

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from tngd_bench.report.document.tables import Table

_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_POWERS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_UNKNOWN = {ord("ᵀ"): r"$^\top$", ord("ᵖ"): "$^p$", ord("<"): r"\textless{}", ord(">"): r"\textgreater{}"}


def latex(table: Table) -> str:
    """Return the table with its caption as a comment; records are left out, they name files and not results."""
    shown = table.without_records()
    lines = [
        f"% {' '.join(table.caption.split())}",
        r"% needs \usepackage{booktabs}",
        rf"\begin{{tabular}}{{{''.join('r' if column.numeric else 'l' for column in shown.columns)}}}",
        r"\toprule",
        _row(column.title for column in shown.columns),
        *([_row(column.clock for column in shown.columns)] if any(c.clock for c in shown.columns) else []),
        r"\midrule",
        *map(_row, shown.rows),
        *(r"\bottomrule", r"\end{tabular}", ""),
    ]
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Return text with LaTeX's special characters escaped, powers as superscripts; unknown ones as their number."""
    written: str = _encoder().unicode_to_latex(" ".join(text.split()))
    return written


@cache
def _encoder() -> Any:
    from pylatexenc.latexencode import (
        RULE_DICT,
        RULE_REGEX,
        UnicodeToLatexConversionRule,
        UnicodeToLatexEncoder,
    )

    runs = [
        (re.compile("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+"), lambda run: f"$^{{{run.group().translate(_POWERS)}}}$"),
        (re.compile("[₀₁₂₃₄₅₆₇₈₉]+"), lambda run: f"$_{{{run.group().translate(_SUBSCRIPTS)}}}$"),
    ]
    rules = ((RULE_REGEX, runs), (RULE_DICT, _UNKNOWN))
    return UnicodeToLatexEncoder(
        conversion_rules=[*(UnicodeToLatexConversionRule(*rule) for rule in rules), "defaults"],
        replacement_latex_protection="braces-after-macro",
        unknown_char_policy=lambda character: f"(U+{ord(character):04X})",
        unknown_char_warning=False,
    )


def _row(cells: Iterable[str]) -> str:
    row = " & ".join(map(escaped, cells)) + r" \\"
    # after a rule or the end of a row these would be read as its argument
    return f"{{}}{row}" if row.startswith(("[", "*", "(")) else row
