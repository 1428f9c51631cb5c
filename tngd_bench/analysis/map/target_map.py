"""The map of the lowest time to a target: iterations from the training records, seconds per iteration from the model.

Iterations to a target are measured at the sizes that were trained and nowhere else. Over a plane each cell takes those
of the nearest trained size (in log N, log b, log d_z); only the time per iteration follows the cell. At the trained
size that is what the same settings were timed to cost there, in turn with the others; elsewhere it is that cost times
what the calibration says of the way from there to the cell. So a setting that was not timed at its trained size is on
no map, and neither is a problem that was trained and not timed over sizes. What lies beyond the trained sizes, or
beyond the sizes that were timed, is marked as not measured: nothing is confirmed there. Uncertainty: the calibration's
draws times a resampling of the seeds, the same seeds for all optimizers, each of which met the target somewhere since
the evaluation before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tngd_bench.analysis.arrays import Array
from tngd_bench.analysis.cost.calibration import DRAWS, SLOTS, Calibrations
from tngd_bench.analysis.cost.device_use import DeviceUse, device_use
from tngd_bench.analysis.cost.rates import ITEMSIZES, calibrate
from tngd_bench.analysis.cost.recorded_devices import recorded
from tngd_bench.analysis.map.cost_map import CheapestMap, least_seconds
from tngd_bench.analysis.map.plane import Plane
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.statistics.discrepancy import distance
from tngd_bench.analysis.training.time_to_target import AFTER
from tngd_bench.studies.store import columns as c


@dataclass(frozen=True)
class Trained:
    """Iterations to one target of one problem, at every size it was trained at.

    `sizes` has one row per size: parameters, batch_size, outputs. `iterations[label]` is (sizes, seeds), at the
    evaluation that met it: ∞ where a seed missed, NaN where it was not tried; `after[label]` at the one before.
    `digital[label]` is (sizes,), the measured digital seconds per iteration of
    that setting in the mean, NaN where it was not timed. `uses` has the device of every thermodynamic label.
    """

    problem: str
    target: str
    sizes: pd.DataFrame
    iterations: Mapping[str, Array]
    after: Mapping[str, Array]
    digital: Mapping[str, Array]
    uses: Mapping[str, DeviceUse]

    def median(self) -> Array:
        """Return the median iterations over seeds: (labels, sizes).

        Order statistics, the higher of two neighbours, so that ∞ stays ∞; ∞ too where no seed was tried.
        """
        return self._medians(np.stack(list(self.iterations.values())))

    def drawn_medians(self, draws: int, generator: np.random.Generator) -> Array:
        """Return the same of resampled seeds, each between its two evaluations: (labels, sizes, draws)."""
        table = np.stack(list(self.iterations.values()))
        before = np.stack([np.maximum(self.after[label], 0.0) for label in self.iterations])
        width = np.where(np.isfinite(table), table, 0.0) - np.where(np.isfinite(table), before, 0.0)
        picks = generator.integers(table.shape[-1], size=(draws, table.shape[-1]))
        values = table[..., picks]
        return self._medians(values - generator.random(values.shape) * width[..., picks])

    @staticmethod
    def _medians(values: Array) -> Array:
        untried = np.asarray(np.isnan(values).all(axis=-1))
        filled = np.where(untried[..., None], np.inf, values)
        return np.asarray(np.nanquantile(filled, 0.5, axis=-1, method="higher"))


def trained(
    trials: pd.DataFrame, hits: pd.DataFrame, problem: str, seconds: pd.Series[float]
) -> Iterator[Trained]:
    """Yield the iterations to every target that a median seed reached on `problem`, the target that says most first.

    `hits` as in `time_to_target.hit_times`, `seconds` the digital ones of `one_clock.seconds_per_iteration`. What says
    most is the target that the most methods had, for who leads among few may be far behind in the field; then the one
    reached at the most sizes (by the median seed of some optimizer); then the place in the study, which lists its
    hardest target last.
    """
    rows = c.only(hits, problem=problem) if len(hits) else hits
    if rows.empty:
        return
    rows = rows.merge(trials[[c.KEY, c.OUTPUTS, c.SETTINGS, c.DEVICE]].drop_duplicates(c.KEY), on=c.KEY)
    rows[c.DIGITAL_S] = rows[c.KEY].map(seconds).astype(float)
    ranked: list[tuple[tuple[int, int, int], str]] = []
    for target, part in rows.groupby("target", sort=False):
        medians = part.groupby([*c.SIZE, c.OPTIMIZER])["iterations"].quantile(0.5, interpolation="higher")
        met = medians[np.isfinite(medians.astype(float))].reset_index()
        order = list(dict.fromkeys(rows["target"])).index(target)
        reached_at = len(met[c.SIZE].drop_duplicates())
        if len(met):
            ranked.append(((part[c.METHOD].nunique(), reached_at, order), str(target)))
    ranked.sort(key=lambda found: found[0], reverse=True)
    yield from (_trained(problem, target, c.only(rows, target=target)) for _, target in ranked)


def _trained(problem: str, target: str, own: pd.DataFrame) -> Trained:
    sizes = own[c.SIZE].drop_duplicates().sort_values(c.SIZE, kind="stable").reset_index(drop=True)
    seeds = sorted(set(own[c.SEED]))
    iterations: dict[str, Array] = {}
    after: dict[str, Array] = {}
    digital, uses = {}, {}
    for label, part in own.groupby(c.OPTIMIZER, sort=True):
        # two sections may train the same size alike: the first stands for both
        index = pd.MultiIndex.from_frame(sizes)
        for column, found in (("iterations", iterations), (AFTER["iterations"], after)):
            table = part.pivot_table(index=c.SIZE, columns=c.SEED, values=column, aggfunc="first")
            found[str(label)] = table.reindex(index=index, columns=seeds).to_numpy(float)
        digital[str(label)] = part.groupby(c.SIZE)[c.DIGITAL_S].first().reindex(index).to_numpy(float)
        use = device_use(*recorded(part[c.DEVICE].iloc[0], part[c.SETTINGS].iloc[0]))
        if use is not None:
            uses[str(label)] = use
    return Trained(problem, target, sizes, iterations, after, digital, uses)


def timed_alike(found: Trained) -> Trained:
    """Return `found` with the sizes at which the most settings were timed, and the settings timed at all of these.

    Where a setting has no cost of its own, nothing says whether it would lead.
    """
    timed = [
        frozenset(label for label, seconds in found.digital.items() if np.isfinite(seconds[place]))
        for place in range(len(found.sizes))
    ]
    most = max(timed, key=len)
    kept = np.array([most <= labels for labels in timed])
    return replace(
        found,
        sizes=found.sizes[kept].reset_index(drop=True),
        iterations={label: table[kept] for label, table in found.iterations.items() if label in most},
        after={label: table[kept] for label, table in found.after.items() if label in most},
        digital={label: seconds[kept] for label, seconds in found.digital.items() if label in most},
    )


def with_first_order(calibrations: Calibrations, results: Results) -> Calibrations:
    """Return `calibrations` with the first-order optimizers timed on its problem, the others as they are."""
    own = c.only(results.cost_summary, problem=calibrations.counts.problem)
    dtype = {size: name for name, size in ITEMSIZES.items()}[calibrations.counts.itemsize]
    every = calibrate(own, results.trials, results.infos, dtype, first_order=True)
    assert every is not None  # the second-order ones alone were enough for `calibrations`
    by_label = {label: calibrations.by_label.get(label, found) for label, found in every.by_label.items()}
    return replace(calibrations, by_label=by_label)


def timed_as(label: str, calibrations: Calibrations) -> str | None:
    """Return the timed optimizer whose seconds stand for `label`: itself, else one of its method; None without one."""
    if label in calibrations.by_label:
        return label
    if label not in calibrations.infos:
        return None
    info = calibrations.infos[label]
    if info.modelled:
        return calibrations.device_label
    return next((name for name, found in calibrations.by_label.items() if found.method == info.method), None)


def lowest(area: Plane, found: Trained, *, draws: int = DRAWS) -> CheapestMap | None:
    """Return who reaches the target of `found` first over `area`; None where nobody who was timed reached it.

    `found` is as from `timed_alike`, `area` as predicted with the calibrations of `with_first_order`. In the result
    seconds are times to the target (∞ where the median seed missed), and `plane.measured` is where both iterations and
    time lie between measured ones.
    """
    calibrations = area.calibrations
    stands = {label: timed_as(label, calibrations) for label in found.iterations}
    labels = [
        label
        for label, timed in stands.items()
        if timed is not None and (label in found.uses or not calibrations.infos[label].modelled)
    ]
    if not labels:
        return None
    timed = [str(stands[label]) for label in labels]
    cells = np.log(np.stack(area.coordinates, axis=-1))[..., None, :]
    gaps = np.abs(cells - np.log(found.sizes[c.SIZE].to_numpy(float)))
    nearest = gaps.sum(axis=-1).argmin(axis=-1)  # trained size, of each cell
    inside = distance(found.sizes, *area.coordinates) == 0.0
    digital, modelled, overlapped = [], [], []
    for label, name in zip(labels, timed, strict=True):
        use = found.uses.get(label) if calibrations.infos[label].modelled else None
        predicted = area.digital[name] if use is None else area.host[use.device.upload]
        measured = found.digital[label] / _predicted(calibrations, name, found.sizes, use)
        digital.append(predicted * measured[:, nearest])
        modelled.append(np.zeros(inside.shape) if use is None else area.device_seconds(use))
        overlapped.append(0.0 if use is None else use.overlapped_s)
    chosen = replace(found, iterations={label: found.iterations[label] for label in labels})
    steps = chosen.median()
    varied = chosen.drawn_medians(draws, np.random.default_rng(0))

    def repeats(draw: int) -> Array:
        return steps[:, nearest] if draw == 0 else varied[..., draw - 1][:, nearest]

    bounds = [label for label in labels if label in found.uses and found.uses[label].not_stated]
    both = np.stack(digital), np.stack(modelled)
    made = least_seconds(area, labels, timed, *both, overlapped, bounds, repeats, draws=draws)
    if not np.isfinite(made.seconds).any():
        return None
    return replace(made, plane=replace(area, measured=inside & area.measured, points=found.sizes))


def _predicted(calibrations: Calibrations, timed: str, sizes: pd.DataFrame, use: DeviceUse | None) -> Array:
    """Return the digital seconds that the calibration of `timed` predicts at `sizes`: (SLOTS, sizes)."""
    upload = "full" if use is None else use.device.upload
    found = np.full((SLOTS, len(sizes)), np.nan)
    for place, (n, b, d_z) in enumerate(sizes[c.SIZE].itertuples(index=False)):
        layers = calibrations.counts.layers(n, d_z)
        if layers is not None:
            found[:, place] = calibrations.seconds(timed, (n, b, d_z), layers, upload)
    return found


def held(found: Trained, labels: Sequence[str]) -> pd.DataFrame:
    """Return the measured median iterations to the target: one row per size and label, ∞ where the median missed."""
    medians = replace(found, iterations={label: found.iterations[label] for label in labels}).median()
    rows = [
        (*size, label, medians[place, row])
        for row, size in enumerate(found.sizes[c.SIZE].itertuples(index=False))
        for place, label in enumerate(labels)
    ]
    return pd.DataFrame(rows, columns=[*c.SIZE, c.OPTIMIZER, "iterations"])
