"""Text of foreign origin as one plain line: what a terminal, XML and Markdown all can hold."""

import re

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
"""Terminal sequences: colours and cursor moves, titles and links, single characters."""
_REFUSED = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069"
    r"\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
"""Control characters, marks that reverse the direction of text, lone surrogates, and what XML 1.0 has no place for."""


def plain(text: object) -> str:
    """Return `text` in one line, terminal sequences taken out, what cannot be shown as U+FFFD."""
    return " ".join(_REFUSED.sub("\N{REPLACEMENT CHARACTER}", _ESCAPE.sub("", str(text))).split())
