"""Runs of one study with no change between them: what they differ by, and whether confirmed regions repeat.

    python -m benchmarks.null_runs                      three runs of one cost study (some minutes, quiet machine)
    python -m benchmarks.null_runs --keep FOLDER        the same; the stores are kept, and a later run continues them
    python -m benchmarks.null_runs RUN RUN RUN          runs of one study that are there already
    python -m benchmarks.null_runs … --into STORE       and σ_run goes into that store's environment, for its pages

Agreement: what one run calls confirmed, held against each other run. Leads at the sizes that both measured; and cells
of the map, made from every second size of the one, at the sizes in between, that the other measured.
"""

import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.runs import command_line, keep_option, recorded, store_folder
from tngd_bench.analysis.cost.iteration_cost import finished_costs, summarise
from tngd_bench.analysis.cost.leads import leads
from tngd_bench.analysis.cost.rates import calibrate
from tngd_bench.analysis.families import optimizer_infos
from tngd_bench.analysis.map.cost_map import CONFIRMED, cheapest
from tngd_bench.analysis.map.plane import plane
from tngd_bench.analysis.statistics.run_spread import ASSUMED, FIELD, RunSpread, between, left_by, spread
from tngd_bench.measure.environment import MACHINE_FIELDS
from tngd_bench.studies.file.reading import LoadedStudy, make_study
from tngd_bench.studies.store.records import Records, read_records
from tngd_bench.studies.store.store import Store

RUNS, PROCESSES = 3, 3
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
BATCHES = (8, 32, 128)
OPTIMIZERS = ("sgd", "ngd-gram", "ngd-cg", "kfac", "tngd[device=unlimited-link]")
HELD_AGAINST = slice(1, None, 2)
"""The sizes at which cells of a map are held against another run; the map is made from the others."""


def study_table(**changes: Any) -> dict[str, Any]:
    """Return a study of cost alone, of which runs are to be compared; `changes` are keys of its section."""
    section = {
        "name": "null",
        "problem": "digits-mlp",
        "parameters": list(SIZES),
        "batch_size": list(BATCHES),
        "optimizers": list(OPTIMIZERS),
        "processes": PROCESSES,
        "repetitions": 5,
        "seconds_limit": 0.5,
        **changes,
    }
    return {"name": "null-runs", "title": "Runs of one study, nothing changed", "cost": [section]}


def run_again(table: dict[str, Any], runs: int, folder: Path) -> list[Records]:
    """Return the records of so many runs of one study, below `folder`; what is there already is kept."""
    study = LoadedStudy(make_study(table), "benchmarks/null_runs.py")
    return [recorded(study, folder / f"run-{place + 1}") for place in range(runs)]


@dataclass(frozen=True)
class Agreement:
    """Of `made` statements that a run calls confirmed, `kept` were so in another run."""

    what: str
    kept: int
    made: int

    @property
    def share(self) -> float:
        """The share that was kept; NaN where none was made."""
        return self.kept / self.made if self.made else float("nan")

    @property
    def words(self) -> str:
        """Return the counts with an exact interval of the share, as if statements were independent."""
        if not self.made:
            return f"{self.what}: none confirmed"
        low, high = stats.binomtest(self.kept, self.made).proportion_ci()
        return f"{self.what}: {self.kept} of {self.made} kept, {self.share:.1%} [{low:.1%}, {high:.1%}]"

    @property
    def as_said(self) -> bool:
        """Whether so few could be chance if 95 % of such statements are right, at a risk of one in a thousand."""
        return stats.binom.cdf(self.kept, self.made, CONFIRMED) > 1e-3


def agreement(runs: Sequence[Records], run_spread: RunSpread) -> tuple[Agreement, Agreement]:
    """Return how often each other run has what a run calls confirmed: leads at its sizes, and cells between them."""
    pairs = list(itertools.permutations(runs, 2))
    leads, cells = (
        np.sum([kept(first, second, run_spread) for first, second in pairs], axis=0).tolist()
        for kept in (_leads_kept, _cells_kept)
    )
    return Agreement("leads", *leads), Agreement("cells between measured sizes", *cells)


def _cheapest(summary: pd.DataFrame, labels: Sequence[str]) -> dict[tuple[int, int], str]:
    """Return which of `labels` has the lowest median total, by (N, b)."""
    own = summary[summary["optimizer"].isin(labels)].sort_values("total_median_s", kind="stable")
    best = own.drop_duplicates(["parameters", "batch_size"])
    sizes = zip(best["parameters"], best["batch_size"], strict=True)
    return dict(zip(sizes, best["optimizer"], strict=True))


def _leads_kept(first: Records, second: Records, run_spread: RunSpread) -> tuple[int, int]:
    known = optimizer_infos(first.trials)
    ranked = [label for label in known if known[label].second_order]
    there = _cheapest(summarise(second.costs, second.trials), ranked)
    kept = made = 0
    for batch, part in finished_costs(first.costs, first.trials).groupby("batch_size"):
        for lead in leads(part, known, run_spread):
            if not lead.doubt:
                made += 1
                kept += there[lead.parameters, int(str(batch))] == lead.optimizer
    return kept, made


def _cells_kept(first: Records, second: Records, run_spread: RunSpread) -> tuple[int, int]:
    known, summary = optimizer_infos(first.trials), summarise(first.costs, first.trials)
    sizes = sorted({int(size) for size in summary["parameters"]})
    between_them = sizes[HELD_AGAINST]
    timed = summary[~summary["parameters"].isin(between_them)]
    calibrations = calibrate(timed, first.trials, known, run_spread=run_spread)
    if calibrations is None:
        return 0, 0
    batches = sorted({int(batch) for batch in summary["batch_size"]})
    area = plane(calibrations, "batch_size", int(summary["outputs"].iloc[0]), between_them, batches)
    drawn = cheapest(area, calibrations.use)
    there = _cheapest(summarise(second.costs, second.trials), drawn.labels)
    kept = made = 0
    for row, batch in enumerate(batches):
        for column, size in enumerate(between_them):
            if drawn.confirmed[row, column]:
                made += 1
                kept += there[size, batch] == drawn.labels[drawn.winner[row, column]]
    return kept, made


def write_into(place: Path, runs: Sequence[Records]) -> None:
    """Write σ_run of `runs` into the environment of the store at `place`; ValueError where its machine is another."""
    store = Store.find(place)
    held = store.environment()
    if held is None:
        raise ValueError(f"{place} has no environment.json")
    for name in MACHINE_FIELDS:
        here, there = runs[0].environment.get(name), held.get(name)
        if here != there:
            raise ValueError(f"{place} was measured with {name} = {there!r}, the null runs with {here!r}")
    store.write_environment(held | {FIELD: left_by(runs, datetime.now(UTC).date().isoformat())})


def report(runs: Sequence[Records]) -> bool:
    """Print ratios, σ_run and agreement of `runs`; return whether what is confirmed is kept as often as said."""
    found = between(runs)
    shown = ["parameters", "batch_size", "optimizer", "low", "high"]
    print(found[shown].to_string(index=False, float_format="{:.4f}".format))
    excess = (found["among"] - found["within"]).clip(lower=0.0) ** 0.5
    low, middle, high = (100 * excess.quantile(share) for share in (0.5, 0.75, 0.9))
    shares = f"{low:.1f} / {middle:.1f} / {high:.1f} % (50 / 75 / 90 % of {len(found)})"
    print(f"shift of a ratio between runs: {shares}")
    try:
        run_spread = RunSpread(spread(found), f"{len(runs)} runs on {runs[0].environment.get('cpu')}")
    except ValueError as error:
        run_spread = ASSUMED
        print(f"σ_run cannot be estimated: {error}")
    print(f"σ_run: {run_spread.words}")
    held = agreement(runs, run_spread)
    for one in held:
        print(one.words)
    return all(one.as_said for one in held)


def main() -> int:
    """Run or read the runs, and print what they differ by. Exit code 1: less is kept than said; 2: no result."""
    parser = command_line(__doc__)
    parser.add_argument(
        "stores", nargs="*", type=Path, metavar="RUN", help="runs of one study (made if none)"
    )
    parser.add_argument("--runs", type=int, default=RUNS, help=f"how many are made ({RUNS})")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    keep_option(parser)
    parser.add_argument("--into", type=Path, action="append", default=[], metavar="STORE")
    given = parser.parse_args()
    with store_folder(given.keep) as folder:
        runs = [read_records(place) for place in given.stores]
        runs = runs or run_again(study_table(processes=given.processes), given.runs, folder)
    try:
        as_said = report(runs)
        for place in given.into:
            write_into(place, runs)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0 if as_said else 1


if __name__ == "__main__":
    sys.exit(main())
