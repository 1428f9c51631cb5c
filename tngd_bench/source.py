"""Digests of the source code that results come from: this package's by folder, and an outside package's.

Files are hashed as they are, comments included, with Unix line ends and names relative to their package: a checkout
and an installed wheel of the same files have the same digests, on any machine.
"""

import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tngd_bench import plugin_files
from tngd_bench.plugins import package_of, packages_of_modules, version_of

PACKAGE = "tngd_bench"
FLOORS = ("curvature", "spu", "solvers", "optimizers", "datasets", "problems", "measure")
"""Folders of the package in which any file can change a result."""
RUNNER = (
    "file/sweeps.py",
    "run/artefacts.py",
    "run/dask_engine.py",
    "run/data_files.py",
    "run/local_engine.py",
    "run/run_trial.py",
    "run/scheduler.py",
    "run/worker_process.py",
    "store/columnar.py",
)
"""Files of `studies` that run a trial or write down what it gave; the others decide what to run, which keys name."""
_OURS = (".py", ".toml")
_LENGTH = 12


@cache
def own_parts() -> Mapping[str, str]:
    """Return the digests of this package's parts: its floors, the files that run trials, its top-level modules."""
    root = Path(__file__).parent
    return {
        PACKAGE: _own_digest(sorted(root.glob("*.py"))),
        **{f"{PACKAGE}/{floor}": own_folder(floor) for floor in FLOORS},
        f"{PACKAGE}/studies": _own_digest([root / "studies" / name for name in RUNNER]),
    }


def own_folder(name: str) -> str:
    """Return the digest of a folder of this package."""
    return _own_digest(p for p in _files(Path(__file__).parent / name) if p.suffix in _OURS)


def _own_digest(paths: Iterable[Path]) -> str:
    root = Path(__file__).parent
    return _digest((p.relative_to(root).as_posix(), _checksum(p)) for p in paths)


@plugin_files.cached
def plugin_part(point: EntryPoint, modules: tuple[str, ...] = ()) -> tuple[str, str]:
    """Return an outside package's name, and its version with a digest of its code, see `plugin_part_now`."""
    return plugin_part_now(point, modules)


def plugin_part_now(point: EntryPoint, modules: tuple[str, ...] = ()) -> tuple[str, str]:
    """Return an outside package's name, and its version with a digest of its code as it is on the disk now.

    The code is that of the modules which its entry point and `modules` name, their whole packages, what its
    installation lists, and what they import, of installed packages the versions. A plug-in of a single file is the text
    that was loaded, with the files and the variables of the environment that its code read for this.
    """
    dist: Any = getattr(point, "dist", None)
    stated = version_of(point) or "of no version"
    listed = {
        str(item): Path(str(item.locate()))
        for item in (dist.files or () if dist is not None else ())
        if item.suffix == ".py" and not item.name.startswith("__editable__") and ".." not in item.parts
    }
    found = {(name, _checksum(path)) for name, path in listed.items() if path.is_file()}
    named = {name.partition(".")[0] for name in (point.value.partition(":")[0], *modules)}
    return package_of(point), f"{stated} {_digest(sorted(found | _code_of(named)))}"


def _code_of(named: set[str]) -> set[tuple[str, str]]:
    """Return names and checksums of top-level modules, of what they import, and of what was read to load them."""
    loaded = {file.module: file for file in plugin_files.loaded()}
    found, single, code = set(), [], set()
    waiting, seen = sorted(named), {PACKAGE, "torch"}
    while waiting:
        top = waiting.pop()
        if top in seen:
            continue
        seen.add(top)
        if top in loaded:
            single.append(loaded[top])
            found.add((loaded[top].name, _checksum(loaded[top].text.encode())))
            files = plugin_files.files_read(loaded[top])
            waiting += plugin_files.imports(loaded[top].text)
        else:
            files = set(_module_files(top).items())
            if top not in named and any(plugin_files.is_installed(path) for _, path in files):
                found.add((top, installed_version(top)))
                continue
        found |= {(name, _checksum(path)) for name, path in files}
        sources = [path for _, path in files if path.suffix == ".py"]
        code |= {str(path.resolve()) for path in sources}
        for path in sources:
            waiting += plugin_files.imports(path.read_text("utf-8", "replace"))
    for file in single:
        found |= {(name, _checksum(path)) for name, path in plugin_files.files_read(file, code)}
        variables = plugin_files.variables_read(file, code)
        found |= {
            (f"${name}", _checksum(value.encode("utf-8", "surrogateescape"))) for name, value in variables
        }
    return found


def changes(before: Mapping[str, str] | None, now: Mapping[str, str]) -> str:
    """Return in words what of the code has changed since; "" where nothing has."""
    if before is None:
        return "measured before results named their code"
    said = []
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        versions = [value.partition(" ")[0] for value in (old, new) if value is not None and " " in value]
        moved = len(versions) == 2 and versions[0] != versions[1]
        said.append(f"{name} has changed" + (f" from {versions[0]} to {versions[1]}" if moved else ""))
    return ", ".join(said)


def installed_version(module: str) -> str:
    """Return the version of the installed package that a top-level module is of; "" where none is, as for Python's."""
    if module in sys.stdlib_module_names:
        return ""
    try:
        return version(module)
    except PackageNotFoundError:  # a package of another name
        return " ".join(map(version, packages_of_modules().get(module, ())))


def _digest(files: Iterable[tuple[str, str]]) -> str:
    """Return a digest of files by their names and checksums."""
    text = "".join(f"{name} {checksum}\n" for name, checksum in files)
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]


def _checksum(file: Path | bytes) -> str:
    content = file if isinstance(file, bytes) else file.read_bytes()
    return hashlib.sha256(content if b"\0" in content else content.replace(b"\r\n", b"\n")).hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    """Yield a folder's files but for bytecode and hidden ones, in an order that every machine has."""
    for path in sorted(folder.rglob("*"), key=lambda item: item.as_posix()):
        inner = path.relative_to(folder).parts
        hidden = any(part.startswith(".") or part == "__pycache__" for part in inner)
        if not hidden and path.suffix != ".pyc" and path.is_file():
            yield path


def _module_files(top: str) -> dict[str, Path]:
    """Return the files of a top-level module or package by relative name; none where it cannot be found."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return {}
    if spec is None:
        return {}
    if spec.submodule_search_locations:
        folders = [Path(place) for place in spec.submodule_search_locations]
        return {f"{top}/{p.relative_to(f).as_posix()}": p for f in folders if f.is_dir() for p in _files(f)}
    origin = Path(spec.origin or "")
    return {origin.name: origin} if origin.is_file() else {}
