"""Tables for a paper: one booktabs `tabular` per file, to be \\input."""

from __future__ import annotations

import re

from tngd_bench.report.tables import Table

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "×": r"$\times$",
    "÷": r"$\div$",
    "·": r"$\cdot$",
    "−": r"$-$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "≈": r"$\approx$",
    "∞": r"$\infty$",
    "±": r"$\pm$",
    "µ": r"\textmu{}",
    "κ": r"$\kappa$",
    "τ": r"$\tau$",
    "λ": r"$\lambda$",
    "σ": r"$\sigma$",
    "Ω": r"$\Omega$",
    "–": "--",
    "“": "``",
    "”": "''",
    "₀": r"$_0$",
    "ᵀ": r"$^\top$",
    "ᵖ": r"$^p$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}
_POWERS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def latex(table: Table) -> str:
    """Return the table with its caption as a comment; records are left out, they name files and not results."""
    kept = [place for place, column in enumerate(table.columns) if column.title != "records"]
    columns = [table.columns[place] for place in kept]
    lines = [
        f"% {' '.join(table.caption.split())}",
        r"% needs \usepackage{booktabs}",
        rf"\begin{{tabular}}{{{''.join('r' if column.numeric else 'l' for column in columns)}}}",
        r"\toprule",
        _row([column.title for column in columns]),
    ]
    if any(column.clock for column in columns):
        lines.append(_row([column.clock for column in columns]))
    lines.append(r"\midrule")
    lines += [_row([row[place] for place in kept]) for row in table.rows]
    lines += [r"\bottomrule", r"\end{tabular}", ""]
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Return text in which no character is a command, powers as superscripts."""
    pieces = re.split(r"([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", " ".join(text.split()))
    return "".join(
        f"$^{{{piece.translate(_POWERS)}}}$"
        if place % 2
        else "".join(_SPECIAL.get(character, character) for character in piece)
        for place, piece in enumerate(pieces)
    )


def _row(cells: list[str]) -> str:
    return " & ".join(escaped(cell) for cell in cells) + r" \\"
