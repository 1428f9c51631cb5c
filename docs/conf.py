"""Settings of the documentation site: `make docs` builds it, and every warning is an error."""

import re
import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from pages_of_names import undescribed, write_pages  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402
from sphinx.errors import ConfigError  # noqa: E402

import tngd_bench  # noqa: E402

project = "tngd-bench"
author = "The tngd-bench authors"
copyright = author  # the name that Sphinx reads
version = release = tngd_bench.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx_click",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["gallery"]  # the sources of the pages in made/gallery
html_theme = "furo"
html_title = f"tngd-bench {version}"
html_css_files = ["site.css"]
html_static_path = ["static"]

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

default_role = "code"
smartquotes = False
autodoc_default_options = {"members": True, "inherited-members": "Optimizer,Module,Exception,Warning,tuple"}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
maximum_signature_line_length = 88
numpydoc_show_class_members = False
numpydoc_validation_checks = {
    "GL03",  # two blank lines in a row
    "GL06",  # a section that numpydoc does not know
    "GL07",  # sections out of order
    "GL08",  # no docstring
    "PR02",  # a described parameter that is not there
    "PR03",  # parameters out of order
    "PR07",  # a parameter with a name alone
    "SS01",  # no summary
    "SS03",  # a summary without a full stop
}
# Names are validated, not their members: a method's one line says what goes in and what comes out.
numpydoc_validation_exclude = {r"\.[A-Z]\w*\.\w+$"}

MISSING = [name for name in ("transformers", "duckdb") if find_spec(name) is None]
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "made/gallery",
    # An example whose package is not installed is printed and not run.
    "filename_pattern": rf"^(?!.*({'|'.join(MISSING) or 'nothing'}))",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "capture_repr": (),
    "plot_gallery": "True",
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": 1e9,  # the page is the same whatever the machine
    "remove_config_comments": True,
}

if missing := undescribed():
    raise ConfigError(f"parameters of public names without a description: {missing}")
write_pages(HERE / "made" / "api")


def plain_text(lines: list[str], marks: str) -> None:
    """Let lines be plain text, in place: code stands in backticks, and `marks` of reStructuredText mean themselves."""
    for number, line in enumerate(lines):
        if not line.lstrip().startswith(".. "):
            parts = re.split(r"(``.+?``|`[^`]+`)", line)  # text and code by turns
            parts[::2] = [re.sub(marks, r"\\\g<0>", text) for text in parts[::2]]
            parts[1::2] = [f"``{code.strip('`')}``\\ " for code in parts[1::2]]
            lines[number] = "".join(parts)


def verbatim(lines: list[str]) -> None:
    """Print lines as a terminal does, in place: sphinx-click has marked where they end."""
    if any(lines):
        lines[:] = [".. code-block:: text", "", *(f"   {line.removeprefix('| ')}" for line in lines), ""]


def to_made_gallery(app: Sphinx, page: str, source: list[str]) -> None:
    """Let links to the folder of the examples, as GitHub shows it, lead to its pages on the site."""
    source[0] = re.sub(r"\]\(((?:\.\./)*)gallery\)", r"](\1made/gallery/index.rst)", source[0])


def setup(app: Sphinx) -> None:
    """Read pages, docstrings and help texts as they are written, before numpydoc arranges them."""
    app.connect("source-read", to_made_gallery)
    app.connect("autodoc-process-docstring", lambda *about: plain_text(about[-1], r"\|"), priority=100)
    for part in ("description", "options"):
        app.connect(
            f"sphinx-click-process-{part}", lambda *about: plain_text(about[-1], r"\||(?<!\*)\*(?!\*)")
        )
    app.connect("sphinx-click-process-epilog", lambda *about: verbatim(about[-1]))
