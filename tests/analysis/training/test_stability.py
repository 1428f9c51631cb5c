"""The stability margin is read back from what the device says when it is refused."""

import json

import pandas as pd
import pytest

from tngd_bench.analysis.training import stability
from tngd_bench.optimizers.tngd.step_errors import UnstableStepError


def trial(key, margin=None, *, error=0.01, level=1.0, **values):
    reason = None if margin is None else str(UnstableStepError(margin, 3))
    status = "ok" if margin is None else "diverged"
    settings = json.dumps({"programming_error": error})
    row = {"key": key, "kind": "training", "group": "g", "optimizer": "tngd", "device": "paper"}
    row |= {"settings": settings, "status": status, "reason": reason, "sweep_parameter": "programming_error"}
    return row | {"sweep_value": level, "sweep_label": f"{level:g}"} | values


@pytest.mark.parametrize("margin", [-0.00305, -1.2e-05, -12.0, -123456.0])
def test_the_margin_is_the_one_of_the_error(margin):
    found = stability.margins(pd.Series([str(UnstableStepError(margin, 0)), None, "loss not finite"]))
    assert found[0] == pytest.approx(margin, rel=1e-2)
    assert found[1:].isna().all()


def test_a_setting_has_the_least_margin_of_its_trainings():
    rows = [trial("a"), trial("b", -0.5), trial("c", -0.25), trial("d", level=0.1)]
    rows += [trial("ideal", error=None), trial("skipped", status="skipped"), trial("x", device=None)]
    table = stability.stability_table(pd.DataFrame(rows)).set_index("sweep_value")
    assert table.loc[1.0, ["trials", "unstable", "margin"]].tolist() == [3, 2, -0.5]
    assert table.loc[0.1, ["trials", "unstable"]].tolist() == [1, 0]
    assert pd.isna(table.loc[0.1, "margin"])
    assert table.loc[1.0, "keys"] == ("a", "b", "c")
    assert len(table) == 2


def test_a_finished_training_has_the_margin_of_its_record():
    rows = [trial("a", stability_margin=0.25), trial("b", stability_margin=0.5), trial("old", level=0.1)]
    rows += [trial("c", -0.5, level=3.0, stability_margin=0.1), trial("d", level=3.0, stability_margin=0.2)]
    table = stability.stability_table(pd.DataFrame(rows)).set_index("sweep_value")
    assert table.loc[1.0, ["unstable", "margin"]].tolist() == [0, 0.25]
    assert table.loc[3.0, ["unstable", "margin"]].tolist() == [1, -0.5]
    assert pd.isna(table.loc[0.1, "margin"])


def test_a_study_without_programmed_arrays_has_no_rows():
    rows = pd.DataFrame([trial("a", error=None)])
    assert stability.stability_table(rows).empty
    assert stability.stability_table(rows.iloc[:0]).empty
