"""The prose of a page and how hard it is to read: sentences, their length, names from inside the program.

`python -m tests.report.reading PAGE.html …` prints what a reader would stumble over in each.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

LONGEST = 30
EASIEST_ALLOWED = 45.0
_PROSE = {"p", "li", "dd", "dt", "figcaption", "summary", "h1", "h2", "h3", "h4"}
_NO_PROSE = {"script", "style", "svg", "table", "pre", "code", "nav", "template", "button", "select"}
_NO_PROSE_CLASSES = {"files", "records", "parts", "statement", "rule", "judgement"}
"""Links, the numbers behind a verdict, and words that were fixed before the run: a claim and its test."""
_SENTENCE = re.compile(r"(?<=[.!?])[”)]*\s+(?=[A-ZΑ-Ω“`(0-9])|;\s+")  # and the items of a list
_WORD = re.compile(r"[A-Za-z][A-Za-z’'-]*[A-Za-z]|[A-Za-z]")
_SETTINGS = re.compile(r"\([^()]*=[^()]*\)")
_TOKEN = re.compile(r"\S*\w\S*")
_NAMES = r"d_z|t_d|pytorch_optimizer"
"""Symbols, and a package by its name."""
_INTERNAL = re.compile(
    rf"(?<![\w./-])(?!(?:{_NAMES})\b)[a-z][a-z0-9]*(?:_[a-z0-9]+)+\b"  # snake_case
    r"|\b(?:NaN|inf|nan)\b|(?<=[=:(] )(?:None|True|False)\b"
    r"|\b[a-z][a-z0-9-]*\[[a-z_]+(?:=|\])"  # a label: tngd[damping=0.1]
    r"|\b[a-z_]+\.[a-z_]+\("
)


@dataclass(frozen=True)
class Prose:
    """The blocks of text of a page, in order."""

    blocks: tuple[str, ...]

    def sentences(self) -> Iterator[str]:
        """Yield every sentence; a list item or a heading without a full stop is one."""
        for block in self.blocks:
            yield from (piece for piece in _SENTENCE.split(block) if _WORD.search(piece))

    def too_long(self) -> list[str]:
        """Return the sentences with more than `LONGEST` words, numbers counted, settings in brackets not."""
        return [text for text in self.sentences() if len(_TOKEN.findall(_SETTINGS.sub("", text))) > LONGEST]

    def internal(self) -> list[str]:
        """Return names from inside the program, each with what stands around it."""
        return [
            block[max(0, found.start() - 30) : found.end() + 30]
            for block in self.blocks
            for found in _INTERNAL.finditer(block)
        ]

    def ease(self) -> float:
        """Return Flesch's reading ease over all sentences; numbers and signs are no words."""
        return reading_ease(list(self.sentences()))


def reading_ease(sentences: list[str]) -> float:
    """Return 206.835 - 1.015 words per sentence - 84.6 syllables per word (R. Flesch, J. Appl. Psychol. 32, 1948)."""
    words = [_WORD.findall(sentence) for sentence in sentences]
    number = sum(map(len, words))
    spoken = sum(syllables(word) for own in words for word in own)
    return 206.835 - 1.015 * number / len(words) - 84.6 * spoken / number


def syllables(word: str) -> int:
    """Return about how many syllables an English word has: its groups of vowels, less silent endings."""
    total = 0
    for part in re.sub("[’']", "", word.lower()).split("-"):
        groups = len(re.findall(r"[aeiouy]+", part))
        # two vowels side by side that are spoken apart
        groups += len(re.findall(r"i(?:a|u|o(?!n|us))|(?<![ct])ien|\w[^aeiou]ea$|\w[^aeiou]eo", part))
        silent = re.search(r"[^aeiouyl]e$|[^aeiouytd]ed$|[^aeiouysxzcg]es$", part)
        total += max(1, groups - bool(silent and not re.search("[^aeiouy]les$", part)))
    return total


class _Reader(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.blocks: list[str] = []
        self._hidden: list[str] = []
        self._text = ""
        self.feed(text)
        self._end()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        classes = set((dict(attrs).get("class") or "").split())
        if tag in _NO_PROSE or classes & _NO_PROSE_CLASSES or tag in self._hidden[-1:]:
            self._hidden.append(tag)
        elif tag in _PROSE:
            self._end()

    def handle_endtag(self, tag: str) -> None:
        if tag in self._hidden[-1:]:
            self._hidden.pop()
        elif tag in _PROSE:
            self._end()

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._text += data

    def _end(self) -> None:
        block = " ".join(self._text.split())
        if block:
            self.blocks.append(block)
        self._text = ""


def prose(page: str) -> Prose:
    """Return the prose of an HTML page: no tables, drawings, commands, file links."""
    return Prose(tuple(_Reader(page[page.index("<body") :]).blocks))


def main(paths: list[str]) -> None:
    """Print what is hard to read in each page."""
    for path in paths:
        found = prose(Path(path).read_text(encoding="utf-8"))
        sys.stdout.write(
            f"{path}: reading ease {found.ease():.0f}, {len(list(found.sentences()))} sentences\n"
        )
        for text in dict.fromkeys(found.too_long()):
            sys.stdout.write(f"  {len(_TOKEN.findall(text))} words: {text}\n")
        for text in dict.fromkeys(found.internal()):
            sys.stdout.write(f"  internal: {text}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
