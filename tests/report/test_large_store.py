"""A store of ten thousand trials: the page stays small enough to open; the time is printed, never asserted."""

import os
import sys
import time

import pandas as pd
import pytest

from tngd_bench.report import build_report
from tngd_bench.studies.store.records import Records

TRIALS, PAGE_BYTES = 10_000, 6_000_000


def grown(records: Records) -> Records:
    """The synthetic records again and again: sections of their own for training, processes and seeds for the rest."""
    frames: dict[str, list[pd.DataFrame]] = {"trials": [], "costs": [], "curves": []}
    count, copy = 0, 0
    kinds = records.trials["kind"]
    while count < TRIALS:
        for name, kept in frames.items():
            frame = getattr(records, name).copy()
            training = frame["key"].isin(records.trials.loc[kinds == "training", "key"])
            frame["key"] = f"{copy:04x}-" + frame["key"]
            # Twelve sections; within a section, further seeds. Costs: further processes of the same sizes.
            frame.loc[training, "group"] = frame.loc[training, "group"] + f"-{copy % 6}"
            if "seed" in frame:
                frame["seed"] = frame["seed"] + 3 * (copy // 6)
            if "process" in frame:
                frame["process"] = frame["process"] + 3 * copy
            kept.append(frame)
        count += len(records.trials)
        copy += 1
    return Records(
        records.study,
        records.environment,
        **{name: pd.concat(kept, ignore_index=True) for name, kept in frames.items()},
    )


@pytest.mark.slow(reason="reads and draws ten thousand trials")
def test_ten_thousand_trials_make_a_page_that_opens(records, tmp_path):
    large = grown(records)
    assert len(large.trials) >= TRIALS
    before, spent = time.perf_counter(), sum(os.times()[:4])  # of its processes too
    built = build_report(large, tmp_path, formats=("html",))
    sys.stderr.write(
        f"\n{len(large.trials)} trials, {len(large.curves)} points: {time.perf_counter() - before:.1f} s "
        f"({sum(os.times()[:4]) - spent:.1f} s of processor), page {built.html.stat().st_size / 2**20:.2f} MiB, "
        f"{len(built.figures)} figure files\n"
    )
    assert built.html.stat().st_size < PAGE_BYTES
