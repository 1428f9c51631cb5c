"""The recipe for any shell in docs/ci.md ends as its worst step does."""

import re
import subprocess
from pathlib import Path

import pytest

(RECIPE,) = re.findall(
    r"^## Any shell\n+```sh\n(.*?)```",
    (Path(__file__).parents[1] / "docs" / "ci.md").read_text(encoding="utf-8"),
    flags=re.DOTALL | re.MULTILINE,
)


def stub(path, code):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nexit {code}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("tests", "fetch", "check", "code"),
    [(0, 0, 0, 0), (1, 0, 0, 1), (0, 128, 0, 128), (0, 0, 1, 1), (0, 0, 2, 2), (0, 0, 3, 3)],
)
def test_the_job_ends_with_the_code_of_what_failed(tmp_path, tests, fetch, check, code):
    stub(tmp_path / ".ci" / "run", tests)
    stub(tmp_path / "bin" / "git", fetch)
    stub(tmp_path / ".venv" / "bin" / "tngd-bench", check)
    path = f"{tmp_path / 'bin'}:/usr/bin:/bin"
    done = subprocess.run(["sh", "-c", RECIPE], cwd=tmp_path, env={"PATH": path}, capture_output=True)
    assert done.returncode == code, done.stderr
