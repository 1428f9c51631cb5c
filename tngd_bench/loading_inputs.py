"""Files and variables of the environment that outside code reads while it is loaded."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, Literal

_LOADING = threading.local()
_MAPPING = (os.getenv.__code__.co_filename, Mapping.get.__code__.co_filename)
"""The code of `os.environ` itself, which stands between who asks and the note."""
_OF_THE_SYSTEM = ("/proc/", "/sys/", "/dev/")


@dataclass(frozen=True)
class Input:
    """A file that was opened for reading, or a variable of the environment with its `value` then.

    `reader` is the file of the code in the `folder` that asked for it; "" where that was an import, or other code.
    """

    kind: Literal["file", "variable"]
    name: str
    value: str
    reader: str


@contextlib.contextmanager
def noted(folder: Path, inputs: list[Input]) -> Iterator[None]:
    """Add to `inputs` what this thread reads in the block on behalf of code in `folder`."""
    _hook()
    environment: Any = os.environ
    kind = type(environment)
    _LOADING.inputs, _LOADING.folder = inputs, folder
    environment.__class__ = _noting(kind)  # type: ignore[arg-type]  # a class is hashable
    before = len(inputs)
    try:
        yield
    finally:
        _LOADING.inputs = None
        environment.__class__ = kind
        variables = {one.name for one in inputs[before:] if one.kind == "variable"}
        if variables >= set(environment):  # the whole was copied, which says nothing of a single one
            inputs[before:] = [one for one in inputs[before:] if one.kind != "variable"]


def is_of(folder: Path, file: str) -> bool:
    """Return whether a file lies in a folder of code or below, and is neither hidden nor of an installed package."""
    if not file.startswith(f"{folder}{os.sep}"):
        return False
    parts = Path(file).relative_to(folder).parts
    return not any(part.startswith(".") or part == "site-packages" for part in parts)


def is_of_the_system(path: Path) -> bool:
    """Return whether a file is one that the kernel makes up, and holds no data."""
    return str(path).startswith(_OF_THE_SYSTEM)


def _reader(frame: FrameType | None, passing: tuple[str, ...] | None = None) -> str:
    """Return the file in the folder whose code the call comes from; "" behind an import.

    `passing` are the files of the only code that may stand between; any where it is None.
    """
    while frame is not None:
        file = frame.f_code.co_filename
        if is_of(_LOADING.folder, file):
            return file
        if file.startswith("<frozen importlib") or (passing is not None and file not in passing):
            return ""
        frame = frame.f_back
    return ""


@cache
def _noting(kind: type[Any]) -> type[Any]:
    """Return the class of `os.environ` with a note of every variable that is read."""

    class Noting(kind):  # type: ignore[misc]  # a class that is known when it runs
        def __getitem__(self, name: str) -> str:
            try:
                value: str = super().__getitem__(name)
            except KeyError:
                _note_variable(name, "", sys._getframe(1))
                raise
            _note_variable(name, f"={value}", sys._getframe(1))
            return value

    return Noting


def _note_variable(name: str, value: str, frame: FrameType) -> None:
    inputs = getattr(_LOADING, "inputs", None)
    if inputs is not None and (reader := _reader(frame, _MAPPING)):
        inputs.append(Input("variable", name, value, reader))


@cache
def _hook() -> None:
    """Have Python tell of every file that is opened, from now on: there is no way to end that."""

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        inputs = getattr(_LOADING, "inputs", None)
        if inputs is None or event not in ("open", "sqlite3.connect"):
            return
        path, mode = arguments[0], arguments[1] if len(arguments) > 1 else ""
        path = os.fsdecode(path) if isinstance(path, bytes | os.PathLike) else path
        if isinstance(path, str) and not {*"wax+"} & {*(mode or "")}:
            with contextlib.suppress(OSError):  # the current folder is gone
                inputs.append(Input("file", os.path.abspath(path), "", _reader(sys._getframe(1))))  # noqa: PTH100  # now: the folder may change

    sys.addaudithook(note)
