"""Distances to measured sizes against closed forms and a general solver, and what may be wrong there."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from tngd_bench.analysis.statistics.discrepancy import LEAST_GAMMA, STEP, distance, unseen
from tngd_bench.studies.store.columns import SIZE


def points(*logs):
    return pd.DataFrame(np.exp(np.array(logs, dtype=float)), columns=SIZE)


def away(known, *size):
    return float(distance(known, *(np.array([np.exp(value)]) for value in size))[0])


def test_distances_from_a_point_a_line_and_a_triangle_by_hand():
    assert away(points((1, 2, 3)), 1, 2, 3) == 0.0
    assert away(points((1, 2, 3)), 4, 6, 3) == pytest.approx(5.0)
    line = points((0, 0, 0), (4, 0, 0))
    assert away(line, 2, 0, 0) == 0.0
    assert away(line, 5, 1, 0) == pytest.approx(np.sqrt(2))
    assert away(points((0, 0, 0), (2, 2, 0)), 2, 0, 0) == pytest.approx(np.sqrt(2))
    triangle = points((0, 0, 0), (2, 0, 0), (0, 2, 0))
    assert away(triangle, 0.5, 0.5, 0) == 0.0
    assert away(triangle, 2, 2, 0) == pytest.approx(np.sqrt(2))
    assert away(triangle, 0.5, 0.5, 3) == pytest.approx(3.0)


def test_distances_from_a_cloud_are_those_of_a_general_solver():
    generator = np.random.default_rng(3)
    cloud = generator.uniform(0, 5, (7, 3))
    for size in generator.uniform(-3, 8, (12, 3)):
        best = minimize(
            lambda w, size=size: ((cloud.T @ w - size) ** 2).sum(),
            np.full(7, 1 / 7),
            bounds=[(0, 1)] * 7,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            options={"ftol": 1e-14, "maxiter": 500},
        )
        assert away(points(*cloud), *size) == pytest.approx(np.sqrt(best.fun), abs=1e-4)


def test_the_discrepancy_is_what_the_left_out_blocks_were_wrong_by():
    known = points(*((n, b, 0) for n in range(4) for b in (0, 1))).assign(measured_s=1.0)

    def wrong_by(slope):
        # predictions that bend away from the kept settings, by `slope` for each factor of e
        def predict(kept):
            return np.exp(slope * distance(known[kept], *(known[name].to_numpy() for name in SIZE)))

        return unseen(known, predict, 2).gamma(0.0)

    # left out are the largest n and the larger b, all a factor of e away
    assert wrong_by(0.8) == pytest.approx(np.sqrt(0.8**2 - STEP**2))
    assert wrong_by(0.1) == LEAST_GAMMA
    assert unseen(known.iloc[:1], lambda kept: np.ones(1), 2).gamma(0.0) == LEAST_GAMMA
