"""Tables for a paper: one booktabs `tabular` per file, to be \\input."""

from __future__ import annotations

import re

from tngd_bench.report.document.tables import Table

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
    "…": r"\ldots{}",
    "|": r"\textbar{}",
    "°": r"$^\circ$",
    "′": r"$'$",
    "½": r"$\frac{1}{2}$",
    "√": r"$\sqrt{}$",
    "∂": r"$\partial$",
    "η": r"$\eta$",
    "θ": r"$\theta$",
    "ρ": r"$\rho$",
    "β": r"$\beta$",
    "ε": r"$\varepsilon$",
    "π": r"$\pi$",
    "γ": r"$\gamma$",
    "δ": r"$\delta$",
    "Δ": r"$\Delta$",
    "ℓ": r"$\ell$",
    "∈": r"$\in$",
    "→": r"$\to$",
    "ⁿ": r"$^n$",
    "ᵀ": r"$^\top$",
    "ᵖ": r"$^p$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
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
    pieces = re.split(r"([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+|[₀₁₂₃₄₅₆₇₈₉]+)", " ".join(text.split()))
    return "".join(
        _raised_or_lowered(piece) if place % 2 else "".join(map(_character, piece))
        for place, piece in enumerate(pieces)
    )


def _raised_or_lowered(piece: str) -> str:
    lowered = piece.translate(_SUBSCRIPTS)
    return f"$^{{{piece.translate(_POWERS)}}}$" if lowered == piece else f"$_{{{lowered}}}$"


def _character(character: str) -> str:
    known = _SPECIAL.get(character)
    if known is not None:
        return known
    # LaTeX reads the accented letters of Latin-1 and Latin Extended-A as they are; the rest it refuses or drops.
    readable = character.isascii() or ("\u00c0" <= character <= "\u017f")
    return character if readable else f"(U+{ord(character):04X})"


def _row(cells: list[str]) -> str:
    row = " & ".join(escaped(cell) for cell in cells) + r" \\"
    # after a rule or the end of a row these would be read as its argument
    return f"{{}}{row}" if row.startswith(("[", "*", "(")) else row
