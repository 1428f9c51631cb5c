"""Rates of this machine: the measured digital seconds of each optimizer against its closed-form counts.

For one optimizer, t = a + F/f + M/w with a fixed overhead a, the operations F and bytes M of
`optimizers.costs`, and rates f and w, by least squares of the residuals relative to the measured time with non-negative
terms (Lawson & Hanson, Solving Least Squares Problems, 1974, ch. 23). F and M grow together in most studies, so the
same times have several readings: F alone; M, with operations at the rate of the optimizer that is fastest at
them, which nothing may exceed; and both (from five settings on, operations not faster than that either). Readings agree
where there are data and part where there are none. One is credible, and drawn, if it predicts the data half as well
as the best or to 10 %.

What the formula misses is a log-normal factor: σ is the root mean square of log(measured/predicted) with each setting
predicted from the others. Away from the measured sizes, and from one run to another, it misses more: see `discrepancy`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import nnls

from tngd_bench.analysis.cost.recorded_devices import recorded, recorded_device
from tngd_bench.analysis.families import Kind
from tngd_bench.analysis.rows import each
from tngd_bench.analysis.statistics import discrepancy
from tngd_bench.analysis.statistics.run_spread import ASSUMED, RunSpread
from tngd_bench.layers import Layer
from tngd_bench.optimizers.costs import PredictedCost, predicted_cost
from tngd_bench.optimizers.roofline import DIGITAL, host_cost, square_layers
from tngd_bench.optimizers.step_time import HOST, REFERENCE_RATE, step_seconds
from tngd_bench.problems import registry as problems
from tngd_bench.problems.entry import ProblemEntry
from tngd_bench.solvers.cg_iterations import CGIterations
from tngd_bench.spu.billing import Workload

Array = npt.NDArray[np.float64]
FALLBACK_DEPTH = 3
"""Layers of the stand-in for a problem that is not installed here."""
CREDIBLE_TIMES, CREDIBLE_SIGMA = 2.0, 0.1
SLOTS = 6
"""Slots that the readings of an optimizer share evenly, be they one, two or three."""
_ITEMSIZES = {"float32": 4, "float64": 8}


@dataclass(frozen=True)
class Counts:
    """How operations are counted: the problem's own family of models, the item size, and what CG needs.

    `entry` is None where the problem is not installed here: equal square layers then stand for its models.
    `cg` holds the stopping rule of CG and the iterations counted in the study.
    """

    problem: str
    itemsize: int = 4
    cg: CGIterations = field(default_factory=CGIterations)
    entry: ProblemEntry | None = None

    @property
    def fewest_outputs(self) -> int:
        """The smallest d_z that the problem has models for."""
        return 1 if self.entry is None else int(getattr(self.entry, "classes", 1))

    def layers(self, parameters: int, outputs: int) -> tuple[Layer, ...] | None:
        """Return the layers of the model nearest N `parameters`; None where the family has no such model."""
        if self.entry is None:
            return square_layers(parameters, FALLBACK_DEPTH)
        if outputs < self.fewest_outputs or parameters < 2 * outputs:  # an output has a weight and a bias
            return None
        try:
            widths = self.entry.widths(parameters, outputs)
        except ValueError:
            return None
        found = getattr(widths, "layers", None)
        if not found:
            return square_layers(parameters, FALLBACK_DEPTH)
        return tuple(Layer(*map(int, layer)) for layer in found)

    def of(
        self,
        method: str,
        parameters: int,
        batch_size: int,
        outputs: int,
        layers: tuple[Layer, ...],
        upload: str = "full",
    ) -> PredictedCost:
        """Return operations and bytes of one iteration; of its digital host for a thermodynamic `method`.

        The operations hold what waits for memory, convolutions and Python as those that a core makes meanwhile
        (`optimizers.step_time`): a size that is not measured is predicted by what its time is made of.
        """
        rows = batch_size * outputs
        size: Any = {
            "parameters": parameters,
            "rows": rows,
            "batch_size": batch_size,
            "outputs": outputs,
            "layers": layers,
        }
        if method in DIGITAL:
            counted = predicted_cost(method, **size, itemsize=self.itemsize, cg=self.cg)
            seconds = step_seconds(method, counted, REFERENCE_RATE, **size, cg=self.cg)
        else:
            work = Workload(parameters, rows, 0.0, layers=layers, batch_size=batch_size)
            counted = host_cost(work, outputs, upload, self.itemsize)
            seconds = step_seconds(HOST, counted, REFERENCE_RATE, **size, upload=upload)
        return PredictedCost(seconds * REFERENCE_RATE, counted.bytes)


@dataclass(frozen=True)
class Calibration:
    """The rates of one optimizer: t = a + F·(s/operation) + M·(s/byte) in one to three `readings`, the best first.

    A reading is (a, seconds per operation, seconds per byte). `sigma` is the log-normal spread of measured/predicted
    (NaN with one setting), `unseen` what the largest sizes are off by when they are left out. `points` has one row per
    measured setting: parameters, batch_size, outputs, measured_s, predicted_s (from the others where there are any) and
    ratio. `gamma` and `freedom` (ν) as in `discrepancy`.
    """

    label: str
    method: str
    readings: tuple[tuple[float, float, float], ...]
    sigma: float
    points: pd.DataFrame
    gamma: float = 0.0
    freedom: float = math.inf
    unseen: discrepancy.Unseen | None = None

    def seconds(self, cost: PredictedCost) -> Array:
        """Return the predicted digital seconds of one iteration, (SLOTS,), the best reading first."""
        counted = np.array([1.0, cost.flops, cost.bytes])
        by_reading = [float(np.dot(reading, counted)) for reading in self.readings]
        return np.array([by_reading[place % len(by_reading)] for place in range(SLOTS)])


@dataclass(frozen=True)
class Calibrations:
    """What was calibrated: by optimizer label; all on one problem. `settings` are the device's user settings.

    `run_spread` is σ_run.
    """

    counts: Counts
    by_label: Mapping[str, Calibration]
    kinds: Mapping[str, Kind]
    main: Mapping[str, int]
    settings: Mapping[str, object]
    device_name: str | None
    run_spread: RunSpread = ASSUMED

    @property
    def device_label(self) -> str | None:
        """The thermodynamic optimizer that stands for the device, None without one."""
        return next((label for label in self.by_label if self.kinds[label].modelled), None)

    @property
    def digital(self) -> tuple[str, ...]:
        """Labels of the digital second-order optimizers."""
        return tuple(label for label in self.by_label if not self.kinds[label].modelled)

    def spread(self, label: str) -> float:
        """Return σ of `label`; where it could not be measured, the largest of the others (1 if none could)."""
        own = self.by_label[label].sigma
        known = [c.sigma for c in self.by_label.values() if np.isfinite(c.sigma)]
        return own if np.isfinite(own) else max(known, default=1.0)

    def freedom(self, label: str) -> float:
        """Return the degrees of freedom of `spread`; 1 where it is that of another optimizer."""
        return self.by_label[label].freedom if np.isfinite(self.by_label[label].sigma) else 1.0

    def half_width(self, label: str, distances: Array) -> Array:
        """Return the logarithm of the factor that predictions of `label` are vouched for within, at `distances`."""
        gamma = self.by_label[label].gamma
        return discrepancy.half_width(
            self.spread(label), self.freedom(label), gamma, self.run_spread.value, distances
        )

    def covers(self, parameters: Array, batch_size: Array, outputs: Array) -> npt.NDArray[np.bool_]:
        """Return where a size lies between the measured ones of all optimizers together."""
        points = pd.concat([calibration.points for calibration in self.by_label.values()])
        return np.asarray(discrepancy.distance(points, parameters, batch_size, outputs) == 0.0)

    def distances(self, label: str, parameters: Array, batch_size: Array, outputs: Array) -> Array:
        """Return how far sizes lie from those that `label` was measured at, in logarithms."""
        return discrepancy.distance(self.by_label[label].points, parameters, batch_size, outputs)


def calibrate(
    summary: pd.DataFrame,
    trials: pd.DataFrame,
    known: Mapping[str, Kind],
    dtype: str = "float32",
    *,
    first_order: bool = False,
    run_spread: RunSpread = ASSUMED,
) -> Calibrations | None:
    """Calibrate the second-order optimizers of `summary` (see `cost.summarise`), or all; None where none was timed.

    All on the problem with the most settings. Of several variants of one method the one with the plainest label stands
    for it: the counts know methods, not settings.
    """
    second = summary[
        summary["optimizer"].map(lambda label: first_order or known[label].second_order).astype(bool)
    ]
    if second.empty:
        return None
    settings_per_problem = second.groupby("problem")["parameters"].count()
    problem = str(settings_per_problem.sort_values(kind="stable").index[-1])
    second = second[second["problem"] == problem]
    chosen: dict[str, str] = {}
    for label in sorted(set(second["optimizer"]), key=len):
        kind = known[label]
        chosen.setdefault("tngd" if kind.modelled else kind.method, label)
    labels = [label for label in known if label in chosen.values() and _countable(known[label])]
    if not labels:
        return None
    entry = problems.get(problem) if problem in problems.names() else None
    counts = Counts(problem, _ITEMSIZES.get(dtype, 4), _cg_iterations(trials, problem, labels), entry)
    device = next((label for label in labels if known[label].modelled), None)
    settings, device_name = _device_settings(trials, device)
    used = None if device_name is None else recorded_device(device_name, settings)
    upload = "full" if used is None else used.upload
    counted = {
        label: _counted(known[label], second[second["optimizer"] == label], counts, upload)
        for label in labels
    }
    counted = {label: rows for label, rows in counted.items() if len(rows)}
    alone = {label: _rates(*_arrays(rows), _terms(len(rows))[0]) for label, rows in counted.items()}
    peak = max((1.0 / weights[1] for weights in alone.values() if weights[1] > 0), default=np.inf)
    found = {label: _fitted(label, known[label], rows, peak) for label, rows in counted.items()}
    if not found:
        return None
    series = second.groupby(["batch_size", "outputs"])["parameters"].nunique()
    batch_size, outputs = max(series.index, key=lambda place: int(series[place]))
    main = {
        "batch_size": int(batch_size),
        "outputs": int(outputs),
        "parameters": int(second["parameters"].max()),
    }
    return Calibrations(counts, found, dict(known), main, settings, device_name, run_spread)


def uncounted(summary: pd.DataFrame, known: Mapping[str, Kind]) -> tuple[str, ...]:
    """Return the titles of timed second-order optimizers whose cost no formula counts, so that no map has them."""
    timed = set(summary["optimizer"])
    return tuple(
        kind.title
        for label, kind in known.items()
        if label in timed and kind.second_order and not _countable(kind)
    )


def _countable(kind: Kind) -> bool:
    return kind.modelled or kind.method in DIGITAL


def _counted(kind: Kind, own: pd.DataFrame, counts: Counts, upload: str) -> pd.DataFrame:
    """Return the measured settings of one optimizer with their counted operations and bytes."""
    rows = []
    for row in each(own):
        n, b, d_z = int(row.parameters), int(row.batch_size), int(row.outputs)
        layers = counts.layers(n, d_z)
        if layers is not None:
            cost = counts.of(kind.method, n, b, d_z, layers, upload)
            rows.append((n, b, d_z, float(row.digital_median_s), cost.flops, cost.bytes))
    columns = ["parameters", "batch_size", "outputs", "measured_s", "flops", "bytes"]
    return pd.DataFrame(rows, columns=columns)


def _arrays(points: pd.DataFrame) -> tuple[Array, Array]:
    """Return the counts (S, 3) of overhead, operations and bytes, and the measured seconds (S,)."""
    counts = np.stack(
        [np.ones(len(points)), *(points[name].to_numpy(float) for name in ("flops", "bytes"))], axis=1
    )
    return counts, points["measured_s"].to_numpy(float)


def _terms(settings: int) -> tuple[list[int], ...]:
    """Return the terms of each reading that so many settings can tell."""
    if settings < 3:
        return ([1],)
    return ([0, 1], [0, 2]) if settings < 5 else ([0, 1], [0, 2], [0, 1, 2])


def _fitted(label: str, kind: Kind, points: pd.DataFrame, peak: float) -> Calibration:
    x, measured = _arrays(points)
    settings = len(measured)
    forms = [(terms, peak if 2 in terms else np.inf) for terms in _terms(settings)]
    if settings == 1:
        predicted, sigmas = [measured], [float("nan")]
    else:
        others = ~np.eye(settings, dtype=bool)
        predicted = [
            np.array([x[i] @ _rates(x[keep], measured[keep], *form) for i, keep in enumerate(others)])
            for form in forms
        ]
        sigmas = [float(np.sqrt(np.mean(np.log(measured / values) ** 2))) for values in predicted]
    order = np.argsort(sigmas, kind="stable")
    best = int(order[0])
    bound = max(CREDIBLE_TIMES * sigmas[best], CREDIBLE_SIGMA)
    credible = [place for place in order if place == best or sigmas[place] <= bound]
    readings = [_rates(x, measured, *forms[place]) for place in credible]
    points = points.assign(predicted_s=predicted[best], ratio=measured / predicted[best])
    kept = tuple((float(a), float(f), float(w)) for a, f, w in readings)
    terms = len(forms[best][0])

    def predicted_by(keep: npt.NDArray[np.bool_]) -> Array:
        return x @ _rates(x[keep], measured[keep], *forms[best])

    unseen = discrepancy.unseen(points, predicted_by, max(2, terms))
    gamma, freedom = unseen.gamma(sigmas[best]), max(settings - terms, 1.0)
    return Calibration(label, kind.method, kept, sigmas[best], points, gamma, freedom, unseen)


def _rates(x: Array, measured: Array, terms: Sequence[int], peak: float = np.inf) -> Array:
    """Return (a, 1/f, 1/w) for counts x (S, 3), only `terms` of them fitted, f at most `peak`."""
    weights = np.array([0.0, 1.0 / peak, 0.0])
    relative = x[:, terms] / measured[:, None]
    scale = np.sqrt(
        (relative**2).sum(axis=0)
    )  # columns of unit length: seconds and operations differ by 10¹⁰
    solved, _ = nnls(relative / scale, np.maximum(1.0 - x @ weights / measured, 0.0))
    weights[terms] += solved / scale
    return weights


def _cg_iterations(trials: pd.DataFrame, problem: str, labels: Sequence[str]) -> CGIterations:
    """Return the stopping rule and the counted iterations of the NGD-CG that is calibrated, the median by size."""
    own = trials[(trials["kind"] == "cost") & (trials["status"] == "ok") & (trials["problem"] == problem)]
    own = own[(own["method"] == "ngd-cg") & own["optimizer"].isin(labels)]
    if own.empty:
        return CGIterations()
    settings = own["settings"].iloc[0]
    solved = own[own["solver_iterations"].notna()]
    size = ["parameters", "batch_size", "outputs"]
    medians = solved.groupby(size, as_index=False)["solver_iterations"].median()
    counted = tuple(
        (float(n), float(b), float(d_z), float(median))
        for n, b, d_z, median in medians.itertuples(index=False)
        if median > 0
    )
    return CGIterations.of(json.loads(settings) if isinstance(settings, str) else {}, counted)


def _device_settings(trials: pd.DataFrame, label: str | None) -> tuple[dict[str, object], str | None]:
    rows = trials[(trials["optimizer"] == label) & (trials["kind"] == "cost") & (trials["status"] == "ok")]
    if label is None or rows.empty:
        return {}, None
    row: Any = rows.iloc[0]
    name, settings = recorded(row["device"], row["settings"])
    return dict(settings), name
