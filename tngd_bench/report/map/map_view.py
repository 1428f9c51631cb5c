"""The data behind the maps and the what-if of a study, each part made once."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost import break_even
from tngd_bench.analysis.cost.break_even import BreakEven, exact_labels
from tngd_bench.analysis.cost.calibration import Calibrations
from tngd_bench.analysis.cost.device_use import DeviceUse
from tngd_bench.analysis.cost.recorded_devices import own_devices
from tngd_bench.analysis.map.plane import Plane, plane
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.statistics.paired import LEVEL, paired_difference
from tngd_bench.analysis.training.time_to_target import AFTER
from tngd_bench.optimizers import registry
from tngd_bench.report.document.palette import marks
from tngd_bench.report.map.target_maps import TargetMaps, target_maps
from tngd_bench.spu.device import Device
from tngd_bench.studies.store import columns as c

DECADES = (10_000, 1_000_000, 100_000_000)
"""The N at which the device's break-even is predicted."""
LINKS = (5e9, 5e10, 5.12e11, 3.6e12, 2.68e13, None)
"""A tenth of the paper's, the paper's, PCIe 5.0 x16, NVLink 4, HBM3, unlimited (hardware parameters of the suite)."""


class MapView:
    """The results of a study with its rates, its planes over (N, b) and (N, d_z), its devices and their rivals."""

    def __init__(self, results: Results, calibrations: Calibrations) -> None:
        """Take the results and the rates calibrated on them.

        `use` is the study's device as the study uses it, None without one; `main` the setting with the most measured
        sizes: its largest N, b and d_z; `device_name` the title of the optimizer with a device, "" without one.
        """
        self.results, self.calibrations = results, calibrations
        self.use, self.main = calibrations.use, calibrations.main
        self.infos, self.styles = results.infos, marks(results.infos)
        self._lines: dict[int, break_even.Line | None] = {}
        label = calibrations.device_label
        self.device_name = "" if label is None else self.infos[label].title

    @cached_property
    def batch(self) -> Plane:
        """The plane over N and b, at the main d_z."""
        return plane(self.calibrations, "batch_size", self.main[c.OUTPUTS])

    @cached_property
    def outputs(self) -> Plane:
        """The plane over N and d_z, at the main b."""
        return plane(self.calibrations, "outputs", self.main[c.BATCH_SIZE])

    @cached_property
    def between(self) -> tuple[Plane, Plane]:
        """Both planes with the cells between measured sizes alone: no map vouches for any other."""
        return (
            plane(self.calibrations, "batch_size", self.main[c.OUTPUTS], between=True),
            plane(self.calibrations, "outputs", self.main[c.BATCH_SIZE], between=True),
        )

    @cached_property
    def targets(self) -> TargetMaps:
        """The maps of the lowest time to a target."""
        return target_maps(self.results, self.calibrations)

    @cached_property
    def devices(self) -> list[tuple[str, DeviceUse]]:
        """The study's own devices and every installed preset, used as the study uses its device."""
        return [] if self.use is None else device_uses(self.use, self.results.trials)

    @property
    def approximate(self) -> tuple[str, ...]:
        """The labels of the digital optimizers whose step is not the exact natural gradient's."""
        exact = exact_labels(self.calibrations)
        return tuple(label for label in self.calibrations.digital if label not in exact)

    @property
    def kfac(self) -> tuple[str, ...]:
        """The labels of K-FAC, which solves an approximate system."""
        digital = self.calibrations.digital
        return tuple(label for label in digital if self.calibrations.infos[label].method == "kfac")

    @property
    def rivals(self) -> dict[str, Sequence[str]]:
        """The labels of the device's digital rivals, by what they are called together."""
        both = {"the fastest exact natural gradient": exact_labels(self.calibrations), "K-FAC": self.kfac}
        return {rival: labels for rival, labels in both.items() if labels}

    def line(self, size: int) -> break_even.Line | None:
        """Return the predictions along b at N = `size` and the main d_z; None without a device or such a model."""
        if self.use is not None and size not in self._lines:
            self._lines[size] = break_even.line(self.calibrations, self.use, size, self.main[c.OUTPUTS])
        return self._lines.get(size)

    def crossovers(self, size: int) -> list[BreakEven]:
        """Return where the device's iteration becomes the shorter one at N = `size`, for the rivals that count."""
        if self.use is None or not self.device_name:
            return []
        line = self.line(size)
        found = [] if line is None else break_even.crossovers(line, self.use)
        return [one for one in found if registry.get(self.infos[one.rival].method).break_even]

    @cached_property
    def crossover_texts(self) -> list[str]:
        """The crossovers at the largest measured N in words, with their conditions."""
        device = str(self.calibrations.device_label)
        return [crossing.text(self.infos, device) for crossing in self.crossovers(self.main[c.PARAMETERS])]

    @cached_property
    def reached(self) -> pd.DataFrame:
        """The fastest optimizer to a target in each training section; see `lowest_times`."""
        return lowest_times(self.results.trials, self.results.times_to_target, self.results.hits)


def device_title(use: DeviceUse | None) -> str:
    """Return e.g. "paper, 50 Gb/s"."""
    if use is None:
        return "no device"
    rate = use.device.link_rate_bits_per_s
    if rate is None and "unlimited" in use.device.name:
        return use.device.name
    return f"{use.device.name}, {'unlimited link' if rate is None else quantities.bit_rate(rate)}"


def device_uses(use: DeviceUse, trials: pd.DataFrame) -> list[tuple[str, DeviceUse]]:
    """Return the devices described in `trials` and every installed preset, used as `use` is.

    The preset "ideal" is the unlimited link again.
    """
    presets = [Device.preset(name) for name in Device.presets() if name != "ideal"]
    used = [replace(use, device=device) for device in (*own_devices(trials), *presets)]
    return [(device_title(each), each) for each in used]


def link_uses(use: DeviceUse) -> list[tuple[str, DeviceUse]]:
    """Return the study's device on other links, the arrays sent whole and in factors."""
    uses = []
    for upload in ("full", "factored"):
        for rate in LINKS if upload == "full" else (5e10, 5.12e11):
            device = use.device.override(link_rate_bits_per_s=rate, upload=upload)
            text = "unlimited" if rate is None else quantities.bit_rate(rate)
            uses.append((f"{text}, {upload}", replace(use, device=device)))
    return uses


def lowest_times(trials: pd.DataFrame, times: pd.DataFrame, hits: pd.DataFrame) -> pd.DataFrame:
    """Return per training section the fastest optimizer to the highest target that one reached in its median seed.

    `times` and `hits` as in `time_to_target`. Only those whose cost per iteration is known count; `untimed` is how many
    others reached the same target. `told`: whether the paired seeds tell the fastest from its runner-up, by the exact
    signed-rank test of the logarithms of their times, p ≤ 5 % times the number of pairs that could have been those two.
    Seeds whose evaluations do not show who was first are ties.
    """
    columns = [c.GROUP, c.PARAMETERS, c.BATCH_SIZE, "target", c.OPTIMIZER, "seconds", "runner_up", "ratio"]
    columns += ["told", "untimed"]
    rows = []
    training = c.only(trials, kind="training")
    for group, part in times.groupby(c.GROUP, sort=True):
        reached = part[np.isfinite(part["modelled_median"].astype(float))]
        if reached.empty:
            continue
        order = list(dict.fromkeys(part["target"]))  # of the study: the last is the hardest
        target = str(max(set(reached["target"]), key=order.index))
        ranked = c.only(reached, target=target).sort_values("modelled_median", kind="stable")
        setting = c.only(training, group=group).iloc[0]
        first, second = ranked.iloc[0], ranked.iloc[1] if len(ranked) > 1 else None
        row = [group, int(setting[c.PARAMETERS]), int(setting[c.BATCH_SIZE]), target, first[c.OPTIMIZER]]
        beside: list[Any] = ["", np.nan, False]
        if second is not None:
            ratio = float(second["modelled_median"] / first["modelled_median"])
            beside = [second[c.OPTIMIZER], ratio, _told_apart(hits, str(group), target, first, second)]
        same = c.only(part, target=target)
        arrived = np.isfinite(same["iterations_median"].astype(float))
        untimed = int((arrived & same["modelled_median"].isna()).sum())
        rows.append([*row, float(first["modelled_median"]), *beside, untimed])
    return pd.DataFrame(rows, columns=columns)


def _told_apart(hits: pd.DataFrame, group: str, target: str, first: pd.Series, second: pd.Series) -> bool:
    own = c.only(hits, group=group, target=target)
    pair = [first[c.OPTIMIZER], second[c.OPTIMIZER]]
    by, after = (
        own.pivot_table(index=c.SEED, columns=c.OPTIMIZER, values=name, aggfunc="first").reindex(columns=pair)
        for name in ("modelled", AFTER["modelled"])
    )
    known = by.notna().all(axis=1)
    if not known.any():
        return False
    (met, other), (since, other_since) = (frame[known].to_numpy(float).T for frame in (by, after))
    apart = (met <= other_since) | (other <= since)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(apart, np.log(met) - np.log(other), 0.0)
    pairs = math.comb(own.loc[own["modelled"].notna(), c.OPTIMIZER].nunique(), 2)
    return bool(pairs * paired_difference(logs).p <= 1.0 - LEVEL)
