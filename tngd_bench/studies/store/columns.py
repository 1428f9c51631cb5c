"""Columns of a study's frames: their names (imported as `c`), their dtypes, and rows with given values in them.

The names of metrics' columns are in `problems.metrics`; those of a frame that analysis makes are with the function that
makes it. Functions import pandas when they are called: the server of worker processes reads names alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tngd_bench.problems.metrics import OWN_CURVES
from tngd_bench.studies.file.sweeps import number_text

if TYPE_CHECKING:
    import pandas as pd

KEY, KIND, GROUP, PROBLEM = "key", "kind", "group", "problem"
PARAMETERS_REQUESTED, PARAMETERS, BATCH_SIZE = "parameters_requested", "parameters", "batch_size"
OUTPUTS, ROWS, WIDTH = "outputs", "rows", "width"
OPTIMIZER, METHOD, SETTINGS, DEVICE = "optimizer", "method", "settings", "device"
SEED, PROCESS, REPETITION, ITERATION = "seed", "process", "repetition", "iteration"
PRECISION = "precision"
SWEEP_PARAMETER, SWEEP_VALUE, SWEEP_LABEL = "sweep_parameter", "sweep_value", "sweep_label"
SWEEP_PARAMETER_2, SWEEP_VALUE_2, SWEEP_LABEL_2 = "sweep_parameter_2", "sweep_value_2", "sweep_label_2"
STATUS, REASON, MACHINE, FINISHED, CODE = "status", "reason", "machine", "finished", "code"
THREADS, VALIDATION_SHARE, INSPECTION_KEY = "threads", "validation_share", "inspection_key"
ESTIMATE_SECONDS, ESTIMATE_BYTES, ELAPSED_S = "estimate_seconds", "estimate_bytes", "elapsed_s"
FLOPS, PEAK_BYTES = "flops", "peak_bytes"
SOLVER_ITERATIONS, STABILITY_MARGIN = "solver_iterations", "stability_margin"
STEP_S, DIGITAL_S, WRITE_S, RELAX_S, READ_S = "step_s", "digital_s", "write_s", "relax_s", "read_s"
TOTAL_S, OVERLAP_S, NOT_STATED, STATED_S = "total_s", "overlap_s", "not_stated", "stated_s"
FIRST_STEP_S, ROUTING, HALF_PRODUCTS = "first_step_s", "routing", "half_products"
EPOCH, LOSS, MEASURED_S, MODELLED_S = "epoch", "loss", "measured_s", "modelled_s"

TRIED = ("ok", "diverged", "timed-out", "out-of-memory")
"""Statuses of a run that was a try; a skipped or failed one is none."""
SIZE = [PARAMETERS, BATCH_SIZE, OUTPUTS]
"""The size of a model and of its batch: N, b and d_z."""

COST_SETTING = [GROUP, PROBLEM, *SIZE, OPTIMIZER]
TRAINING_SETTING = [GROUP, PROBLEM, PARAMETERS, BATCH_SIZE, OPTIMIZER]
"""Columns that identify what was timed, and what was trained but for swept values."""
SWEEP = [SWEEP_PARAMETER, SWEEP_VALUE, SWEEP_LABEL, SWEEP_PARAMETER_2, SWEEP_VALUE_2, SWEEP_LABEL_2]
"""The levels of a sweep."""

_SETTING = {
    **dict.fromkeys((KEY, GROUP, PROBLEM), "str"),
    **dict.fromkeys((PARAMETERS, BATCH_SIZE), "int64"),
    **dict.fromkeys((OPTIMIZER, METHOD), "str"),
}
TRIAL_COLUMNS = {
    **dict.fromkeys((KEY, KIND, GROUP, PROBLEM), "str"),
    **dict.fromkeys((PARAMETERS_REQUESTED, *SIZE, ROWS), "int64"),
    **dict.fromkeys((WIDTH, OPTIMIZER, METHOD, SETTINGS), "str"),
    DEVICE: "object",
    **dict.fromkeys((SEED, PROCESS), "Int64"),
    SWEEP_PARAMETER: "object",
    SWEEP_VALUE: "float64",
    THREADS: "int64",
    STATUS: "str",
    REASON: "object",
    **dict.fromkeys((ESTIMATE_SECONDS, ESTIMATE_BYTES, FLOPS, PEAK_BYTES), "float64"),
    SOLVER_ITERATIONS: "Int64",
    **dict.fromkeys((ELAPSED_S, VALIDATION_SHARE), "float64"),
    **dict.fromkeys((SWEEP_LABEL, SWEEP_PARAMETER_2), "object"),
    SWEEP_VALUE_2: "float64",
    **dict.fromkeys((SWEEP_LABEL_2, INSPECTION_KEY, MACHINE, FINISHED, CODE, NOT_STATED), "object"),
    **dict.fromkeys((STATED_S, STABILITY_MARGIN, FIRST_STEP_S), "float64"),
    **dict.fromkeys((ROUTING, HALF_PRODUCTS), "object"),
}
"""Columns of `Records.trials` with their dtypes; `seed`, `process` and `solver_iterations` may be missing.

`sweep_value` is missing for an ideal device and for values that are no numbers; `sweep_label` says which. The columns
ending in `_2` are those of a second swept setting. With a `validation_share`, what curves call test data is that
share of the training samples, held out of training. `inspection_key` is where `flops` and `peak_bytes` of a cost row
come from, as "FILE#ENTRY"; `machine` is the processor that the trial ran on, `finished` when it ended (UTC, ISO 8601).
`code` are the digests of the code that measured it, by part, as JSON; missing in stores older than that.
`not_stated` names the items of the device's bill without a stated time, where there are any; the others take `stated_s`
per iteration. `stability_margin`, in 1/τ, is the least over a training's iterations, where the simulation computes one.
Of optimizers named by their class, `first_step_s` is a first step that no other time contains, with all that it loads,
sets up and compiles, and `routing` says which optimizer has which parameters: their shapes by name, as JSON.
`half_products` are the operations of an iteration that the processor did in formats of half width, as JSON by format
("bfloat16"): `flops`, part of the column, their `seconds`, and `float32_seconds` that the same take in float32; missing
where there are none, and in stores older than that.
"""

TIMES = (STEP_S, DIGITAL_S, WRITE_S, RELAX_S, READ_S)
COST_COLUMNS = {
    **_SETTING,
    **dict.fromkeys((OUTPUTS, ROWS), "int64"),
    DEVICE: "object",
    **dict.fromkeys((PROCESS, REPETITION), "int64"),
    **dict.fromkeys((*TIMES, TOTAL_S, OVERLAP_S, PRECISION), "float64"),
}
"""Columns of `Records.costs`: total_s = digital_s + write_s + relax_s + read_s − overlap_s, what runs at once.

`precision` is that at which the section stops repeating an optimizer, missing where all processes are run.
"""
CURVE_COLUMNS = {
    **_SETTING,
    SEED: "int64",
    SWEEP_PARAMETER: "object",
    SWEEP_VALUE: "float64",
    ITERATION: "int64",
    **dict.fromkeys((EPOCH, LOSS, MEASURED_S, MODELLED_S, *(each.column for each in OWN_CURVES)), "float64"),
}
"""Columns of `Records.curves`.

Losses are means in nats; `tngd_bench.problems.metrics` describes the metrics, and those of outside problems follow
them. What a problem does not have is missing, as all metrics are between evaluations. Where hundreds of outputs make
the device's rows too many to form at once, the digital share of `modelled_s`, and `digital_s` and `flops` of a cost
row, are extrapolated from the first 16 of their columns (`tngd_bench.measure.host_time`).
"""

_MANY = 20_000
"""Rows from which Arrow's text takes less time than Python's."""


def typed(values: Mapping[str, Any] | pd.DataFrame, dtypes: Mapping[str, str]) -> pd.DataFrame:
    """Return a frame of the columns of `dtypes`; text is Python's where rows are few, which chooses them sooner."""
    import pandas as pd

    many = len(values[next(iter(dtypes))]) >= _MANY
    text = pd.StringDtype("pyarrow" if many else "python", na_value=float("nan"))
    kinds = {name: text if dtype == "str" else dtype for name, dtype in dtypes.items()}
    return pd.DataFrame({name: pd.Series(values[name], dtype=kind) for name, kind in kinds.items()})


def only(frame: pd.DataFrame, **values: object) -> pd.DataFrame:
    """Return the rows of `frame` that have these values in these columns."""
    import pandas as pd

    chosen = pd.Series(True, index=frame.index)
    for column, value in values.items():
        chosen &= frame[column] == value
    return frame[chosen]


def outside_sweeps(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `frame` that belong to no sweep: optimizers side by side at their study settings."""
    return frame[frame[SWEEP_PARAMETER].isna()]


def swept_levels(
    frame: pd.DataFrame, name: Callable[[str], str] = str, number: Callable[[float], str] = number_text
) -> pd.Series[str]:
    """Return all swept levels of each row in words, e.g. "adc_bits = 8, start = zero"; "" outside sweeps.

    Levels that are words or flags have a label and no number: who tells rows apart by numbers alone takes them for one.
    """
    import pandas as pd

    def text(parameter: str, value: float, label: object) -> str:
        words = label if isinstance(label, str) else "ideal"
        return f"{name(parameter)} = {words if pd.isna(value) else number(float(value))}"

    rows = completed(frame, SWEEP)[SWEEP].itertuples(index=False, name=None)
    found = [
        ", ".join(text(*level) for level in (row[:3], row[3:]) if isinstance(level[0], str)) for row in rows
    ]
    return pd.Series(found, index=frame.index, dtype="str")


def completed(frame: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """Return `frame` with these columns too, without values where it lacks them, as one made by hand may."""
    return frame.assign(**{name: float("nan") for name in columns if name not in frame})


def joined(frames: Iterable[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """Return these columns of all rows of `frames`, one after another; without any row the columns alone."""
    import pandas as pd

    filled = [frame for frame in frames if len(frame)]
    whole = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(columns))
    return whole[list(columns)]


def groups(
    frame: pd.DataFrame, by: Sequence[str], *, dropna: bool = True
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield the groups of rows with equal values in the columns `by`, sorted: the values by column, and the rows."""
    for values, rows in frame.groupby(list(by), sort=True, dropna=dropna):
        yield dict(zip(by, values, strict=True)), rows


def each(frame: pd.DataFrame) -> Iterator[Any]:
    """Return the rows of `frame` as named tuples; the type of a field is known only to who wrote the column."""
    return iter(frame.itertuples(index=False))
