"""What the README and the pages that it leads to promise exists, and the library's example runs as printed."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS, LIBRARY, STUDIES = (
    (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("cli", "library", "studies")
)
LONGEST = 85


def test_library_example_learns_digits() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", LIBRARY, flags=re.DOTALL)
    assert len(code.splitlines()) <= 16
    seeded = f"import torch; torch.manual_seed(0); torch.set_num_threads(1)\n{code}"
    done = subprocess.run([sys.executable, "-c", seeded], capture_output=True, text=True, check=True)
    accuracy = re.search(r"accuracy (\d\.\d+), device (\d+\.\d+) ms per iteration \(modelled\)", done.stdout)
    assert accuracy is not None, done.stdout
    assert float(accuracy[1]) > 0.85
    assert float(accuracy[2]) > 0


def test_it_is_short_and_its_picture_and_numbers_are_the_samples() -> None:
    assert len(README.splitlines()) <= LONGEST
    picture, answer = re.search(r"!\[.+\]\((\S+)\)\n\n(.+?)\n\n", README, flags=re.DOTALL).groups()
    assert (ROOT / picture).read_text(encoding="utf-8").startswith("<?xml")
    sample = (ROOT / "reports" / "paper" / "report.md").read_text(encoding="utf-8")
    numbers = re.findall(r"\*\*(.+?)\*\*", answer)
    assert len(numbers) >= 3
    assert [number for number in numbers if number not in sample] == []


def test_every_make_target_it_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"^    make ([a-z-]+)|`make ([a-z-]+)`", README, flags=re.MULTILINE))
    targets = {name for pair in named for name in pair if name}
    assert targets >= {"report", "test", "test-all", "lint", "asv", "bench-core"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_every_verb_has_its_line_and_every_study_and_page_named_exists() -> None:
    from tngd_bench.cli.main import cli
    from tngd_bench.studies.file.reading import shipped_studies

    verbs = set(cli.list_commands(None))
    assert set(re.findall(r"^    tngd-bench ([a-z-]+)", COMMANDS, flags=re.MULTILINE)) == verbs
    assert set(re.findall(r"^    tngd-bench ([a-z-]+)", README, flags=re.MULTILINE)) <= verbs
    table = STUDIES[STUDIES.index("## The shipped studies") : STUDIES.index("## Any torch optimizer")]
    rows = re.findall(r"^\| (`.*?) \|", table, flags=re.MULTILINE)
    listed = [name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row)]
    named = {f"paper{name}" if name.startswith("-") else name for name in listed}
    assert named | {"null-runs"} == set(shipped_studies())  # that one has a verb of its own
    pages = set(re.findall(r"\]\((docs/[\w/]+\.md)", README + COMMANDS + STUDIES))
    assert len(pages) > 10
    assert [page for page in pages if not (ROOT / page).is_file()] == []
