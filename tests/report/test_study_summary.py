from types import SimpleNamespace

import pandas as pd

from tngd_bench.analysis.families import optimizer_info
from tngd_bench.report import study_summary
from tngd_bench.studies.store.columns import TRIAL_COLUMNS

NOTHING = pd.DataFrame({name: pd.Series([], dtype=dtype) for name, dtype in TRIAL_COLUMNS.items()})


def compared(trials, infos):
    return study_summary.compared(SimpleNamespace(trials=trials, infos=infos))


def test_settings_of_one_optimizer_are_no_further_optimizers():
    labels = ("adam", "adam[tuned]", "tngd", "tngd[delay=1]", "tngd[analog_time=5]")
    known = {label: optimizer_info(label, label.partition("[")[0]) for label in labels}
    assert compared(NOTHING, known) == "2 optimizers in 5 settings."
    assert compared(NOTHING, {"adam": known["adam"], "tngd": known["tngd"]}) == "2 optimizers."
    assert compared(NOTHING, {"adam": known["adam"]}) == "1 optimizer."


def test_each_problem_trained_on_is_named_with_its_settings_and_seeds():
    def runs(problem, group, seeds, label="adam"):
        row = {"kind": "training", "problem": problem, "group": group, "optimizer": label, "parameters": 100}
        return [
            row | {"key": f"{group}{label}{seed}", "seed": seed, "method": "adam"} for seed in range(seeds)
        ]

    rows = [
        *runs("digits-mlp", "a", 8, "adam[tuned]"),
        *runs("digits-mlp", "b", 3),
        *runs("mnist-cnn", "c", 1, "adam[tuned]"),
    ]
    trials = pd.DataFrame(rows).reindex(columns=NOTHING.columns)
    known = {label: optimizer_info(label, "adam") for label in ("adam", "adam[tuned]")}
    assert compared(trials, known) == (
        "1 optimizer in 2 settings; training on digits-mlp (N = 100, 1 of 2 settings tuned, 3 to 8 seeds) and "
        "mnist-cnn (N = 100, all tuned, 1 seed)."
    )
