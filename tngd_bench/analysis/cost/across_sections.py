"""The ratio of two optimizers at one size that several sections of a study timed.

A section that timed both has them in pairs. Two sections are timed in different hours, so that their seconds do not
compare; each optimizer's time relative to SGD of its own section does. The interval is then Welch's over processes.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tngd_bench.analysis.arrays import Array
from tngd_bench.analysis.cost.iteration_cost import Ratio, interval_level, paired_quotients, paired_ratio
from tngd_bench.analysis.cost.reference import reference_label
from tngd_bench.analysis.statistics.welch import mean_difference
from tngd_bench.studies.plan import enough_processes
from tngd_bench.studies.store import columns as c


def ratio_in_sections(sections: Sequence[pd.DataFrame], numerator: str, denominator: str) -> Ratio | None:
    """Return numerator/denominator, paired where a section timed both, else each relative to SGD of its section.

    `sections` are timings at one size, a frame each; processes of different sections are different processes. None
    where the two met neither each other nor the same SGD.
    """
    both = [each for each in sections if {numerator, denominator} <= set(each[c.OPTIMIZER])]
    own = [each.assign(process=f"{place}/" + each[c.PROCESS].astype(str)) for place, each in enumerate(both)]
    paired = paired_ratio(pd.concat(own), numerator, denominator) if own else None
    if paired is not None:
        return paired
    timed = [section for section in sections if c.METHOD in section]
    for reference in sorted({label for section in timed if (label := reference_label(section)) is not None}):
        blocks = [_blocks(timed, label, reference) for label in (denominator, numerator)]
        if all(blocks):
            return _unpaired(blocks, max(map(interval_level, timed)))
    return None


def _blocks(sections: Sequence[pd.DataFrame], label: str, reference: str) -> list[Array]:
    """Return the quotients of `label` and `reference` of each process of the sections that timed both."""
    return [block for section in sections for block in paired_quotients(section, label, reference)]


def _unpaired(own: Sequence[list[Array]], level: float) -> Ratio:
    """Return the ratio of two optimizers from their quotients by process, the denominator's first."""
    logs = [np.log([np.median(block) for block in each]) for each in own]
    value = float(np.exp(logs[1].mean() - logs[0].mean()))
    pairs, processes = min(sum(map(len, each)) for each in own), min(map(len, own))
    if processes < 2:
        return Ratio(value, value, value, pairs, processes, 1.0)
    found = mean_difference(*logs)
    low, high = (float(np.exp(found.value + side * found.half_width(level))) for side in (-1.0, 1.0))
    return Ratio(value, low, high, pairs, processes, enough_processes.at_level(found.p, level))
