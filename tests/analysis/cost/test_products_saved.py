"""Products that a device saves conjugate gradients, from records made by hand."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tngd_bench.analysis.claims import device_tests
from tngd_bench.analysis.cost.products_saved import products_saved
from tngd_bench.analysis.results import Results
from tngd_bench.optimizers import registry
from tngd_bench.report.cost.preconditioning import preconditioning_sections, savings
from tngd_bench.report.document import charting
from tngd_bench.spu import Device
from tngd_bench.spu.billing import Workload, energy
from tngd_bench.studies.file.optimizer_label import read_label

SETTING = {"group": "products", "problem": "digits-mlp", "parameters": 1_000, "batch_size": 16, "outputs": 10}
SETTING |= {"rows": 160}
PLAIN, WITH = "ngd-cg[cg_rtol=0.01]", "ngd-cg-device[cg_rtol=0.01, programming_error={}]"
COUNTS = {PLAIN: (20, 22, 24), WITH.format(0.001): (8, 10, 9), WITH.format(0.1): (40, 44, 200)}


def results(counts: dict[str, tuple[int, ...]], device_s: float = 2e-3) -> Results:
    trials, costs = [], []
    for place, (label, products) in enumerate(counts.items()):
        method, settings = read_label(label).name, read_label(label).settings
        complete = {**registry.get(method).defaults, **settings}
        on_device = method == "ngd-cg-device"
        for process, count in enumerate(products):
            key = f"{place}-{process}#0"
            who = SETTING | {"key": key, "optimizer": label, "method": method, "process": process}
            device = "paper" if on_device else None
            about: dict[str, Any] = {"kind": "cost", "status": "ok", "flops": 1.0, "peak_bytes": 1.0}
            about |= {"solver_iterations": count, "settings": json.dumps(complete), "device": device}
            trials.append(who | about | {"stated_s": np.nan, "not_stated": None})
            seconds = 4e-3 if on_device else 1e-3
            spent = {"step_s": seconds, "digital_s": seconds, "write_s": device_s * on_device}
            spent |= {"relax_s": 0.0, "read_s": 0.0, "total_s": seconds + device_s * on_device}
            costs += [who | spent | {"repetition": repetition} for repetition in range(2)]
    frame = pd.DataFrame(trials)
    frame["solver_iterations"] = frame["solver_iterations"].astype("Int64")
    return Results.of(frame, pd.DataFrame(costs), pd.DataFrame())


def test_products_seconds_and_joules_by_hand() -> None:
    found = products_saved(results(COUNTS)).set_index("optimizer")
    better, worse = found.loc[WITH.format(0.001)], found.loc[WITH.format(0.1)]
    assert (better["plain_products"], better["products"], better["saved"]) == (22, 9, 13)
    assert (worse["products"], worse["saved"], worse["reached"]) == (44, -22, True)
    assert better["host_saved_s"] == pytest.approx(-3e-3)
    assert better["device_s"] == pytest.approx(2e-3)
    assert not better["bound"]
    work = Workload.of(1_000, 160, 50.0, start="zero", refinements=8)
    stated = energy(Device.preset("paper"), work).at_least
    assert (
        better["device_j"] == pytest.approx(stated, nan_ok=True) if stated else np.isnan(better["device_j"])
    )
    assert len(better["keys"]) == 6


def test_only_plain_solves_that_stop_alike_and_reach_the_tolerance_are_a_measure() -> None:
    other = {"ngd-cg[cg_rtol=0.001]": (20,), WITH.format(0.001): (8,)}
    assert products_saved(results(other)).empty
    unreached = {PLAIN: (200,), WITH.format(0.001): (8,)}
    assert products_saved(results(unreached)).empty
    stopped = products_saved(results({PLAIN: (20,), WITH.format(0.1): (200,)}))
    assert stopped["reached"].tolist() == [False]


def test_the_section_says_up_to_which_error_products_are_saved() -> None:
    with charting.style():
        (section,) = preconditioning_sections(results(COUNTS))
    assert section.points == (
        "At N = 1,000 the device saves products up to a programming error of 0.001; from 0.1 on it does not.",
    )
    assert [chart.missing for chart in section.charts] == [None]
    (table,) = section.tables
    cells = dict(zip(table.data["optimizer"], table.rows, strict=True))
    assert cells[WITH.format(0.001)][4].startswith("13 (59.1 %)")
    with charting.style():
        assert preconditioning_sections(results({PLAIN: (20, 20)})) == ()


@pytest.mark.parametrize(
    ("counts", "holds"), [((8, 10, 9), True), ((12, 12, 12), False), ((200, 200, 200), False)]
)
def test_the_claim_on_a_share_of_the_products(counts: tuple[int, ...], holds: bool) -> None:
    pool = results({PLAIN: (20, 22, 24), WITH.format(0.001): counts})
    finding = device_tests.saves_products(pool, {"first": WITH.format(0.001), "share": 0.5})
    (part,) = finding.parts
    assert (part.holds, part.decided) == (holds, True)
    assert device_tests.saves_products(pool, {"first": "sgd", "share": 0.5}).parts == ()


ERRORS = (0.001, 0.01, 0.1)


@pytest.mark.parametrize("helps", list(itertools.product((True, False), repeat=3)))
def test_the_words_say_at_which_errors_products_are_saved_and_at_no_other(helps: tuple[bool, ...]) -> None:
    products = {WITH.format(error): (9 if saves else 44,) for error, saves in zip(ERRORS, helps, strict=True)}
    (text,) = savings(products_saved(results({PLAIN: (22,), **products})))
    said = text.removeprefix("At N = 1,000 the device saves products ").removesuffix(".")
    expected = {
        (True, True, True): "at every programming error tried, up to 0.1",
        (True, True, False): "up to a programming error of 0.01; from 0.1 on it does not",
        (True, False, True): "up to a programming error of 0.001, not at 0.01, and again at 0.1",
        (True, False, False): "up to a programming error of 0.001; from 0.01 on it does not",
        (False, True, True): "at a programming error of 0.01 and 0.1, and at no other tried",
        (False, True, False): "at a programming error of 0.01, and at no other tried",
        (False, False, True): "at a programming error of 0.1, and at no other tried",
        (False, False, False): "at no programming error tried; from 0.001 on it does not",
    }
    assert said == expected[helps]


def test_other_settings_at_one_size_are_told_apart() -> None:
    more = WITH.replace("]", ", adc_bits=8]")
    counts = {PLAIN: (22,), WITH.format(0.001): (9,), WITH.format(0.1): (44,), more.format(0.001): (44,)}
    first, second = savings(products_saved(results(counts)))
    assert first != second
    assert "ADC" in first + second
    assert "the device" not in first + second
