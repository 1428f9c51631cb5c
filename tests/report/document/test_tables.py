import dataclasses
import math

import pandas as pd
import pytest

from tests.report.conftest import make_records
from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost import caveats, fits, iteration_cost
from tngd_bench.analysis.families import optimizer_infos
from tngd_bench.analysis.findings.find import find
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.training import final_scores, time_to_target
from tngd_bench.report.cost import cost_section
from tngd_bench.report.cost.cost_section import cost_sections
from tngd_bench.report.document import charting, tables
from tngd_bench.report.training import training_section
from tngd_bench.report.training.training_section import training_sections
from tngd_bench.studies.store.columns import outside_sweeps


@pytest.fixture(scope="module")
def known(records):
    return optimizer_infos(records.trials)


@pytest.fixture(scope="module")
def costs(records, known):
    summary = iteration_cost.summarise(records.costs, records.trials)
    return cost_section.cost_table(
        summary, iteration_cost.ratios_to_sgd(records.costs, records.trials), known
    )


def cells(table):
    names = [column.title for column in table.columns]
    return pd.DataFrame(table.rows, columns=names)


def test_every_cost_on_the_page_is_the_median_of_its_rows(records, costs):
    shown = cells(costs)
    assert len(shown) == len(costs.data) == 7 * 9 - 4  # dense NGD was skipped at four sizes
    good = records.costs.set_index(["optimizer", "parameters"])
    for place, row in costs.data.iterrows():
        own = good.loc[(row["optimizer"], row["parameters"])]
        low, middle, high = own["digital_s"].quantile([0.25, 0.5, 0.75])
        text = shown.loc[place, "digital time, median [quartiles]"]
        assert text == quantities.seconds_with_spread(middle, low, high)
        low, middle, high = own["total_s"].quantile([0.25, 0.5, 0.75])
        assert shown.loc[place, "total, median [quartiles]"] == quantities.seconds_with_spread(
            middle, low, high
        )
        assert shown.loc[place, "iterations in processes"] == f"{len(own)} in {own['process'].nunique()}"


def test_every_row_names_the_records_behind_it(records, costs):
    shown = cells(costs)
    for place, row in costs.data.iterrows():
        behind = records.trials.set_index("key").loc[list(row["keys"])]
        assert set(behind["optimizer"]) == {row["optimizer"]}
        assert set(behind["parameters"]) == {row["parameters"]}
        assert shown.loc[place, "records"] == tables.short_keys(row["keys"])


def test_digital_optimizers_have_no_modelled_numbers(costs):
    shown = cells(costs)
    modelled = shown["optimizer"].str.startswith("TNGD")
    assert (shown.loc[~modelled, ["write", "relax", "read"]] == "–").all(axis=None)
    assert (shown.loc[modelled, ["write", "relax", "read"]] != "–").all(axis=None)
    assert (shown.loc[modelled, "relax"] == "50.0 µs").all()


def test_short_keys_name_a_file_once():
    assert tables.short_keys(["b.json#0", "a.json#2", "a.json#1"]) == "a.json #1 #2, b.json #0"
    assert tables.short_keys(["plain"]) == "plain"


def test_fits_stand_beside_the_paper_in_the_order_of_the_registry(records, known):
    table = cost_section.fits_table(fits.scaling_table(records.costs, records.trials), known)
    shown = cells(table)
    assert list(dict.fromkeys(shown["optimizer"])) == [kind.title for kind in known.values()]
    dense = shown[(shown["optimizer"] == "NGD (dense)") & (shown["quantity"] == "measured")].iloc[0]
    assert dense["p over an overhead [95 %]"] == "no exponent"
    assert dense["Table 1, largest power"] == "3"
    gram = shown[(shown["optimizer"] == "NGD (Gram)") & (shown["quantity"] == "measured")].iloc[0]
    assert gram["p over an overhead [95 %]"].startswith("1.0")
    assert gram["Table 1, largest power"] == "–"


def test_training_shows_finished_seeds_and_no_number_without_one(records, known):
    ends = final_scores.summarise_final(final_scores.final_values(records.trials, records.curves))
    shown = cells(training_section.final_table(ends, known, sweeps=False))
    assert shown.set_index("optimizer").loc["K-FAC", "seeds finished"] == "2 of 3, 1 diverged"
    nothing = ends.assign(final_loss_median=math.nan, finished=0)
    shown = cells(training_section.final_table(nothing, known, sweeps=False))
    assert (shown["final training loss, median [quartiles]"] == "–").all()


def test_answers_show_exact_match_and_f1_instead_of_an_accuracy_they_lack(records, known):
    curves = records.curves.assign(test_accuracy=math.nan, test_exact_match=0.25, test_f1=0.5)
    curves.loc[curves["iteration"] == 0, "test_f1"] = 0.125
    ends = final_scores.summarise_final(final_scores.final_values(records.trials, curves))
    shown = cells(training_section.final_table(ends, known, sweeps=False))
    assert not [title for title in shown.columns if "accuracy" in title]
    ran = shown[~shown["seeds finished"].str.startswith("0")]
    assert set(ran["final test exact match, median [quartiles]"]) == {"25.0 % [25.0, 25.0]"}
    assert set(ran["final test F1, median [quartiles]"]) == {"50.0 % [50.0, 50.0]"}
    untrained = "test F1 before training, median [quartiles]"
    assert set(ran[untrained]) == {"12.5 % [12.5, 12.5]"}
    plain = final_scores.summarise_final(final_scores.final_values(records.trials, records.curves))
    titles = [column.title for column in training_section.final_table(plain, known, sweeps=False).columns]
    assert "final test accuracy, median [quartiles]" in titles
    assert not [title for title in titles if "F1" in title or "exact match" in title]


def test_extrapolated_host_seconds_are_marked(records, known):
    smallest = records.costs[records.costs["parameters"] == 1_000]

    def shown(outputs):
        timed, trials = (frame.assign(outputs=outputs) for frame in (smallest, records.trials))
        return cost_section.cost_table(
            iteration_cost.summarise(timed, trials), iteration_cost.ratios_to_sgd(timed, trials), known
        )

    few, many = shown(10), shown(300)
    assert "≈" not in few.caption
    assert cost_section.EXTRAPOLATED in many.caption
    marked = {row[0] for row in many.rows if row[4].startswith("≈ ")}
    assert marked == {known[label].title for label in known if known[label].modelled}


def test_sweep_levels_are_named(records, known):
    ends = final_scores.summarise_final(final_scores.final_values(records.trials, records.curves))
    levels = cells(training_section.final_table(ends, known, sweeps=True))["level"].tolist()
    assert "thermal noise κ₀ = 10⁻⁴" in levels
    assert "ADC resolution = ideal" in levels
    assert "ADC resolution = 8" in levels


def test_misses_read_as_infinity(records, known):
    hits = time_to_target.hit_times(records.trials, records.curves, {})
    times = time_to_target.time_to_target(records.trials, hits, {})
    shown = cells(training_section.targets_table(times, known))
    row = shown[(shown["optimizer"] == "SGD") & (shown["target"] == "test accuracy ≥ 95 %")].iloc[0]
    assert row["seeds that hit"] == "0 of 3"
    assert row["iterations, median (after, by] [its interval]"] == "∞ [∞, ∞]"
    row = shown[(shown["optimizer"] == "TNGD") & (shown["target"] == "test accuracy ≥ 80 %")].iloc[0]
    found = times[(times["optimizer"] == "tngd") & (times["target"] == "test accuracy ≥ 80 %")].iloc[0]
    after, by = f"{found['after_median']:g}", f"{found['iterations_median']:g}"
    assert row["iterations, median (after, by] [its interval]"].startswith(f"({after}, {by}] [")
    assert float(after) < float(by)


@pytest.fixture(scope="module")
def bounded():
    """The synthetic study on a device that states no time to write its cells."""
    records = make_records(sizes=(1_000, 3_162, 10_000, 31_623, 100_000))
    costs, trials, curves = records.costs.copy(), records.trials.copy(), records.curves.copy()
    costs["overlap_s"] = 0.0
    costs.loc[costs["device"].notna(), ["write_s", "total_s"]] = math.nan
    trials["not_stated"] = trials["device"].map(lambda name: "write_cells" if isinstance(name, str) else None)
    trials["stated_s"] = trials["device"].map(lambda name: 2.0 if isinstance(name, str) else math.nan)
    device = curves["optimizer"].str.startswith("tngd") & (curves["iteration"] > 0)
    curves.loc[device, "modelled_s"] = math.nan
    return dataclasses.replace(records, costs=costs, trials=trials, curves=curves)


def test_a_lower_bound_is_shown_as_one_and_the_optimizer_not_dropped(bounded):
    known = optimizer_infos(bounded.trials)
    summary = iteration_cost.summarise(bounded.costs, bounded.trials)
    table = cost_section.cost_table(
        summary, iteration_cost.ratios_to_sgd(bounded.costs, bounded.trials), known
    )
    shown = cells(table)[table.data["optimizer"].to_numpy() == "tngd"]
    assert len(shown) == 5
    for (_, text), (_, row) in zip(
        shown.iterrows(), table.data[table.data["optimizer"] == "tngd"].iterrows(), strict=True
    ):
        assert text["write"] == text["total, mean"] == "not stated"
        assert text["total, median [quartiles]"] == f"≥ {quantities.seconds(row['digital_median_s'] + 2.0)}"
        assert text["total relative to SGD [95 %]"].startswith("≥ ")
    assert "≥: a lower bound" in table.caption
    assert (
        caveats.named(caveats.unstated(bounded.trials), known)
        == "TNGD (writing the cells), TNGD-Adam (writing the cells)"
    )
    with charting.style():
        sections = {
            section.anchor: section
            for section in (*cost_sections(Results(bounded)), *training_sections(Results(bounded)))
        }
    assert "TNGD (writing the cells)" in sections["cost"].points[-1]
    drawn = {chart.name: chart for chart in sections["cost"].charts}
    (time_chart,) = [chart for name, chart in drawn.items() if name.startswith("time-per-iteration")]
    assert "TNGD (at least)" in {line.get_label() for line in time_chart.figure.axes[0].get_lines()}
    assert "TNGD ≥ " in time_chart.alt
    (split,) = sections["split"].charts
    assert "write (modelled) not stated" in split.alt
    assert "TNGD (writing the cells)" in sections["convergence"].points[0]


def test_a_target_met_without_a_time_on_the_device_is_met(bounded):
    known = optimizer_infos(bounded.trials)
    targets = time_to_target.study_targets(bounded.study)
    hits = time_to_target.hit_times(bounded.trials, bounded.curves, targets)
    times = time_to_target.time_to_target(bounded.trials, hits, targets)
    table = training_section.targets_table(times, known)
    shown = cells(table)[(table.data["optimizer"] == "tngd").to_numpy()]
    met = shown[shown["seeds that hit"] == "3 of 3"]
    assert len(met)
    assert set(met["iterations × cost per iteration, median (after, by] [its interval]"]) == {"–"}
    ends = final_scores.summarise_final(
        outside_sweeps(final_scores.final_values(bounded.trials, bounded.curves))
    )
    final = training_section.final_table(ends, known, sweeps=False)
    own = cells(final)[(final.data["optimizer"] == "tngd").to_numpy()]
    assert set(own["iterations × cost per iteration"]) == {"–"}
    found = find(Results(bounded))
    # two seconds of the bill are stated: more than the digital optimizers take, whatever the cells do
    for name in ("TNGD", "TNGD-Adam"):
        assert f"{name} takes at least 2.0" in found.cost
    assert found.cost.count("the time of K-FAC, with none counted for writing the cells") == 2
    assert "ranked" not in found.cost
