"""Plug-ins of a single file: loaded by path, the same text in every process, their entries found by type."""

import contextlib
import hashlib
import importlib.util
import re
import sys
import sysconfig
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.abc import SourceLoader
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from typing import Any, TypeVar

from tngd_bench import process_state
from tngd_bench.loading_inputs import Input, is_of, is_of_the_system, noted

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class PluginFile:
    """A plug-in's absolute path and the text that was read there."""

    path: str
    text: str

    @property
    def name(self) -> str:
        """The file's name, which records call its code by."""
        return Path(self.path).name

    @property
    def module(self) -> str:
        """Its name among the modules, which no other file and no installed package has."""
        place = hashlib.sha256(self.path.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        return f"tngd_plugin_{re.sub(r'[^A-Za-z0-9_]', '_', Path(self.path).stem)}_{place}"

    @property
    def checksum(self) -> str:
        """The SHA-256 of the text, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()


_LOADED: dict[str, PluginFile] = {}
_CACHES: list[Any] = []
_INPUTS: dict[str, list[Input]] = {}
"""By the path of a plug-in: what was read while it was loaded."""
_IMPORT = re.compile(r"(?:^|[;:])[ \t]*(?:from[ \t]+(\w+)|import[ \t]+([\w., \t]+))", re.MULTILINE)


def cached(function: F) -> F:
    """Return `function` with its results kept until a plug-in is loaded or forgotten, or `look_again` is called."""
    kept: Any = cache(function)
    _CACHES.append(kept)
    return kept  # type: ignore[no-any-return]  # functools' wrapper, called like the function


def look_again() -> None:
    """Forget what `cached` functions have found: a session may go on after a file has been edited."""
    for each in _CACHES:
        each.cache_clear()


def read(path: str | Path) -> PluginFile:
    """Return the plug-in in a file, not loaded yet; ValueError where it cannot be read."""
    place = Path(path)
    if place.suffix != ".py":
        raise ValueError(f"plug-in {str(path)!r} must be a Python file, FILE.py")
    try:
        return PluginFile(str(place.resolve()), place.read_text("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError(f"plug-in {str(path)!r} is not a text file in UTF-8") from None
    except OSError as error:
        raise ValueError(f"plug-in {str(path)!r} cannot be read: {error.strerror or error}") from None


def install(file: PluginFile) -> str:
    """Run a plug-in's code as a module of this process; ValueError with file and line where that fails.

    Modules beside the file can be imported. What it prints goes to stderr. A file loaded before in the same text is
    left alone, in another text it is replaced. What its code changes of the process is put back, and returned in words.
    """
    if _LOADED.get(file.path) == file:
        return ""
    forget(file)
    folder = str(Path(file.path).parent)
    if folder not in sys.path:
        sys.path.append(folder)
    spec = importlib.util.spec_from_loader(file.module, _Text(file))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[file.module] = importlib.util.module_from_spec(spec)
    # a module that it imports may be loaded already, and what that has read then is not read again
    inputs = [one for one in _INPUTS.get(file.path, ()) if one.reader != file.path]
    _INPUTS[file.path] = inputs
    try:
        with (
            contextlib.redirect_stdout(sys.stderr),
            process_state.kept() as changed,
            noted(Path(file.path).parent, inputs),
        ):
            spec.loader.exec_module(module)
        _refuse_hidden(file)
    except (Exception, SystemExit) as error:  # whatever outside code does when it is imported
        del sys.modules[file.module]
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ValueError(f"plug-in {file.name}{_line(file, error)} cannot be loaded: {said}") from error
    _LOADED[file.path] = file
    look_again()  # which its code may have filled
    return ", ".join(changed)


def imports(text: str) -> set[str]:
    """Return the top-level modules that a Python text imports, in functions too."""
    named = (whole or several for whole, several in _IMPORT.findall(text))
    tops = (item.strip().split(" ")[0].partition(".")[0] for names in named for item in names.split(","))
    return {top for top in tops if top.isidentifier()}


def files_read(file: PluginFile, code: Collection[str] = ()) -> set[tuple[str, Path]]:
    """Return the files that were read to load a plug-in, with their names from its folder.

    They are those below its folder, and those elsewhere that its code read; `code` are the files of modules that it
    imports, which another plug-in may have loaded. What is installed is left out: its version says what it is.
    """
    folder = Path(file.path).parent
    found = set()
    for one in _inputs(file, code, "file"):
        path = Path(one.name)
        with contextlib.suppress(ValueError):  # bytecode of a form of its own
            path = Path(importlib.util.source_from_cache(path)) if path.suffix == ".pyc" else path
        if one.name == file.path or not path.is_file():
            continue
        place = next((each for each in (path, path.resolve()) if folder in each.parents), None)
        if place is not None and is_of(folder, str(place)):
            found.add((place.relative_to(folder).as_posix(), path))
        elif place is None and one.reader and not (is_of_the_system(path) or is_installed(path)):
            found.add((f"elsewhere/{path.name}", path))
    return found


def variables_read(file: PluginFile, code: Collection[str] = ()) -> set[tuple[str, str]]:
    """Return the variables of the environment, with values, that a plug-in's code read to load it; see `files_read`."""
    return {(one.name, one.value) for one in _inputs(file, code, "variable")}


def _inputs(file: PluginFile, code: Collection[str], kind: str) -> Iterator[Input]:
    for path, inputs in _INPUTS.items():
        for one in inputs:
            if one.kind == kind and (path == file.path or one.reader in code):
                yield one


def is_installed(path: Path) -> bool:
    """Return whether a file belongs to Python or to an installed package, whose version says what it is."""
    places = {
        Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")
    }
    parts = path.resolve()
    return "site-packages" in parts.parts or any(place in parts.parents for place in places)


def _refuse_hidden(file: PluginFile) -> None:
    """Raise ImportError where a plug-in imports a module beside it and has got another of the same name."""
    folder = Path(file.path).parent
    for name in sorted(imports(file.text) - {__package__, Path(file.path).stem}):
        own = next((p for p in (folder / f"{name}.py", folder / name / "__init__.py") if p.is_file()), None)
        taken = getattr(sys.modules.get(name), "__file__", None)
        if own is not None and taken is not None and Path(taken).resolve() != own.resolve():
            beside = own.relative_to(folder)
            raise ImportError(f"{name} is {taken} already, so {beside} beside it is not read; rename that")


def forget(*files: PluginFile) -> None:
    """Take plug-ins out of this process, all of them where none is named."""
    for file in files or tuple(_LOADED.values()):
        _LOADED.pop(file.path, None)
        sys.modules.pop(file.module, None)
    look_again()


def loaded() -> tuple[PluginFile, ...]:
    """Return the plug-ins of this process, in the order in which they were loaded."""
    return tuple(_LOADED.values())


def points(kind: type, group: str) -> tuple[EntryPoint, ...]:
    """Return an entry point for each object of `kind` that the loaded files have at module level, by its name."""
    found: dict[int, EntryPoint] = {}
    for file in loaded():
        for key, value in vars(sys.modules[file.module]).items():
            if isinstance(value, kind) and id(value) not in found:
                point = EntryPoint(str(getattr(value, "name", key)), f"{file.module}:{key}", group)
                vars(point).update(dist=FileDistribution(file))  # as importlib.metadata does itself
                found[id(value)] = point
    return tuple(found.values())


def file_of(point: EntryPoint) -> PluginFile | None:
    """Return the file that an entry point belongs to; None for one of an installed package."""
    dist = getattr(point, "dist", None)
    return dist.file if isinstance(dist, FileDistribution) else None


class FileDistribution(Distribution):
    """A file in the part of an installed package: it has a name, no version and no list of files."""

    def __init__(self, file: PluginFile) -> None:
        self.file = file

    def read_text(self, filename: str) -> str | None:
        """Return the metadata, which give the name alone."""
        return f"Name: {self.file.name}\n" if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Path:
        """Return the path of a file beside the plug-in."""
        return Path(self.file.path).parent / str(path)


class _Text(SourceLoader):
    """Loads a plug-in from its text, on machines too that lack the file; tracebacks quote it."""

    def __init__(self, file: PluginFile) -> None:
        self.file = file

    def get_filename(self, fullname: str) -> str:
        return self.file.path

    def get_data(self, path: Any) -> bytes:
        return self.file.text.encode()


def _line(file: PluginFile, error: BaseException) -> str:
    """Return ", line N" of the last line of the file that an error came through; "" where there is none."""
    if isinstance(error, SyntaxError) and error.filename == file.path:
        return f", line {error.lineno}"
    line, trace = None, error.__traceback__
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == file.path else line
        trace = trace.tb_next
    return "" if line is None else f", line {line}"


def as_records(files: Iterable[PluginFile]) -> list[dict[str, str]]:
    """Return paths and checksums, ready for the store."""
    return [{"path": file.path, "sha256": file.checksum} for file in files]
