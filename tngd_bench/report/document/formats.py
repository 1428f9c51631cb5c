"""The formats in which a report can be written, and what some of them need."""

from collections.abc import Collection
from importlib.util import find_spec

FORMATS = ("html", "md", "pdf", "tex")
DEFAULT_FORMATS = ("html", "md")
_NEEDS = {"pdf": "typst", "tex": "pylatexenc"}
"""The package that a format needs, which the extra of its name installs."""


def check_formats(formats: Collection[str]) -> None:
    """Raise ValueError unless all `formats` are known and can be written here."""
    for name in sorted(set(formats)):
        if name not in FORMATS:
            raise ValueError(f"format must be among {', '.join(FORMATS)}, not {name!r}")
        if name in _NEEDS and find_spec(_NEEDS[name]) is None:
            raise ValueError(f"the format {name} needs {_NEEDS[name]}: pip install 'tngd-bench[{name}]'")
