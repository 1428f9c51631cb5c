import pytest

from tests.studies.recorder import Recorder
from tngd_bench.analysis.claims.verdicts import judge, load_claims
from tngd_bench.analysis.results import Results, pooled
from tngd_bench.studies.file.reading import load_study, shipped_studies
from tngd_bench.studies.run.run_study import run_study
from tngd_bench.studies.store.records import read_records

FIGURES = [
    "paper-table1",
    "paper-fig2a",
    "paper-fig2b",
    "paper-fig3",
    "paper-fig4a",
    "paper-fig4b",
    "paper-fig7",
]
STUDIES = [*FIGURES, "paper-beyond", "paper", "paper-fashion"]
PROFILES = ["smoke", "quick", "full"]


def enabled(study):
    return {section.name: section for section in (*study.cost, *study.training) if section.enabled}


def test_every_table_and_figure_is_shipped():
    assert set(STUDIES) <= set(shipped_studies())


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_can_be_read(name, profile):
    loaded = load_study(name, (), profile)
    assert loaded.study.name == name
    assert set(PROFILES) <= set(loaded.profiles)
    assert enabled(loaded.study)


def test_the_full_profile_has_the_papers_settings():
    study = load_study("paper", (), "full").study
    training = enabled(study)["training"]
    assert (training.problem, training.batch_size, training.epochs, training.seeds) == (
        "mnist-cnn",
        64,
        10,
        5,
    )
    assert (training.train_size, training.test_size) == (10_000, 10_000)
    fig2a = enabled(study)["fig2a"]
    assert (fig2a.batch_size, fig2a.outputs, fig2a.processes) == ((32,), (20,), 5)
    assert min(fig2a.parameters) == 10_000
    assert max(fig2a.parameters) == 100_000


def test_a_study_that_includes_others_tells_all_their_choices():
    told = load_study("paper", (), "full").study.choices
    for name in [*FIGURES, "paper-beyond"]:
        own = load_study(name, (), "full").study.choices
        assert own
        # a topic of several figures is worded once for all
        assert own.items() <= told.items()
    assert (
        load_study("paper-fig5b", (), "full").study.choices
        == load_study("paper-fig5a", (), "full").study.choices
    )


@pytest.mark.parametrize("profile", ["quick", "full"])
def test_the_second_data_set_has_its_noise_at_several_sizes(profile):
    sections = enabled(load_study("paper-fashion", (), profile).study)
    assert {section.problem for section in sections.values()} == {"fashion-cnn"}
    sizes = {section.parameters for name, section in sections.items() if name.startswith("noise-")}
    assert sizes == {11_000, 43_706, 170_000}


def test_the_whole_study_holds_every_run_of_every_figure_once():
    whole = enabled(load_study("paper", (), "full").study)
    for name in FIGURES:
        for section in enabled(load_study(name, (), "full").study).values():
            assert set(section.optimizers) <= set(whole[section.name].optimizers)
    assert len(set(whole["training"].optimizers)) == len(whole["training"].optimizers)


def test_the_second_data_set_has_the_same_training_sections_and_the_costs_of_those_alone():
    first, second = (enabled(load_study(name, (), "full").study) for name in ("paper", "paper-fashion"))
    assert second["training"].problem == "fashion-cnn"
    assert second["training"].optimizers == first["training"].optimizers
    costs = [section for section in load_study("paper-fashion", (), "full").study.cost if section.enabled]
    assert {section.name for section in costs} == {"training-cost", "memory-cost"}


@pytest.mark.parametrize("name", STUDIES)
def test_smoke_needs_no_data_but_what_is_installed(name):
    sections = enabled(load_study(name, (), "smoke").study)
    assert {section.problem for section in sections.values()} == {"digits-mlp"}


@pytest.mark.slow(reason="runs every section of a shipped study")
def test_the_whole_smoke_study_runs_to_a_verdict_on_every_claim(tmp_path):
    result = run_study(load_study("paper", (), "smoke"), tmp_path, Recorder(), command="test")
    records = read_records(tmp_path)
    assert result.ran > 0
    assert set(records.trials["status"]) <= {"ok", "skipped"}
    assert set(enabled(load_study("paper", (), "smoke").study)) == set(records.trials["group"])
    verdicts = judge(pooled({"paper": Results(records)}))
    assert {verdict.claim.id for verdict in verdicts} == {claim.id for claim in load_claims()}
    # two seeds and two sizes decide nothing
    assert {verdict.name for verdict in verdicts} <= {"not tested", "not confirmed"}


def test_one_training_figure_runs_to_its_verdicts_in_seconds(tmp_path):
    run_study(load_study("paper-fig4a", (), "smoke"), tmp_path, Recorder(), command="test")
    records = read_records(tmp_path)
    assert records.study["choices"]["Figures 3, 4 and 7"][0].startswith("The network: kernel 3×3")
    assert set(records.trials["status"]) == {"ok"}
    verdicts = {verdict.claim.id: verdict for verdict in judge(pooled({"paper-fig4a": Results(records)}))}
    assert verdicts["fig4a-fifty"].name == "not tested"
    assert "2 paired seeds, 5 needed" in verdicts["fig4a-fifty"].evidence
    assert verdicts["table1-n"].name == "not tested"
