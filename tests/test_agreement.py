"""The script of the agreement page: it judges by the tolerance, and the committed page is one of its pages."""

import re
from pathlib import Path

import pytest
import torch

from benchmarks import agreement
from benchmarks.agreement import Comparison, judged

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "agreement.md"


def comparison(theirs: float, tolerance: float = 0.01) -> Comparison:
    ours, far = torch.ones(3), torch.full((3,), theirs)
    return Comparison("x", "peer", "here", lambda: ours, lambda: far, tolerance, counted=False)


@pytest.mark.parametrize(
    ("theirs", "agrees"), [(1.0, True), (1.005, True), (1.1, False), (float("nan"), False)]
)
def test_a_row_agrees_within_its_tolerance_alone(theirs: float, agrees: bool) -> None:
    row = judged(comparison(theirs), rounds=1)
    assert row.agrees is agrees
    if theirs == theirs:
        assert row.difference == pytest.approx(abs(theirs - 1.0) / theirs)


def test_a_difference_beyond_its_tolerance_is_an_exit_code(monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setattr(agreement, "installed", lambda: dict.fromkeys(agreement.PEERS, "1"))
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    words = ["--page", str(tmp_path / "page.md")]
    for theirs, code in ((1.0, 0), (2.0, 1)):
        monkeypatch.setattr(agreement, "every", lambda theirs=theirs: iter([comparison(theirs)]))
        assert agreement.main(words) == code
        assert "| x | peer | here |" in (tmp_path / "page.md").read_text("utf-8")
    assert "disagrees: x (peer): 5.00e-01" in capsys.readouterr().err


def test_a_missing_peer_is_named_and_no_page_is_written(monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setattr(agreement, "installed", lambda: dict.fromkeys(agreement.PEERS[:-1], "1"))
    assert agreement.main(["--page", str(tmp_path / "page.md")]) == 2
    assert "not installed: pytorch-optimizer" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()


def test_the_committed_page_has_every_peer_and_agrees() -> None:
    rows = re.findall(r"^\| .* \|$", PAGE.read_text("utf-8"), re.MULTILINE)[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    peers = {name.removesuffix("-for-pytorch") for name in agreement.PEERS}
    assert {row[1] for row in cells} == peers
    assert [row for row in cells if not float(row[3]) <= float(row[4])] == []
