"""What is released: the wheel's content, one version everywhere, and the command line after an installation."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from datetime import date
from email import message_from_string
from pathlib import Path

import pytest

import tngd_bench
from tngd_bench import __version__

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(tngd_bench.__file__).parent
build = pytest.importorskip("hatchling.builders.wheel", reason="hatchling is not installed")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    (made,) = build.WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    return Path(made)


def test_the_wheel_has_every_file_of_the_package_and_no_other(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    there = {
        path.relative_to(PACKAGE.parent).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == there
    assert {Path(name).suffix for name in names} >= {".py", ".toml", ".j2", ".js", ".css", ".typed"}


def test_its_metadata_are_those_of_the_project(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (place,) = (name for name in archive.namelist() if name.endswith("METADATA"))
        metadata = message_from_string(archive.read(place).decode())
        (scripts,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "tngd-bench = tngd_bench.cli.main:main" in archive.read(scripts).decode()
    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] == "Apache-2.0"
    asked = {line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line}
    assert asked == set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])


def test_citation_and_changelog_are_of_this_version():
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert re.search(r"^version: (\S+)", citation, re.M)[1] == __version__
    released = re.search(r"^date-released: (\S+)", citation, re.M)[1]
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    version, day = re.search(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", changelog, re.M).groups()
    assert (version, day) == (__version__, released)
    date.fromisoformat(day)


def test_every_entry_of_the_changelog_is_tagged():
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    kinds = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Migration of stores")
    for heading, body in re.findall(r"^### (.*?)$(.*?)(?=^##|\Z)", text, re.M | re.S):
        assert heading in kinds
        if heading != "Migration of stores":
            entries = re.findall(r"^- (.*)", body, re.M)
            assert entries
            assert all(re.match(r"\[(Code|Rules|Figures)\] ", entry) for entry in entries), entries


def test_every_action_of_a_workflow_is_pinned_by_its_commit():
    used = [
        line.strip()
        for path in (ROOT / ".github" / "workflows").glob("*.yml")
        for line in path.read_text("utf-8").splitlines()
        if "uses:" in line
    ]
    assert len(used) > 10
    loose = [line for line in used if not re.search(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v[\d.]+$", line)]
    assert loose == []
    pins = {tuple(line.split("uses: ")[1].split("@")) for line in used}
    assert len({action for action, _ in pins}) == len(pins), "one action, one commit"


def test_every_place_that_lists_the_supported_pythons_lists_the_same():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert project["requires-python"] == f">={named[0]}"
    assert re.search(r"^SUPPORTED := (.*)$", (ROOT / "Makefile").read_text(), re.M)[1].split() == named
    for workflow in ("tests", "release"):
        text = (ROOT / ".github" / "workflows" / f"{workflow}.yml").read_text()
        assert re.findall(r"^ +python: \[(.*)\]$", text, re.M) == [", ".join(f'"{each}"' for each in named)]


def test_the_module_is_the_command():
    found = [
        subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout
        for command in (
            [sys.executable, "-m", "tngd_bench"],
            [str(Path(sys.executable).with_name("tngd-bench"))],
        )
    ]
    assert found == [f"tngd-bench {__version__}\n"] * 2


def completed(*words):
    """Return what bash is offered for the last of `words`."""
    line = {"COMP_WORDS": " ".join(["tngd-bench", *words]), "COMP_CWORD": str(len(words))}
    environment = {**os.environ, **line, "_TNGD_BENCH_COMPLETE": "bash_complete"}
    command = [sys.executable, "-m", "tngd_bench"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [tuple(row.split(",")) for row in done.stdout.splitlines()]


def test_shells_complete_verbs_studies_and_options():
    assert completed("pre") == [("plain", "predict")]
    assert completed("run", "paper-fig2") == [
        ("plain", "paper-fig2a"),
        ("plain", "paper-fig2b"),
        ("file", "paper-fig2"),
    ]
    assert ("plain", "--profile") in completed("run", "--pro")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell):
    environment = {**os.environ, "_TNGD_BENCH_COMPLETE": f"{shell}_source"}
    done = subprocess.run(
        [sys.executable, "-m", "tngd_bench"], env=environment, capture_output=True, text=True, check=True
    )
    assert f"_TNGD_BENCH_COMPLETE={shell}_complete" in done.stdout


@pytest.mark.slow(reason="an environment of its own, and the study smoke in it")
def test_the_wheel_runs_outside_the_repository(wheel, tmp_path):
    """Installed into an environment that has the dependencies alone; `.ci/try-dist` tries empty ones."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    packages = next(path for path in map(Path, sys.path) if (path / "torch").is_dir())
    (site / "dependencies.pth").write_text(f"{packages}\n")
    python, elsewhere = tmp_path / "env" / "bin" / "python", tmp_path / "elsewhere"
    elsewhere.mkdir()
    offline = {**os.environ, "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    code = "import tngd_bench; print(tngd_bench.__file__)"
    found = subprocess.run(
        [python, "-P", "-c", code], cwd=elsewhere, capture_output=True, text=True, check=True
    )
    assert Path(found.stdout.strip()).is_relative_to(site)
    subprocess.run([python, "-P", "-m", "tngd_bench", "run", "smoke"], cwd=elsewhere, env=offline, check=True)
    assert (elsewhere / "reports" / "smoke" / "index.html").stat().st_size > 100_000
