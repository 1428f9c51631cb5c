"""The formats in which a report can be written, and what some of them need."""

from collections.abc import Collection
from importlib.util import find_spec

FORMATS = ("html", "md", "pdf", "tex", "brief", "comment")
DEFAULT_FORMATS = ("html", "md")
PAPERS = {"a4": "a4", "letter": "us-letter"}
"""Papers of PDF files, as Typst calls them."""
_NEEDS = {"pdf": ("typst", "pdf"), "brief": ("typst", "pdf"), "tex": ("pylatexenc", "tex")}
"""The package that a format needs, and the extra that installs it."""


def check_formats(formats: Collection[str]) -> None:
    """Raise ValueError unless all `formats` are known and can be written here."""
    for name in sorted(set(formats)):
        if name not in FORMATS:
            raise ValueError(f"format must be among {', '.join(FORMATS)}, not {name!r}")
        package, extra = _NEEDS.get(name, ("", ""))
        if package and find_spec(package) is None:
            raise ValueError(f"the format {name} needs {package}: pip install 'tngd-bench[{extra}]'")
