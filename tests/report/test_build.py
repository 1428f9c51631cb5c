"""The link to asv's page: by a setting, by where `asv publish` writes, or none."""

import pytest

from tngd_bench.report.build import PUBLISHED, SETTING, trend_link


def test_without_a_published_page_there_is_no_link(tmp_path):
    assert trend_link(tmp_path / "out", tmp_path, {}) == ""


def test_a_published_page_is_linked_relative_to_the_report(tmp_path):
    page = tmp_path / PUBLISHED
    page.parent.mkdir(parents=True)
    page.touch()
    found = trend_link(tmp_path / "reports" / "quick", tmp_path, {})
    assert found == "../../.asv/html/index.html#/regressions"
    assert trend_link(tmp_path / "reports" / "quick", tmp_path / "reports", {SETTING: str(page)}) == found


def test_the_setting_may_be_an_address(tmp_path):
    assert (
        trend_link(tmp_path, tmp_path, {SETTING: "https://x.example/"}) == "https://x.example/#/regressions"
    )
    assert trend_link(tmp_path, tmp_path, {SETTING: "https://x.example/#/a"}) == "https://x.example/#/a"


@pytest.mark.parametrize("given", ["javascript:alert(1)", "nowhere/index.html"])
def test_what_is_neither_an_address_nor_a_page_is_refused(tmp_path, given):
    with pytest.raises(ValueError, match="http"):
        trend_link(tmp_path, tmp_path, {SETTING: given})


def test_the_page_shows_the_link(tmp_path, monkeypatch, make):
    from tngd_bench.report import build_report

    monkeypatch.setenv(SETTING, "https://x.example/asv")
    # a study without a cost section has the shortest page
    records = make(skip=())
    records = type(records)(
        records.study,
        records.environment,
        records.trials.iloc[:1],
        records.costs.iloc[:0],
        records.curves.iloc[:0],
    )
    text = build_report(records, tmp_path).html.read_text()
    assert '<a href="https://x.example/asv#/regressions">' in text
