"""The README's example runs as printed, and its commands exist."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_library_example_learns_digits() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    assert len(code.splitlines()) <= 16
    seeded = f"import torch; torch.manual_seed(0); torch.set_num_threads(1)\n{code}"
    done = subprocess.run([sys.executable, "-c", seeded], capture_output=True, text=True, check=True)
    accuracy = re.search(r"accuracy (\d\.\d+), device (\d+\.\d+) ms per iteration \(modelled\)", done.stdout)
    assert accuracy is not None, done.stdout
    assert float(accuracy[1]) > 0.85
    assert float(accuracy[2]) > 0


def test_every_make_target_it_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"^    make ([a-z-]+)", TEXT, flags=re.MULTILINE))
    assert named >= {"report", "test", "test-all", "lint", "asv", "bench-core"}
    for target in named:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_it_names_every_verb_and_only_studies_and_pages_that_exist() -> None:
    from tngd_bench.cli.main import cli
    from tngd_bench.studies.file.reading import shipped_studies

    assert set(re.findall(r"^    tngd-bench ([a-z-]+)", TEXT, flags=re.MULTILINE)) == set(
        cli.list_commands(None)
    )
    rows = re.findall(r"^\| (`.*?) \|", TEXT, flags=re.MULTILINE)
    listed = [name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row)]
    named = {f"paper{name}" if name.startswith("-") else name for name in listed}
    assert named <= set(shipped_studies())
    assert {name for name in shipped_studies() if name.startswith("paper")} <= named
    pages = set(re.findall(r"\]\((docs/[a-z]+\.md)\)", TEXT))
    assert pages == {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
