"""Claims beside the figures that decide them, on records whose losses are formulas."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tngd_bench.analysis.claims.types import Claim, ClaimPart, Finding, Verdict
from tngd_bench.analysis.families import optimizer_info
from tngd_bench.analysis.results import Results
from tngd_bench.report import build_report
from tngd_bench.report.build import trial_ends
from tngd_bench.report.claims.verdicts import (
    JudgedStudies,
    claims_section,
    summary,
    verdict_section,
    verdict_table,
)
from tngd_bench.report.compare.comparison import build_comparison
from tngd_bench.report.document import charting
from tngd_bench.report.render import processes
from tngd_bench.studies.store.columns import COST_COLUMNS, CURVE_COLUMNS, TRIAL_COLUMNS
from tngd_bench.studies.store.records import Records

RATES = {"adam": 1.0, "tngd": 1.5, "tngd[analog_time=5]": 0.8, "ngd-gram": 1.5}
ITERATIONS = np.arange(0, 81)


def trained(name, problem, rates=RATES, seeds=5):
    """A study with the section that Figures 3 and 4 are drawn from; a higher rate is a faster optimizer."""
    trials, curves = [], []
    for optimizer, rate in rates.items():
        for seed in range(seeds):
            row = dict.fromkeys(TRIAL_COLUMNS) | {"key": f"{name}{len(trials)}#0", "kind": "training"}
            row |= {
                "group": "training",
                "problem": problem,
                "optimizer": optimizer,
                "seed": seed,
                "status": "ok",
            }
            row |= {
                "method": optimizer.split("[")[0],
                "settings": json.dumps({"analog_time": 50.0, "lr": 0.01}),
            }
            row |= dict.fromkeys(["parameters", "parameters_requested"], 33_000)
            row |= {"batch_size": 64, "outputs": 10, "rows": 640, "threads": 1, "estimate_seconds": 1.0}
            row |= {
                "estimate_bytes": 1.0,
                "elapsed_s": 1.0,
                "device": "paper" if "tngd" in optimizer else None,
            }
            trials.append(row)
            loss = 2.3 * np.exp(-rate * ITERATIONS / 30) * (1 + 0.02 * seed)
            frame = pd.DataFrame(
                {key: row[key] for key in CURVE_COLUMNS if key in row} | {"iteration": ITERATIONS}
            )
            evaluated = np.where(ITERATIONS % 20 == 0, loss, np.nan)
            frame = frame.assign(loss=loss, train_loss=evaluated, test_accuracy=1 - evaluated / 3)
            curves.append(frame.assign(modelled_s=0.01 * ITERATIONS, measured_s=0.01 * ITERATIONS))
    frame = pd.DataFrame(
        {key: pd.Series([row[key] for row in trials], dtype=d) for key, d in TRIAL_COLUMNS.items()}
    )
    joined = pd.concat(curves, ignore_index=True).reindex(columns=list(CURVE_COLUMNS))
    joined = joined.astype({key: dtype for key, dtype in CURVE_COLUMNS.items() if dtype == "float64"})
    study = {"name": name, "title": name, "version": "0", "command": f"tngd-bench run {name}", "devices": {}}
    costs = pd.DataFrame({key: pd.Series([], dtype=dtype) for key, dtype in COST_COLUMNS.items()})
    return Records(study, {}, frame, costs, joined)


def clocked(*studies):
    """Results by name, their curves on the clock that they were made with."""
    return JudgedStudies({records.study["name"]: Results(records, clocked=True) for records in studies})


@pytest.fixture(scope="module")
def paper():
    return trained("paper", "mnist-cnn")


@pytest.fixture(scope="module")
def fashion():
    # here Adam is the faster one
    return trained("paper-fashion", "fashion-cnn", RATES | {"adam": 2.0})


@pytest.fixture(scope="module")
def studies(paper, fashion):
    return clocked(paper, fashion)


@pytest.fixture(scope="module")
def section(studies):
    with charting.style():
        return verdict_section(studies)


def test_claims_judged_in_another_process_have_the_same_verdicts(studies, paper, fashion, monkeypatch):
    monkeypatch.setattr(processes, "usable_processes", lambda items: 2)
    apart = clocked(paper, fashion)
    with apart.judged_beside():
        found = apart.found
    assert "pool" not in vars(apart)  # else it was done here
    assert repr(found) == repr(studies.found)


def exhibit(section, title):
    return next(exhibit for exhibit in section.exhibits if exhibit.title == title)


def test_each_figure_of_the_paper_is_drawn_once_for_each_problem(section):
    names = [chart.name for chart in section.charts]
    assert names[:4] == [f"paper-fig3{part}-{data}-cnn" for part in "ab" for data in ("mnist", "fashion")]
    assert len(names) == len(set(names))
    assert section.charts == tuple(chart for exhibit in section.exhibits for chart in exhibit.charts)
    for chart in section.charts:
        assert all(axes.get_ylabel() for axes in chart.figure.axes)
        assert chart.figure.axes[-1].get_xlabel()
        assert chart.figure.legends
        assert chart.alt


def test_a_line_is_the_mean_over_seeds_of_the_smoothed_loss(section):
    chart = next(chart for chart in section.charts if chart.name == "paper-fig4a-mnist-cnn")
    own = chart.data[chart.data["optimizer"] == "tngd"]
    (line,) = [line for line in chart.figure.axes[0].get_lines() if line.get_label() == "TNGD (t = 50 τ)"]
    np.testing.assert_array_equal(line.get_ydata(), own["mean"])
    np.testing.assert_array_equal(line.get_xdata(), own["x"])
    # of the moving average over all 81 points (the window of 200 is longer), seeds 0 to 4: mean factor 1.04
    assert own["mean"].iloc[-1] == pytest.approx(1.04 * 2.3 * np.exp(-1.5 * ITERATIONS / 30).mean())
    assert own["std"].iloc[-1] / own["mean"].iloc[-1] == pytest.approx(0.02 * np.std(range(5), ddof=1) / 1.04)
    assert "mean over 5 seeds" in chart.caption
    assert "moving average of 200 iterations" in chart.caption


def test_claims_stand_beside_the_figure_that_decides_them_one_verdict_for_each_problem(section):
    claims = {claim.anchor: claim for claim in exhibit(section, "Figure 3").claims}
    accuracy = claims["claim-fig3-test-accuracy"]
    assert [(found.problem, found.verdict) for found in accuracy.judgements] == [
        ("mnist-cnn", "confirmed"),
        ("fashion-cnn", "not confirmed"),
    ]
    first, second = accuracy.judgements
    assert first.parts[0][:2] == ("holds", "against Adam")
    assert "better in 5 of 5 seeds" in first.parts[0][2]
    assert second.condition == "the data show the contrary"
    assert "signed-rank test, p ≤ 5 %" in accuracy.rule
    assert [study for study, _ in first.records] == ["paper"]
    assert first.records[0][1].count("#0") == 10


def test_the_table_has_a_row_for_each_verdict_that_leads_to_its_claim(studies, section):
    (table,) = claims_section(studies).tables
    assert [column.title for column in table.columns][:3] == ["claim", "verdict", "numbers that decide"]
    anchors = {claim.anchor for exhibit in section.exhibits for claim in exhibit.claims}
    assert set(table.anchors) <= anchors
    assert len(table.anchors) == len(table.rows)
    assert "mnist-cnn (paper): " in section.points[0]
    assert any(
        "(no study with the section fig5 was run): Figure 5(a)" in point for point in section.points[1:]
    )


def test_a_test_has_its_day_and_none_is_said_to_be_fixed_before_the_run_that_was_not(studies, section):
    (table,), (changes,) = claims_section(studies).tables, section.tables
    rows = table.data.set_index("claim").loc[["fig3-test-accuracy"]]
    assert set(rows["fixed"]) == {"2026-11-24"}
    noted = table.data.loc[table.data["note"] != "", "claim"]
    assert set(changes.data["claim"]) == set(noted)
    assert "fig3-test-accuracy" not in set(noted)
    assert "Not all of them were fixed before the run" in section.prose
    claim = next(
        one for one in exhibit(section, "Figure 3").claims if one.anchor == "claim-fig3-test-accuracy"
    )
    assert (claim.fixed, claim.note) == ("2026-11-24", "")
    assert claim.rule.endswith("p ≤ 5 %")


def test_a_changed_claim_has_its_note_beside_it_and_once_in_a_table():
    with charting.style():
        delayed = trained("paper", "mnist-cnn", RATES | {"tngd[analog_time=5, delay=1]": 0.8})
        section = verdict_section(clocked(delayed))
    (changes,) = section.tables
    changed = changes.data.set_index("claim")
    assert changed.index.is_unique
    note = changed.loc["fig4b-beats-ngd", "note"]
    assert "2026-11-28, after the run" in note
    claims = {claim.anchor: claim for claim in exhibit(section, "Figure 4(b)").claims}
    assert (claims["claim-fig4b-beats-ngd"].fixed, claims["claim-fig4b-beats-ngd"].note) == (
        "2026-11-28",
        note,
    )
    assert "claim-fig4b-beats-ngd" in changes.anchors


def test_too_few_seeds_give_no_verdict_and_say_so(paper):
    few = trained("paper", "mnist-cnn", seeds=2)
    with charting.style():
        section = verdict_section(clocked(few))
    assert claims_section(clocked(few)).is_empty
    assert section.points == ()
    judgements = [found for claim in exhibit(section, "Figure 3").claims for found in claim.judgements]
    assert {found.verdict for found in judgements} == {"not tested"}
    assert any("2 paired seeds, 5 needed" in found.missing for found in judgements)


def test_a_study_without_claims_says_that_nothing_was_tested(records):
    with charting.style():
        section = verdict_section(clocked(records))
    assert section.is_empty
    assert claims_section(clocked(records)).is_empty


@pytest.mark.slow(reason="a whole report")
def test_the_page_links_verdicts_to_the_records_of_both_studies(paper, fashion, tmp_path):
    for name, records in (("paper", paper), ("fashion", fashion)):
        folder = tmp_path / name / "store" / "trials"
        folder.mkdir(parents=True)
        for key in records.trials["key"]:
            (folder / f"{key.partition('#')[0]}.json").touch()
    built = build_report(
        paper,
        tmp_path / "paper",
        store=tmp_path / "paper/store",
        beside=[(fashion, tmp_path / "fashion/store")],
    )
    page = built.html.read_text()
    assert page.index('id="claims"') < page.index('id="verdicts"')
    assert '<a href="#claims">Claims</a>' in page
    assert '<a href="#claim-fig3-test-accuracy">' in page
    assert '<a href="store/trials/paper0.json">' in page
    assert '<a href="../fashion/store/trials/paper-fashion0.json">' in page
    assert "paper-fig4a-fashion-cnn" in page  # by iterations: no cost puts these trainings on one clock
    ends = pd.read_csv(built.html.parent / "data/trials.csv")
    assert len(ends) == len(paper.trials)
    with pytest.raises(ValueError, match=r"two are called 'paper'"):
        build_report(paper, tmp_path / "twice", beside=[(paper, Path("x"))])


def test_how_each_trial_ended_is_one_row(paper, records):
    ends = trial_ends(paper)
    assert ends["key"].tolist() == paper.trials["key"].tolist()
    assert ends["final_test_accuracy"].notna().all()
    timed = trial_ends(records).set_index("key")
    key = records.costs["key"].iloc[0]
    assert timed.loc[key, "total_s"] == pytest.approx(records.costs.groupby("key")["total_s"].mean()[key])


def test_two_stores_have_their_verdicts_in_one_row(paper, fashion, tmp_path):
    html, _, first, _ = build_comparison(paper, fashion, ("mnist", "fashion"), tmp_path)
    told = dict(first)["Claims"]
    assert "TNGD ends with a better test accuracy than Adam (A confirmed, B not confirmed)" in told
    table = pd.read_csv(tmp_path / "data/compare-verdicts.csv").set_index("claim")
    row = table.loc["fig3-test-accuracy"]
    assert (row["a_problem"], row["a_verdict"]) == ("mnist-cnn", "confirmed")
    assert (row["b_problem"], row["b_verdict"]) == ("fashion-cnn", "not confirmed")
    assert '<span class="verdict not-confirmed">' in html.read_text()


CLAIM = Claim("c", "TNGD is fast", "sec. 4", "fig3", "better", ("training",), {}, date(2026, 11, 24))


def verdict(parts):
    return Verdict(CLAIM, Finding(parts, "rule", {"part 1": 2.0}, ("s\nk#0",)), "p")


def test_many_parts_are_counted_in_the_table_and_kept_in_its_data():
    many = tuple(ClaimPart(f"part {place}", place > 0, "1.0") for place in range(5))
    table = verdict_table([verdict(many)], {}, lambda _: "")
    assert table.rows[0] == ("TNGD is fast", "conditional", "Holds in 4 of 5.", "p")
    few = verdict_table([verdict(many[:2])], {}, lambda _: "s, profile full")
    assert few.rows[0][2] == "Holds for part 1; not for part 0. Part 0: 1.0; part 1: 1.0"
    assert few.rows[0][3] == "p: s, profile full"
    assert few.data.loc[0, ["tolerance", "fixed"]].tolist() == ["rule", "2026-11-24"]
    assert table.data.loc[0, "number: part 1"] == 2.0
    assert table.data.loc[0, "evidence"].startswith("part 0: 1.0; part 1: 1.0; ")


def test_optimizers_are_named_by_title_in_the_numbers_that_decide():
    """Labels become titles before the first letter of a sentence becomes a capital."""
    for label, title in (("tngd", "TNGD"), ("tngd[delay=0.2]", "TNGD (t_d = 0.2 τ)")):
        infos = {label: optimizer_info(label, "tngd")}
        table = verdict_table(
            [verdict((ClaimPart(f"{label} at N = 7", True, "twice"),))], infos, lambda _: ""
        )
        assert table.rows[0][2] == f"{title} at N = 7: twice"


def test_what_was_measured_on_another_profile_says_so_beside_every_verdict(paper, fashion):
    search = {"tuning_record": {"search": {"problem": "mnist-cnn"}}}
    section = {"name": "training", "train_size": 10_000}
    tuned = trained("paper", "mnist-cnn", RATES | {"adam[tuned]": 1.2, "tngd[tuned]": 1.6})
    full = replace(tuned, study=tuned.study | {"profile": "full", "training": [section]} | search)
    quick = replace(fashion, study=fashion.study | {"profile": "quick"} | search)
    with charting.style():
        both = verdict_section(clocked(full, quick))
    where = {row[3] for row in claims_section(clocked(full, quick)).tables[0].rows}
    assert "mnist-cnn: paper, profile full, 80 iterations on 10,000 examples" in where
    assert "fashion-cnn: paper-fashion, profile quick, 80 iterations" in where
    assert "mnist-cnn (paper, profile full): " in both.points[0]
    assert "fashion-cnn (paper-fashion, profile quick): " in both.points[0]
    judgements = [
        found for exhibit in both.exhibits for claim in exhibit.claims for found in claim.judgements
    ]
    assert {found.measured for found in judgements if found.problem == "fashion-cnn" and found.records} == {
        "paper-fashion, profile quick, 80 iterations"
    }
    words = " ".join(what for found in judgements for part in found.parts for what in part)
    assert "(tuned on mnist-cnn)" in words
    assert "(tuned)" not in words


def test_the_counts_of_verdicts_have_a_false_discovery_rate_beside_them():
    def verdict(*parts):
        return Verdict(CLAIM, Finding(parts, "rule"), "p")

    seeds = [
        ClaimPart("a", True, "", True, 0.02),
        ClaimPart("b", False, "", True, 0.01),
        ClaimPart("c", False, "", False, 0.3),
    ]
    exact = ClaimPart("d", True, "")
    text = summary([verdict(*seeds, exact)], {})
    # of three tests at 5 % to either side 3 · 0.1 are decided by chance, whatever the p of the two that are
    assert "Tests over seeds decide 2 of 3 parts, each at p ≤ 5 % to one side" in text
    assert "15 % of them may be decided by chance" in text
    for alone in (exact, seeds[2]):
        assert "by chance" not in summary([verdict(alone)], {})


def test_every_part_that_seeds_decide_has_its_p_value(section):
    assert "of them may be decided by chance (false discovery rate)" in section.points[0]
