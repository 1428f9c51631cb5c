"""Rows of a small study, from which a test works out what must be said of it."""

import json
import math

import numpy as np
import pandas as pd

from tngd_bench.analysis.findings.answer import answer
from tngd_bench.analysis.findings.find import find
from tngd_bench.analysis.results import Results
from tngd_bench.studies.store.columns import COST_COLUMNS, CURVE_COLUMNS, TRIAL_COLUMNS
from tngd_bench.studies.store.records import Records


class Study:
    """Collects the rows of a small study."""

    def __init__(self):
        self.trials, self.costs, self.curves = [], [], []

    def _trial(self, optimizer, kind, status, **values):
        row = {
            "key": f"t#{len(self.trials)}",
            "kind": kind,
            "group": kind,
            "problem": "digits-mlp",
            "status": status,
        }
        row |= {"parameters_requested": 100, "parameters": 100, "batch_size": 4, "settings": json.dumps({})}
        row["outputs"] = 2
        row |= {
            "optimizer": optimizer,
            "method": optimizer,
            "device": "paper" if "tngd" in optimizer else None,
        }
        row |= {"sweep_parameter": None, "sweep_value": math.nan, "seed": 0, "flops": 1.0, "peak_bytes": 1.0}
        self.trials.append(row | values)
        return self.trials[-1]

    def cost(self, optimizer, parameters, seconds, link=0.0, status="ok", spread=0.01, **given):
        processes, repetitions = given.pop("processes", 3), given.pop("repetitions", 5)
        row = self._trial(optimizer, "cost", status, parameters=parameters, **given)
        for process in range(processes):
            for repetition in range(repetitions):
                # Independent of the other optimizers, so that a small difference is undecided.
                generator = np.random.default_rng([parameters, process, repetition, *optimizer.encode()])
                digital = seconds * np.exp(spread * generator.standard_normal())
                setting = {
                    name: row[name] for name in ("key", "group", "problem", "parameters", "batch_size")
                }
                setting |= {"outputs": 2, "rows": 8, "optimizer": optimizer, "method": optimizer}
                setting |= {
                    "process": process,
                    "repetition": repetition,
                    "step_s": digital,
                    "digital_s": digital,
                }
                setting |= {
                    "write_s": link / 2,
                    "relax_s": 0.0,
                    "read_s": link / 2,
                    "total_s": digital + link,
                }
                self.costs.append(setting)

    def train(self, optimizer, losses, sweep=None, level=math.nan, accuracy=0.93, iterations=50, **setting):
        for seed, loss in enumerate(losses):
            status = "ok" if loss is not None else "diverged"
            row = self._trial(
                optimizer, "training", status, seed=seed, sweep_parameter=sweep, sweep_value=level, **setting
            )
            reached = accuracy if np.isscalar(accuracy) else accuracy[seed]
            start = math.nan if math.isnan(reached) else 0.1
            for iteration, value in ((0, 2.0), (iterations, loss)):
                point = {"key": row["key"], "iteration": iteration, "loss": math.nan, "train_loss": value}
                point |= {
                    "train_accuracy": math.nan,
                    "test_loss": math.nan,
                    "test_accuracy": reached if iteration else start,
                }
                self.curves.append(point | {"measured_s": iteration * 1e-3, "modelled_s": iteration * 2e-3})

    def find(self, **record):
        return find(results_of(self, record))


def results_of(study, record=None, **environment):
    costs = pd.DataFrame(study.costs) if study.costs else pd.DataFrame(columns=list(COST_COLUMNS))
    curves = pd.DataFrame(study.curves) if study.curves else pd.DataFrame(columns=list(CURVE_COLUMNS))
    trials = pd.DataFrame(study.trials, columns=list(TRIAL_COLUMNS))
    return Results(Records(record or {}, environment, trials, costs, curves))


def answered(study, **environment):
    return answer(results_of(study, **environment))


def told(found, term):
    return next((each for each in found.paragraphs if each.term == term), None)
