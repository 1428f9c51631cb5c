"""The formats in which a report can be written, and what some of them need."""

from collections.abc import Collection
from importlib.util import find_spec

from tngd_bench import arguments

DEFAULT_FORMATS = ("html", "md")
DOCUMENTS = {
    "html": ("index.html",),
    "md": ("report.md",),
    "pdf": ("report.pdf",),
    "tex": (),
    "brief": ("brief.md", "brief.pdf"),
    "comment": ("comment.md",),
}
"""Documents of each format, those of `tables/` apart."""
FORMATS = tuple(DOCUMENTS)
FIGURE_FILES = ("svg", "png", "pdf")
"""Kinds of file of a figure."""
DATA_FILES = ("csv", "parquet")
"""Kinds of file of the numbers behind a figure or table."""
DEFAULT_FILES = ("svg", "png", "csv", "parquet")
"""Files beside a page. PDF takes long, and is written where it is asked for."""
FIGURES = ("all", "front")
"""Figures that get files: all of them, or those before the appendix alone."""
PAPERS = {"a4": "a4", "letter": "us-letter"}
"""Papers of PDF files, as Typst calls them."""
_NEEDS = {"pdf": ("typst", "pdf"), "brief": ("typst", "pdf"), "tex": ("pylatexenc", "tex")}
"""The package that a format needs, and the extra that installs it."""


_SHOWS = {"md": "svg", "pdf": "svg", "brief": "svg", "comment": "png"}
"""The kind of figure that a format shows from its file."""


def files_beside(formats: Collection[str], files: Collection[str], figures: str = "all") -> tuple[str, ...]:
    """Return the kinds of file that are written for `formats`: `files`, and the figures that a format shows.

    ValueError for a kind that is none, and where a format shows a figure that `figures`, one of `FIGURES`, leaves out.
    """
    if arguments.choice("figures", figures, FIGURES) == "front" and "pdf" in formats:
        raise ValueError("figures must be all with the format pdf, which shows each figure from its file")
    for name in files:
        if name not in FIGURE_FILES + DATA_FILES:
            raise ValueError(f"files must be among {', '.join(FIGURE_FILES + DATA_FILES)}, not {name!r}")
    wanted = {*files, *(_SHOWS[each] for each in formats if each in _SHOWS)}
    return tuple(kind for kind in FIGURE_FILES + DATA_FILES if kind in wanted)


def check_formats(formats: Collection[str]) -> None:
    """Raise ValueError unless all `formats` are known and can be written here."""
    for name in sorted(set(formats)):
        if name not in FORMATS:
            raise ValueError(f"format must be among {', '.join(FORMATS)}, not {name!r}")
        package, extra = _NEEDS.get(name, ("", ""))
        if package and find_spec(package) is None:
            raise ValueError(f"the format {name} needs {package}: pip install 'tngd-bench[{extra}]'")
