from datetime import date
from types import SimpleNamespace

import pandas as pd
import pytest

from tngd_bench.analysis.claims import verdicts
from tngd_bench.analysis.claims.types import Claim, ClaimPart, Finding
from tngd_bench.analysis.claims.verdicts import load_claims
from tngd_bench.analysis.results import Results, pooled
from tngd_bench.optimizers import registry
from tngd_bench.studies.file.optimizer_label import read_label
from tngd_bench.studies.file.reading import load_study
from tngd_bench.studies.store.columns import COST_COLUMNS, CURVE_COLUMNS, TRIAL_COLUMNS

CLAIMS = load_claims()
FIRST_VERSION = date(2026, 11, 24)


def records(trials=()):
    frame = pd.DataFrame(list(trials)).reindex(columns=list(TRIAL_COLUMNS))
    empty = (pd.DataFrame(columns=list(columns)) for columns in (COST_COLUMNS, CURVE_COLUMNS))
    return Results.of(frame, *empty)


def judge(by_study, claims=None):
    return verdicts.judge(pooled(by_study), claims)


def trial(key="t#0", group="g", problem="p", seed=0):
    return {"key": key, "group": group, "problem": problem, "seed": seed, "kind": "training", "status": "ok"}


def claim(**given):
    values = {"id": "c", "statement": "s", "where": "Figure 0", "figure": "f", "test": "probe"}
    values |= {"fixed": date(2026, 11, 24)}
    return Claim(**{**values, "groups": ("g",), "parameters": {}, **given})


@pytest.fixture
def probe(monkeypatch):
    """A test whose finding is set, and that remembers which problems it saw."""
    probe = SimpleNamespace(finding=Finding((), "rule"), seen=[])

    def run(pool, parameters):
        probe.seen.append(sorted(set(pool.trials["problem"])))
        return probe.finding

    monkeypatch.setattr(verdicts, "TESTS", {"probe": run})
    return probe


def test_every_claim_is_complete_and_names_a_test_that_there_is():
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS) >= 20
    for claim in CLAIMS:
        assert claim.test in verdicts.TESTS
        assert claim.statement
        assert claim.where
        assert claim.groups
        assert claim.fixed >= FIRST_VERSION


def test_a_claim_whose_rule_is_not_the_first_says_what_changed():
    for claim in CLAIMS:
        assert bool(claim.note) or claim.fixed == FIRST_VERSION, claim.id
        assert claim.fixed == FIRST_VERSION or f"{claim.fixed}" in claim.note, claim.id


def test_a_verdict_carries_when_its_rule_was_fixed(probe):
    (found,) = judge({"paper": records([trial()])}, [claim(note="made stricter")])
    assert (found.claim.fixed, found.claim.note) == (date(2026, 11, 24), "made stricter")


def test_what_the_claims_name_is_what_the_study_runs():
    studies = [load_study(name, (), "full").study for name in ("paper", "paper-fig5")]
    studies += [load_study(name).study for name in ("beyond-kfac", "refinement")]
    studies.append(load_study("quick").study)  # which has everything tuned on the digits
    sections = {section.name: section for study in studies for section in (*study.cost, *study.training)}
    for claim in CLAIMS:
        assert set(claim.groups) <= set(sections)
        run = {label for group in claim.groups for label in sections[group].optimizers}
        named = {
            label
            for key in (
                "first",
                "second",
                "firsts",
                "seconds",
                "rivals",
                "optimizers",
                "series",
                "references",
                "controls",
            )
            for label in (
                [claim.parameters[key]]
                if isinstance(claim.parameters.get(key), str)
                else claim.parameters.get(key, [])
            )
        }
        assert {read_label(label).name for label in named} <= set(registry.names())
        assert {label for label in named if "[tuned]" not in label} <= run, claim.id


@pytest.mark.parametrize(
    ("parts", "verdict", "condition"),
    [
        ([("a", True), ("b", True)], "confirmed", ""),
        ([("a", True), ("b", False)], "conditional", "holds for a; not for b"),
        ([("a", False), ("b", False)], "not confirmed", "the data show the contrary"),
        ([], "not tested", ""),
    ],
)
def test_parts_make_a_verdict(probe, parts, verdict, condition):
    probe.finding = Finding(tuple(ClaimPart(what, holds, "1.0") for what, holds in parts), "rule", {"x": 1.0})
    (found,) = judge({"paper": records([trial()])}, [claim()])
    assert (found.name, found.condition) == (verdict, condition)
    assert (found.claim.id, found.finding.rule, found.finding.numbers) == ("c", "rule", {"x": 1.0})


def test_a_condition_tells_the_contrary_from_the_undecided(probe):
    probe.finding = Finding(
        (ClaimPart("against a", True, ""), ClaimPart("against b", False, "", decided=False)), "rule"
    )
    (found,) = judge({"paper": records([trial()])}, [claim()])
    assert (found.name, found.condition) == ("conditional", "holds against a; not decided against b")
    probe.finding = Finding((ClaimPart("a", False, ""), ClaimPart("b", False, "", decided=False)), "rule")
    (found,) = judge({"paper": records([trial()])}, [claim()])
    assert (found.name, found.condition) == ("not confirmed", "not for a; not decided for b")


def test_a_part_that_the_data_do_not_decide_says_so(probe):
    probe.finding = Finding((ClaimPart("a", False, "1.0", decided=False),), "rule")
    (found,) = judge({"paper": records([trial()])}, [claim()])
    assert (found.name, found.condition) == ("not confirmed", "the data do not decide")
    assert found.evidence == "a: 1.0 (not decided by these data)"


def test_no_study_and_no_section_are_not_tested_with_the_reason(probe):
    for records_by_study in ({}, {"paper": records([trial(group="other")])}):
        (found,) = judge(records_by_study, [claim()])
        assert found.name == "not tested"
        assert found.evidence
    assert probe.seen == []


def test_two_problems_have_their_verdicts_side_by_side_or_one_together(probe):
    both = {
        "paper": records([trial(problem="mnist-cnn")]),
        "paper-fashion": records([trial(problem="fashion-cnn")]),
    }
    found = judge(both, [claim()])
    assert [verdict.problem for verdict in found] == ["mnist-cnn", "fashion-cnn"]
    assert probe.seen == [["mnist-cnn"], ["fashion-cnn"]]
    (together,) = judge(both, [claim(together=True)])
    assert together.problem == ""
    assert probe.seen[-1] == ["fashion-cnn", "mnist-cnn"]


def test_seeds_and_keys_of_two_studies_are_never_taken_for_one_another(probe):
    pool = pooled({"a": records([trial(seed=0)]), "b": records([trial(seed=0)])})
    assert pool.trials["seed"].tolist() == ["a/0", "b/0"]
    assert pool.trials["key"].nunique() == 2
    probe.finding = Finding((ClaimPart("x", True, ""),), "rule", keys=pool.keys_of())
    (found,) = judge({"a": records([trial()]), "b": records([trial()])}, [claim()])
    assert found.keys == (("a", "t#0"), ("b", "t#0"))


def test_an_empty_pool_has_a_verdict_for_every_claim():
    assert {verdict.name for verdict in judge({})} == {"not tested"}
    assert [verdict.claim.id for verdict in judge({})] == [claim.id for claim in CLAIMS]
