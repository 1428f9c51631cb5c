"""What outside packages add by entry points: one that cannot be loaded is named and left out, and stops no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_COMPLAINTS: dict[str, None] = {}


@dataclass(frozen=True)
class Found(Generic[T]):
    """All entries by name, the entry points of the outside ones, and why others were left out, by name."""

    entries: Mapping[str, T]
    points: Mapping[str, EntryPoint]
    left_out: Mapping[str, str]

    def why_missing(self, name: object) -> str:
        """Return why an outside entry called `name` is not there, to end a message with; "" where there is none."""
        reason = self.left_out.get(name) if isinstance(name, str) else None
        return "" if reason is None else f" ({reason})"


def collect(
    what: str,
    kind: type[T],
    own: Mapping[str, T],
    points: Iterable[EntryPoint],
    name_of: Callable[[EntryPoint, T], str] = lambda point, entry: point.name,
) -> Found[T]:
    """Return `own` entries and those of `points`, each of which must load to a `kind` under a new name.

    `what` names such an entry in messages: "optimizer", "problem", "device".
    """
    entries, outside, left_out = dict(own), {}, {}
    for point in points:
        loaded, complaint = _load(point, kind)
        if loaded is not None:
            name = name_of(point, loaded)
            if name not in entries:
                entries[name], outside[name] = loaded, point
                continue
            complaint = f"registers the {what} {name!r} again"
        left_out[point.name] = f"{_called(point)} {complaint}"
        _COMPLAINTS[f"{left_out[point.name]}; the {what} {point.name!r} is left out"] = None
    return Found(entries, outside, left_out)


def complaints() -> tuple[str, ...]:
    """Return a sentence for each entry point that this process has left out."""
    return tuple(_COMPLAINTS)


def package_of(point: EntryPoint) -> str:
    """Return the name of the package that has an entry point; its first module where that is not known."""
    dist: Any = getattr(point, "dist", None)
    return str(dist.name) if dist is not None else point.value.partition(":")[0].partition(".")[0]


def _load(point: EntryPoint, kind: type[T]) -> tuple[T | None, str]:
    try:
        loaded = point.load()
    except (Exception, SystemExit) as error:  # whatever outside code does when it is imported
        return None, f"cannot be loaded: {type(error).__name__}: {' '.join(str(error).split())}"
    if not isinstance(loaded, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        return None, f"must load to {article} {kind.__name__}, not {loaded!r:.80}"
    return loaded, ""


def _called(point: EntryPoint) -> str:
    return f"entry point {point.name} = {point.value!r} of {package_of(point)}"
