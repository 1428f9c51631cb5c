"""Entries of outside packages and files: one that cannot be loaded is named and left out, and stops no other."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from typing import Any, Generic, TypeVar

from tngd_bench import arguments, plugin_files, process_state

T = TypeVar("T")
_COMPLAINTS: dict[str, None] = {}


@dataclass(frozen=True)
class Found(Generic[T]):
    """All entries of a kind by name, the entry points of the outside ones, and why others were left out, by name."""

    what: str
    entries: Mapping[str, T]
    points: Mapping[str, EntryPoint]
    left_out: Mapping[str, str]

    def get(self, name: str) -> T:
        """Return the entry called `name`; ValueError with a suggestion, or with why it is left out, if none is."""
        try:
            return self.entries[arguments.choice(self.what, name, self.entries)]
        except ValueError as error:
            raise ValueError(f"{error}{self.why_missing(name)}") from None

    def why_missing(self, name: object) -> str:
        """Return why an outside entry called `name` is not there, to end a message with; "" where there is none."""
        reason = self.left_out.get(name) if isinstance(name, str) else None
        return "" if reason is None else f" ({reason})"


def collect(
    what: str,
    kind: type[T],
    own: Mapping[str, T],
    points: Iterable[EntryPoint],
    group: str = "",
    *,
    check: Callable[[T], None] = lambda entry: None,
) -> Found[T]:
    """Return `own` entries, those of `points` and of loaded files, each of which must be a `kind` under a new name.

    An entry is called by its `name`, by that of its point where it has none.
    `what` names such an entry in messages: "optimizer", "problem", "device". `check` raises TypeError or ValueError for
    an entry that cannot be used as it is. A file was asked for by its path: what is wrong with its entries is a
    ValueError.
    """
    entries, outside, left_out = dict(own), {}, {}
    for point in (*points, *plugin_files.points(kind, group)):
        file = plugin_files.file_of(point)
        result = _load(point, kind, check)
        loaded, complaint = result
        if loaded is not None:
            if file is not None and any(loaded is each for each in own.values()):
                continue  # one of ours, which the file imports
            name = str(getattr(loaded, "name", point.name))
            if name not in entries:
                entries[name], outside[name] = loaded, point
                continue
            complaint = f"registers the {what} {name!r} again"
        if file is not None:
            raise ValueError(f"plug-in {file.name}: {point.value.partition(':')[2]} {complaint}")
        left_out[point.name] = f"{_called(point)} {complaint}"
        complain(f"{left_out[point.name]}; the {what} {point.name!r} is left out")
    return Found(what, entries, outside, left_out)


def _check_name(name: object) -> None:
    """Raise TypeError or ValueError for a name that no label of a study can have."""
    text = arguments.text("name", name)
    if text != text.strip() or not text.isprintable() or {*"[]"} & {*text}:
        raise ValueError(
            f"name must be one line without brackets, and without blanks at its ends, not {name!r}"
        )


def check_factory(factory: object) -> None:
    """Raise TypeError or ValueError where `factory` is not "module:attribute", or the module is loaded and lacks it."""
    module, colon, attribute = arguments.text("factory", factory).partition(":")
    if not (module and colon and attribute) or ":" in attribute:
        raise ValueError(f"factory must be module:attribute, not {factory!r}")
    loaded = sys.modules.get(module)
    if loaded is not None and not callable(getattr(loaded, attribute, None)):
        file = Path(getattr(loaded, "__file__", None) or module).name
        raise ValueError(f"factory names {attribute!r}, and {file} has no class or function of that name")


def entry_points(group: str) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group; packages whose list of them cannot be read are named and left out."""
    return _entry_points(group, tuple(sys.path))


@plugin_files.cached
def _entry_points(group: str, path: Sequence[str]) -> tuple[EntryPoint, ...]:
    """Read the lists of all packages on the `path`, which takes 20 ms and more, once."""
    try:
        return tuple(metadata.entry_points(group=group))
    except Exception:  # of one package; the others are read without it
        points: dict[tuple[str, str], EntryPoint] = {}
        for dist in metadata.distributions():
            try:
                own = dist.entry_points.select(group=group)
            except Exception as error:
                complain(
                    f"entry_points.txt of {_name(dist)} cannot be read ({said(error)}); what it adds is left out"
                )
                continue
            points |= {(each.name, each.value): each for each in own if (each.name, each.value) not in points}
        return tuple(points.values())


def complain(sentence: str) -> None:
    """Keep a sentence about an outside package that cannot be used, or not in part, for `complaints`."""
    _COMPLAINTS[sentence] = None


def complaints() -> tuple[str, ...]:
    """Return a sentence for everything of outside packages that this process has left out."""
    return tuple(_COMPLAINTS)


def package_of(point: EntryPoint) -> str:
    """Return the name of the package that has an entry point; its first module where that is not known."""
    dist: Distribution | None = getattr(point, "dist", None)
    return _name(dist) or point.value.partition(":")[0].partition(".")[0]


packages_of_modules = cache(metadata.packages_distributions)
"""Return the installed packages of every top-level module by its name: it reads what all packages list, once."""


def version_of(point: EntryPoint) -> str:
    """Return the version of the package that has an entry point; "" where that is not known."""
    dist: Distribution | None = getattr(point, "dist", None)
    if dist is None:  # a class named in a study, which no package lists: that of its module
        packages = packages_of_modules().get(point.value.partition(":")[0].partition(".")[0], [])
        dist = metadata.distribution(packages[0]) if packages else None
    return _stated(dist, "Version")


def _name(dist: Distribution | None) -> str:
    """Return a package's name: the one stated, else that of the folder of its metadata."""
    folder = getattr(dist, "_path", None)
    return _stated(dist, "Name") or ("" if folder is None else str(folder.name).rpartition(".")[0])


def _stated(dist: Distribution | None, field: str) -> str:
    """Return a field of a package's metadata; "" where there are none, as in a damaged installation."""
    try:
        found: Any = None if dist is None else dist.metadata
    except FileNotFoundError:  # so the backport importlib_metadata, which takes over once it is imported
        return ""
    return "" if found is None else str(found.get(field) or "")


def _load(point: EntryPoint, kind: type[T], check: Callable[[T], None]) -> tuple[T | None, str]:
    if EntryPoint.pattern.match(point.value) is None:
        return None, "cannot be loaded: accepted are MODULE and MODULE:NAME"
    try:
        with kept_process(_called(point)):
            loaded = point.load()
    except (Exception, SystemExit) as error:  # whatever outside code does when it is imported
        return None, f"cannot be loaded: {said(error)}"
    if not isinstance(loaded, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        return None, f"must load to {article} {kind.__name__}, not {loaded!r:.80}"
    try:
        _check_name(getattr(loaded, "name", point.name))
        check(loaded)
    except (TypeError, ValueError) as error:
        return None, f"cannot be used: {' '.join(str(error).split())}"
    except Exception as error:  # a check that outside code makes of its own settings
        return None, f"cannot be used: {said(error)}"
    return loaded, ""


@contextmanager
def kept_process(called: str) -> Iterator[None]:
    """Put back what loading outside code in the block changes of the process, and complain of the code so `called`."""
    with process_state.kept() as changed:
        yield
    if changed:
        complain(f"{called} changed {', '.join(changed)} when it was loaded; that was put back")


def said(error: BaseException) -> str:
    """Return what an error of outside code says, on one line, plug-ins called by their files' names."""
    text = " ".join(str(error).split())
    for file in plugin_files.loaded():
        text = text.replace(file.module, file.name)
    return f"{type(error).__name__}: {text}"


def _called(point: EntryPoint) -> str:
    return f"entry point {point.name} = {point.value!r} of {package_of(point)}"
