"""Statements on what the numbers rest on: clocks, devices with the source of each number, limits of the method."""

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost import iteration_cost
from tngd_bench.analysis.cost.caveats import host_extrapolated
from tngd_bench.analysis.cost.recorded_devices import refusals
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.setting_names import parameter_name, value_text
from tngd_bench.analysis.statistics.run_spread import ASSUMED, run_spread_of
from tngd_bench.optimizers import registry
from tngd_bench.optimizers.families import FAMILIES
from tngd_bench.report.document.tables import Cell, Column, Table, table_of, words
from tngd_bench.spu.sources import GRADES
from tngd_bench.studies.plan import enough_processes
from tngd_bench.studies.store import columns as c
from tngd_bench.studies.store.environment import processor_words, setting_words
from tngd_bench.studies.store.numbers_changed import changes_in_words


def device_table(study: Mapping[str, object], trials: pd.DataFrame) -> Table | None:
    """Return the parameters of every device that a trial used, with grade and source; None when there was none.

    They come from `study["devices"]` (preset → parameter → {value, grade, source}). A store without it gets the preset
    of the installed version, and every such row says so.
    """
    used = sorted({str(name) for name in trials[c.DEVICE].dropna()} - {""})
    if not used:
        return None
    stored = study.get("devices")
    rows = []
    for name in used:
        found = stored.get(name) if isinstance(stored, Mapping) else None
        origin = "" if isinstance(found, Mapping) else " (as installed, not stored)"
        for parameter, entry in (found if isinstance(found, Mapping) else _installed(name)).items():
            value, grade, source = entry, "", origin.strip()
            if isinstance(entry, Mapping):
                value, grade = entry.get("value"), str(entry.get("grade", "not stated"))
                source = str(entry.get("source", "not stated")) + origin
            rows.append((name, parameter, _value(parameter, value), _graded(grade), source))
    columns = (
        words("device", itemgetter(0)),
        words("parameter", lambda row: parameter_name(row[1])),
        Column("value", itemgetter(2)),
        words("grade", itemgetter(3)),
        words("source", itemgetter(4)),
    )
    caption = "The modelled devices. What is not listed is ideal, or has no price."
    data = pd.DataFrame(rows, columns=[column.title for column in columns])
    return table_of("devices", caption, columns, rows, data)


def _graded(grade: str) -> str:
    return f"{grade}, {GRADES[grade]}" if grade in GRADES else grade


def _value(parameter: str, value: object) -> Cell:
    number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    return Cell(number, value_text(parameter, value))


def not_made(trials: pd.DataFrame, infos: Infos) -> tuple[tuple[str, str], ...]:
    """Return a statement on devices that cannot be made here, like those of `statements`; () without any."""
    why = refusals(trials)
    if not why:
        return ()
    named = "; ".join(
        f"{quantities.listed([infos[label].title for label in labels])}: {reason}"
        for reason, labels in sorted(why.items())
    )
    sentence = (
        "Predicted times, energy and stability are left out where the device of a trial cannot be made here. "
        f"Trials of {named}."
    )
    return (("Devices that cannot be made here", sentence),)


def _installed(name: str) -> Mapping[str, object]:
    from tngd_bench.spu.device import Device
    from tngd_bench.spu.sources import sourced_parameters

    if name not in Device.presets():
        return {c.PARAMETERS: "not recorded in this store, and the preset is not installed here"}
    return sourced_parameters(Device.preset(name))


def extrapolated(trials: pd.DataFrame, infos: Infos) -> tuple[tuple[str, str], ...]:
    """Return a statement on host seconds that were extrapolated, like those of `statements`; () without any."""
    # of no trial there is no type
    modelled = trials[c.OPTIMIZER].map(lambda label: infos[label].modelled).astype(bool)
    ran = trials[modelled & (trials[c.STATUS] == "ok")]
    sizes = [
        f"{row.problem}, N = {quantities.count(row.parameters)}, d_z = {quantities.count(row.outputs)}"
        for row in c.each(ran[[c.PROBLEM, c.PARAMETERS, c.OUTPUTS]].drop_duplicates())
        if host_extrapolated(row.problem, row.parameters, row.outputs)
    ]
    if not sizes:
        return ()
    sentence = (
        "With many outputs the columns of the Jacobian are made a few at a time. The first 16 were timed, and the "
        f"host seconds of all of them are extrapolated, linear in their number: {'; '.join(sizes)}. Every time of a "
        "device there, to a target too, contains them."
    )
    return (("Extrapolated host seconds (≈)", sentence),)


def caveats_of_families(infos: Infos) -> tuple[tuple[str, str], ...]:
    """Return what a page has to say of its optimizers and their families, like `statements`; () for nothing."""
    found = {
        FAMILIES[name].caveat: info.title
        for info in infos.values()
        for name in FAMILIES
        if name == info.family
    }
    ran = {info.method for info in infos.values()}
    own = ((registry.get(method).title, told) for method, told in _OF_METHODS.items() if method in ran)
    return (*own, *((title, caveat) for caveat, title in found.items() if caveat))


_OF_METHODS = {
    "kfac": "Refreshes its factors and their inverses only now and then (settings below): the median iteration may "
    "contain no refresh. The mean counts them.",
    "ngd-cg": "Stops at its tolerance or its largest number of iterations, whichever is first (settings below).",
}


def choices(study: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Return the choices of the study where its source leaves them open, like `statements`: a topic and its sentences.

    () for a study that names no choices, and for stores from before studies could.
    """
    chosen = study.get("choices")
    topics = chosen.items() if isinstance(chosen, Mapping) else ()
    return tuple((f"Chosen here: {topic}", " ".join(sentences)) for topic, sentences in topics if sentences)


def _changed(study: Mapping[str, object]) -> str:
    changes = changes_in_words(study)
    said = (
        f" Numbers were changed once results were there ({changes}): if that was for what the results said, "
    )
    return f"{said}levels of 95 % are too high." if changes else ""


def _stopping(study: Mapping[str, Any]) -> str:
    """Return the rule by which cost sections stop repeating an optimizer, "" where none does."""
    asked = sorted({cost[c.PRECISION] for cost in study.get("cost", ()) if cost.get(c.PRECISION) is not None})
    if not asked:
        return ""
    bound = " or ".join(f"±{100 * each:.3g} %" for each in asked)
    return (
        ". Where a section names a precision, an optimizer gets no further process, from the third on, once the 95 % "
        f"interval of its ratio to the first one is within {bound}. Intervals are made there with the quantile of "
        f"{100 * enough_processes.LEVEL:.0f} %, which makes up for the choice"
    )


def statements(study: Mapping[str, object], environment: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Return the meaning of each clock and the assumptions, as pairs of a term and a sentence."""
    told = {name: setting_words(environment, name) for name in ("threads_cost", "threads_training", "dtype")}
    processor = processor_words(environment)
    return (
        (
            "Measured",
            "Wall time inside step(): forward and backward passes, curvature, solve, update. Warm-up, data loading and "
            "evaluation are off the clock. Optimizers of one size are timed in turn, in each of several processes.",
        ),
        (
            "Modelled",
            "Seconds of the analog device, by formula from its parameters: write (gradient and arrays over the link), "
            "relax (analog time in units of the device's time constant) and read. No device was run.",
        ),
        (
            "Measured digital + modelled device",
            "The total of TNGD: the digital side of its iteration (loss, gradient, Jacobian, loss Hessian), timed on "
            "this machine, plus the modelled device. The time to simulate the device is in no cost.",
        ),
        (
            "Counted",
            "Floating-point operations of one iteration, counted in a process of their own; they have no spread.",
        ),
        (
            "Ratios of times",
            "The unit is the process: intervals are Student's t over the medians of processes, 95 % for a number of "
            f"processes fixed before the first result was looked at{_stopping(study)}. A difference takes "
            f"{iteration_cost.MINIMUM_PAIRS} paired iterations from {iteration_cost.MINIMUM_PROCESSES} processes."
            f"{_changed(study)}",
        ),
        (
            "From run to run",
            "Another run of this study on this machine shifts every optimizer a little. Standard deviation: "
            f"{run_spread_of(environment).words}. The interval of a ratio does not hold it; leads, maps and "
            "comparisons of two stores do."
            + (" “tngd-bench null-runs” measures it." if run_spread_of(environment) == ASSUMED else ""),
        ),
        (
            "Processor, threads and precision",
            "Computed on {processor}. Threads: {threads_cost} for cost, {threads_training} for training; dtype: "
            "{dtype}.".format(processor=processor, **told),
        ),
        (
            "Trainings",
            "All optimizers share start and batches of a seed. Settings are those of the study, not tuned unless the "
            "study says so. Bands are quartiles over seeds; with few seeds they look narrower than the true spread.",
        ),
    )
