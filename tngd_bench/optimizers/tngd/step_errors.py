"""Steps that end because of the device: a growing mode of its arrays, or refinements that do not converge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tngd_bench.optimizers.natural import DivergedError
from tngd_bench.solvers.refinement import RefinementError
from tngd_bench.spu.dynamics.arrays import REMEDY, UnstableDeviceError


class UnstableStepError(DivergedError, UnstableDeviceError):
    """The arrays as programmed at this iteration have a growing mode; the parameters are as they were."""

    def __init__(self, margin: float, iteration: int, remedy: str = REMEDY) -> None:
        UnstableDeviceError.__init__(self, margin, remedy)
        self.args = (f"{self.args[0]} (iteration {iteration})",)
        self.iteration = iteration


class DivergingStepError(DivergedError, RefinementError):
    """The refinements of this iteration do not converge; the parameters are as they were."""

    def __init__(self, residuals: tuple[float, ...], iteration: int) -> None:
        RefinementError.__init__(self, residuals)
        self.args = (f"{self.args[0]} (iteration {iteration})",)
        self.iteration = iteration


@contextmanager
def ending_step(iteration: int, remedy: str = REMEDY) -> Iterator[None]:
    """Turn what the device ends an iteration with into a DivergedError."""
    try:
        yield
    except UnstableDeviceError as error:
        raise UnstableStepError(error.margin, iteration, remedy) from error
    except RefinementError as error:
        raise DivergingStepError(error.residuals, iteration) from error
