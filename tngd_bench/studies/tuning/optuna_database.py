"""The tries of a search in Optuna's embedded database, which its dashboard shows; written where Optuna is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tngd_bench.studies.errors import StoreWriteError
from tngd_bench.studies.file.schema import Axis
from tngd_bench.studies.tuning.spaces import Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution, FloatDistribution

DATABASE = "optuna.db"
Direction = Literal["minimize", "maximize"]
_NUMBER = "number"


@dataclass(frozen=True)
class TryResult:
    """Result of one try: its settings within the space and the score, None where the run gave none."""

    number: int
    settings: Mapping[str, float]
    score: float | None
    seconds: float
    status: str


def can_record() -> bool:
    """Return whether Optuna is installed."""
    return importlib.util.find_spec("optuna") is not None


def record(
    database: Path, name: str, space: Space, results: Iterable[TryResult], direction: Direction
) -> int:
    """Add those `results` to the Optuna study `name` in a SQLite file that it does not have yet; return how many.

    A try without a score is added as pruned. StoreWriteError where the file cannot be written.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{database}")
        search = optuna.create_study(
            storage=storage, study_name=name, direction=direction, load_if_exists=True
        )
        known = {trial.user_attrs.get(_NUMBER) for trial in search.get_trials(deepcopy=False)}
        new = [result for result in results if result.number not in known]
        for result in new:
            search.add_trial(_trial(space, result))
        storage.engine.dispose()
    except (optuna.exceptions.StorageInternalError, OSError) as error:
        raise StoreWriteError(f"{database} cannot be written: {' '.join(str(error).split())}") from None
    return len(new)


def _trial(space: Space, result: TryResult) -> Any:
    """Return a finished Optuna trial; settings outside the space are left out."""
    from optuna.trial import TrialState, create_trial

    params: dict[str, float] = {}
    distributions: dict[str, BaseDistribution] = {}
    for setting, axis in sorted(space.axes.items()):
        name = f"1-{setting}" if axis.scale == "log-complement" else setting
        if axis.low <= result.settings[setting] <= axis.high:
            params[name], distributions[name] = _point(axis, result.settings[setting]), _distribution(axis)
    return create_trial(
        params=params,
        distributions=distributions,
        value=result.score,
        state=TrialState.PRUNED if result.score is None else TrialState.COMPLETE,
        user_attrs={_NUMBER: result.number, "status": result.status, "seconds": result.seconds},
    )


def _distribution(axis: Axis) -> FloatDistribution:
    from optuna.distributions import FloatDistribution

    low, high = sorted((_point(axis, axis.low), _point(axis, axis.high)))
    return FloatDistribution(low, high, log=axis.scale != "linear")


def _point(axis: Axis, value: float) -> float:
    """Return what Optuna holds for a value: for a log-complement axis, its distance from 1."""
    return float(1 - value if axis.scale == "log-complement" else value)
