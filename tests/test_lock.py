"""The locks: exact pins of all that the package and its extras ask for, and nothing of one machine."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = ("3.11", "3.12", "3.13")
HERE = "{}.{}".format(*sys.version_info)


def lines_of(version):
    text = (ROOT / f"requirements-{version}.lock").read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def pins_of(version):
    return {canonicalize_name(name): pin for name, pin in (line.split("==") for line in lines_of(version))}


PINS = pins_of(HERE)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ASKED = [
    *PROJECT["project"]["dependencies"],
    *(
        line
        for name, extra in PROJECT["project"]["optional-dependencies"].items()
        for line in extra
        if name not in ("kubernetes", "peers")  # for clusters and for one script, and not in the lock
    ),
    *PROJECT["build-system"]["requires"],
]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_line_is_an_exact_pin_without_hash_host_or_local_build(version):
    for line in lines_of(version):
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line), line


@pytest.mark.parametrize("version", VERSIONS)
def test_the_lock_satisfies_the_package(version):
    pins = pins_of(version)
    for requirement in map(Requirement, ASKED):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


@pytest.mark.parametrize("version", VERSIONS)
def test_torch_is_pinned_exactly_and_no_accelerator_library_is(version):
    pins = pins_of(version)
    assert pins["torch"] == "2.13.0"
    assert not [name for name in pins if re.match(r"nvidia-|cuda-|triton$", name)]


def test_every_version_that_the_package_names_has_a_lock():
    named = [
        re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line)
        for line in PROJECT["project"]["classifiers"]
    ]
    assert tuple(found[1] for found in named if found) == VERSIONS


def interpreter_chosen(folder, versions, *words):
    """Return what `make python` answers on a machine with interpreters of these names and versions."""
    (folder / "bin").mkdir()
    for tool in ("sh", "make"):
        (folder / "bin" / tool).symlink_to(shutil.which(tool))
    for name, version in versions.items():
        path = folder / "bin" / name
        path.write_text(f"#!/bin/sh\necho {version}\n" if version else "#!/bin/sh\nexit 127\n")
        path.chmod(0o755)
    shutil.copy(ROOT / "Makefile", folder)
    environment = {"PATH": str(folder / "bin"), "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(
        ["make", "-s", "python", *words], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ({"python3": "3.11"}, "python3"),
        ({"python3": "3.12"}, "python3"),
        ({"python3": "3.13", "python3.11": "3.11"}, "python3"),
        ({"python3": "3.10", "python3.12": "3.12"}, "python3.12"),
        ({"python3": "3.14", "python3.13": "", "python3.11": "3.11"}, "python3.11"),
    ],
)
def test_make_takes_a_supported_interpreter_wherever_it_is(tmp_path, versions, expected):
    done = interpreter_chosen(tmp_path, versions)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).name == expected


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize("words", [(), ("PYTHON=python3",)])
def test_make_says_what_is_needed_where_no_supported_interpreter_is(tmp_path, words):
    done = interpreter_chosen(tmp_path, {"python3": "3.9"}, *words)
    assert done.returncode != 0
    assert "Python 3.11, 3.12 or 3.13 is needed" in done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize("with_uv", [True, False])
def test_make_installs_by_uv_where_it_is_and_by_pip_elsewhere(tmp_path, with_uv):
    """The same pins from the same places, whichever installs them."""
    for name in ("Makefile", "pyproject.toml", f"requirements-{HERE}.lock"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "make", "python3"):
        (tmp_path / "bin" / tool).symlink_to(sys.executable if tool == "python3" else shutil.which(tool))
    if with_uv:
        (tmp_path / "bin" / "uv").write_text("#!/bin/sh\n")
        (tmp_path / "bin" / "uv").chmod(0o755)
    told = {
        "PATH": str(tmp_path / "bin"),
        "PIP_FIND_LINKS": "/wheels",
        "PIP_EXTRA_INDEX_URL": "https://a.example",
    }
    done = subprocess.run(
        ["make", "-n", "setup"], cwd=tmp_path, env=told, capture_output=True, text=True, check=True
    )
    installs = [line for line in done.stdout.splitlines() if " install " in line]
    assert [line.split()[-2:] for line in installs] == [
        ["--requirement", f"requirements-{HERE}.lock"],
        ["--editable", "."],
    ]
    for line in installs:
        assert ("uv' pip install" in line) == with_uv
        assert ("-m pip" in line) != with_uv
        # pip reads its own settings; uv is told them
        assert ("--find-links /wheels --extra-index-url https://a.example" in line) == with_uv
    assert ("uv' venv" in done.stdout) == with_uv


@pytest.mark.parametrize("name", sorted(PINS))
def test_what_is_installed_is_what_is_pinned_and_its_own_needs_are_pinned(name):
    installed = distribution(name)
    assert Version(installed.version).public == PINS[name]
    for line in installed.requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            accelerator = re.match(r"nvidia-|cuda-|triton", requirement.name)
            assert accelerator or canonicalize_name(requirement.name) in PINS, line
