"""The draws of a search, and its record in an embedded database; both by Optuna, which is imported when needed.

The draws do not depend on how earlier ones did, so they are known before the first is tried: an interrupted search
draws the same ones again, and a longer one begins with those of a shorter.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from tngd_bench.studies.errors import StoreWriteError, StudyError
from tngd_bench.studies.file.schema import Axis
from tngd_bench.studies.tuning.spaces import Space

if TYPE_CHECKING:
    from optuna.distributions import FloatDistribution

_DIGITS = 6  # of a drawn value: what a file shows is what was tried
_NUMBER = "number"
_MASK = 2**32 - 1  # what scipy's generators take as a seed


@dataclass(frozen=True)
class Outcome:
    """What became of one try: its settings within the space and the score, None where the run gave none."""

    number: int
    settings: Mapping[str, float]
    score: float | None
    seconds: float
    status: str


def draws(space: Space, trials: int, seed: int) -> tuple[dict[str, float], ...]:
    """Return `trials` settings from the scrambled Sobol sequence over `space` that `seed` gives.

    Values are rounded to six digits. Raises StudyError where Optuna is not installed.
    """
    optuna = _optuna()
    axes = {name: space.axes[name] for name in sorted(space.axes)}
    distributions = {_parameter(name, axis): _distribution(axis) for name, axis in axes.items()}
    with warnings.catch_warnings():
        # A sequence whose length is no power of 2 is less balanced, which schema and documentation say.
        warnings.filterwarnings("ignore", message="The balance properties of Sobol", category=UserWarning)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.QMCSampler(qmc_type="sobol", scramble=True, seed=seed & _MASK)
        search = optuna.create_study(sampler=sampler)
        # Optuna takes the space from the first finished trial and leaves the sequence to the later ones.
        first = {name: axis.low for name, axis in axes.items()}
        search.add_trial(_frozen(optuna, axes, first, None, {}))
        drawn = [search.ask(distributions).params for _ in range(trials)]
    return tuple(
        {name: _value(axis, point[_parameter(name, axis)]) for name, axis in axes.items()} for point in drawn
    )


def record(
    database: Path,
    name: str,
    space: Space,
    outcomes: Iterable[Outcome],
    direction: Literal["minimize", "maximize"],
) -> int:
    """Add those `outcomes` to the Optuna study `name` in a SQLite file that it does not have yet; return how many.

    An outcome without a score is added as failed. StoreWriteError where the file cannot be written.
    """
    optuna = _optuna()
    axes = {key: space.axes[key] for key in sorted(space.axes)}
    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{database}")
        search = optuna.create_study(
            storage=storage, study_name=name, direction=direction, load_if_exists=True
        )
        known = {trial.user_attrs.get(_NUMBER) for trial in search.get_trials(deepcopy=False)}
        new = [outcome for outcome in outcomes if outcome.number not in known]
        for outcome in new:
            about = {_NUMBER: outcome.number, "status": outcome.status, "seconds": outcome.seconds}
            search.add_trial(_frozen(optuna, axes, outcome.settings, outcome.score, about))
        storage.engine.dispose()
    except (optuna.exceptions.StorageInternalError, OSError) as error:
        raise StoreWriteError(f"{database} cannot be written: {' '.join(str(error).split())}") from None
    return len(new)


def _frozen(
    optuna: ModuleType,
    axes: Mapping[str, Axis],
    settings: Mapping[str, float],
    score: float | None,
    about: Mapping[str, Any],
) -> Any:
    """Return a finished Optuna trial; without a score it is pruned, as a trial that ended early."""
    inside = {name: axis for name, axis in axes.items() if axis.low <= settings[name] <= axis.high}
    states = optuna.trial.TrialState
    return optuna.trial.create_trial(
        params={_parameter(name, axis): _point(axis, settings[name]) for name, axis in inside.items()},
        distributions={_parameter(name, axis): _distribution(axis) for name, axis in inside.items()},
        value=score,
        state=states.PRUNED if score is None else states.COMPLETE,
        user_attrs=dict(about),
    )


def _parameter(name: str, axis: Axis) -> str:
    return f"1-{name}" if axis.scale == "log-complement" else name


def _distribution(axis: Axis) -> FloatDistribution:
    distributions = _optuna().distributions
    low, high = sorted((_point(axis, axis.low), _point(axis, axis.high)))
    made: FloatDistribution = distributions.FloatDistribution(low, high, log=axis.scale != "linear")
    return made


def _point(axis: Axis, value: float) -> float:
    """Return what Optuna draws for a value: for a log-complement axis, its distance from 1."""
    return float(1 - value if axis.scale == "log-complement" else value)


def _value(axis: Axis, point: float) -> float:
    value = 1 - point if axis.scale == "log-complement" else point
    return min(max(float(f"{value:.{_DIGITS}g}"), float(axis.low)), float(axis.high))


def _optuna() -> ModuleType:
    try:
        import optuna
    except ImportError:
        raise StudyError(
            "tuning needs Optuna, which is not installed; install it with: pip install 'tngd-bench[tune]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
