"""Checks of real trees: copies of this package, with and without a known difference."""

import functools
import tempfile
from pathlib import Path

import pytest

from benchmarks.check_power import copied, injected, one_check
from tngd_bench.check import trees
from tngd_bench.check.baseline import Baseline
from tngd_bench.check.gate import (
    MetricFilter,
    NothingSelectedError,
    check_revision,
    check_stores,
    check_tree,
    measure_exact,
)
from tngd_bench.check.metrics import make_metric
from tngd_bench.check.trees import present_tree

GRAM = MetricFilter(("*/ngd-gram", "operations/sgd", "modelled latency/*"), times=False)
HERE = {"torch": "2.13.0", "cpu": "a", "cores": 2, "threads": 1}


def silent(text):
    pass


@pytest.fixture(scope="module")
def baseline():
    found, failures = measure_exact(present_tree(), GRAM)
    assert failures == {}
    return found


def test_a_tree_is_no_worse_than_itself(baseline):
    judged = check_tree(present_tree(), baseline, GRAM, silent)
    assert len(judged) == len(baseline.metrics) == 10
    assert {one.verdict for one in judged} == {"ok"}
    assert {one.change for one in judged} == {0.0}


BROKEN = """

_create_whole = OptimizerEntry.create


def _create_broken(self, *arguments, **settings):
    if self.name == "sgd":
        raise RuntimeError("out of order")
    return _create_whole(self, *arguments, **settings)


OptimizerEntry.create = _create_broken
"""


def test_a_product_more_is_found_by_counting_alone_and_beside_an_optimizer_that_raises(baseline, tmp_path):
    head = copied(tmp_path, injected("product", "ngd-gram") + BROKEN)
    judged = {one.name: one for one in check_tree(head, baseline, GRAM, silent)}
    assert {name for name, one in judged.items() if one.verdict == "regression"} == {"operations/ngd-gram"}
    assert judged["operations/ngd-gram"].change > 0
    assert {name for name, one in judged.items() if one.verdict == "failed"} == {"operations/sgd"}
    assert "out of order" in judged["operations/sgd"].reason
    assert {one.verdict for name, one in judged.items() if name.startswith("modelled latency/")} == {"ok"}


def test_a_base_with_a_kind_of_its_own_is_judged_in_what_both_know(tmp_path):
    base = copied(tmp_path)
    probe = base / "tngd_bench" / "check" / "probe.py"
    probe.write_text(probe.read_text().replace('"forward passes"', '"model calls"'))
    judged = check_revision(base, present_tree(), MetricFilter(("*/ngd-gram",), times=False), silent)
    assert {one.name.partition("/")[0] for one in judged} == {
        "operations",
        "forward passes",
        "allocated memory",
        "loss",
        "steps to half the loss",
    }
    assert {one.verdict for one in judged} == {"ok"}


def test_a_selection_that_names_nothing_is_refused():
    with pytest.raises(NothingSelectedError, match=r"nothing selected.*'speed/\*'.*operations/sgd"):
        MetricFilter(("speed/*",)).of(["operations/sgd"])
    with pytest.raises(NothingSelectedError):
        MetricFilter(times=False).of(["step time/sgd"])


def stored(*ratios, environment=HERE, operations=5.0):
    metrics = [make_metric("step time/x", ratios), make_metric("operations/x", [operations])]
    return Baseline({metric.name: metric for metric in metrics}, environment)


BASE = [1.0 + 0.01 * k for k in range(9)]
SLOW = [1.3 * ratio for ratio in BASE]


@pytest.mark.parametrize(
    ("heads", "verdict"),
    [([BASE], "ok"), ([SLOW], "inconclusive"), ([SLOW, SLOW], "regression"), ([SLOW, BASE, BASE], "ok")],
)
def test_a_slowdown_between_stores_needs_a_second_store(heads, verdict):
    judged = check_stores(stored(*BASE), [stored(*head) for head in heads], MetricFilter())
    assert {one.name: one.verdict for one in judged} == {"step time/x": verdict, "operations/x": "ok"}


def test_what_a_store_has_no_more_is_failed():
    head = stored(*BASE)
    gone = Baseline({"step time/x": head.metrics["step time/x"]}, HERE)
    judged = {one.name: one.verdict for one in check_stores(stored(*BASE), [gone], MetricFilter())}
    assert judged == {"step time/x": "ok", "operations/x": "failed"}
    new = {one.name: one.verdict for one in check_stores(gone, [stored(*BASE)], MetricFilter())}
    assert new == {"step time/x": "ok", "operations/x": "nothing compared"}


def test_times_of_another_machine_are_not_compared_and_counts_are():
    judged = check_stores(
        stored(*BASE), [stored(*SLOW, environment={**HERE, "cpu": "b"}, operations=6.0)], MetricFilter()
    )
    by_name = {one.name: one for one in judged}
    assert by_name["operations/x"].verdict == "regression"
    assert by_name["step time/x"].verdict == "nothing compared"
    assert "other machine" in by_name["step time/x"].reason


def test_revisions_are_timed_in_turn(tmp_path, monkeypatch):
    # On a busy machine the first run often shows a difference, and the second takes minutes with all its processes.
    monkeypatch.setattr(trees, "time_in_turn", functools.partial(trees.time_in_turn, processes=2))
    head = copied(tmp_path)
    judged = check_revision(present_tree(), head, MetricFilter(("step time/sgd",)), silent, samples=7)
    (time,) = judged
    assert time.kind == "time"
    assert time.verdict in ("ok", "inconclusive")  # equal trees; how noisy this machine is nobody knows
    assert 0.5 < time.head < 2.0  # a step of SGD over a step of SGD


@pytest.mark.slow(reason="checks of changed copies of the package: minutes")
@pytest.mark.timeout(1200)
def test_the_gate_is_right_about_known_differences():
    # the whole of it, 400 checks, is `python -m benchmarks.check_power`
    with tempfile.TemporaryDirectory() as folder:
        base = copied(Path(folder) / "base")
        results = [
            one_check(kind, number, base, Path(folder) / f"{kind}{number}")
            for kind, count in (("equal", 3), ("slowed", 3), ("product", 6))
            for number in range(count)
        ]
    for result in results:
        if result["kind"] == "equal":
            assert result["flagged"] == []
        else:
            assert result["found"], result
