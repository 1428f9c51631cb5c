"""The same optimizer twice in one cost study: how often does the study see a difference that is not there?

    python -m benchmarks.null_test                    sgd, ngd-gram, kfac at 12 sizes (six minutes, quiet machine)
    python -m benchmarks.null_test --sizes 4 --processes 5 --keep FOLDER

Each optimizer runs under its own name and under one that spells out a default of its settings. For every size the
interval of their paired ratio, as reports give it, should hold 1; the bar is 95 % of sizes.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from scipy import stats

from benchmarks.runs import command_line, keep_option, recorded, store_folder
from tngd_bench.analysis.cost.iteration_cost import finished_costs, paired_ratio
from tngd_bench.optimizers import registry as optimizers
from tngd_bench.studies.file.reading import LoadedStudy, make_study

OPTIMIZERS = ("sgd", "ngd-gram", "kfac")
SMALLEST, LARGEST = 1_000, 300_000
BAR = 0.95


def twin(optimizer: str) -> str:
    """Return another label of an optimizer that is the same in all its settings."""
    return f"{optimizer}[lr={optimizers.get(optimizer).defaults['lr']!r}]"


def study_table(
    sizes: int, processes: int, repetitions: int, labels: Sequence[str] = OPTIMIZERS
) -> dict[str, Any]:
    """Return a study of cost alone, with every optimizer twice at sizes evenly spaced on a log scale."""
    step = (LARGEST / SMALLEST) ** (1 / max(sizes - 1, 1))
    section = {
        "name": "null-test",
        "problem": "digits-mlp",
        "parameters": [round(SMALLEST * step**k) for k in range(sizes)],
        "optimizers": [name for label in labels for name in (label, twin(label))],
        "processes": processes,
        "repetitions": repetitions,
    }
    return {"name": "null-test", "title": "The same optimizers twice", "cost": [section]}


def differences(costs: pd.DataFrame, labels: Sequence[str] = OPTIMIZERS) -> pd.DataFrame:
    """Return a row per optimizer and size: the ratio of its two labels, its interval, and whether that holds 1."""
    rows = []
    for parameters, part in costs.groupby("parameters"):
        for label in labels:
            ratio = paired_ratio(part, twin(label), label)
            if ratio is not None:
                holds = ratio.low <= 1.0 <= ratio.high
                rows.append((label, parameters, ratio.value, ratio.low, ratio.high, holds))
    return pd.DataFrame(rows, columns=["optimizer", "parameters", "ratio", "low", "high", "holds"])


def main() -> None:
    """Run the study and print the share of sizes without a difference, with its exact interval."""
    parser = command_line(__doc__)
    parser.add_argument("--sizes", type=int, default=12)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--repetitions", type=int, default=20)
    keep_option(parser)
    given = parser.parse_args()
    study = make_study(study_table(given.sizes, given.processes, given.repetitions))
    with store_folder(given.keep) as folder:
        records = recorded(LoadedStudy(study, "benchmarks/null_test.py"), folder)
    found = differences(finished_costs(records.costs, records.trials))
    print(found.to_string(index=False, float_format="{:.4f}".format))
    held, total = int(found["holds"].sum()), len(found)
    low, high = stats.binomtest(held, total).proportion_ci()
    verdict = "met" if held >= BAR * total else "missed"
    share = f"{held / total:.1%} [{low:.1%}, {high:.1%}]"
    print(f"no difference at {held} of {total} sizes: {share}; bar {BAR:.0%}: {verdict}")


if __name__ == "__main__":
    main()
