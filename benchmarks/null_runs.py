"""What one run of a study calls confirmed, held against another run with nothing changed between them.

    tngd-bench null-runs --output FOLDER                three runs of one cost study (some minutes, quiet machine)
    python -m benchmarks.null_runs FOLDER/run-*         what they differ by, and whether confirmed regions repeat

Agreement: what one run calls confirmed, held against each other run. Leads at the sizes that both measured; and cells
of the map, made from every second size of the one, at the sizes in between, that the other measured.
"""

import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.runs import command_line
from tngd_bench.analysis.cost.iteration_cost import finished_costs, summarise
from tngd_bench.analysis.cost.leads import leads, together
from tngd_bench.analysis.cost.rates import calibrate
from tngd_bench.analysis.families import optimizer_infos
from tngd_bench.analysis.map.cost_map import CONFIRMED, cheapest
from tngd_bench.analysis.map.plane import plane
from tngd_bench.analysis.statistics.run_spread import ASSUMED, RunSpread, between, spread
from tngd_bench.studies.store.records import Records, read_records

HELD_AGAINST = slice(1, None, 2)
"""The sizes at which cells of a map are held against another run; the map is made from the others."""


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
        for lead in together(leads(part, known, run_spread)):
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
    """Read the runs, and print what they differ by. Exit code 1: less is kept than said; 2: no result."""
    parser = command_line(__doc__)
    parser.add_argument("stores", nargs="+", type=Path, metavar="RUN", help="runs of one study")
    runs = [read_records(place) for place in parser.parse_args().stores]
    try:
        return 0 if report(runs) else 1
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
