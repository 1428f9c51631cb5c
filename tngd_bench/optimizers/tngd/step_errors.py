"""Steps that end because of the device: a growing mode, refinements that diverge, no answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tngd_bench.optimizers.natural import DivergedError
from tngd_bench.solvers.conjugate_gradient import NoAnswerError
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


class UnansweredStepError(DivergedError, NoAnswerError):
    """The device answered a residual of this iteration with zero; the parameters are as they were."""

    def __init__(self, error: NoAnswerError, iteration: int) -> None:
        RuntimeError.__init__(self, f"{error} (iteration {iteration})")
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
    except NoAnswerError as error:
        raise UnansweredStepError(error, iteration) from error
