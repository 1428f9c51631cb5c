"""Keys of a TOML text: how they are written, and their line numbers, which the standard library's parser does not give.

The text must have been accepted by that parser: the scan follows the grammar (TOML 1.0.0) and checks nothing.
"""

import json
import re
import tomllib
from contextlib import suppress
from dataclasses import dataclass, field

KeyPath = tuple[str | int, ...]

_SPACE = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_BLANK = re.compile(r"[ \t]*")
_LONG_STRING = r'"""(?:[^\\]|\\.)*?"""{1,3}(?!")|' r"'''.*?'''{1,3}(?!')"
_STRING = re.compile(_LONG_STRING + r'|"(?:[^"\\\n]|\\.)*"|' r"'[^'\n]*'", re.DOTALL)
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]+")


def written_key(name: str) -> str:
    """Return a key as TOML has it: in quotes where it is no bare one."""
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def line_numbers(text: str) -> dict[KeyPath, int]:
    """Return path → line (from 1) of every key, table and array entry; an index stands for an array's entry."""
    scan = _Scan(text)
    # Nested deeper than Python calls: lines of what came before are known, the rest has that of its table.
    with suppress(RecursionError):
        scan.document()
    return scan.lines


@dataclass
class _Scan:
    text: str
    place: int = 0
    lines: dict[KeyPath, int] = field(default_factory=dict)
    _entries: dict[KeyPath, int] = field(default_factory=dict)  # tables so far in each array of tables
    _counted: tuple[int, int] = (0, 1)  # a place and its line: counting goes on from there

    def document(self) -> None:
        table: KeyPath = ()
        self._skip(_SPACE)
        while self.place < len(self.text):
            if self._at("["):
                table = self._header(2 if self._at("[[") else 1)
            else:
                self._pair(table)
            self._skip(_SPACE)

    def _header(self, brackets: int) -> KeyPath:
        line = self._line()
        self.place += brackets
        *outer, last = self._key()
        self._skip(_BLANK)
        self.place += brackets
        if brackets == 1:
            path = self._through_arrays([*outer, last])
        else:
            array = (*self._through_arrays(outer), last)
            number = self._entries.get(array, 0)
            self._entries[array] = number + 1
            path = (*array, number)
        self._note(path, line)
        self.lines[path] = line  # what a header says holds, even where a name was mentioned before
        return path

    def _through_arrays(self, keys: list[str]) -> KeyPath:
        """Return the path of a header: a name of an array of tables means its latest entry."""
        path: KeyPath = ()
        for key in keys:
            path = (*path, key)
            if path in self._entries:
                path = (*path, self._entries[path] - 1)
        return path

    def _pair(self, table: KeyPath) -> None:
        line = self._line()
        path = (*table, *self._key())
        self._note(path, line)
        self._skip(_BLANK)
        self.place += 1  # the equals sign
        self._skip(_BLANK)
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        if self._at("["):
            self.place += 1
            number = 0
            self._skip(_SPACE)
            while not self._at("]") and self.place < len(self.text):
                self._note((*path, number), self._line())
                self._value((*path, number))
                number += 1
                self._separator()
            self.place += 1
        elif self._at("{"):
            self.place += 1
            self._skip(_SPACE)
            while not self._at("}") and self.place < len(self.text):
                self._pair(path)
                self._separator()
            self.place += 1
        elif not self._skip(_STRING):
            self._skip(_SCALAR)

    def _separator(self) -> None:
        self._skip(_SPACE)
        if self._at(","):
            self.place += 1
        self._skip(_SPACE)

    def _key(self) -> list[str]:
        keys = []
        while True:
            self._skip(_BLANK)
            start = self.place
            if self._skip(_STRING):
                keys.append(str(tomllib.loads(f"key = {self.text[start : self.place]}")["key"]))
            elif self._skip(_BARE):
                keys.append(self.text[start : self.place])
            else:
                raise ValueError(f"no key at character {start}: the text is not TOML")
            before = self.place
            self._skip(_BLANK)
            if not self._at("."):
                self.place = before
                return keys
            self.place += 1

    def _note(self, path: KeyPath, line: int) -> None:
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], line)

    def _at(self, mark: str) -> bool:
        return self.text.startswith(mark, self.place)

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        match = pattern.match(self.text, self.place)
        if match is None:
            return False
        self.place = match.end()
        return True

    def _line(self) -> int:
        place, line = self._counted
        line += self.text.count("\n", place, self.place)
        self._counted = (self.place, line)
        return line
