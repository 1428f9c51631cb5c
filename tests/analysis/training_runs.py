"""Training records whose losses are formulas, so that the truth of a claim about them is known."""

import numpy as np
import pandas as pd

from tngd_bench.analysis.results import Results

ITERATIONS = np.arange(0, 401)


def runs(optimizers, seeds=5, *, noise=0.02, seconds=1e-3):
    """Training records: `optimizers` maps a label to loss(iteration, seed), or to (loss, seconds, accuracy)."""
    trials, curves = [], []
    for optimizer, given in optimizers.items():
        loss, pace, accuracy = given if isinstance(given, tuple) else (given, seconds, lambda seed: 0.9)
        for seed in range(seeds):
            key = f"{optimizer}#{seed}"
            generator = np.random.default_rng(seed)  # the same batches for every optimizer of a seed
            values = loss(ITERATIONS, seed) * np.exp(noise * generator.standard_normal(len(ITERATIONS)))
            common = {"key": key, "group": "training", "problem": "p", "parameters": 10, "batch_size": 4}
            common |= {"optimizer": optimizer, "method": optimizer, "seed": seed, "sweep_parameter": None}
            trials.append({**common, "kind": "training", "status": "ok", "sweep_value": np.nan})
            frame = pd.DataFrame({**common, "iteration": ITERATIONS, "loss": values})
            frame.loc[0, "loss"] = np.nan
            frame["train_loss"] = frame["loss"]
            frame["train_accuracy"] = np.nan
            frame["test_loss"] = np.nan
            frame["test_accuracy"] = accuracy(seed)
            frame["modelled_s"] = pace * frame["iteration"]
            curves.append(frame.assign(measured_s=frame["modelled_s"]))
    return Results.of(pd.DataFrame(trials), pd.DataFrame(), pd.concat(curves, ignore_index=True))


def decay(rate, start=2.0):
    """A loss that falls exponentially, a little differently for each seed."""
    return lambda iteration, seed: start * np.exp(-rate * iteration / 400) * (1 + 0.1 * seed)


def outcome(finding):
    return [(part.holds, part.decided) for part in finding.parts]
