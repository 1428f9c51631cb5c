"""The documentation site: pages are reached, links inside it hold, public names are described, examples run."""

import importlib
import re
import runpy
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

import tngd_bench
from tests.test_house import FLOORS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [
    path for path in sorted(DOCS.rglob("*.md")) if path.relative_to(DOCS).parts[0] not in ("made", "gallery")
]
GALLERY = sorted((DOCS / "gallery").glob("*.py"))
NEEDS = {"03": "transformers", "06": "duckdb"}
QUICK = ("01", "02", "04", "07")
"""Examples that start no process and import nothing large."""
MADE = DOCS / "made"


@pytest.fixture(scope="module")
def pages_of_names():
    return runpy.run_path(str(DOCS / "pages_of_names.py"))


def links(page):
    """Return the targets of a page's links, code left out."""
    text = re.sub(
        r"^```.*?^```|^ {4}.*?$|`[^`\n]+`", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    return re.findall(r"\]\(([^)\s]+)\)", text)


def anchors(page):
    """Return the addresses that a page's headings have: those of GitHub and of MyST."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_in_a_table_of_contents():
    listed = set()
    for page in PAGES:
        for block in re.findall(
            r"^```\{toctree\}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE
        ):
            names = [line for line in block.splitlines() if line and not line.startswith(":")]
            listed |= {(page.parent / name).resolve().relative_to(DOCS).as_posix() for name in names}
    pages = {page.relative_to(DOCS).with_suffix("").as_posix() for page in PAGES} - {"index"}
    assert pages - listed == set()
    assert {name for name in listed if not name.startswith("made/")} - pages == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_links_inside_the_repository_lead_somewhere(page):
    for link in links(page):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert MADE not in target.parents, f"{link} is there only after the site is built"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), link


def test_the_page_of_plugins_names_every_command_that_takes_one():
    from tngd_bench.cli.main import cli

    verbs = {name: cli.get_command(None, name) for name in cli.list_commands(None)}
    taking = {
        name for name, verb in verbs.items() if any("--plugin" in option.opts for option in verb.params)
    }
    (line,) = re.findall(
        r"^- `--plugin mine\.py`, with (.*)\.$", (DOCS / "plugins.md").read_text("utf-8"), re.MULTILINE
    )
    assert set(re.findall(r"`([\w-]+)`", line)) == taking


def test_the_reference_has_the_public_names_of_every_floor_that_has_any(pages_of_names):
    floors = {room: importlib.import_module(f"tngd_bench.{room}") for room in FLOORS}
    with_names = {room for room, module in floors.items() if getattr(module, "__all__", ())}
    assert with_names == set(pages_of_names["FLOORS"])
    for room, names in pages_of_names["public_names"]().items():
        assert {f"tngd_bench.{room}.{name}" for name in floors[room].__all__} <= set(names)


def test_every_parameter_of_a_public_name_is_described(pages_of_names):
    assert pages_of_names["undescribed"]() == {}


def test_a_parameter_without_a_description_is_found(pages_of_names, monkeypatch):
    def described_in_part(known, unknown):
        """Do nothing.

        Parameters
        ----------
        known : int
            A number.
        """

    named = {"floor": ["tngd_bench.described_in_part"]}
    monkeypatch.setattr(tngd_bench, "described_in_part", described_in_part, raising=False)
    monkeypatch.setattr(described_in_part, "__module__", "tngd_bench")
    monkeypatch.setitem(pages_of_names["undescribed"].__globals__, "public_names", lambda: named)
    assert pages_of_names["undescribed"]() == {"tngd_bench.described_in_part": ["unknown"]}


def test_the_picture_has_the_floors_from_the_top_down():
    picture = (DOCS / "guide" / "house.svg").read_text("utf-8")
    names = re.findall(r'font-weight="600">(\w+)<', picture)
    assert names == list(reversed(FLOORS))


def test_numbers_of_the_page_of_findings_are_those_of_the_sample():
    page = (DOCS / "guide" / "findings.md").read_text("utf-8")
    sample = (ROOT / "reports" / "paper" / "report.md").read_text("utf-8")
    numbers = re.findall(r"\*\*([\d.,]+(?: ms| %| bits)?)\*\*", page)
    assert len(numbers) >= 10
    assert [number for number in numbers if number not in sample] == []


@pytest.mark.parametrize(
    "path", [path for path in GALLERY if path.name[:2] in QUICK], ids=lambda path: path.stem
)
def test_a_quick_example_runs(path, capsys):
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out


@pytest.mark.slow(reason="processes of a study, and the import of transformers")
@pytest.mark.parametrize(
    "path", [path for path in GALLERY if path.name[:2] not in QUICK], ids=lambda path: path.stem
)
def test_an_example_with_processes_or_large_imports_runs(path):
    if path.name[:2] in NEEDS:
        pytest.importorskip(NEEDS[path.name[:2]])
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout


def inventory(site):
    """Return the names of Python objects that the built site describes."""
    data = (site / "objects.inv").read_bytes()
    rows = zlib.decompress(data.split(b"\n", 4)[4]).decode().splitlines()
    return {row.split()[0] for row in rows if " py:" in row}


@pytest.mark.slow(reason="builds the whole site")
def test_the_site_builds_without_a_warning_and_has_every_public_name(tmp_path, pages_of_names):
    pytest.importorskip("sphinx")
    words = ["--fail-on-warning", "--keep-going", "--quiet", "--define", "plot_gallery=0"]
    command = [sys.executable, "-m", "sphinx", *words, str(DOCS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    names = {name for names in pages_of_names["public_names"]().values() for name in names}
    assert names - inventory(tmp_path) == set()
    from tngd_bench.cli.main import cli

    text = re.sub("<[^>]+>", "", (tmp_path / "reference" / "cli.html").read_text("utf-8"))
    assert [verb for verb in cli.list_commands(None) if f"\ntngd-bench {verb} " not in text] == []
