"""The rule by which a size gets fewer processes than its section names: sequential stopping.

A section with `precision` p makes `LEAST_PROCESSES` at each size. From then on an optimizer is left out of further
processes once its time, relative to that of the section's first optimizer, is known to p: the half-width of Student's
95 % interval over the logarithms of the processes' median ratios is at most p. Who stops when a spread happens to look
small has intervals that hold the truth less often than they say: 92.5 % at the worst p, of three to five processes.
A report therefore makes the intervals of such a section with the quantiles of `LEVEL`, which hold it in 95 % or more
(`python -m benchmarks.error_rates`).
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import special

from tngd_bench.studies.plan.trials import CostBlock, Trial
from tngd_bench.studies.store import columns as c
from tngd_bench.studies.store.columnar import column

LEAST_PROCESSES = 3
"""Fewer processes say too little of how a process of its own shifts a ratio: of two, 11 % of equal pairs differed."""
LEVEL = 0.97
"""Nominal level of an interval over processes whose number the rule has chosen; see the module's text."""
LOOKED_AT = 0.95
USUAL_SPREAD = 0.04
"""Standard deviation between processes of the logarithm of a ratio, for predictions: that of `quick` on two cores."""


def half_width(logs: Sequence[float], level: float = LOOKED_AT) -> float:
    """Return the half-width of Student's interval for the mean of two or more logarithms."""
    quantile = float(special.stdtrit(len(logs) - 1, 0.5 + level / 2.0))
    return float(quantile * np.std(logs, ddof=1) / np.sqrt(len(logs)))


def p_value(logs: Sequence[float], level: float = LOOKED_AT) -> float:
    """Return the two-sided p-value of a mean of 0: 5 % where the interval of `half_width` at `level` ends at 0."""
    error, mean = float(np.std(logs, ddof=1) / np.sqrt(len(logs))), abs(float(np.mean(logs)))
    p = 2.0 * float(special.stdtr(len(logs) - 1, -mean / error)) if error else float(not mean)
    return at_level(p, level)


def at_level(p: float, level: float) -> float:
    """Return a p-value that is 5 % where an interval at `level` ends at the value tested."""
    return min(1.0, p * (1.0 - LOOKED_AT) / (1.0 - level))


def is_enough(logs: Sequence[float], precision: float) -> bool:
    """Return whether the processes with these logarithms are enough for a `precision`."""
    return len(logs) >= LEAST_PROCESSES and half_width(logs) <= precision


def chance_of_process(process: int, precision: float | None) -> float:
    """Return the chance that an optimizer gets the process of that number, from 0, at the usual spread of ratios."""
    if precision is None or process < LEAST_PROCESSES:
        return 1.0
    freedom = process - 1
    quantile = float(special.stdtrit(freedom, 0.5 + LOOKED_AT / 2.0))
    narrow = precision**2 * process / (quantile * USUAL_SPREAD) ** 2  # of s²/σ²
    return float(special.gammaincc(freedom / 2.0, freedom * narrow / 2.0))


class EnoughProcesses:
    """Optimizers whose times are known well enough, by size, from the blocks noted so far."""

    def __init__(self) -> None:
        self._logs: dict[tuple[object, ...], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))

    def note(self, block: Trial, entries: Iterable[Mapping[str, Any]]) -> bool:
        """Take in the results of a trial; return whether it is a block that the rule looks at."""
        if not isinstance(block, CostBlock) or block.precision is None:
            return False
        finished = {entry["optimizer"]: entry["iterations"] for entry in entries if entry["status"] == "ok"}
        timed = {
            label: dict(zip(column(each, c.REPETITION), column(each, c.DIGITAL_S), strict=True))
            for label, each in finished.items()
        }
        reference = timed.get(block.candidates[0].config.label, {}) if block.candidates else {}
        for label, times in timed.items():
            quotients = [times[at] / reference[at] for at in times.keys() & reference.keys()]
            if quotients:
                self._logs[_place(block)][label].append(math.log(statistics.median(quotients)))
        return True

    def rest(self, block: Trial) -> Trial:
        """Return a block with the optimizers that need another process, and the first one where there are any."""
        if not isinstance(block, CostBlock) or block.precision is None or block.process < LEAST_PROCESSES:
            return block
        known, (first, *others) = self._logs[_place(block)], block.candidates
        wanted = [each for each in others if not is_enough(known[each.config.label], block.precision)]
        needed = any(each.skip is None for each in wanted)
        return replace(block, candidates=(first, *wanted) if needed else ())


def _place(block: CostBlock) -> tuple[object, ...]:
    setting = block.setting
    return block.section, setting.parameters, setting.batch_size, setting.outputs
