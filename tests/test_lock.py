"""requirements.lock: exact pins of all that the package and its extras ask for, and nothing of one machine."""

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
LINES = [
    line
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if line and not line.startswith("#")
]
PINS = {canonicalize_name(name): version for name, version in (line.split("==") for line in LINES)}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ASKED = [
    *PROJECT["project"]["dependencies"],
    *(
        line
        for name, extra in PROJECT["project"]["optional-dependencies"].items()
        for line in extra
        if name != "kubernetes"  # for clusters only, and not in the lock
    ),
    *PROJECT["build-system"]["requires"],
]


def test_every_line_is_an_exact_pin_without_hash_host_or_local_build():
    for line in LINES:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line), line


@pytest.mark.parametrize("asked", ASKED)
def test_the_lock_satisfies_the_package(asked):
    requirement = Requirement(asked)
    assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)])


def test_torch_is_pinned_exactly():
    assert PINS["torch"] == "2.13.0"


@pytest.mark.parametrize("name", sorted(PINS))
def test_what_is_installed_is_what_is_pinned_and_its_own_needs_are_pinned(name):
    installed = distribution(name)
    assert Version(installed.version).public == PINS[name]
    for line in installed.requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            accelerator = re.match(r"nvidia-|cuda-|triton", requirement.name)
            assert accelerator or canonicalize_name(requirement.name) in PINS, line
