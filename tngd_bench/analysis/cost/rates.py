"""Rates of this machine: the measured digital seconds of each optimizer against its closed-form counts.

For one optimizer, t = a + F/f + M/w with a fixed overhead a, the operations F and bytes M of
`optimizers.costs`, and rates f and w, by least squares of the residuals relative to the measured time with non-negative
terms (Lawson & Hanson, Solving Least Squares Problems, 1974, ch. 23). F and M grow together in most studies, so the
same times have several readings: F alone; M, with operations at the rate of the optimizer that is fastest at
them, which nothing may exceed; and both (from five settings on, operations not faster than that either). Readings agree
where there are data and part where there are none. One is credible, and drawn, if it predicts the data half as well
as the best or to 10 %.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from tngd_bench.analysis.arrays import Array, Mask
from tngd_bench.analysis.cost.calibration import Calibration, Calibrations
from tngd_bench.analysis.cost.counts import Counts
from tngd_bench.analysis.cost.recorded_devices import recorded, recorded_device
from tngd_bench.analysis.families import Infos, OptimizerInfo
from tngd_bench.analysis.statistics import discrepancy
from tngd_bench.analysis.statistics.run_spread import ASSUMED, RunSpread
from tngd_bench.optimizers.costs import predictable
from tngd_bench.problems import registry as problems
from tngd_bench.solvers.cg_iterations import CGIterations
from tngd_bench.studies.store import columns as c

CREDIBLE_TIMES, CREDIBLE_SIGMA = 2.0, 0.1
ITEMSIZES = {"float32": 4, "float64": 8}


def calibrate(
    summary: pd.DataFrame,
    trials: pd.DataFrame,
    infos: Infos,
    dtype: str = "float32",
    *,
    first_order: bool = False,
    run_spread: RunSpread = ASSUMED,
) -> Calibrations | None:
    """Calibrate the second-order optimizers of `summary`, or all; None where none was timed.

    All on the problem with the most sizes. Of several variants of one method the one with the plainest label stands
    for it: the counts know methods, not settings.
    """
    second = summary[
        summary[c.OPTIMIZER].map(lambda label: first_order or infos[label].second_order).astype(bool)
    ]
    if second.empty:
        return None
    sizes_per_problem = second.drop_duplicates([c.PROBLEM, *c.SIZE])[c.PROBLEM].value_counts(ascending=True)
    problem = str(sizes_per_problem.sort_index().sort_values(kind="stable").index[-1])
    second = c.only(second, problem=problem)
    chosen: dict[str, str] = {}
    for label in sorted(set(second[c.OPTIMIZER]), key=len):
        kind = infos[label]
        chosen.setdefault("tngd" if kind.modelled else kind.method, label)
    labels = [label for label in infos if label in chosen.values() and _countable(infos[label])]
    if not labels:
        return None
    entry, cg = problems.entries().get(problem), _cg_iterations(trials, problem, labels)
    counts = Counts(problem, ITEMSIZES.get(dtype, 4), cg, entry, requested_sizes(trials, problem))
    device = next((label for label in labels if infos[label].modelled), None)
    settings, device_name = _device_settings(trials, device)
    used = None if device_name is None else recorded_device(device_name, settings)
    upload = "full" if used is None else used.upload
    every = {
        label: _counted(infos[label], c.only(second, optimizer=label), counts, upload) for label in labels
    }
    counted = {label: rows for label, rows in every.items() if len(rows)}
    alone = {label: _rates(*_arrays(rows), _terms(len(rows))[0]) for label, rows in counted.items()}
    peak = max((1.0 / weights[1] for weights in alone.values() if weights[1] > 0), default=np.inf)
    found = {label: _fitted(label, infos[label], rows, peak) for label, rows in counted.items()}
    if not found:
        return None
    return Calibrations(counts, found, infos, _main_size(second), settings, device_name, run_spread)


def _main_size(second: pd.DataFrame) -> dict[str, int]:
    """Return b and d_z with the most N, of several those with the most sizes on their planes, and the largest N."""
    sizes = second[c.SIZE].drop_duplicates()

    def rank(place: tuple[int, int]) -> tuple[int, int]:
        same_b, same_outputs = sizes[c.BATCH_SIZE] == place[0], sizes[c.OUTPUTS] == place[1]
        return int((same_b & same_outputs).sum()), int((same_b | same_outputs).sum())

    places = sorted(set(zip(sizes[c.BATCH_SIZE], sizes[c.OUTPUTS], strict=True)))
    batch_size, outputs = max(places, key=rank)
    main = {c.BATCH_SIZE: int(batch_size), c.OUTPUTS: int(outputs)}
    return main | {c.PARAMETERS: int(c.only(sizes, **main)[c.PARAMETERS].max())}


def uncounted(summary: pd.DataFrame, infos: Infos) -> tuple[str, ...]:
    """Return the titles of timed optimizers whose cost no formula counts, so that no map has them."""
    timed = set(summary[c.OPTIMIZER])
    return tuple(kind.title for label, kind in infos.items() if label in timed and not _countable(kind))


def _countable(info: OptimizerInfo) -> bool:
    return info.modelled or info.method in predictable()


def _counted(info: OptimizerInfo, own: pd.DataFrame, counts: Counts, upload: str) -> pd.DataFrame:
    """Return the measured settings of one optimizer with their counted operations and bytes."""
    rows = []
    for row in c.each(own):
        n, b, d_z = int(row.parameters), int(row.batch_size), int(row.outputs)
        layers = counts.layers(n, d_z)
        if layers is not None:
            cost = counts.of(info.method, n, b, d_z, layers, upload)
            if cost.known:
                rows.append((n, b, d_z, float(row.digital_median_s), cost.flops, cost.bytes))
    return pd.DataFrame(rows, columns=[*c.SIZE, c.MEASURED_S, c.FLOPS, "bytes"])


def _arrays(points: pd.DataFrame) -> tuple[Array, Array]:
    """Return the counts (S, 3) of overhead, operations and bytes, and the measured seconds (S,)."""
    counts = points.assign(overhead=1.0)[["overhead", c.FLOPS, "bytes"]].to_numpy(float)
    return counts, points[c.MEASURED_S].to_numpy(float)


def _terms(settings: int) -> tuple[list[int], ...]:
    """Return the terms of each reading that so many settings can tell."""
    if settings < 3:
        return ([1],)
    return ([0, 1], [0, 2]) if settings < 5 else ([0, 1], [0, 2], [0, 1, 2])


def _fitted(label: str, info: OptimizerInfo, points: pd.DataFrame, peak: float) -> Calibration:
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

    def predicted_by(keep: Mask) -> Array:
        return x @ _rates(x[keep], measured[keep], *forms[best])

    unseen = discrepancy.unseen(points, predicted_by, max(2, terms))
    gamma, freedom = unseen.gamma(sigmas[best]), max(settings - terms, 1.0)
    return Calibration(label, info.method, kept, sigmas[best], points, gamma, freedom, unseen)


def _rates(x: Array, measured: Array, terms: Sequence[int], peak: float = np.inf) -> Array:
    """Return (a, 1/f, 1/w) for counts x (S, 3), only `terms` of them fitted, f at most `peak`."""
    weights = np.array([0.0, 1.0 / peak, 0.0])
    relative = x[:, terms] / measured[:, None]
    scale = np.sqrt((relative**2).sum(axis=0))  # to unit length: seconds and operations differ by 10¹⁰
    solved, _ = nnls(relative / scale, np.maximum(1.0 - x @ weights / measured, 0.0))
    weights[terms] += solved / scale
    return weights


def requested_sizes(trials: pd.DataFrame, problem: str) -> dict[tuple[int, int], int]:
    """Return the number of parameters asked for, by the number that was run and the outputs."""
    size = [c.PARAMETERS, c.OUTPUTS, c.PARAMETERS_REQUESTED]
    run = c.only(trials, problem=problem).reindex(columns=size).dropna().astype(int).drop_duplicates()
    return {(n, outputs): asked for n, outputs, asked in run.itertuples(index=False)}


def _cg_iterations(trials: pd.DataFrame, problem: str, labels: Sequence[str]) -> CGIterations:
    """Return the stopping rule and the counted iterations of the NGD-CG that is calibrated, the median by size."""
    own = c.only(trials, kind="cost", status="ok", problem=problem)
    own = own[(own[c.METHOD] == "ngd-cg") & own[c.OPTIMIZER].isin(labels)]
    if own.empty:
        return CGIterations()
    settings = own[c.SETTINGS].iloc[0]
    solved = own[own[c.SOLVER_ITERATIONS].notna()]
    medians = solved.groupby(c.SIZE, as_index=False)[c.SOLVER_ITERATIONS].median()
    counted = tuple(
        (float(n), float(b), float(d_z), float(median))
        for n, b, d_z, median in medians.itertuples(index=False)
        if median > 0
    )
    return CGIterations.of(json.loads(settings) if isinstance(settings, str) else {}, counted)


def _device_settings(trials: pd.DataFrame, label: str | None) -> tuple[dict[str, object], str | None]:
    rows = c.only(trials, optimizer=label, kind="cost", status="ok")
    if label is None or rows.empty:
        return {}, None
    row: Any = rows.iloc[0]
    name, settings = recorded(row[c.DEVICE], row[c.SETTINGS])
    return dict(settings), name
