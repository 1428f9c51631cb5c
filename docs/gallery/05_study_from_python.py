"""
A study from Python
===================

A study has sections that time iterations (`cost`) and sections that train (`training`). The keys are those of
a study file. Each trial runs in a process of its own; they do not run this script again.
"""

import tempfile
from pathlib import Path

from tngd_bench.analysis import Results
from tngd_bench.studies import Study

OPTIMIZERS = ["sgd", "ngd-gram", "tngd"]
study = Study(
    name="first",
    title="A first study",
    execution={"workers": 2},
    cost=[
        {
            "name": "size",
            "problem": "digits-mlp",
            "parameters": [500, 2_000],
            "batch_size": 32,
            "optimizers": OPTIMIZERS,
            "processes": 2,
            "repetitions": 5,
            "seconds_limit": 0.2,
        }
    ],
    training=[
        {
            "name": "digits",
            "problem": "digits-mlp",
            "parameters": 1_000,
            "train_size": 320,
            "epochs": 2,
            "seeds": 2,
            "optimizers": OPTIMIZERS,
        }
    ],
)
folder = Path(tempfile.mkdtemp())
study.run(folder)

# %%
# What was measured, as data frames. `figures(folder)` of `tngd_bench.report` draws them, and `build_report` writes
# the page. Nothing is tuned here and the trainings are short, so that the accuracies rank nobody.

results = Results(folder)
print(results.cost_summary[["optimizer", "parameters", "total_median_s"]])
print(results.final.groupby("optimizer")["final_test_accuracy"].median())
